/** Certificates of alice, and publishing them, as an honest client does. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { encodeBase64, parseBase64, sha256 } from "../../lib/base/bytes.ts";
import { parseAnswerBody } from "../../lib/protocol/answers.ts";
import type { RequestBody } from "../../lib/protocol/requests.ts";
import type { DirectorySession } from "../../lib/server/directory_session.ts";
import { generatePrivateKey, signLabelled } from "../../lib/x509/keys.ts";
import { makeCsr } from "../../lib/x509/make_csr.ts";
import { ask, LEAF_HASH } from "../fakes/directory.ts";

export const KEY = await generatePrivateKey("p256");
export const CSR = await makeCsr(KEY, "alice");

/** Has alice's key certified; returns the certificate. */
export async function certify(session: DirectorySession, csr = CSR): Promise<Uint8Array> {
  const answer = await ask(session, "CSR", { csr: encodeBase64(csr) });
  return parseBase64(parseAnswerBody("CSR", answer).certificate);
}

export async function startPublishing(session: DirectorySession, der: Uint8Array): Promise<string> {
  const answer = await ask(session, "CERTUP", { certificate: encodeBase64(der) });
  return parseAnswerBody("CERTUP", answer).nonce;
}

/** `CERTUP_FINISH` as the key's owner makes it; the parts can be changed to what they must not be. */
export function signedFinish(
  nonce: string,
  der: Uint8Array,
  { key = KEY, leafHash = LEAF_HASH, signedNonce = nonce, signedDer = der } = {},
): RequestBody<"CERTUP_FINISH"> {
  const clientNonce = new Uint8Array(randomBytes(32));
  const parts = [parseBase64(signedNonce), clientNonce, sha256(signedDer), leafHash];
  return {
    nonce,
    clientNonce: encodeBase64(clientNonce),
    signature: encodeBase64(signLabelled(key, "pki/1 CERTUP", ...parts)),
  };
}

export async function publish(
  session: DirectorySession,
  der: Uint8Array,
  key = KEY,
): Promise<void> {
  const nonce = await startPublishing(session, der);
  assert.deepEqual(await ask(session, "CERTUP_FINISH", signedFinish(nonce, der, { key })), {});
}
