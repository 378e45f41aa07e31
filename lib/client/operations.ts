/** The three operations as a client does them; each checks what it gets before it believes it. */

import type { KeyObject } from "node:crypto";
import { type Bytes, encodeBase64, isEqualBytes, parseBase64, sha256 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import type { AnswerOf } from "../protocol/answers.ts";
import { parseCertificate } from "../x509/certificate.ts";
import { type JudgedUser, judgeUser, type TrustAnchor } from "../x509/chain.ts";
import { signLabelled } from "../x509/keys.ts";
import type { LogMemory } from "./log_memory.ts";
import { makeNonce, type ServerConnection } from "./server_connection.ts";

/** A certificate of ours or of somebody else, judged under the pinned root. */
export interface Certified extends JudgedUser {
  /** DER of leaf and issuing CA, as PEM files have them. */
  readonly ders: readonly [Bytes, Bytes];
}

/** Whose certificate is asked for, and what it is judged by. */
export interface Asking {
  readonly id: string;
  readonly anchor: TrustAnchor;
  readonly nowMs: number;
  /** Where the server's log must have it. */
  readonly log: LogMemory;
}

function judgeAnswer(
  { certificate, issuing }: AnswerOf<"CSR" | "CERTREQ">,
  { anchor, nowMs, id }: Asking,
): Certified {
  const ders = [parseBase64(certificate), parseBase64(issuing)] as const;
  const judged = judgeUser(ders, { anchor, nowMs });
  if (judged.id !== id) {
    throw new PkiError(
      "untrusted",
      `the server answered with a certificate of "${judged.id}", not of "${id}"`,
      { hint: "it may be hostile or broken: tell whoever runs it" },
    );
  }
  return { ...judged, ders };
}

/** What a request got, and what it asked for and did not get, a phrase each. */
export interface CertifiedRequest extends Certified {
  readonly ignored: readonly string[];
}

/** A certificate that was not recorded for everybody to see is not believed. */
async function checkLogged(
  { id, leaf }: Certified,
  { index, log }: { readonly index: number; readonly log: LogMemory },
): Promise<void> {
  await log.prove({ index, id, certificate: leaf.der });
}

/**
 * `CSR`: has a key certified for the user who is logged in.
 * @param spki the key that must be in the certificate
 */
export async function certify(
  connection: ServerConnection,
  { csr, spki }: { readonly csr: Uint8Array; readonly spki: Uint8Array },
  asking: Asking,
): Promise<CertifiedRequest> {
  const answer = await connection.request("CSR", { csr: encodeBase64(csr) });
  const certified = judgeAnswer(answer, asking);
  if (!isEqualBytes(certified.leaf.spki, spki)) {
    throw new PkiError(
      "untrusted",
      "the server certified another key than the one in the request",
      { hint: "it may be hostile or broken: tell whoever runs it" },
    );
  }
  await checkLogged(certified, { index: answer.index, log: asking.log });
  return { ...certified, ignored: answer.ignored };
}

/**
 * `CERTUP`: publishes a certificate, with proof that its key agrees. Nothing is learnt from the
 * server, so the log is not asked; who publishes lets it prove afterwards that it has only grown.
 */
export async function publish(
  connection: ServerConnection,
  { certificate, key }: { readonly certificate: Uint8Array; readonly key: KeyObject },
): Promise<void> {
  const { nonce } = await connection.request("CERTUP", { certificate: encodeBase64(certificate) });
  const clientNonce = makeNonce();
  const signature = signLabelled(
    key,
    "pki/1 CERTUP",
    parseBase64(nonce),
    clientNonce,
    sha256(certificate),
    connection.leafHash,
  );
  await connection.request("CERTUP_FINISH", {
    nonce,
    clientNonce: encodeBase64(clientNonce),
    signature: encodeBase64(signature),
  });
}

/** `CERTREQ`: somebody's published certificate. @throws {PkiError} `not-found`, `untrusted` */
export async function lookUp(connection: ServerConnection, asking: Asking): Promise<Certified> {
  const answer = await connection.request("CERTREQ", { id: asking.id });
  const certified = judgeAnswer(answer, asking);
  await checkLogged(certified, { index: answer.index, log: asking.log });
  return certified;
}

/** Whether a certificate is for this public key. */
export function isForKey(certificateDer: Uint8Array, spki: Uint8Array): boolean {
  return isEqualBytes(parseCertificate(certificateDer).spki, spki);
}
