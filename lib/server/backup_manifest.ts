/**
 * What a backup holds: its manifest, which is its first member, and the names that the others may
 * have, those of a data folder.
 */

import * as v from "valibot";
import { parseUtf8 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { parseJson } from "../base/json.ts";
import { LIMITS } from "../base/limits.ts";

export const MANIFEST_NAME = "MANIFEST";
export const FORMAT = 1;
export const MANIFEST_BYTES_MAX = 16 * 1024 * 1024;

const manifestSchema = v.object({
  format: v.literal(FORMAT),
  version: v.string(),
  timeMs: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  /** The newest checkpoint, as a note; empty if there never was one. */
  checkpoint: v.pipe(v.string(), v.maxLength(LIMITS.checkpointBytesMax)),
  /** Every other member, in order; their digests are in `SHA256SUMS`. */
  files: v.array(v.object({ name: v.string(), bytes: v.number() })),
});

export type Manifest = v.InferOutput<typeof manifestSchema>;

/** @param what an error begins with @throws {PkiError} `malformed` */
export function parseManifest(bytes: Uint8Array, what: string): Manifest {
  try {
    return v.parse(manifestSchema, parseJson(parseUtf8(bytes)));
  } catch (cause) {
    throw new PkiError("malformed", `${what}: its ${MANIFEST_NAME} is not one that pki wrote`, {
      hint: "a newer version of pki may be able to read it",
      cause,
    });
  }
}

/** Without which a data folder is none. */
export const NEEDED = [
  "root.crt",
  "issuing.crt",
  "issuing.key",
  "server.key",
  "opaque.key",
  "log.key",
  "log.pub",
] as const;
export const OPTIONAL = [
  "root.key",
  "root.crl",
  "server.crt",
  "issuing.crl",
  "profiles.json",
  "pki.json",
] as const;
/** Of each CA that is not the current one; and what an outside root has yet to sign. */
export const ISSUER_FILE = /^(?:[0-9a-f]{16}\.(?:crt|key|crl|succession)|next\.(?:key|csr))$/;
const ALLOWED: ReadonlySet<string> = new Set([
  ...NEEDED,
  ...OPTIONAL,
  MANIFEST_NAME,
  "state.db",
  "log/checkpoint",
]);

/** Whether a backup may hold a member of this name. */
export function isBackupName(name: string): boolean {
  const [folder, file = "", ...more] = name.split("/");
  if (folder === "issuers" && more.length === 0) return ISSUER_FILE.test(file);
  return ALLOWED.has(name) || /^log\/\d{12}\.log$/.test(name);
}
