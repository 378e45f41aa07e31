/**
 * Another issuing CA for the trust domain. The one before stays: it vouches for the one that follows
 * (`succession.ts`), and answers for what it has signed.
 *
 * The order of the writes makes every state in between one that a server starts on, and a rotation
 * that was cut short is finished by the next one: the key, then the succession (which holds the
 * certificate), the certificate, then `issuing.key` and, last, `issuing.crt`, which is what counts.
 * Until that one is written everything comes from the CA before; see `openIssuingKey`.
 */

import type { KeyObject } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import { encodeBase64, parseBase64 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import {
  fileExists,
  makeFolder,
  PUBLIC_MODE,
  readText,
  readTextIfThere,
  writeFileAtomic,
} from "../base/files.ts";
import type { KeyType } from "../x509/algorithms.ts";
import { type Certificate, fingerprintOf, parseCertificate } from "../x509/certificate.ts";
import { domainOf } from "../x509/chain.ts";
import {
  decryptPrivateKey,
  encodeSpki,
  encryptPrivateKey,
  generatePrivateKey,
} from "../x509/keys.ts";
import { encodePem } from "../x509/pem.ts";
import { type Succession, vouchFor } from "../x509/succession.ts";
import { type ServerFiles, serverFiles } from "./files.ts";
import {
  allIssuers,
  issuerFiles,
  issuerName,
  type Issuers,
  loadIssuers,
  loadIssuing,
  openIssuingKey,
  openOtherKey,
} from "./issuers.ts";
import { certifyLogKey, loadLogStatement, loadRoot } from "./log_key.ts";
import { issueIssuing, type OpenCa, tryIssuing } from "./make_ca.ts";
import { checkReturned, requestIssuing } from "./outside_root.ts";
import { maySignLists, saveRootList } from "./root_list.ts";
import { encodeSuccession, loadSuccessions } from "./successions.ts";

export interface RotateOptions {
  readonly passphrase: string;
  readonly nowMs: number;
}

/** What a rotation has led to. */
export interface Rotated {
  readonly before: Certificate;
  readonly issuing: Certificate;
  readonly domain: string;
}

/** The CAs of a folder, as it is before a rotation. */
interface Scene {
  readonly files: ServerFiles;
  readonly root: Certificate;
  readonly domain: string;
  readonly issuers: Issuers;
  /** How many issuing CAs the domain will have had. */
  readonly number: number;
}

function lookAt(folder: string): Scene {
  const files = serverFiles(folder);
  const domain = domainOf(loadIssuing(files));
  const issuers = loadIssuers(files, domain);
  const number = 2 + issuers.earlier.length;
  return { files, root: loadRoot(files), domain, issuers, number };
}

/**
 * Makes another issuing CA with the root's key, or finishes what an earlier call began.
 * @throws {PkiError} `refused` for a wrong passphrase, `storage`
 */
export async function rotate(
  folder: string,
  { passphrase, nowMs, rootKey, keyType, distrustsOld }: RotateOptions & {
    readonly rootKey: KeyObject;
    readonly keyType: KeyType;
    /** The root vouches instead of the CA before, whose key may be somebody else's as well. */
    readonly distrustsOld: boolean;
  },
): Promise<Rotated> {
  const scene = lookAt(folder);
  const { files, domain, number } = scene;
  const root: OpenCa = { certificate: scene.root, key: rootKey };
  let next = await findBegun(scene, passphrase);
  if (!next) {
    const key = await generatePrivateKey(keyType);
    const certificate = issueIssuing(root, { domain, spki: encodeSpki(key), number, nowMs });
    await tryIssuing({ certificate, key }, { root: root.certificate, domain, nowMs });
    next = { certificate, key };
  }
  const rotated = await follow(scene, next, {
    passphrase,
    ...(distrustsOld ? { voucher: root } : {}),
  });
  if (maySignLists(root.certificate)) {
    saveRootList(files, root, { issuers: allIssuers(loadIssuers(files, domain)), nowMs });
  }
  return rotated;
}

/**
 * The CA that the current one has replaced because it is not to be believed any more, where a crash
 * has kept the root from revoking it.
 */
export function findUnrevoked(folder: string): Rotated | undefined {
  const { files, root, domain, issuers } = lookAt(folder);
  const { current, earlier, revoked } = issuers;
  const certificate = encodeBase64(current.der);
  const by = fingerprintOf(root.der);
  const isByRoot = loadSuccessions(files).some((one) =>
    one.kind === "issuing" && one.certificate === certificate && one.by === by
  );
  const before = earlier.find(({ notBeforeMs }) => notBeforeMs <= current.notBeforeMs);
  if (!isByRoot || !before || revoked.has(before.serial)) return undefined;
  return { before, issuing: current, domain };
}

/** The next CA where a rotation got as far as its succession and not to its end. */
async function findBegun(
  { files, issuers: { current } }: Scene,
  passphrase: string,
): Promise<OpenCa | undefined> {
  const by = fingerprintOf(current.der);
  const rootFingerprint = fingerprintOf(loadRoot(files).der);
  for (const { kind, by: voucher, certificate: base64 } of loadSuccessions(files)) {
    const certificate = parseCertificate(parseBase64(base64));
    const isNext = voucher === by ||
      voucher === rootFingerprint && certificate.notBeforeMs > current.notBeforeMs;
    if (
      kind !== "issuing" || !isNext || !fileExists(issuerFiles(files, issuerName(certificate)).key)
    ) continue;
    return { certificate, key: await openOtherKey(files, certificate, passphrase) };
  }
  return undefined;
}

/** Puts the next CA in the place of the current one. */
async function follow(
  { files, root, domain, issuers: { current } }: Scene,
  next: OpenCa,
  { passphrase, voucher }: { readonly passphrase: string; readonly voucher?: OpenCa },
): Promise<Rotated> {
  const currentKey = await openIssuingKey(files, current, passphrase);
  const [currentPem, nextPem] = await Promise.all([
    encryptPrivateKey(currentKey, passphrase),
    encryptPrivateKey(next.key, passphrase),
  ]);
  makeFolder(files.issuers);
  const aside = issuerFiles(files, issuerName(current));
  writeFileAtomic(aside.key, currentPem);
  writeFileAtomic(aside.certificate, encodePem("CERTIFICATE", current.der));
  // Where its list goes on from.
  if (fileExists(files.issuingList)) {
    writeFileAtomic(aside.list, fs.readFileSync(files.issuingList), { mode: PUBLIC_MODE });
  }
  const place = issuerFiles(files, issuerName(next.certificate));
  writeFileAtomic(place.key, nextPem);
  const by = voucher ?? { certificate: current, key: currentKey };
  const succession: Succession = vouchFor(next.certificate, {
    kind: "issuing",
    by: by.certificate,
    key: by.key,
    isByRoot: voucher !== undefined,
  });
  writeFileAtomic(place.succession, encodeSuccession(succession));
  writeFileAtomic(place.certificate, encodePem("CERTIFICATE", next.certificate.der));
  const { statement } = loadLogStatement(files, root);
  writeFileAtomic(files.issuingKey, nextPem);
  if (statement.issuer !== undefined) {
    certifyLogKey(files, statement.key, { key: next.key, issuing: next.certificate });
  }
  writeFileAtomic(files.issuingCertificate, encodePem("CERTIFICATE", next.certificate.der));
  return { before: current, issuing: next.certificate, domain };
}

/** The next CA's key and request while an outside root has not signed it yet. */
function nextFiles({ issuers }: ServerFiles) {
  return { key: join(issuers, "next.key"), csr: join(issuers, "next.csr") };
}

/**
 * Makes the key and the request of the next issuing CA, for an outside root to sign; asked again it
 * is the same request.
 * @returns PEM of the request
 */
export async function requestRotation(
  folder: string,
  { passphrase, nowMs, keyType }: RotateOptions & { readonly keyType: KeyType },
): Promise<string> {
  const { files, domain, number } = lookAt(folder);
  const next = nextFiles(files);
  const begun = readTextIfThere(next.csr);
  if (begun !== undefined) return begun;
  const key = await generatePrivateKey(keyType);
  makeFolder(files.issuers);
  writeFileAtomic(next.key, await encryptPrivateKey(key, passphrase));
  const csr = requestIssuing(key, { domain, number, nowMs });
  writeFileAtomic(next.csr, csr, { mode: PUBLIC_MODE });
  return csr;
}

/**
 * Takes the certificate that came back for {@link requestRotation}.
 * @throws {PkiError} `conflict` if none is due, `refused` with what is wrong with it
 */
export async function completeRotation(
  folder: string,
  { passphrase, nowMs, certificate }: RotateOptions & { readonly certificate: Certificate },
): Promise<Rotated> {
  const scene = lookAt(folder);
  const { files, root, domain } = scene;
  const next = nextFiles(files);
  if (!fileExists(next.key)) {
    throw new PkiError("conflict", "cannot rotate: no certificate is due", {
      hint: "begin with: pki rotate --issuing-csr FILE",
    });
  }
  const key = await decryptPrivateKey(readText(next.key), passphrase, next.key);
  await checkReturned({ certificate, key }, { root, domain, nowMs });
  // After a crash at the very end it is the current one already.
  const rotated = fingerprintOf(certificate.der) === fingerprintOf(scene.issuers.current.der)
    ? { before: scene.issuers.current, issuing: certificate, domain }
    : await follow(scene, { certificate, key }, { passphrase });
  for (const path of [next.csr, next.key]) fs.rmSync(path, { force: true });
  return rotated;
}
