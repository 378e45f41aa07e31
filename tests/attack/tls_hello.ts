/** Messages of TLS 1.3 (RFC 8446) as bytes: above all a ClientHello that offers what none should. */

import { type Bytes, concatBytes, sha256, utf8 } from "../../lib/base/bytes.ts";

export const CONTENT = { changeCipherSpec: 20, alert: 21, handshake: 22, data: 23 } as const;
export const HANDSHAKE = {
  clientHello: 1,
  serverHello: 2,
  encryptedExtensions: 8,
  certificate: 11,
  certificateRequest: 13,
  certificateVerify: 15,
  finished: 20,
  keyUpdate: 24,
} as const;
export const VERSION = { tls10: 0x0301, tls11: 0x0302, tls12: 0x0303, tls13: 0x0304 } as const;
export const SUITE = { aes128: 0x1301, chacha: 0x1303, ecdheAes128Cbc: 0xc009 } as const;

/** Lengths and lists as TLS writes them (section 3). */
export const u16 = (value: number) => Uint8Array.of(value >> 8, value & 0xff);
const u24 = (value: number) => Uint8Array.of(value >> 16, (value >> 8) & 0xff, value & 0xff);
export const list8 = (...parts: readonly Uint8Array[]) => {
  const body = concatBytes(...parts);
  return concatBytes(Uint8Array.of(body.length), body);
};
export const list16 = (...parts: readonly Uint8Array[]) => {
  const body = concatBytes(...parts);
  return concatBytes(u16(body.length), body);
};
export const list24 = (...parts: readonly Uint8Array[]) => {
  const body = concatBytes(...parts);
  return concatBytes(u24(body.length), body);
};

export function extension(type: number, body: Uint8Array): Bytes {
  return concatBytes(u16(type), list16(body));
}

/** A record in the clear. */
export function record(type: number, body: Uint8Array): Bytes {
  return concatBytes(Uint8Array.of(type), u16(VERSION.tls12), list16(body));
}

export function handshakeMessage(type: number, body: Uint8Array): Bytes {
  return concatBytes(Uint8Array.of(type), list24(body));
}

/** What a ClientHello offers; without any of it a good one of this client. */
export interface Offer {
  /** In `supported_versions`; none of it at all where this is empty. */
  readonly versions?: readonly number[];
  readonly suites?: readonly number[];
  /** `[0]`, no compression, is all that TLS 1.3 allows. */
  readonly compressions?: readonly number[];
  readonly protocols?: readonly string[];
  readonly extensions?: readonly Uint8Array[];
}

/** @param publicKey of X25519, 32 bytes */
export function clientHello(publicKey: Uint8Array, offer: Offer = {}): Bytes {
  const { versions = [VERSION.tls13], suites = [SUITE.aes128], compressions = [0] } = offer;
  const { protocols = ["pki/1"], extensions = [] } = offer;
  const x25519 = u16(0x001d);
  return handshakeMessage(
    HANDSHAKE.clientHello,
    concatBytes(
      u16(VERSION.tls12),
      sha256(publicKey), // as random as the key
      list8(), // no session of before
      list16(...suites.map(u16)),
      list8(Uint8Array.from(compressions)),
      list16(
        ...(versions.length === 0 ? [] : [extension(43, list8(...versions.map(u16)))]),
        extension(10, list16(x25519, u16(0x0017))),
        // ecdsa_secp256r1_sha256, rsa_pss_rsae_sha256, ed25519
        extension(13, list16(u16(0x0403), u16(0x0804), u16(0x0807))),
        extension(51, list16(x25519, list16(publicKey))),
        ...(protocols.length === 0
          ? []
          : [extension(16, list16(...protocols.map((name) => list8(utf8(name)))))]),
        ...extensions,
      ),
    ),
  );
}
