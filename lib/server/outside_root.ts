/**
 * An issuing CA under a root whose key is with somebody else. It takes two steps: a request with the
 * CA's key, that the other side signs, and a look at the certificate that came back, before anything
 * depends on it. In between the data folder is there and cannot be served: `isPending`.
 *
 * Nobody here can have the root sign the log's key; the issuing CA does (`log_key.ts`).
 */

import { type KeyObject, randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { isEqualBytes } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { fileExists, PUBLIC_MODE, readText, writeFileAtomic } from "../base/files.ts";
import { parseJson } from "../base/json.ts";
import { prepareCertificate } from "../ca/issue.ts";
import type { KeyType } from "../x509/algorithms.ts";
import {
  type Certificate,
  type GeneralName,
  KEY_USAGE,
  parseCertificate,
} from "../x509/certificate.ts";
import { judgeIssuing } from "../x509/chain.ts";
import {
  decryptPrivateKey,
  encodeSpki,
  encryptPrivateKey,
  generatePrivateKey,
} from "../x509/keys.ts";
import { makeCaCsr } from "../x509/make_ca_csr.ts";
import { isDomain } from "../x509/names.ts";
import { isIssuedBy } from "../x509/path.ts";
import { encodePem, parseCertificatesPem } from "../x509/pem.ts";
import { type ServerFiles, serverFiles } from "./files.ts";
import { makeLogKey } from "./log_key.ts";
import { tryIssuing, whyOf } from "./make_ca.ts";
import { parseOwnRoot } from "./own_root.ts";
import { isSetUp, makeDataFolder, makeServerSecrets } from "./setup.ts";

/** The step in between: the request, and what it is for. */
function pendingFiles({ folder }: Pick<ServerFiles, "folder">) {
  return { csr: join(folder, "issuing.csr"), state: join(folder, "pending.json") };
}

const pendingSchema = v.strictObject({ domain: v.pipe(v.string(), v.check(isDomain)) });

/** Whether a data folder waits for the certificate of its first issuing CA. */
export function isPending(folder: string): boolean {
  const files = serverFiles(folder);
  return fileExists(pendingFiles(files).state) && !fileExists(files.issuingCertificate);
}

/** @throws {PkiError} `conflict` for a folder that waits for its issuing CA's certificate */
export function checkNotPending(folder: string): void {
  if (!isPending(folder)) return;
  throw new PkiError(
    "conflict",
    `cannot use "${folder}": the certificate of its issuing CA has not come back yet`,
    {
      hint: `have "${pendingFiles({ folder }).csr}" signed, then: ` +
        "pki init --issuing-cert FILE --root-cert FILE",
    },
  );
}

/** A request for an issuing CA of the trust domain, as PEM. */
export function requestIssuing(
  key: KeyObject,
  { domain, number, nowMs }: {
    readonly domain: string;
    readonly number: number;
    readonly nowMs: number;
  },
): string {
  // Serial number and times are the other side's; the rest is what our own root would certify.
  const template = prepareCertificate({
    profile: "issuing",
    domain,
    number,
    nowMs,
    spki: encodeSpki(key),
    random: randomBytes(20),
  });
  return encodePem("CERTIFICATE REQUEST", makeCaCsr(template, key));
}

export interface PendingOptions {
  readonly domain: string;
  readonly passphrase: string;
  readonly keyType: KeyType;
  readonly nowMs: number;
}

/**
 * Makes everything but the issuing CA's certificate. For a folder that waits already it is the same
 * request again.
 * @returns PEM of the request
 * @throws {PkiError} `conflict` for a folder with something in it, `storage`
 */
export async function setUpPending(
  folder: string,
  { domain, passphrase, keyType, nowMs }: PendingOptions,
): Promise<string> {
  if (isPending(folder)) return readText(pendingFiles({ folder }).csr);
  await makeDataFolder(folder, async (temporary) => {
    const files = serverFiles(temporary);
    const key = await generatePrivateKey(keyType);
    const [pem] = await Promise.all([
      encryptPrivateKey(key, passphrase),
      makeServerSecrets(files, passphrase),
    ]);
    const pending = pendingFiles(files);
    writeFileAtomic(files.issuingKey, pem);
    const csr = requestIssuing(key, { domain, number: 1, nowMs });
    writeFileAtomic(pending.csr, csr, { mode: PUBLIC_MODE });
    writeFileAtomic(pending.state, `${JSON.stringify({ domain })}\n`);
  });
  return readText(pendingFiles({ folder }).csr);
}

/** What came back from the other side, as PEM, and what the files are called in messages. */
export interface Returned {
  readonly issuingPem: string;
  readonly issuingPath: string;
  /** Absent where the root stands behind the issuing CA in the same file, or is known. */
  readonly rootPem?: string;
  readonly rootPath?: string;
}

/** @throws {PkiError} `malformed`, most often since the extensions were left out */
export function parseReturned(der: Uint8Array, path: string): Certificate {
  try {
    return parseCertificate(der);
  } catch (error) {
    if (!(error instanceof PkiError)) throw error;
    throw new PkiError("malformed", `cannot use "${path}": ${error.message}`, {
      hint: "it has to be signed with the extensions that the request asks for; " +
        "with OpenSSL: -copy_extensions copy",
      cause: error,
    });
  }
}

/** Issuing CA and root out of what came back. @throws {PkiError} `usage`, `malformed`, `refused` */
function readReturned(
  { issuingPem, issuingPath, rootPem, rootPath }: Returned,
  nowMs: number,
): { readonly issuing: Certificate; readonly root: Certificate } {
  const [firstDer, ...moreDers] = parseCertificatesPem(issuingPem, issuingPath);
  const first = parseReturned(firstDer ?? new Uint8Array(), issuingPath);
  const more = moreDers.map(parseCertificate);
  if (rootPem !== undefined) {
    return { issuing: first, root: parseOwnRoot(rootPem, rootPath ?? "the root", nowMs) };
  }
  const selfIssued = more.find(({ issuer, subject }) => isEqualBytes(issuer, subject));
  if (!selfIssued) {
    throw new PkiError("usage", `cannot use "${issuingPath}": the root is not in it`, {
      hint: "give the root's certificate with --root-cert",
    });
  }
  return {
    issuing: first,
    root: parseOwnRoot(encodePem("CERTIFICATE", selfIssued.der), issuingPath, nowMs),
  };
}

/**
 * Completes a folder with the certificate that came back. Done again after a crash, it finishes.
 * @throws {PkiError} `refused` with what is wrong with the certificate, `conflict` if none is due
 */
export async function completeSetUp(
  folder: string,
  { passphrase, nowMs, returned }: {
    readonly passphrase: string;
    readonly nowMs: number;
    readonly returned: Returned;
  },
): Promise<{ readonly domain: string; readonly root: Certificate }> {
  if (!isPending(folder)) {
    throw new PkiError("conflict", `cannot complete "${folder}": no certificate is due there`, {
      hint: isSetUp(folder)
        ? "it is complete; another issuing CA is made with: pki rotate --issuing-csr FILE"
        : "begin with: pki init --issuing-csr FILE",
    });
  }
  const files = serverFiles(folder);
  const pending = pendingFiles(files);
  const { domain } = readPending(pending.state);
  const { issuing, root } = readReturned(returned, nowMs);
  const key = await decryptPrivateKey(readText(files.issuingKey), passphrase, files.issuingKey);
  await checkReturned({ certificate: issuing, key }, { root, domain, nowMs });
  const signer = { key, issuing };
  await makeLogKey(files, { root, signer, domain, generation: 1, passphrase });
  writeFileAtomic(files.rootCertificate, encodePem("CERTIFICATE", root.der));
  // The last one: from here on the folder can be served.
  writeFileAtomic(files.issuingCertificate, encodePem("CERTIFICATE", issuing.der));
  for (const path of [pending.state, pending.csr]) fs.rmSync(path, { force: true });
  return { domain, root };
}

function readPending(path: string): { readonly domain: string } {
  try {
    return v.parse(pendingSchema, parseJson(readText(path)));
  } catch (cause) {
    if (cause instanceof PkiError) throw cause;
    throw new PkiError("storage", `cannot read "${path}": not as it should be`, { cause });
  }
}

/**
 * Whether the certificate that came back is the one that was asked for, in all that matters.
 * @throws {PkiError} `refused`, exactly what is wrong
 */
export async function checkReturned(
  { certificate, key }: { readonly certificate: Certificate; readonly key: KeyObject },
  { root, domain, nowMs }: {
    readonly root: Certificate;
    readonly domain: string;
    readonly nowMs: number;
  },
): Promise<void> {
  const refuse = (why: string, cause?: unknown) =>
    new PkiError("refused", `cannot use the issuing CA's certificate: ${why}`, { cause });
  if (!isEqualBytes(certificate.spki, encodeSpki(key))) {
    throw refuse("it is for another key than the request's");
  }
  if (!isEqualBytes(certificate.issuer, root.subject)) {
    throw refuse("it is not issued by the given root, but by another CA");
  }
  if (!certificate.subjectKeyId) throw refuse("it has no subject key identifier");
  if (!isIssuedBy(certificate, root)) {
    throw refuse("its authority key identifier is missing or not the root's key");
  }
  if (((certificate.keyUsage ?? 0) & KEY_USAGE.crlSign) === 0) {
    throw refuse("its key must not sign revocation lists (keyUsage without cRLSign)");
  }
  try {
    judgeIssuing(certificate.der, { anchor: { root, domain }, nowMs });
  } catch (error) {
    if (error instanceof PkiError) throw refuse(whyOf(error), error);
    throw error;
  }
  const why = findFaultWithConstraints(certificate, domain);
  if (why !== undefined) throw refuse(why);
  await tryIssuing({ certificate, key }, { root, domain, nowMs });
}

/** Everything that a stolen key must not be able to certify has to be out of its reach. */
function findFaultWithConstraints(
  { nameConstraints }: Certificate,
  domain: string,
): string | undefined {
  const { permitted = [], excluded = [] } = nameConstraints ?? {};
  const emails = permitted.flatMap((name) => name.type === "email" ? [name.value] : []);
  if (emails.length !== 1 || emails[0] !== domain) {
    return `its name constraints do not permit e-mail addresses of ${domain} only`;
  }
  const excludesAll = (bytes: number) =>
    excluded.some((name) => isWholeRange(name) && name.value.length === bytes);
  if (!excludesAll(8)) return "its name constraints do not exclude all IPv4 addresses";
  if (!excludesAll(32)) return "its name constraints do not exclude all IPv6 addresses";
  return undefined;
}

function isWholeRange(name: GeneralName): name is GeneralName & { readonly type: "ip" } {
  return name.type === "ip" && name.value.every((byte) => byte === 0);
}
