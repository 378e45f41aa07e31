/**
 * How each CA that came later is vouched for by the one before it, for clients that have pinned the
 * earlier one: `DIR/issuers/<name>.succession` holds a signature by the earlier CA's key over the
 * later CA's certificate. See "Successions" in `docs/protocol.md`.
 */

import * as fs from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { parseBase64 } from "../base/bytes.ts";
import { messageOf, PkiError, systemCodeOf } from "../base/errors.ts";
import { readText } from "../base/files.ts";
import { parseJson } from "../base/json.ts";
import { SUCCESSIONS_MAX, successionSchema } from "../protocol/message_fields.ts";
import { parseCertificate } from "../x509/certificate.ts";
import type { Succession } from "../x509/succession.ts";
import type { ServerFiles } from "./files.ts";

const SUCCESSION_FILE = /^[0-9a-f]{16}\.succession$/;

/** The newest successions of a data folder, as `HELLO` tells them. @throws {PkiError} `storage` */
export function loadSuccessions({ issuers }: ServerFiles): Succession[] {
  let names: readonly string[];
  try {
    names = fs.readdirSync(issuers).filter((name) => SUCCESSION_FILE.test(name)).sort();
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return [];
    throw new PkiError("storage", `cannot read "${issuers}": ${messageOf(error)}`);
  }
  return names.map((name) => parseSuccession(join(issuers, name)))
    .map((succession) => ({ succession, sinceMs: sinceWhen(succession) }))
    .sort((a, b) => b.sinceMs - a.sinceMs)
    .slice(0, SUCCESSIONS_MAX)
    .map(({ succession }) => succession);
}

function sinceWhen({ certificate }: Succession): number {
  return parseCertificate(parseBase64(certificate)).notBeforeMs;
}

function parseSuccession(path: string): Succession {
  try {
    return v.parse(successionSchema(), parseJson(readText(path)));
  } catch (cause) {
    if (cause instanceof PkiError) throw cause;
    throw new PkiError("storage", `cannot read "${path}": not as it should be`, { cause });
  }
}

/** What a succession's file holds. */
export function encodeSuccession(succession: Succession): string {
  return `${JSON.stringify(succession, null, 2)}\n`;
}
