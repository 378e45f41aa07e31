/**
 * Changes the passphrase of the keys in a data folder. Every file is replaced atomically, and none
 * before all of them could be opened; a change that was cut short is finished by the same change
 * again, which leaves alone what is under the new passphrase already.
 */

import * as fs from "node:fs";
import { join } from "node:path";
import { PkiError, systemCodeOf } from "../base/errors.ts";
import { fileExists, readText, storageError, writeFileAtomic } from "../base/files.ts";
import { decryptPrivateKey, decryptText, encryptPrivateKey, encryptText } from "../x509/keys.ts";
import { serverFiles } from "./files.ts";

export interface ChangePassphraseOptions {
  readonly old: string;
  readonly next: string;
}

export interface ChangedPassphrases {
  readonly changed: readonly string[];
  /** Under the new passphrase before. */
  readonly left: readonly string[];
  /** Whether the root's key is there under a passphrase of its own, which stays. */
  readonly hasOwnRootPassphrase: boolean;
}

/** A file whose passphrase changes: puts what is in it under the new one. */
interface Opened {
  readonly path: string;
  /** Absent where it is under the new passphrase already. */
  readonly encrypt: (() => Promise<string>) | undefined;
}

/** @returns `undefined` where neither passphrase fits */
async function openFile(
  path: string,
  { old, next, isText }: ChangePassphraseOptions & { readonly isText: boolean },
): Promise<Opened | undefined> {
  const pem = readText(path);
  const open = isText
    ? async (passphrase: string) => {
      const text = await decryptText(pem, passphrase, path);
      return () => encryptText(text, next);
    }
    : async (passphrase: string) => {
      const key = await decryptPrivateKey(pem, passphrase, path);
      return () => encryptPrivateKey(key, next);
    };
  const attempt = async (passphrase: string) => {
    try {
      return await open(passphrase);
    } catch (error) {
      if (error instanceof PkiError && error.kind === "refused") return undefined;
      throw error;
    }
  };
  if (await attempt(next)) return { path, encrypt: undefined };
  const encrypt = await attempt(old);
  return encrypt && { path, encrypt };
}

function otherKeys(issuers: string): readonly string[] {
  try {
    return fs.readdirSync(issuers).filter((name) => /^[^.].*\.key$/.test(name)).sort()
      .map((name) => join(issuers, name));
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return [];
    throw storageError(`cannot read "${issuers}"`, error);
  }
}

async function change(files: readonly Opened[]) {
  const changed: string[] = [];
  const left: string[] = [];
  for (const { path, encrypt } of files) {
    if (encrypt) writeFileAtomic(path, await encrypt());
    (encrypt ? changed : left).push(path);
  }
  return { changed, left };
}

function wrong(path: string): PkiError {
  return new PkiError("refused", `cannot open "${path}": neither passphrase fits`, {
    hint: "nothing was changed; give the passphrase that the keys are under now",
  });
}

/**
 * Changes the passphrase of all keys in a data folder; the caller holds its lock. A root's key that
 * has one of its own keeps it.
 * @throws {PkiError} `refused` if a key opens with neither passphrase, and then nothing was changed
 */
export async function changePassphrase(
  folder: string,
  options: ChangePassphraseOptions,
): Promise<ChangedPassphrases> {
  const files = serverFiles(folder);
  // Not all of them are there in a folder whose issuing CA an outside root has yet to sign.
  const keys = [files.serverKey, files.logKey, files.issuingKey, ...otherKeys(files.issuers)];
  const opened: Opened[] = [];
  for (const path of [files.opaqueKey, ...keys.filter(fileExists)]) {
    const file = await openFile(path, { ...options, isText: path === files.opaqueKey });
    if (!file) throw wrong(path);
    opened.push(file);
  }
  const root = fileExists(files.rootKey)
    ? await openFile(files.rootKey, { ...options, isText: false })
    : undefined;
  if (root) opened.push(root);
  return {
    ...await change(opened),
    hasOwnRootPassphrase: fileExists(files.rootKey) && !root,
  };
}

/** Changes the passphrase of the root's key alone. @throws {PkiError} `refused`, `not-found` */
export async function changeRootPassphrase(
  folder: string,
  options: ChangePassphraseOptions,
): Promise<ChangedPassphrases> {
  const { rootKey } = serverFiles(folder);
  const root = await openFile(rootKey, { ...options, isText: false });
  if (!root) throw wrong(rootKey);
  return { ...await change([root]), hasOwnRootPassphrase: true };
}
