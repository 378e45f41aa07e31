/**
 * The first start: makes root, issuing CA and the server's secrets in a folder of its own and gives it
 * its name when it is whole; so a data folder is there completely or not at all. The root's key is
 * used here, once, and `serve` never loads it again.
 */

import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { dirname } from "node:path";
import { encodeHex, utf8 } from "../base/bytes.ts";
import { messageOf, PkiError, systemCodeOf } from "../base/errors.ts";
import { FOLDER_MODE, makeFolder, syncFolder, writeFileAtomic } from "../base/files.ts";
import { issueCertificate, prepareCertificate } from "../ca/issue.ts";
import { createServerSetup, loadOpaque } from "../protocol/opaque.ts";
import { parseCertificate } from "../x509/certificate.ts";
import { encodeSpki, encryptPrivateKey, encryptText, generatePrivateKey } from "../x509/keys.ts";
import { encodePem } from "../x509/pem.ts";
import type { PasswordSecrets } from "./accounts.ts";
import { serverFiles } from "./files.ts";
import { makeLogKey } from "./log_key.ts";

/** Whether a data folder has been set up; one that lacks some of its files was, and is damaged. */
export function isSetUp(folder: string): boolean {
  const { rootCertificate, issuingCertificate, log } = serverFiles(folder);
  return [rootCertificate, issuingCertificate, log].some((path) => fs.existsSync(path));
}

export interface SetupOptions {
  readonly domain: string;
  readonly passphrase: string;
  readonly nowMs: number;
}

async function fillFolder(folder: string, { domain, passphrase, nowMs }: SetupOptions) {
  const files = serverFiles(folder);
  const common = { domain, nowMs };
  const [rootKey, issuingKey, serverKey] = await Promise.all([
    generatePrivateKey("p256"),
    generatePrivateKey("p256"),
    generatePrivateKey("p256"),
    loadOpaque(),
  ]);
  const rootTemplate = prepareCertificate({
    ...common,
    profile: "root",
    spki: encodeSpki(rootKey),
    random: randomBytes(20),
  });
  const root = parseCertificate(issueCertificate(rootTemplate, { key: rootKey }));
  const issuingTemplate = prepareCertificate({
    ...common,
    profile: "issuing",
    spki: encodeSpki(issuingKey),
    random: randomBytes(20),
    issuerNotAfterMs: root.notAfterMs,
  });
  const issuing = issueCertificate(issuingTemplate, { key: rootKey, certificate: root });
  const secrets: PasswordSecrets = {
    setup: createServerSetup(),
    unknown: encodeHex(randomBytes(32)),
  };
  await makeLogKey(files, { root, rootKey, domain, generation: 1, passphrase });
  const [rootPem, issuingPem, serverPem, opaquePem] = await Promise.all([
    encryptPrivateKey(rootKey, passphrase),
    encryptPrivateKey(issuingKey, passphrase),
    encryptPrivateKey(serverKey, passphrase),
    encryptText(JSON.stringify(secrets), passphrase),
  ]);
  writeFileAtomic(files.rootKey, rootPem);
  writeFileAtomic(files.issuingKey, issuingPem);
  writeFileAtomic(files.serverKey, serverPem);
  writeFileAtomic(files.opaqueKey, opaquePem);
  writeFileAtomic(files.issuingCertificate, encodePem("CERTIFICATE", issuing));
  writeFileAtomic(files.rootCertificate, encodePem("CERTIFICATE", root.der));
}

/**
 * Makes a data folder.
 * @param folder must not exist, or be empty
 * @throws {PkiError} `conflict` if there is something in the folder, `storage`
 */
export async function setUp(folder: string, options: SetupOptions): Promise<void> {
  makeFolder(dirname(folder));
  const temporary = `${folder}.new-${encodeHex(randomBytes(6))}`;
  try {
    fs.mkdirSync(temporary, { mode: FOLDER_MODE });
    await fillFolder(temporary, options);
    fs.renameSync(temporary, folder);
    syncFolder(dirname(folder));
  } catch (error) {
    fs.rmSync(temporary, { recursive: true, force: true });
    const code = systemCodeOf(error);
    if (code === "ENOTEMPTY" || code === "EEXIST" || code === "ENOTDIR") {
      throw new PkiError("conflict", `cannot set up "${folder}": it has other things in it`, {
        hint: "name an empty folder, or one that does not exist, with --data",
      });
    }
    if (error instanceof PkiError) throw error;
    throw new PkiError("storage", `cannot set up "${folder}": ${messageOf(error)}`, {
      cause: error,
    });
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
  );
}
