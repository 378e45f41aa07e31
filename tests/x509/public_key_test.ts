import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import * as fs from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { type Bytes, concatBytes, encodeHex } from "../../lib/base/bytes.ts";
import { PkiError } from "../../lib/base/errors.ts";
import { readCsr } from "../../lib/x509/csr.ts";
import {
  DerReader,
  encodeElement,
  encodeNull,
  encodeOid,
  encodeSequence,
  encodeWholeBits,
  TAG,
} from "../../lib/x509/der.ts";
import { keyBitsOf } from "../../lib/x509/encode.ts";
import { encodeSpki, parsePlainPrivateKey, parsePublicKey } from "../../lib/x509/keys.ts";
import { parsePemBlock } from "../../lib/x509/pem.ts";
import { describeKeyFields, readPublicKey } from "../../lib/x509/public_key.ts";
import { flipBit } from "../fakes/ca.ts";

const EC = encodeOid("1.2.840.10045.2.1");
const RSA = encodeOid("1.2.840.113549.1.1.1");
const P256 = encodeOid("1.2.840.10045.3.1.7");
const P384 = encodeOid("1.3.132.0.34");
const ED25519 = encodeOid("1.3.101.112");

function load(name: string): KeyObject {
  const file = new URL(`../../testdata/x509/${name}.key`, import.meta.url);
  return parsePlainPrivateKey(fs.readFileSync(file, "utf8"), name);
}

/** The key in a request that OpenSSL made, where engines do not read the private key. */
function recorded(name: string): Bytes {
  const file = new URL(`../../testdata/x509/${name}.csr`, import.meta.url);
  return readCsr(parsePemBlock(fs.readFileSync(file, "utf8"), ["CERTIFICATE REQUEST"], name)).spki;
}

function spkiOf(algorithm: readonly Uint8Array[], keyBits: Uint8Array): Bytes {
  return encodeSequence(encodeSequence(...algorithm), encodeWholeBits(keyBits));
}

function integer(value: bigint): Bytes {
  const hex = value.toString(16);
  const even = hex.length % 2 === 0 ? hex : `0${hex}`;
  const positive = Number.parseInt(even.slice(0, 2), 16) >= 0x80 ? `00${even}` : even;
  return encodeElement(
    TAG.integer,
    Uint8Array.from(positive.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16)),
  );
}

function rsa(modulus: bigint, exponent = 65_537n): Bytes {
  return spkiOf([RSA, encodeNull()], encodeSequence(integer(modulus), integer(exponent)));
}

function toBigInt(bytes: Uint8Array): bigint {
  return BigInt(`0x${encodeHex(bytes)}`);
}

const MODULUS = (() => {
  const key = new DerReader(keyBitsOf(encodeSpki(load("rsa2048")))).enter(TAG.sequence);
  return toBigInt(key.read(TAG.integer).content);
})();

const SMALL = Array.from({ length: 750 }, (_, i) => BigInt(i + 2));

/** The first number from `start` on, in steps, without factors up to 751. */
function withoutSmallFactors(start: bigint, step: bigint): bigint {
  let value = start;
  while (SMALL.some((divisor) => value % divisor === 0n)) value += step;
  return value;
}

/** The product of the primes up to 167; moduli of the ROCA kind are powers of 65537 modulo it. */
const PRIMORIAL = SMALL.filter((n) => n <= 167n && !SMALL.some((d) => d < n && n % d === 0n))
  .reduce((product, prime) => product * prime);
const ROCA = withoutSmallFactors(
  2n ** 2047n - 2n ** 2047n % PRIMORIAL + PRIMORIAL + 65_537n ** 99n % PRIMORIAL,
  PRIMORIAL,
);

const POINT = keyBitsOf(encodeSpki(load("p256")));
const POINT_384 = keyBitsOf(encodeSpki(load("p384")));
const EDWARDS = keyBitsOf(encodeSpki(load("ed25519")));
const P256_PRIME = 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n;

function fromHex(hex: string): Bytes {
  return Uint8Array.from(hex.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
}

/** The point plus the prime in one coordinate: the same to a careless reader. */
function unreduced(): Bytes {
  const small = Uint8Array.of(4, ...fromHex("00".repeat(31) + "05"), ...POINT.subarray(33));
  const x = (P256_PRIME + 5n).toString(16);
  small.set(fromHex(x), 1);
  return small;
}

const ROWS: readonly {
  readonly name: string;
  readonly spki: Uint8Array;
  readonly refused?: string;
}[] = [
  {
    name: "P-521",
    spki: recorded("p521"),
    refused: "its curve is P-521, P-256 or P-384 needed",
  },
  {
    name: "secp256k1",
    spki: recorded("secp256k1"),
    refused: "its curve is secp256k1, P-256 or P-384 needed",
  },
  {
    name: "a curve that nobody knows",
    spki: spkiOf([EC, encodeOid("1.2.3")], POINT),
    refused: "its curve is 1.2.3, P-256 or P-384 needed",
  },
  {
    name: "explicit curve parameters",
    spki: recorded("p256_explicit"),
    refused: "its curve has explicit parameters, a named one is needed",
  },
  { name: "no curve", spki: spkiOf([EC], POINT), refused: "its curve is not named" },
  {
    name: "the point at infinity",
    spki: spkiOf([EC, P256], Uint8Array.of(0)),
    refused: "its point is the point at infinity",
  },
  ...[2, 3].map((form) => ({
    name: `a compressed point (${form})`,
    spki: spkiOf([EC, P256], Uint8Array.of(form, ...POINT.subarray(1, 33))),
    refused: "its point is compressed, which is not accepted",
  })),
  {
    name: "a hybrid point",
    spki: spkiOf([EC, P256], Uint8Array.of(6, ...POINT.subarray(1))),
    refused: "its point has not the length of its curve",
  },
  {
    name: "a point of another curve",
    spki: spkiOf([EC, P256], POINT_384),
    refused: "its point has not the length of its curve",
  },
  {
    name: "a point of a byte less",
    spki: spkiOf([EC, P256], POINT.subarray(0, -1)),
    refused: "its point has not the length of its curve",
  },
  ...[[P256, POINT], [P384, POINT_384]].map(([curve, point = POINT], i) => ({
    name: `a point beside its curve (${i})`,
    spki: spkiOf([EC, curve ?? P256], flipBit(point, -1)),
    refused: "its point is not on its curve",
  })),
  {
    name: "a coordinate beyond the prime",
    spki: spkiOf([EC, P256], unreduced()),
    refused: "its point is not on its curve",
  },
  {
    name: "the point 0, 0",
    spki: spkiOf([EC, P256], Uint8Array.of(4, ...new Uint8Array(64))),
    refused: "its point is not on its curve",
  },
  {
    name: "RSA of 1024 bits",
    spki: recorded("rsa1024"),
    refused: "RSA key has 1024 bits, 2048 to 8192 needed",
  },
  {
    name: "RSA of 2047 bits",
    spki: rsa(2n ** 2047n - 1n),
    refused: "RSA key has 2047 bits, 2048 to 8192 needed",
  },
  {
    name: "RSA of 8193 bits",
    spki: rsa(2n ** 8192n + 1n),
    refused: "RSA key has 8193 bits, 2048 to 8192 needed",
  },
  { name: "RSA of no bits", spki: rsa(0n), refused: "RSA key has 0 bits, 2048 to 8192 needed" },
  {
    name: "a negative modulus",
    spki: spkiOf(
      [RSA, encodeNull()],
      encodeSequence(encodeElement(TAG.integer, Uint8Array.of(0xff)), integer(3n)),
    ),
    refused: "its RSA modulus is negative",
  },
  { name: "an even modulus", spki: rsa(MODULUS - 1n), refused: "its RSA modulus is even" },
  ...[3n, 751n].map((factor) => ({
    name: `a modulus with a factor of ${factor}`,
    spki: rsa(factor * withoutSmallFactors(2n ** 2047n / factor + 2n, 1n)),
    refused: `its RSA modulus has the small factor ${factor}`,
  })),
  {
    name: "a modulus with a factor of 757",
    spki: rsa(757n * withoutSmallFactors(2n ** 2047n / 757n + 2n, 1n)),
  },
  {
    name: "a modulus of the ROCA kind",
    spki: rsa(ROCA),
    refused: "its RSA modulus is of the weak kind that ROCA (CVE-2017-15361) breaks",
  },
  {
    name: "exponent 1",
    spki: rsa(MODULUS, 1n),
    refused: "its RSA exponent is 1, at least 65537 needed",
  },
  {
    name: "exponent 3",
    spki: rsa(MODULUS, 3n),
    refused: "its RSA exponent is 3, at least 65537 needed",
  },
  {
    name: "exponent 65535",
    spki: rsa(MODULUS, 65_535n),
    refused: "its RSA exponent is 65535, at least 65537 needed",
  },
  { name: "exponent 65536", spki: rsa(MODULUS, 65_536n), refused: "its RSA exponent is even" },
  { name: "exponent 0", spki: rsa(MODULUS, 0n), refused: "its RSA exponent is even" },
  { name: "exponent 65539", spki: rsa(MODULUS, 65_539n) },
  { name: "an exponent of 256 bits", spki: rsa(MODULUS, 2n ** 256n - 1n) },
  {
    name: "an exponent of 257 bits",
    spki: rsa(MODULUS, 2n ** 256n + 1n),
    refused: "its RSA exponent is longer than 256 bits",
  },
  {
    name: "RSA-PSS",
    spki: recorded("rsa_pss"),
    refused: "it is of the type RSA-PSS; EC, RSA or Ed25519 needed",
  },
  {
    name: "Ed448",
    spki: recorded("ed448"),
    refused: "it is of the type Ed448; EC, RSA or Ed25519 needed",
  },
  {
    name: "X25519",
    spki: spkiOf([encodeOid("1.3.101.110")], EDWARDS),
    refused: "it is of the type X25519; EC, RSA or Ed25519 needed",
  },
  {
    name: "a type that nobody knows",
    spki: spkiOf([encodeOid("1.2.3")], POINT),
    refused: "it is of the type 1.2.3; EC, RSA or Ed25519 needed",
  },
  {
    name: "Ed25519 of 31 bytes",
    spki: spkiOf([ED25519], EDWARDS.subarray(1)),
    refused: "an Ed25519 key has 32 bytes",
  },
  ...[
    "00".repeat(32),
    "01" + "00".repeat(31),
    "01" + "00".repeat(30) + "80",
    "ec" + "ff".repeat(30) + "7f",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
  ].map((hex) => ({
    name: `the Ed25519 point of small order ${hex}`,
    spki: spkiOf([ED25519], fromHex(hex)),
    refused: "its point has a small order",
  })),
  {
    name: "an Ed25519 point beyond the prime",
    spki: spkiOf([ED25519], fromHex("ed" + "ff".repeat(30) + "7f")),
    refused: "its point is not in its shortest form",
  },
];

for (const { name, spki, refused } of ROWS) {
  test(`readPublicKey() ${refused ? "refuses" : "accepts"} ${name}`, () => {
    if (refused === undefined) return void readPublicKey(spki);
    assert.throws(() => readPublicKey(spki), {
      kind: "malformed",
      message: `cannot accept the key: ${refused}`,
    });
  });
}

test("readPublicKey() says what each key of ours is, as the engine does", () => {
  const names = {
    p256: "P-256",
    p384: "P-384",
    rsa2048: "RSA 2048",
    rsa3072: "RSA 3072",
    ed25519: "Ed25519",
  };
  for (const [file, name] of Object.entries(names)) {
    const spki = encodeSpki(load(file));
    const fields = readPublicKey(spki);
    assert.equal(describeKeyFields(fields), name);
    assert.deepEqual(fields.keyBits, keyBitsOf(spki));
    parsePublicKey(spki);
  }
});

test("readPublicKey() accepts any key that an engine makes", () => {
  for (let i = 0; i < 100; i++) {
    for (const namedCurve of ["P-256", "P-384"]) {
      readPublicKey(encodeSpki(generateKeyPairSync("ec", { namedCurve }).publicKey));
    }
    readPublicKey(encodeSpki(generateKeyPairSync("ed25519").publicKey));
  }
  readPublicKey(encodeSpki(generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey));
});

test("readPublicKey() refuses every truncation, and most flipped bits of a point", () => {
  for (const name of ["p256", "p384", "ed25519", "rsa2048"]) {
    const spki = encodeSpki(load(name));
    for (let length = 0; length < spki.length; length++) {
      assert.throws(() => readPublicKey(spki.subarray(0, length)), { kind: "malformed" });
    }
    assert.throws(() => readPublicKey(concatBytes(spki, Uint8Array.of(0))), { kind: "malformed" });
  }
  for (const name of ["p256", "p384"]) {
    const spki = encodeSpki(load(name));
    for (let bit = 0; bit < spki.length * 8; bit++) {
      assert.throws(() => readPublicKey(flipBit(spki, bit >> 3, bit % 8)), { kind: "malformed" });
    }
  }
});

test("readPublicKey() refuses any bytes as malformed", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
    for (
      const spki of [
        bytes,
        spkiOf([bytes], bytes),
        spkiOf([EC, P256], bytes),
        spkiOf([RSA, encodeNull()], bytes),
      ]
    ) {
      assert.throws(
        () => readPublicKey(spki),
        (error) => error instanceof PkiError && error.kind === "malformed",
      );
    }
  }));
});
