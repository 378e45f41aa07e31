/**
 * Makes the request of a CA that somebody else's root shall certify: it asks for every extension that
 * the certificate has to have, so that `openssl x509 -copy_extensions copy` or a CA's operator can
 * take them over.
 */

import type { KeyObject } from "node:crypto";
import type { Bytes } from "../base/bytes.ts";
import { OID } from "./certificate.ts";
import { contextTag, encodeElement, encodeInteger, encodeOid, encodeSequence, TAG } from "./der.ts";
import { signTbs } from "./encode.ts";
import { type CertificateTemplate, encodeFixedExtensions, encodeName } from "./make.ts";

/** A request (PKCS #10, RFC 2986) signed by the CA's own key. */
export function makeCaCsr(template: CertificateTemplate, key: KeyObject): Bytes {
  const extensions = encodeSequence(encodeFixedExtensions(template));
  const attribute = encodeSequence(
    encodeOid(OID.extensionRequest), // RFC 2985, section 5.4.2
    encodeElement(TAG.set, extensions),
  );
  const info = encodeSequence(
    encodeInteger(0),
    encodeName(template.commonName),
    template.spki,
    encodeElement(contextTag(0, true), attribute),
  );
  // CertificationRequest has the shape of everything signed: content, algorithm, signature.
  return signTbs(info, key);
}
