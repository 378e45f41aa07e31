/**
 * The root's key where it is at hand: in the data folder, or in a file that an administrator names
 * because it is kept elsewhere. `serve` never opens it; making CAs and starting a log anew do.
 */

import { createPublicKey, type KeyObject } from "node:crypto";
import { isEqualBytes } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { readTextIfThere } from "../base/files.ts";
import type { Certificate } from "../x509/certificate.ts";
import {
  decryptPrivateKey,
  encodeSpki,
  isEncryptedKey,
  keyTypeOf,
  parsePlainPrivateKey,
} from "../x509/keys.ts";
import type { ServerFiles } from "./files.ts";

/** How the root's key is found and opened. */
export interface RootKeySource {
  /** A file elsewhere; absent for the one in the data folder. */
  readonly path?: string;
  /** Of the server's keys; fits the root's, too, where that has none of its own. */
  readonly passphrase: string;
  /** Of the root's key alone, where it is known. */
  readonly rootPassphrase?: string;
  /** Asks a person for it; absent where nobody can be asked. */
  readonly ask?: () => Promise<string>;
}

/**
 * Opens the root's key.
 * @throws {PkiError} `not-found` where there is none, `refused` for a wrong passphrase, `conflict` if it
 *   is another root's
 */
export async function openRootKey(
  files: ServerFiles,
  root: Certificate,
  source: RootKeySource,
): Promise<KeyObject> {
  const path = source.path ?? files.rootKey;
  const pem = readTextIfThere(path);
  if (pem === undefined) {
    throw new PkiError("not-found", `cannot use the root's key: there is no "${path}"`, {
      hint: source.path === undefined
        ? "name the file that it is kept in with --root-key; if the root is somebody else's, have " +
          "the new CA signed there: --issuing-csr, then --issuing-cert"
        : "name the file that it is kept in with --root-key",
    });
  }
  const key = isEncryptedKey(pem)
    ? await decryptRootKey(pem, path, source)
    : parsePlainPrivateKey(pem, path);
  checkKeyOf(root, key, path);
  return key;
}

async function decryptRootKey(
  pem: string,
  path: string,
  { passphrase, rootPassphrase, ask }: RootKeySource,
): Promise<KeyObject> {
  try {
    return await decryptPrivateKey(pem, rootPassphrase ?? passphrase, path);
  } catch (error) {
    if (!(error instanceof PkiError && error.kind === "refused")) throw error;
    if (ask && rootPassphrase === undefined) return await decryptPrivateKey(pem, await ask(), path);
    throw new PkiError("refused", "cannot open the root's key: the passphrase does not fit", {
      hint: "if it has one of its own, give it with --root-passphrase-file",
      cause: error,
    });
  }
}

/** @throws {PkiError} `conflict`, `malformed` for a type of key that we do not use */
export function checkKeyOf(certificate: Certificate, key: KeyObject, path: string): void {
  keyTypeOf(key);
  if (isEqualBytes(encodeSpki(createPublicKey(key)), certificate.spki)) return;
  throw new PkiError("conflict", `cannot use "${path}": it is not the certificate's key`, {
    hint: "name the file of the right key with --root-key",
  });
}
