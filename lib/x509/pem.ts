/** PEM (RFC 7468), strict about its labels and its base64, lenient about text around the blocks. */

import { type Bytes, encodeBase64, parseBase64 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";

export interface PemBlock {
  readonly label: string;
  readonly der: Bytes;
}

const BLOCK = /-----BEGIN ([A-Z0-9 ]{1,40})-----([^-]*)-----END \1-----/g;

export function encodePem(label: string, der: Uint8Array): string {
  const lines = encodeBase64(der).match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

export function encodeCertificatesPem(ders: readonly Uint8Array[]): string {
  return ders.map((der) => encodePem("CERTIFICATE", der)).join("");
}

/**
 * All blocks of a text, in order.
 * @throws {PkiError} `malformed` if a block's base64 is not canonical
 */
export function parsePem(text: string): readonly PemBlock[] {
  return [...text.matchAll(BLOCK)].map(([, label = "", body = ""]) => ({
    label,
    der: parseBase64(body.replace(/[\r\n\t ]/g, "")),
  }));
}

/**
 * The first block with one of these labels.
 * @throws {PkiError} `malformed`
 */
export function parsePemBlock(text: string, labels: readonly string[], what: string): Bytes {
  const block = parsePem(text).find(({ label }) => labels.includes(label));
  if (!block) {
    throw new PkiError(
      "malformed",
      `cannot read ${what}: no PEM block ${labels.join(" or ")} in it`,
      { hint: "pki inspect shows what the file holds" },
    );
  }
  return block.der;
}

/** @throws {PkiError} `malformed` if there is no certificate in it */
export function parseCertificatesPem(text: string, what: string): readonly Bytes[] {
  const ders = parsePem(text).filter(({ label }) => label === "CERTIFICATE").map(({ der }) => der);
  if (ders.length === 0) {
    throw new PkiError("malformed", `cannot read ${what}: no PEM block CERTIFICATE in it`, {
      hint: "pki inspect shows what the file holds",
    });
  }
  return ders;
}
