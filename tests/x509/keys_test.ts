import assert from "node:assert/strict";
import { createPrivateKey, createPublicKey, randomBytes, sign } from "node:crypto";
import * as fs from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { type Bytes, concatBytes, isEqualBytes, utf8 } from "../../lib/base/bytes.ts";
import { PkiError } from "../../lib/base/errors.ts";
import { KEY_TYPES, type KeyType } from "../../lib/x509/algorithms.ts";
import {
  encodeElement,
  encodeInteger,
  encodeNull,
  encodeOctetString,
  encodeOid,
  encodeSequence,
  readWhole,
  TAG,
} from "../../lib/x509/der.ts";
import {
  decryptPrivateKey,
  decryptText,
  describeKey,
  encodeSpki,
  encryptPrivateKey,
  encryptText,
  generatePrivateKey,
  isEncryptedKey,
  isLabelledSignatureValid,
  isSignatureValid,
  keyTypeOf,
  parsePlainPrivateKey,
  parsePublicKey,
  signLabelled,
} from "../../lib/x509/keys.ts";
import { encodePem, parsePemBlock } from "../../lib/x509/pem.ts";
import { flipBit } from "../fakes/ca.ts";
import { runOpenssl, WITHOUT_OPENSSL } from "./openssl.ts";

const PASSWORD = "correct horse";

function vector(name: string): string {
  return fs.readFileSync(new URL(`../../testdata/x509/${name}`, import.meta.url), "utf8");
}

function loadKey(name: string) {
  return createPrivateKey(vector(`${name}.key`));
}

const TYPES: readonly KeyType[] = ["p256", "p384", "rsa3072", "ed25519"];

for (const type of TYPES) {
  test(`generatePrivateKey() makes a key of type ${type} that parsePublicKey() accepts`, async () => {
    const key = await generatePrivateKey(type);
    assert.equal(keyTypeOf(key), type);
    const spki = encodeSpki(key);
    assert.deepEqual(encodeSpki(parsePublicKey(spki)), spki);
    assert.deepEqual(encodeSpki(createPublicKey(key)), spki);
    assert.notDeepEqual(encodeSpki(await generatePrivateKey("p256")), spki);
  });
}

/** By file in testdata/x509; `want` is the type of the key. */
const PUBLIC_KEYS: readonly {
  readonly name: string;
  readonly want?: KeyType;
  readonly refused?: string;
}[] = [
  { name: "rsa1024", refused: "cannot accept the key: RSA key has 1024 bits, 2048 to 8192 needed" },
  {
    name: "rsa2048_exponent3",
    refused: "cannot accept the key: its RSA exponent is even or below 65537",
  },
  { name: "rsa_pss", refused: "cannot use the key: RSA-PSS 2048 is not supported" },
  { name: "secp256k1", refused: "cannot use the key: EC secp256k1 is not supported" },
  { name: "p521", refused: "cannot use the key: EC secp521r1 is not supported" },
  { name: "ed448", refused: "cannot use the key: ED448 is not supported" },
  { name: "rsa2048", want: "rsa3072" },
  { name: "rsa3072", want: "rsa3072" },
  { name: "p256", want: "p256" },
  { name: "p384", want: "p384" },
  { name: "ed25519", want: "ed25519" },
];

for (const { name, want, refused } of PUBLIC_KEYS) {
  test(`parsePublicKey() ${want ? "accepts" : "refuses"} ${name}`, () => {
    const spki = encodeSpki(loadKey(name));
    if (want) assert.equal(keyTypeOf(parsePublicKey(spki)), want);
    else assert.throws(() => parsePublicKey(spki), { kind: "malformed", message: refused! });
  });
}

function rsaSpki(modulus: Uint8Array, exponent: number): Bytes {
  const key = encodeSequence(encodeElement(TAG.integer, modulus), encodeInteger(exponent));
  return encodeSequence(
    encodeSequence(encodeOid("1.2.840.113549.1.1.1"), encodeNull()),
    encodeElement(TAG.bitString, Uint8Array.of(0), key),
  );
}

function oddModulus(bits: number): Bytes {
  const modulus = new Uint8Array(bits / 8 + 1).fill(0xff);
  modulus[0] = 0;
  return modulus;
}

const RSA_NUMBERS: readonly {
  readonly bits: number;
  readonly exponent: number;
  readonly isGood: boolean;
}[] = [
  { bits: 2040, exponent: 65_537, isGood: false },
  { bits: 8200, exponent: 65_537, isGood: false },
  { bits: 16_384, exponent: 65_537, isGood: false },
  { bits: 2048, exponent: 1, isGood: false },
  { bits: 2048, exponent: 17, isGood: false },
  { bits: 2048, exponent: 65_535, isGood: false },
  { bits: 2048, exponent: 65_538, isGood: false },
  { bits: 2048, exponent: 65_537, isGood: true },
  { bits: 2048, exponent: 65_539, isGood: true },
  // Deno reads no key of more than 4,096 bits; the executable's engine takes 8,192.
  { bits: 4096, exponent: 65_537, isGood: true },
];

for (const { bits, exponent, isGood } of RSA_NUMBERS) {
  test(`parsePublicKey() ${isGood ? "accepts" : "refuses"} RSA ${bits} with ${exponent}`, () => {
    const spki = rsaSpki(oddModulus(bits), exponent);
    if (isGood) assert.equal(keyTypeOf(parsePublicKey(spki)), "rsa3072");
    else assert.throws(() => parsePublicKey(spki), { kind: "malformed" });
  });
}

const P256_SPKI = encodeSpki(loadKey("p256"));
const DAMAGED = "cannot read the public key: it is damaged or of an unknown type";

const BAD_SPKIS: readonly { readonly name: string; readonly spki: Uint8Array; message: string }[] =
  [
    { name: "nothing", spki: new Uint8Array(), message: "cannot read DER: it ends too early" },
    {
      name: "a byte behind",
      spki: concatBytes(P256_SPKI, Uint8Array.of(0)),
      message: "cannot read DER: bytes behind the end",
    },
    { name: "a point off the curve", spki: flipBit(P256_SPKI, -1), message: DAMAGED },
    {
      name: "an unknown algorithm",
      spki: encodeSequence(
        encodeSequence(encodeOid("1.2.3")),
        encodeElement(TAG.bitString, Uint8Array.of(0, 1)),
      ),
      message: DAMAGED,
    },
    {
      name: "a third element",
      spki: encodeSequence(readWhole(P256_SPKI, TAG.sequence).content, encodeNull()),
      message: "cannot read DER: bytes behind the end",
    },
  ];

for (const { name, spki, message } of BAD_SPKIS) {
  test(`parsePublicKey() refuses ${name}`, () => {
    assert.throws(() => parsePublicKey(spki), { kind: "malformed", message });
  });
}

test("parsePublicKey() reads or refuses as malformed whatever bits are flipped", () => {
  for (const name of ["p256", "p384", "ed25519", "rsa2048"]) {
    const spki = encodeSpki(loadKey(name));
    fc.assert(
      fc.property(fc.nat(spki.length - 1), fc.nat(7), (index, bit) => {
        try {
          parsePublicKey(flipBit(spki, index, bit));
        } catch (error) {
          assert.ok(error instanceof PkiError && error.kind === "malformed", String(error));
        }
      }),
      { numRuns: 500 },
    );
  }
});

test("describeKey() says in a few words what a key is", () => {
  assert.equal(describeKey(loadKey("rsa1024")), "RSA 1024");
  assert.equal(describeKey(loadKey("secp256k1")), "EC secp256k1");
  assert.equal(describeKey(loadKey("ed25519")), "ED25519");
});

const DATA = utf8("some data");

function algorithm(oid: string, ...parameters: readonly Uint8Array[]) {
  return readWhole(encodeSequence(encodeOid(oid), ...parameters), TAG.sequence);
}

const ECDSA_SHA256 = "1.2.840.10045.4.3.2";
const RSA_SHA256 = "1.2.840.113549.1.1.11";

interface AlgorithmRow {
  readonly name: string;
  readonly key: string;
  readonly algorithm: ReturnType<typeof algorithm>;
  readonly digest?: string | null;
  readonly refused?: string;
}

const OTHER_TYPE = "cannot verify: the signature algorithm is not one of the key's type";
const notAccepted = (oid: string) => `cannot verify: signature algorithm ${oid} is not accepted`;

const ALGORITHMS: readonly AlgorithmRow[] = [
  { oid: "1.2.840.113549.1.1.4", name: "MD5 with RSA" },
  { oid: "1.2.840.113549.1.1.5", name: "SHA-1 with RSA" },
  { oid: "1.2.840.113549.1.1.10", name: "RSA-PSS" },
  { oid: "1.2.840.10045.4.1", name: "SHA-1 with ECDSA" },
  { oid: "1.2.840.10040.4.3", name: "DSA" },
].map(({ oid, name }): AlgorithmRow => ({
  name,
  key: "rsa2048",
  algorithm: algorithm(oid, encodeNull()),
  refused: notAccepted(oid),
})).concat([
  {
    name: "RSA without NULL",
    key: "rsa2048",
    algorithm: algorithm(RSA_SHA256),
    refused: "cannot read DER: it ends too early",
  },
  {
    name: "RSA with a NULL that is not empty",
    key: "rsa2048",
    algorithm: algorithm(RSA_SHA256, Uint8Array.of(5, 1, 0)),
    refused: "cannot verify: the algorithm's NULL is not empty",
  },
  {
    name: "ECDSA with NULL",
    key: "p256",
    algorithm: algorithm(ECDSA_SHA256, encodeNull()),
    refused: "cannot read DER: bytes behind the end",
  },
  {
    name: "ECDSA by an RSA key",
    key: "rsa2048",
    algorithm: algorithm(ECDSA_SHA256),
    refused: OTHER_TYPE,
  },
  {
    name: "RSA by an EC key",
    key: "p256",
    algorithm: algorithm(RSA_SHA256, encodeNull()),
    refused: OTHER_TYPE,
  },
  {
    name: "Ed25519 by an EC key",
    key: "p256",
    algorithm: algorithm("1.3.101.112"),
    refused: OTHER_TYPE,
  },
  { name: "P-256 with SHA-256", key: "p256", algorithm: algorithm(ECDSA_SHA256), digest: "sha256" },
  {
    name: "P-384 with SHA-512",
    key: "p384",
    algorithm: algorithm("1.2.840.10045.4.3.4"),
    digest: "sha512",
  },
  {
    name: "RSA with SHA-384",
    key: "rsa2048",
    algorithm: algorithm("1.2.840.113549.1.1.12", encodeNull()),
    digest: "sha384",
  },
  { name: "Ed25519", key: "ed25519", algorithm: algorithm("1.3.101.112"), digest: null },
]);

for (const { name, key, algorithm, digest, refused } of ALGORITHMS) {
  test(`isSignatureValid() ${refused ? "refuses" : "verifies"} ${name}`, () => {
    const privateKey = loadKey(key);
    const signature = sign(digest === undefined ? "sha256" : digest, DATA, privateKey);
    const publicKey = createPublicKey(privateKey);
    const isValid = (signature: Uint8Array, data: Uint8Array = DATA) =>
      isSignatureValid({ algorithm, data, signature, key: publicKey });
    if (refused) {
      return assert.throws(() => isValid(signature), { kind: "malformed", message: refused });
    }
    assert.equal(isValid(signature), true);
    assert.equal(isValid(flipBit(signature, -1)), false);
    assert.equal(isValid(signature.subarray(1)), false);
    assert.equal(isValid(new Uint8Array()), false);
    assert.equal(isValid(signature, utf8("other data")), false);
  });
}

const LABEL = "pki/1 CERTUP";

for (const type of TYPES) {
  test(`signLabelled() makes a signature of ${type} that holds for its label and parts only`, () => {
    const privateKey = loadKey(type);
    const key = createPublicKey(privateKey);
    const parts = [randomBytes(32), randomBytes(32), randomBytes(32)] as const;
    const signature = signLabelled(privateKey, LABEL, ...parts);
    const isValid = (signature: Uint8Array, parts: readonly Uint8Array[]) =>
      isLabelledSignatureValid({ key, signature, label: LABEL, parts });
    assert.equal(isValid(signature, parts), true);

    const [first, second, third] = parts;
    assert.equal(isValid(signature, [second, first, third]), false);
    assert.equal(isValid(signature, [first, second]), false);
    assert.equal(isValid(signature, [...parts, new Uint8Array(32)]), false);
    assert.equal(isValid(signature, [flipBit(first, 0), second, third]), false);
    assert.equal(isValid(signature, []), false);
    assert.equal(isValid(flipBit(signature, -1), parts), false);

    const other = createPublicKey(loadKey(type === "p256" ? "p384" : "p256"));
    assert.equal(isLabelledSignatureValid({ key: other, signature, label: LABEL, parts }), false);
    const { digest } = KEY_TYPES[type];
    for (const label of ["", "\0", "pki/1 CERTUP", "pki/1 LOGIN\0", "pki/2 CERTUP\0", "CERTUP\0"]) {
      const foreign = sign(digest, concatBytes(utf8(label), ...parts), privateKey);
      assert.equal(isValid(foreign, parts), false, label);
    }
    const documented = sign(digest, concatBytes(utf8("pki/1 CERTUP\0"), ...parts), privateKey);
    assert.equal(isValid(documented, parts), true);
  });
}

test("isLabelledSignatureValid() is false for any bytes, and never throws", () => {
  for (const type of TYPES) {
    const privateKey = loadKey(type);
    const key = createPublicKey(privateKey);
    const real = signLabelled(privateKey, LABEL, DATA);
    const cut = fc.nat(real.length).map((length) => real.slice(0, length));
    const flipped = fc.tuple(fc.nat(real.length - 1), fc.nat(7))
      .map(([index, bit]) => flipBit(real, index, bit));
    const bytes = fc.uint8Array({ maxLength: 400 });
    fc.assert(fc.property(fc.oneof(bytes, cut, flipped), (signature) => {
      const isValid = isLabelledSignatureValid({ key, signature, label: LABEL, parts: [DATA] });
      assert.equal(isValid, isEqualBytes(signature, real));
    }));
  }
});

test("signLabelled() refuses a key that is not one of ours", () => {
  assert.throws(() => signLabelled(loadKey("secp256k1"), LABEL, DATA), {
    kind: "malformed",
    message: "cannot use the key: EC secp256k1 is not supported",
  });
});

test("encryptPrivateKey() makes what decryptPrivateKey() and openssl open, of 600,000 rounds", {
  skip: WITHOUT_OPENSSL,
}, async () => {
  for (const type of TYPES) {
    const key = loadKey(type);
    const pem = await encryptPrivateKey(key, PASSWORD);
    assert.equal(isEncryptedKey(pem), true);
    const args = ["pkey", "-in", "key.pem", "-pubout", "-passin", `pass:${PASSWORD}`];
    const { status, output } = runOpenssl(args, { "key.pem": pem });
    assert.equal(status, 0, output);
    assert.deepEqual(parsePemBlock(output, ["PUBLIC KEY"], "openssl's answer"), encodeSpki(key));
    if (type !== "ed25519") continue;
    assert.equal((await decryptPrivateKey(pem, PASSWORD, "the key")).equals(key), true);
    const shown = runOpenssl(["asn1parse", "-in", "key.pem"], { "key.pem": pem }).output;
    for (const part of ["PBES2", "PBKDF2", "hmacWithSHA256", "aes-256-cbc", "INTEGER +:0927C0"]) {
      assert.match(shown, new RegExp(part));
    }
    assert.notEqual(await encryptPrivateKey(key, PASSWORD), pem);
    const wrong = runOpenssl([...args.slice(0, -1), "pass:wrong"], { "key.pem": pem });
    assert.notEqual(wrong.status, 0);
  }
});

test("encryptPrivateKey() takes a password of any characters", async () => {
  const key = loadKey("ed25519");
  const pem = await encryptPrivateKey(key, "pässwörd 🔑\0");
  assert.equal((await decryptPrivateKey(pem, "pässwörd 🔑\0", "it")).equals(key), true);
});

const HINT = "convert it with: openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256";

function unsupported(what: string) {
  return {
    kind: "malformed",
    message: `cannot open the key: its encryption (${what}) is not supported`,
    hint: HINT,
  };
}

/** By file in testdata/x509, all of the same key under the same password. */
const ENCRYPTED: readonly {
  readonly name: string;
  readonly password?: string;
  readonly refused?: { readonly kind: string; readonly message: string };
}[] = [
  { name: "encrypted_aes128", refused: unsupported("2.16.840.1.101.3.4.1.2") },
  { name: "encrypted_des3", refused: unsupported("1.2.840.113549.3.7") },
  { name: "encrypted_sha1", refused: unsupported("HMAC-SHA-1") },
  { name: "encrypted_sha512", refused: unsupported("1.2.840.113549.2.11") },
  { name: "encrypted_pbes1", refused: unsupported("1.2.840.113549.1.12.1.3") },
  { name: "encrypted_scrypt", refused: unsupported("1.3.6.1.4.1.11591.4.11") },
  {
    name: "encrypted_traditional",
    refused: {
      kind: "malformed",
      message: 'cannot read key "x": no PEM block ENCRYPTED PRIVATE KEY in it',
    },
  },
  {
    name: "encrypted",
    password: "correct horse ",
    refused: { kind: "refused", message: 'cannot open key "x": the password does not fit' },
  },
  {
    name: "encrypted",
    password: "",
    refused: { kind: "refused", message: 'cannot open key "x": the password does not fit' },
  },
  { name: "encrypted" },
  { name: "encrypted_1_round" },
];

for (const { name, password = PASSWORD, refused } of ENCRYPTED) {
  const title = `${name}.pem with ${JSON.stringify(password)}`;
  test(`decryptPrivateKey() ${refused ? "refuses" : "opens"} ${title}`, async () => {
    const opened = decryptPrivateKey(vector(`${name}.pem`), password, 'key "x"');
    if (refused) await assert.rejects(opened, refused);
    else assert.equal((await opened).equals(loadKey("p256")), true);
  });
}

test("decryptPrivateKey() refuses every wrong password, also where the padding fits", async () => {
  const pem = vector("encrypted_1_round.pem");
  let fitting = 0;
  for (let i = 0; i < 1200; i++) {
    await assert.rejects(decryptPrivateKey(pem, `wrong ${i}`, "it"), (error) => {
      assert.ok(error instanceof PkiError);
      assert.equal(error.kind, "refused");
      assert.equal(error.message, "cannot open it: the password does not fit");
      if (!/decrypt|padding|unpad/i.test(String(error.cause))) fitting++;
      return true;
    });
  }
  assert.ok(fitting > 0, "none of these passwords leaves padding that fits");
});

interface Pbes2 {
  readonly rounds?: Uint8Array;
  readonly keyLength?: number;
  readonly iv?: Uint8Array;
  readonly ciphertext?: Uint8Array;
  readonly behind?: Uint8Array;
}

function pbes2(
  { rounds = encodeInteger(1), keyLength, iv, ciphertext, behind = new Uint8Array() }: Pbes2,
): string {
  const kdf = encodeSequence(
    encodeOid("1.2.840.113549.1.5.12"),
    encodeSequence(
      encodeOctetString(new Uint8Array(8)),
      rounds,
      keyLength === undefined ? new Uint8Array() : encodeInteger(keyLength),
      encodeSequence(encodeOid("1.2.840.113549.2.9"), encodeNull()),
    ),
  );
  const scheme = encodeSequence(
    encodeOid("2.16.840.1.101.3.4.1.42"),
    encodeOctetString(iv ?? new Uint8Array(16)),
  );
  const der = encodeSequence(
    encodeSequence(encodeOid("1.2.840.113549.1.5.13"), encodeSequence(kdf, scheme)),
    encodeOctetString(ciphertext ?? new Uint8Array(32)),
  );
  return encodePem("ENCRYPTED PRIVATE KEY", concatBytes(der, behind));
}

const OUT_OF_RANGE = "cannot open the key: its encryption parameters are out of range";
const NO_BLOCKS = "cannot open the key: its ciphertext is not whole blocks";

const PARAMETERS: readonly {
  readonly name: string;
  readonly pbes2: Pbes2;
  readonly kind?: string;
  readonly message: string;
}[] = [
  { name: "no rounds", pbes2: { rounds: encodeInteger(0) }, message: OUT_OF_RANGE },
  {
    name: "more rounds than we do",
    pbes2: { rounds: encodeInteger(10_000_001) },
    message: OUT_OF_RANGE,
  },
  {
    name: "a negative number of rounds",
    pbes2: { rounds: Uint8Array.of(2, 1, 0xff) },
    message: "cannot read DER: an integer out of range",
  },
  {
    name: "endless rounds",
    pbes2: { rounds: encodeElement(TAG.integer, new Uint8Array(9).fill(0x7f)) },
    message: "cannot read DER: an integer out of range",
  },
  { name: "a short IV", pbes2: { iv: new Uint8Array(15) }, message: OUT_OF_RANGE },
  { name: "a long IV", pbes2: { iv: new Uint8Array(17) }, message: OUT_OF_RANGE },
  {
    name: "another key length",
    pbes2: { keyLength: 16 },
    message: "cannot open the key: its key length is not 32 bytes",
  },
  { name: "no ciphertext", pbes2: { ciphertext: new Uint8Array() }, message: NO_BLOCKS },
  { name: "half a block", pbes2: { ciphertext: new Uint8Array(24) }, message: NO_BLOCKS },
  {
    name: "a byte behind the end",
    pbes2: { behind: Uint8Array.of(0) },
    message: "cannot read DER: bytes behind the end",
  },
  {
    name: "a ciphertext of something else",
    pbes2: { keyLength: 32 },
    kind: "refused",
    message: "cannot open it: the password does not fit",
  },
];

for (const { name, pbes2: parameters, kind = "malformed", message } of PARAMETERS) {
  test(`decryptPrivateKey() refuses ${name}`, async () => {
    await assert.rejects(decryptPrivateKey(pbes2(parameters), PASSWORD, "it"), { kind, message });
  });
}

test("encryptText() keeps a text; a wrong password or a key in its place is refused", async () => {
  const pem = await encryptText("sécret", PASSWORD);
  assert.match(pem, /^-----BEGIN ENCRYPTED PKI SECRET-----\n/);
  assert.equal(isEncryptedKey(pem), false);
  assert.equal(await decryptText(pem, PASSWORD, "it"), "sécret");
  await assert.rejects(decryptText(pem, "wrong", "the setup"), {
    kind: "refused",
    message: "cannot open the setup: the password does not fit",
  });
  await assert.rejects(decryptText(vector("encrypted.pem"), PASSWORD, "it"), {
    kind: "malformed",
    message: "cannot read it: no PEM block ENCRYPTED PKI SECRET in it",
  });
  const relabelled = vector("encrypted.pem").replaceAll("PRIVATE KEY", "PKI SECRET");
  await assert.rejects(decryptText(relabelled, PASSWORD, "it"), { kind: "refused" });
});

for (const name of ["p256", "p256_parameters", "p384", "ed25519", "rsa2048", "rsa3072"]) {
  test(`parsePlainPrivateKey() reads ${name}.key`, () => {
    const key = parsePlainPrivateKey(vector(`${name}.key`), "it");
    assert.equal(keyTypeOf(key), keyTypeOf(parsePublicKey(encodeSpki(key))));
  });
}

test("parsePlainPrivateKey() refuses what is not a private key in clear", () => {
  const labels = "PRIVATE KEY or EC PRIVATE KEY or RSA PRIVATE KEY";
  for (const text of ["", vector("p256.csr"), vector("encrypted.pem")]) {
    assert.throws(() => parsePlainPrivateKey(text, 'key "x"'), {
      kind: "malformed",
      message: `cannot read key "x": no PEM block ${labels} in it`,
    });
  }
  assert.throws(() => parsePlainPrivateKey(encodePem("PRIVATE KEY", utf8("x")), 'key "x"'), {
    kind: "malformed",
    message: 'cannot read key "x": it is not a private key',
  });
});
