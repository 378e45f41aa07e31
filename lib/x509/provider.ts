/**
 * @peculiar/x509 with @peculiar/webcrypto as its crypto provider: the one file that loads them.
 * They make the client's requests and are the referee in tests. Costs 20 ms and 4 MB a thread, so it
 * is loaded only where a request is made.
 */

import "reflect-metadata";
import type { KeyObject } from "node:crypto";
import { Crypto } from "@peculiar/webcrypto";
import * as x509 from "@peculiar/x509";
import { KEY_TYPES } from "./algorithms.ts";
import { encodeSpki, keyTypeOf } from "./keys.ts";

const crypto = new Crypto();
x509.cryptoProvider.set(crypto);

export { x509 };

/** A private key as @peculiar/x509 takes it, with its public half. */
export async function importKeyPair(key: KeyObject) {
  const algorithm = KEY_TYPES[keyTypeOf(key)].webCrypto;
  const pkcs8 = key.export({ format: "der", type: "pkcs8" });
  const [privateKey, publicKey] = await Promise.all([
    crypto.subtle.importKey("pkcs8", pkcs8, algorithm, false, ["sign"]),
    crypto.subtle.importKey("spki", encodeSpki(key), algorithm, true, ["verify"]),
  ]);
  pkcs8.fill(0);
  return { algorithm, keys: { privateKey, publicKey } };
}
