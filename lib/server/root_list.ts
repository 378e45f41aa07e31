/**
 * The root's revocation list, `DIR/root.crl`: says which issuing CAs must not be believed any more.
 * It can only be made while the root's key is at hand, so it is good for longer than any CA under the
 * root. Its number never goes back and nothing is ever taken out of it.
 */

import * as fs from "node:fs";
import { PkiError } from "../base/errors.ts";
import { fileExists, PUBLIC_MODE, storageError, writeFileAtomic } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { type Certificate, KEY_USAGE } from "../x509/certificate.ts";
import {
  type Crl,
  encodeCrlEntry,
  encodeTbsCrl,
  isCrlSignedBy,
  parseCrl,
  type RevocationReason,
  signCrl,
} from "../x509/crl.ts";
import type { ServerFiles } from "./files.ts";
import type { OpenCa } from "./make_ca.ts";

/** The list that is there, if there is one. @throws {PkiError} `storage` if it is not the root's */
export function loadRootList({ rootList }: ServerFiles, root: Certificate): Crl | undefined {
  if (!fileExists(rootList)) return undefined;
  try {
    const list = parseCrl(new Uint8Array(fs.readFileSync(rootList)));
    if (isCrlSignedBy(list, root)) return list;
  } catch (error) {
    if (!(error instanceof PkiError)) throw storageError(`cannot read "${rootList}"`, error);
    throw damaged(rootList, error);
  }
  throw damaged(rootList, undefined);
}

function damaged(path: string, cause: unknown): PkiError {
  return new PkiError("storage", `cannot use "${path}": it is damaged, or another root's`, {
    hint: "put it back from a backup: what it has revoked must not be forgotten; " +
      "a list of an outside root has to be DER",
    cause,
  });
}

/** Whether a root may sign lists; one from elsewhere may not be meant to. */
export function maySignLists({ keyUsage }: Certificate): boolean {
  return keyUsage === undefined || (keyUsage & KEY_USAGE.crlSign) !== 0;
}

/** @throws {PkiError} `refused` if the root must not sign lists */
export function checkMaySignLists(root: Certificate): void {
  if (maySignLists(root)) return;
  throw new PkiError(
    "refused",
    "cannot make the root's revocation list: its key must not be used for that",
    { hint: "the root's keyUsage has no cRLSign" },
  );
}

export interface SaveRootListOptions {
  /** All CAs under the root that the folder has. */
  readonly issuers: readonly Certificate[];
  /** A CA to be revoked now. */
  readonly revoke?: { readonly certificate: Certificate; readonly reason: RevocationReason };
  readonly nowMs: number;
}

/**
 * Makes the list anew; one that is there is gone on with.
 * @throws {PkiError} `refused` if the root must not sign lists, `storage`
 */
export function saveRootList(
  files: ServerFiles,
  root: OpenCa,
  { issuers, revoke, nowMs }: SaveRootListOptions,
): void {
  const { certificate } = root;
  checkMaySignLists(certificate);
  const before = loadRootList(files, certificate);
  const thisUpdateMs = Math.floor(nowMs / 1000) * 1000;
  const entries = [...before?.entries() ?? []].map((entry) => encodeCrlEntry(entry));
  if (revoke && !before?.find(revoke.certificate.serial)) {
    const { certificate: { serial }, reason } = revoke;
    entries.push(encodeCrlEntry({ serial, reason, revokedMs: thisUpdateMs }));
  }
  const now = BigInt(nowMs);
  const last = before?.number ?? 0n;
  const lastEndMs = Math.max(thisUpdateMs, ...issuers.map(({ notAfterMs }) => notAfterMs));
  const tbs = encodeTbsCrl({
    issuer: certificate,
    number: now > last ? now : last + 1n,
    thisUpdateMs,
    nextUpdateMs: lastEndMs + LIMITS.dayMs,
    entries,
  });
  writeFileAtomic(files.rootList, signCrl(tbs, root), { mode: PUBLIC_MODE });
}
