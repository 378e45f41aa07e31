/** Where `listen` and `receive` wait for peers, and for whom. */

import { checkId } from "../lib/x509/names.ts";
import { DEFAULT_PEER_PORT, parsePort } from "./globals.ts";

export interface ListeningFlags {
  readonly host: string;
  readonly port: number;
  readonly allow?: string;
}

export const LISTENING_FLAGS = {
  host: {
    kind: "parsed",
    parse: String,
    default: "0.0.0.0",
    brief: "Address to listen on",
    placeholder: "ADDRESS",
  },
  port: {
    kind: "parsed",
    parse: parsePort,
    default: String(DEFAULT_PEER_PORT),
    brief: "Port, 0 for any free one",
    placeholder: "PORT",
  },
} as const;

/** The ids behind `--allow`. @throws {PkiError} `usage` for one that cannot be */
export function parseAllowed(text: string | undefined): readonly string[] | undefined {
  const ids = text?.split(",").map((id) => id.trim());
  ids?.forEach(checkId);
  return ids;
}
