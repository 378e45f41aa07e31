/**
 * Makes CAs with a root whose key is at hand, and tries them out: what our own path validation would
 * not believe of them is found before anybody has such a certificate.
 */

import { type KeyObject, randomBytes } from "node:crypto";
import { PkiError } from "../base/errors.ts";
import { issueCertificate, prepareCertificate } from "../ca/issue.ts";
import type { KeyType } from "../x509/algorithms.ts";
import { type Certificate, fingerprintOf, parseCertificate } from "../x509/certificate.ts";
import { judgeIssuing, judgeServer, judgeUser } from "../x509/chain.ts";
import { encodeSpki, generatePrivateKey } from "../x509/keys.ts";

/** A CA and its key. */
export interface OpenCa {
  readonly certificate: Certificate;
  readonly key: KeyObject;
}

export interface MakeRootOptions {
  readonly domain: string;
  readonly keyType: KeyType;
  readonly nowMs: number;
}

/** Makes a root that signs itself. */
export async function makeRoot({ domain, keyType, nowMs }: MakeRootOptions): Promise<OpenCa> {
  const key = await generatePrivateKey(keyType);
  const template = prepareCertificate({
    profile: "root",
    domain,
    nowMs,
    spki: encodeSpki(key),
    random: randomBytes(20),
  });
  return { certificate: parseCertificate(issueCertificate(template, { key })), key };
}

export interface IssueIssuingOptions {
  readonly domain: string;
  readonly spki: Uint8Array;
  /** Of the issuing CAs that there have been, which; from 2 on it becomes part of the name. */
  readonly number: number;
  readonly nowMs: number;
}

/** Has the root certify the key of the trust domain's issuing CA. */
export function issueIssuing(
  root: OpenCa,
  { domain, spki, number, nowMs }: IssueIssuingOptions,
): Certificate {
  const template = prepareCertificate({
    profile: "issuing",
    domain,
    spki,
    number,
    nowMs,
    random: randomBytes(20),
    issuerNotAfterMs: root.certificate.notAfterMs,
  });
  return parseCertificate(issueCertificate(template, root));
}

/**
 * Makes a user's and the server's certificate under a new issuing CA and judges them as clients do.
 * They are thrown away.
 * @throws {PkiError} `refused` with what clients would not believe
 */
export async function tryIssuing(
  issuing: OpenCa,
  { root, domain, nowMs }: {
    readonly root: Certificate;
    readonly domain: string;
    readonly nowMs: number;
  },
): Promise<void> {
  const { certificate } = issuing;
  const anchor = { root, domain, issuers: new Set([fingerprintOf(certificate.der)]) };
  const spki = encodeSpki(await generatePrivateKey("p256"));
  const issue = (profile: "user" | "server") =>
    issueCertificate(
      prepareCertificate({
        profile,
        domain,
        spki,
        nowMs,
        random: randomBytes(20),
        issuerNotAfterMs: certificate.notAfterMs,
        ...(profile === "user" ? { id: "trial" } : {}),
      }),
      issuing,
    );
  try {
    judgeIssuing(certificate.der, { anchor, nowMs });
    judgeServer([issue("server"), certificate.der], { anchor, nowMs });
    judgeUser([issue("user"), certificate.der], { anchor, nowMs });
  } catch (error) {
    if (!(error instanceof PkiError)) throw error;
    throw new PkiError(
      "refused",
      `cannot use the root: nobody would trust certificates under it: ${whyOf(error)}`,
      { cause: error, hint: "bring another root along, or have pki init make one" },
    );
  }
}

/** What the path validation says, without its own beginning. */
export function whyOf({ message }: PkiError): string {
  return message.replace(/^cannot trust certificate: /, "");
}
