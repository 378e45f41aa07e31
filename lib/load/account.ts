/**
 * Accounts that a load is made with: registered for it, certified, and published. They stay in the
 * server's log for ever, so there are few of them, and their names say what they are. Their passwords
 * are random, are known to nobody, and end with the process, as their keys do.
 */

import { randomBytes } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { encodeBase64, encodeHex, isEqualBytes, parseBase64 } from "../base/bytes.ts";
import type { TlsIdentity } from "../client/attempt.ts";
import { type Credentials, logIn, register } from "../client/login.ts";
import { publish } from "../client/operations.ts";
import { tlsIdentityOf } from "../client/own_identity.ts";
import { judgeUser } from "../x509/chain.ts";
import { encodeSpki, generatePrivateKey } from "../x509/keys.ts";
import { makeCsr } from "../x509/make_csr.ts";
import type { Expected } from "./judge.ts";
import type { Connector } from "./target.ts";
import { type PreparedRequest, prepareRequest, wrongAnswer } from "./wire.ts";

/** Of a name and of a password. */
const NAME_BYTES = 4;
const PASSWORD_BYTES = 32;

/** Somebody whose certificate is published, and who can show it. */
export interface Holder extends Expected {
  readonly identity: TlsIdentity;
  readonly lookUp: PreparedRequest;
  /** Who is looked up: mostly the holder. */
  readonly sought: Expected;
}

/** Somebody who can do everything. */
export interface Account extends Holder {
  readonly credentials: Credentials;
  readonly key: KeyObject;
  readonly csr: PreparedRequest;
}

/** A name that all accounts of one load begin with. */
export function chooseName(): string {
  return `bench-${encodeHex(randomBytes(NAME_BYTES))}`;
}

export function holderOf(id: string, key: KeyObject, identity: TlsIdentity): Holder {
  const own = { id, spki: encodeSpki(key) };
  return { ...own, identity, lookUp: prepareRequest("CERTREQ", { id }), sought: own };
}

/**
 * Registers somebody, has a key certified and publishes the certificate.
 * @param token of an invitation
 * @throws {PkiError} `refused` where that is not possible, and what a connection fails with
 */
export async function makeAccount(
  connector: Connector,
  id: string,
  token: Uint8Array | undefined,
): Promise<Account> {
  const { anchor, now } = connector.target;
  const password = randomBytes(PASSWORD_BYTES).toString("base64url");
  const credentials = { id, password, rootDer: anchor.root.der, isPasswordRandom: true };
  const key = await generatePrivateKey("p256");
  const csr = encodeBase64(await makeCsr(key, id));
  const connection = await connector.greet();
  try {
    await register(connection, credentials, token);
    await logIn(connection, credentials);
    const { certificate, issuing } = await connection.request("CSR", { csr });
    const ders = [parseBase64(certificate), parseBase64(issuing)] as const;
    const judged = judgeUser(ders, { anchor, nowMs: now() });
    if (judged.id !== id || !isEqualBytes(judged.leaf.spki, encodeSpki(key))) {
      throw wrongAnswer("a certificate of somebody else");
    }
    await publish(connection, { certificate: judged.leaf.der, key });
    return {
      ...holderOf(id, key, tlsIdentityOf(judged, key)),
      credentials,
      key,
      csr: prepareRequest("CSR", { csr }),
    };
  } finally {
    connection.close();
  }
}
