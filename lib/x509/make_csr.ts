/** Makes certification requests, with @peculiar/x509. */

import type { KeyObject } from "node:crypto";
import { type Bytes, copyBytes } from "../base/bytes.ts";
import { importKeyPair, x509 } from "./provider.ts";

/** Makes a request (PKCS #10, RFC 2986) for `CN=<id>`, signed by the key that shall be certified. */
export async function makeCsr(key: KeyObject, id: string): Promise<Bytes> {
  const { algorithm, keys } = await importKeyPair(key);
  const csr = await x509.Pkcs10CertificateRequestGenerator.create({
    name: [{ CN: [id] }],
    keys,
    signingAlgorithm: algorithm,
  });
  return copyBytes(new Uint8Array(csr.rawData));
}
