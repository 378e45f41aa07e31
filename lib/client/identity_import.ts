/**
 * Takes an identity that was made or kept elsewhere into the home: a key with its certificate, from
 * PKCS #12 or PEM. The certificate is judged as one from the server would be, and says by its SPIFFE
 * name who it is; what the file says besides counts for nothing.
 */

import { Buffer } from "node:buffer";
import type { KeyObject } from "node:crypto";
import type { Bytes } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { fingerprintOf, parseCertificate } from "../x509/certificate.ts";
import {
  checkRoot,
  type JudgedUser,
  judgeIssuing,
  judgeUser,
  type TrustAnchor,
} from "../x509/chain.ts";
import { isSelfIssued } from "../x509/certificate_form.ts";
import { parseCertificateIfAny, putCertificateFirst } from "../x509/key_certificate.ts";
import {
  decryptPrivateKey,
  encryptPrivateKey,
  isEncryptedKey,
  keyTypeOf,
  parsePlainPrivateKey,
} from "../x509/keys.ts";
import { encodeCertificatesPem, parseCertificatesPem } from "../x509/pem.ts";
import { parsePkcs12 } from "../x509/pkcs12_reader.ts";
import type { Home } from "./home.ts";

/** What a file holds; the key's certificate is the first. */
export interface FoundIdentity {
  readonly key: KeyObject;
  readonly certificates: readonly Bytes[];
}

/** A SEQUENCE of more than 127 bytes, as every PKCS #12 file is; in text, a second byte is ASCII. */
function isPkcs12([tag, length = 0]: Uint8Array): boolean {
  return tag === 0x30 && length >= 0x80;
}

function readPemKey(text: string, what: string): KeyObject {
  const key = parsePlainPrivateKey(text, what);
  keyTypeOf(key);
  return key;
}

/**
 * Reads key and certificates.
 * @param what names the file in messages
 * @param askPassword is asked only if the file is encrypted
 * @throws {PkiError} `malformed`, `refused` for a wrong password
 */
export async function readIdentity(
  bytes: Bytes,
  { what, askPassword }: {
    readonly what: string;
    readonly askPassword: () => Promise<string>;
  },
): Promise<FoundIdentity> {
  if (isPkcs12(bytes)) return await parsePkcs12(bytes, { what, password: await askPassword() });
  // What stands around the blocks may be in any character set.
  const text = Buffer.from(bytes).toString("latin1");
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) {
    throw new PkiError("malformed", `cannot use ${what}: there is no private key in it`, {
      hint: "a PKCS #12 file, or PEM with the key and the certificate, is needed",
    });
  }
  const certificates = parseCertificatesPem(text, what); // before any question
  const key = isEncryptedKey(text)
    ? await decryptPrivateKey(text, await askPassword(), what)
    : readPemKey(text, what);
  const sorted = putCertificateFirst(certificates, key);
  if (sorted) return { key, certificates: sorted };
  throw new PkiError("malformed", `cannot use ${what}: it holds no certificate for its key`, {
    hint: "export it together with its certificate, or have the key certified",
  });
}

/** Who the certificate says that it is, and under which root that was found. */
export interface JudgedIdentity extends JudgedUser {
  readonly key: KeyObject;
  readonly anchor: TrustAnchor;
  /** Whether the root still has to be pinned. */
  readonly isNewAnchor: boolean;
  readonly isExpired: boolean;
}

function isRoot(der: Bytes): boolean {
  const certificate = parseCertificateIfAny(der);
  return certificate !== undefined && isSelfIssued(certificate);
}

/**
 * The root that came in the file, with an issuing CA below it and the trust domain that this is for.
 * @throws {PkiError} `untrusted` if they are none of ours
 */
function anchorInFile(certificates: readonly Bytes[], nowMs: number): TrustAnchor | undefined {
  const [, ...others] = certificates;
  const rootDer = others.find(isRoot);
  const issuing = others.filter((der) => der !== rootDer).map(parseCertificateIfAny)[0];
  if (!rootDer || !issuing) return undefined;
  const root = checkRoot(rootDer, nowMs);
  const [domain = ""] = (issuing.nameConstraints?.permitted ?? [])
    .flatMap((name) => name.type === "dns" ? [name.value] : []);
  judgeIssuing(issuing.der, { anchor: { root, domain }, nowMs });
  return { root, domain, issuers: new Set([fingerprintOf(issuing.der)]) };
}

async function findAnchor(
  home: Home,
  { certificates }: FoundIdentity,
  { nowMs, what, isVouchedFor }: JudgeOptions,
): Promise<{ readonly anchor: TrustAnchor; readonly isNewAnchor: boolean }> {
  const pinned = home.loadAnchor(nowMs);
  const anchor = pinned ?? anchorInFile(certificates, nowMs);
  if (!anchor) {
    throw new PkiError("untrusted", `cannot trust ${what}: no root is pinned, and it holds none`, {
      hint: "pin the server's root first, with: pki trust --fingerprint HEX",
    });
  }
  const found = fingerprintOf(anchor.root.der);
  if (await isVouchedFor(found, pinned !== undefined)) {
    return { anchor, isNewAnchor: pinned === undefined };
  }
  throw new PkiError("untrusted", `the root ${found} was not trusted`, {
    hint: "compare the fingerprint with what whoever runs the server tells you, and try again",
  });
}

export interface JudgeOptions {
  readonly nowMs: number;
  /** Names the file in messages. */
  readonly what: string;
  /** Says whether to believe in a root; throws where nobody can say. */
  readonly isVouchedFor: (fingerprint: string, isPinned: boolean) => Promise<boolean>;
}

/**
 * Judges whose identity it is: under the pinned root or, with none pinned, one that is in the file and
 * that somebody vouches for. An expired certificate is judged as of its last day: it is its owner's to
 * renew.
 * @throws {PkiError} `untrusted`
 */
export async function judgeIdentity(
  home: Home,
  found: FoundIdentity,
  options: JudgeOptions,
): Promise<JudgedIdentity> {
  const { key, certificates } = found;
  const { nowMs } = options;
  const [leafDer] = certificates;
  const endMs = leafDer ? parseCertificate(leafDer).notAfterMs : nowMs;
  const { anchor, isNewAnchor } = await findAnchor(home, found, options);
  // The root is no issuing CA, and only some of what comes beside a leaf is looked at.
  const shown = certificates.filter((der) => der === leafDer || !isRoot(der));
  const judged = judgeUser(shown, { anchor, nowMs: Math.min(nowMs, endMs) });
  return { ...judged, key, anchor, isNewAnchor, isExpired: nowMs > endMs };
}

/**
 * Stores an identity, its key encrypted anew. Where there was one of this id before, its certificate is
 * replaced first and its key by that (`identity_files.ts`): a crash leaves the one or the other.
 * @throws {PkiError} `storage`, `conflict` if another command changes the same identity
 */
export async function storeIdentity(
  home: Home,
  { id, key, leaf, issuing, anchor, isNewAnchor }: JudgedIdentity,
  { password, server }: { readonly password: string; readonly server: string },
): Promise<void> {
  const files = home.files(id);
  const replaced = files.loadCertificate();
  const keyPem = await encryptPrivateKey(key, password);
  if (isNewAnchor) home.pin(anchor, server);
  files.saveNewKey(keyPem, leaf.spki);
  if (files.replaceCertificate(encodeCertificatesPem([leaf.der, issuing.der]), replaced)) return;
  throw new PkiError("conflict", `cannot store "${id}": another command has just changed it`, {
    hint: "look at it with: pki id",
  });
}
