/**
 * The first start: makes root, issuing CA and the server's secrets in a folder of its own and gives it
 * its name when it is whole; so a data folder is there completely or not at all. The root's key is
 * used here, once, and `serve` never loads it again. A root may be brought along, with its key; what
 * is done where the root's key is with somebody else is in `outside_root.ts`.
 */

import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { dirname, join, resolve } from "node:path";
import process from "node:process";
import { encodeHex, utf8 } from "../base/bytes.ts";
import { PkiError, systemCodeOf } from "../base/errors.ts";
import {
  FOLDER_MODE,
  makeFolder,
  storageError,
  syncFolder,
  writeFileAtomic,
} from "../base/files.ts";
import { printable } from "../base/printable.ts";
import { createServerSetup, loadOpaque } from "../protocol/opaque.ts";
import type { KeyType } from "../x509/algorithms.ts";
import { encodeSpki, encryptPrivateKey, encryptText, generatePrivateKey } from "../x509/keys.ts";
import { encodePem } from "../x509/pem.ts";
import type { PasswordSecrets } from "./accounts.ts";
import { CONFIGURATION_FILE, type ServerFiles, serverFiles } from "./files.ts";
import { makeLogKey } from "./log_key.ts";
import { issueIssuing, makeRoot, type OpenCa, tryIssuing } from "./make_ca.ts";
import { maySignLists, saveRootList } from "./root_list.ts";

/** Whether a data folder has been set up; one that lacks some of its files was, and is damaged. */
export function isSetUp(folder: string): boolean {
  const { rootCertificate, issuingCertificate, log } = serverFiles(folder);
  return [rootCertificate, issuingCertificate, log].some((path) => fs.existsSync(path));
}

export interface SetupOptions {
  readonly domain: string;
  readonly passphrase: string;
  readonly nowMs: number;
  /** Of the CAs that are made. */
  readonly keyType?: KeyType;
  /** A root that is there already; absent to make one. */
  readonly root?: OpenCa;
  /** Of the root's key, where it shall have another than the server's keys. */
  readonly rootPassphrase?: string;
  /** Leaves the root's key out of the folder; it is kept wherever it came from. */
  readonly leavesRootKeyOut?: boolean;
}

async function fillFolder(folder: string, options: SetupOptions): Promise<void> {
  const { domain, passphrase, nowMs, keyType = "p256", leavesRootKeyOut = false } = options;
  const files = serverFiles(folder);
  const [root, issuingKey] = await Promise.all([
    options.root ?? makeRoot({ domain, keyType, nowMs }),
    generatePrivateKey(keyType),
  ]);
  const spki = encodeSpki(issuingKey);
  const issuing = issueIssuing(root, { domain, spki, number: 1, nowMs });
  await tryIssuing({ certificate: issuing, key: issuingKey }, {
    root: root.certificate,
    domain,
    nowMs,
  });
  const signer = { key: root.key };
  const { certificate } = root;
  await makeLogKey(files, { root: certificate, signer, domain, generation: 1, passphrase });
  const [rootPem, issuingPem] = await Promise.all([
    encryptPrivateKey(root.key, options.rootPassphrase ?? passphrase),
    encryptPrivateKey(issuingKey, passphrase),
    makeServerSecrets(files, passphrase),
  ]);
  if (!leavesRootKeyOut) writeFileAtomic(files.rootKey, rootPem);
  writeFileAtomic(files.issuingKey, issuingPem);
  if (maySignLists(certificate)) saveRootList(files, root, { issuers: [issuing], nowMs });
  writeFileAtomic(files.issuingCertificate, encodePem("CERTIFICATE", issuing.der));
  writeFileAtomic(files.rootCertificate, encodePem("CERTIFICATE", certificate.der));
}

/** Makes what the server has besides its CAs: its TLS key, and what passwords are checked with. */
export async function makeServerSecrets(files: ServerFiles, passphrase: string): Promise<void> {
  const [serverKey] = await Promise.all([generatePrivateKey("p256"), loadOpaque()]);
  const secrets: PasswordSecrets = {
    setup: createServerSetup(),
    unknown: encodeHex(randomBytes(32)),
  };
  const [serverPem, opaquePem] = await Promise.all([
    encryptPrivateKey(serverKey, passphrase),
    encryptText(JSON.stringify(secrets), passphrase),
  ]);
  writeFileAtomic(files.serverKey, serverPem);
  writeFileAtomic(files.opaqueKey, opaquePem);
}

/**
 * Makes a data folder.
 * @param folder must not exist, or be empty but for `pki.json` and `profiles.json`
 * @throws {PkiError} `conflict` if there is something in the folder, `refused` for a root that cannot
 *   be used, `storage`
 */
export async function setUp(folder: string, options: SetupOptions): Promise<void> {
  await makeDataFolder(folder, (temporary) => fillFolder(temporary, options));
}

/** What may be in a folder before it is set up: what whoever runs the server has written. */
const WRITTEN_BEFORE: readonly string[] = [CONFIGURATION_FILE, "profiles.json"];

/** Where a folder with such files is while the one that was made takes its place. */
function asideOf(folder: string): string {
  return `${resolve(folder)}.before-set-up`;
}

/** Whether a folder has nothing in it but what may be there before it is set up. */
function isPrepared(folder: string): boolean {
  if (!fs.existsSync(folder) || !fs.statSync(folder).isDirectory()) return false;
  const names = fs.readdirSync(folder);
  return names.length > 0 && names.every((name) => WRITTEN_BEFORE.includes(name));
}

/**
 * Checks that a folder is what {@link makeDataFolder} has put aside. Where others may make folders
 * beside the data folder (in `/tmp`, say), theirs must not bring keys or settings into it.
 * @throws {PkiError} `conflict`
 */
function checkAside(aside: string, folder: string): void {
  const { uid } = fs.lstatSync(aside);
  const owners = [process.getuid?.() ?? uid, fs.statSync(folder, { throwIfNoEntry: false })?.uid];
  const odd = fs.readdirSync(aside).find((name) =>
    !WRITTEN_BEFORE.includes(name) || fs.existsSync(join(folder, name))
  );
  const why = owners.includes(uid)
    ? odd === undefined ? undefined : `it has "${printable(odd)}" in it`
    : "it belongs to another user";
  if (why === undefined) return;
  throw new PkiError("conflict", `cannot put "${aside}" into "${folder}": ${why}`, {
    hint: "no start of a server has left it like this: look at it, and take it away",
  });
}

/**
 * Puts what was written before into the folder that was set up; also what a crash on the way there
 * has left aside. To be called before anything of the folder is read.
 * @throws {PkiError} `storage`, `conflict` if something else is there
 */
export function settleFolder(folder: string): void {
  const aside = asideOf(folder);
  if (!fs.existsSync(aside)) return;
  try {
    checkAside(aside, folder);
    if (!fs.existsSync(folder)) return fs.renameSync(aside, folder);
    for (const name of fs.readdirSync(aside)) {
      fs.renameSync(join(aside, name), join(folder, name));
    }
    syncFolder(folder);
    fs.rmdirSync(aside);
  } catch (error) {
    throw storageError(`cannot put "${aside}" into "${folder}"`, error);
  }
}

/**
 * Makes a folder under another name and gives it its own when it is filled. What was in it before,
 * if that may be, stays.
 */
export async function makeDataFolder(
  folder: string,
  fill: (temporary: string) => Promise<void>,
): Promise<void> {
  makeFolder(dirname(folder));
  settleFolder(folder);
  const temporary = `${folder}.new-${encodeHex(randomBytes(6))}`;
  try {
    fs.mkdirSync(temporary, { mode: FOLDER_MODE });
    await fill(temporary);
    if (isPrepared(folder)) fs.renameSync(folder, asideOf(folder));
    fs.renameSync(temporary, folder);
    settleFolder(folder);
    syncFolder(dirname(folder));
  } catch (error) {
    fs.rmSync(temporary, { recursive: true, force: true });
    settleFolder(folder); // nothing was made: then it is as it was
    const code = systemCodeOf(error);
    if (code === "ENOTEMPTY" || code === "EEXIST" || code === "ENOTDIR") {
      throw new PkiError("conflict", `cannot set up "${folder}": it has other things in it`, {
        hint: "name an empty folder, or one that does not exist, with --data",
      });
    }
    if (code === "EBUSY") {
      throw new PkiError("conflict", `cannot set up "${folder}": something is mounted there`, {
        hint: "name a folder in it, that does not exist yet, with --data",
      });
    }
    throw storageError(`cannot set up "${folder}"`, error);
  }
}

/** A passphrase that nobody has to remember: 256 random bits. */
export function generatePassphrase(): string {
  return Buffer.from(randomBytes(32)).toString("base64url");
}

/** The shortest passphrase that keys are encrypted with, in bytes of UTF-8. */
const PASSPHRASE_BYTES_MIN = 8;

/** @throws {PkiError} `usage` */
export function checkPassphrase(passphrase: string): void {
  if (utf8(passphrase).length >= PASSPHRASE_BYTES_MIN) return;
  throw new PkiError(
    "usage",
    `cannot use the passphrase: it is shorter than ${PASSPHRASE_BYTES_MIN} characters`,
    {
      hint:
        `make one with more than ${PASSPHRASE_BYTES_MIN} characters, or leave the file out at the first start: then one is made`,
    },
  );
}
