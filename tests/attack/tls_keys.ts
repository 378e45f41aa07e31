/** The keys of TLS 1.3 (RFC 8446, sections 5 and 7) for an attacker's client. */

import { createCipheriv, createDecipheriv, createHmac } from "node:crypto";
import { type Bytes, concatBytes, utf8 } from "../../lib/base/bytes.ts";
import { CONTENT, list8, SUITE, u16, VERSION } from "./tls_hello.ts";

const AEAD = { authTagLength: 16 };
/** The two suites that this client can carry on with: Node's name of the cipher, bytes of its key. */
export const CIPHERS = {
  [SUITE.aes128]: { name: "aes-128-gcm", keyBytes: 16 },
  [SUITE.chacha]: { name: "chacha20-poly1305", keyBytes: 32 },
} as const;
type Cipher = typeof CIPHERS[keyof typeof CIPHERS];

/** One record, decrypted where it was encrypted. */
export interface Heard {
  readonly type: number;
  readonly body: Bytes;
}

/** Keys of one direction. */
export class Direction {
  #secret: Uint8Array;
  #key: Uint8Array = new Uint8Array();
  #iv: Uint8Array = new Uint8Array();
  #sequence = 0n;
  readonly #cipher: Cipher;

  constructor(secret: Uint8Array, cipher: Cipher) {
    this.#secret = secret;
    this.#cipher = cipher;
    this.#derive();
  }

  #derive(): void {
    this.#key = expandLabel(this.#secret, "key", new Uint8Array(), this.#cipher.keyBytes);
    this.#iv = expandLabel(this.#secret, "iv", new Uint8Array(), 12);
    this.#sequence = 0n;
  }

  get finishedKey(): Uint8Array {
    return expandLabel(this.#secret, "finished", new Uint8Array(), 32);
  }

  /** After a KeyUpdate. */
  update(): void {
    this.#secret = expandLabel(this.#secret, "traffic upd", new Uint8Array(), 32);
    this.#derive();
  }

  #nonce(): Uint8Array {
    const nonce = new Uint8Array(this.#iv);
    const view = new DataView(nonce.buffer);
    view.setBigUint64(4, view.getBigUint64(4) ^ this.#sequence++);
    return nonce;
  }

  sealData(body: Uint8Array): Bytes {
    return this.seal(CONTENT.data, body);
  }

  seal(type: number, body: Uint8Array, padding = 0): Bytes {
    const inner = concatBytes(body, Uint8Array.of(type), new Uint8Array(padding));
    const head = concatBytes(
      Uint8Array.of(CONTENT.data),
      u16(VERSION.tls12),
      u16(inner.length + 16),
    );
    const cipher = createCipheriv(
      this.#cipher.name as "aes-128-gcm",
      this.#key,
      this.#nonce(),
      AEAD,
    );
    cipher.setAAD(head);
    return concatBytes(head, cipher.update(inner), cipher.final(), cipher.getAuthTag());
  }

  open(body: Uint8Array): Heard {
    const cipher = createDecipheriv(
      this.#cipher.name as "aes-128-gcm",
      this.#key,
      this.#nonce(),
      AEAD,
    );
    cipher.setAAD(concatBytes(Uint8Array.of(CONTENT.data), u16(VERSION.tls12), u16(body.length)));
    cipher.setAuthTag(body.subarray(-16));
    const inner = concatBytes(cipher.update(body.subarray(0, -16)), cipher.final());
    let end = inner.length;
    while (end > 0 && inner[end - 1] === 0) end--;
    return { type: inner[end - 1] ?? 0, body: inner.slice(0, end - 1) };
  }
}

export function expandLabel(
  secret: Uint8Array,
  label: string,
  context: Uint8Array,
  length: number,
): Uint8Array {
  const info = concatBytes(u16(length), list8(utf8(`tls13 ${label}`)), list8(context));
  // HKDF-Expand alone (RFC 5869, section 2.3); one round is enough for 32 bytes.
  return createHmac("sha256", secret).update(info).update(Uint8Array.of(1)).digest()
    .subarray(0, length);
}

export function extract(salt: Uint8Array, input: Uint8Array): Uint8Array {
  return createHmac("sha256", salt).update(input).digest();
}
