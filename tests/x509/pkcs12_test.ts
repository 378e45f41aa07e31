import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createPrivateKey } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { type Bytes, concatBytes, copyBytes } from "../../lib/base/bytes.ts";
import { PkiError } from "../../lib/base/errors.ts";
import type { KeyType } from "../../lib/x509/algorithms.ts";
import {
  contextTag,
  DerReader,
  encodeElement,
  encodeInteger,
  encodeNull,
  encodeOctetString,
  encodeOid,
  encodeSequence,
  TAG,
} from "../../lib/x509/der.ts";
import { encryptPbes2 } from "../../lib/x509/pbes2.ts";
import { encodeCertificatesPem } from "../../lib/x509/pem.ts";
import { encodePkcs12, type Pkcs12, PKCS12_OID } from "../../lib/x509/pkcs12.ts";
import { computeMac, MAC_DIGESTS } from "../../lib/x509/pkcs12_mac.ts";
import { parsePkcs12 } from "../../lib/x509/pkcs12_reader.ts";
import { flipBit, makeTestCa, makeUser } from "../fakes/ca.ts";
import { inFolder, runTool } from "../tool.ts";
import { runOpenssl, WITHOUT_OPENSSL } from "./openssl.ts";

const PASSWORD = "correct horse";
/** Deno takes 10 µs for a hash, so 600,000 of them are for the built program to do. */
const ROUNDS = 50;

const CA = await makeTestCa();
const ALICE = await makeUser(CA, { id: "alice" });
const WHOLE: Pkcs12 = {
  key: ALICE.key,
  certificates: [...ALICE.shown, CA.root.certificate.der],
};

function encode(content: Pkcs12 = WHOLE, password = PASSWORD, rounds = ROUNDS): Promise<Bytes> {
  return encodePkcs12(content, { password, name: "alice", rounds });
}

function parse(bytes: Uint8Array, password = PASSWORD): Promise<Pkcs12> {
  return parsePkcs12(bytes, { password, what: "it" });
}

function assertSame(found: Pkcs12, want: Pkcs12 = WHOLE): void {
  assert.ok(found.key.equals(want.key), "another key");
  assert.deepEqual(found.certificates, want.certificates);
}

const TYPES: readonly KeyType[] = ["p256", "p384", "rsa3072", "ed25519"];

for (const keyType of TYPES) {
  test(`parsePkcs12() reads what encodePkcs12() writes: ${keyType}`, async () => {
    const user = await makeUser(CA, { id: "alice", keyType });
    const content = { key: user.key, certificates: user.shown };
    assertSame(await parse(await encode(content)), content);
  });
}

const FILE = await encode();

test("encodePkcs12() makes a new salt for everything", async () => {
  const salts = (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1");
  assert.notEqual(salts(await encode()), salts(FILE));
});

test("parsePkcs12() puts the key's certificate first, wherever it was", async () => {
  const [leaf, ...others] = WHOLE.certificates;
  const certificates = [...others, ...leaf ? [leaf] : []];
  assertSame(await parse(await encode({ key: ALICE.key, certificates })));
});

for (const password of ["", "correct hors", "correct horse ", "Correct horse", "correct horse\0"]) {
  test(`parsePkcs12() refuses the wrong password ${JSON.stringify(password)}`, async () => {
    await assert.rejects(parse(FILE, password), {
      kind: "refused",
      message: "cannot open it: the password does not fit",
      hint: "if it is the right one, the file is damaged",
    });
  });
}

test("parsePkcs12() takes any password that encodePkcs12() took", async () => {
  for (const password of ["a", "grün", "пароль €", "schlüssel 🔑", "x".repeat(1024), "é", "\0"]) {
    assertSame(await parse(await encode(WHOLE, password), password));
    await assert.rejects(parse(await encode(WHOLE, password), `${password}.`), { kind: "refused" });
  }
});

const NOT_WHOLE = { kind: "malformed", message: "cannot open it: it is not a whole PKCS #12 file" };

test("parsePkcs12() refuses every truncation", async () => {
  for (let length = 0; length < FILE.length; length++) {
    await assert.rejects(parse(FILE.subarray(0, length)), NOT_WHOLE, `${length} bytes`);
  }
  await assert.rejects(parse(concatBytes(FILE, Uint8Array.of(0))), NOT_WHOLE);
});

test("parsePkcs12() reads the same or refuses, whatever bits are flipped", async () => {
  const short = await encode(WHOLE, PASSWORD, 1); // no bit of 1 makes it many rounds
  await fc.assert(
    fc.asyncProperty(fc.nat(short.length - 1), fc.nat(7), async (index, bit) => {
      try {
        assertSame(await parse(flipBit(short, index, bit)));
      } catch (error) {
        const isRefusal = error instanceof PkiError && /^(?:malformed|refused)$/.test(error.kind);
        assert.ok(isRefusal, String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

test("parsePkcs12() reads or refuses any bytes", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
      await assert.rejects(parse(bytes), NOT_WHOLE);
    }),
    { numRuns: 500 },
  );
});

/** The same in BER: every length unsaid, every octet string of some length in two pieces. */
function toBer(der: Uint8Array): Bytes {
  const reader = new DerReader(der);
  const parts: Uint8Array[] = [];
  while (!reader.isAtEnd) {
    const { tag, content, whole } = reader.read();
    if (tag === TAG.octetString && content.length > 40) {
      const halves = [content.subarray(0, 20), content.subarray(20)].map(encodeOctetString);
      parts.push(Uint8Array.of(0x24, 0x80), ...halves, Uint8Array.of(0, 0));
    } else if ((tag & 0x20) !== 0) {
      parts.push(Uint8Array.of(tag, 0x80), toBer(content), Uint8Array.of(0, 0));
    } else parts.push(whole);
  }
  return concatBytes(...parts);
}

test("parsePkcs12() reads BER, as NSS writes it, and refuses every truncation of it", async () => {
  const ber = toBer(FILE);
  assert.notDeepEqual(ber, FILE);
  assertSame(await parse(ber));
  for (let length = 0; length < ber.length; length++) {
    await assert.rejects(parse(ber.subarray(0, length)), NOT_WHOLE, `${length} bytes`);
  }
});

test("parsePkcs12() refuses a file that is neither DER nor BER from its start", async () => {
  const padded = concatBytes(Uint8Array.of(0x30, 0x83, 0), FILE.subarray(2)); // a zero in front
  await assert.rejects(parse(padded), NOT_WHOLE);
});

const explicit = (content: Uint8Array) => encodeElement(contextTag(0, true), content);

function encodeContentInfo(type: string, content: Uint8Array): Bytes {
  return encodeSequence(encodeOid(type), explicit(content));
}

const data = (content: Uint8Array) =>
  encodeContentInfo(PKCS12_OID.data, encodeOctetString(content));

const bag = (type: string, value: Uint8Array) => encodeSequence(encodeOid(type), explicit(value));

function certBag(der: Uint8Array, type: string = PKCS12_OID.x509Certificate): Bytes {
  const value = encodeSequence(encodeOid(type), explicit(encodeOctetString(der)));
  return bag(PKCS12_OID.certBag, value);
}

function pkcs8(key = ALICE.key): Bytes {
  return copyBytes(key.export({ format: "der", type: "pkcs8" }));
}

const LEAF_BAG = certBag(WHOLE.certificates[0] ?? new Uint8Array());
const KEY_BAG = bag(PKCS12_OID.keyBag, pkcs8());

interface Seal {
  readonly version?: number;
  readonly type?: string;
  readonly digest?: string;
  readonly salt?: Uint8Array;
  /** As it is written; {@link rounds} is what is done. */
  readonly writtenRounds?: Uint8Array;
  readonly rounds?: number;
  readonly hasMac?: boolean;
}

const SHA256 = "2.16.840.1.101.3.4.2.1";

/** A PFX around these ContentInfos, with the right MAC. */
function seal(contents: readonly Uint8Array[], {
  version = 3,
  type = PKCS12_OID.data,
  digest = SHA256,
  salt = Uint8Array.of(1, 2, 3),
  rounds = 1,
  writtenRounds = encodeInteger(rounds),
  hasMac = true,
}: Seal = {}): Bytes {
  const safe = encodeSequence(...contents);
  const mac = computeMac(safe, PASSWORD, { digest: MAC_DIGESTS[SHA256], salt, rounds });
  const macData = encodeSequence(
    encodeSequence(encodeSequence(encodeOid(digest), encodeNull()), encodeOctetString(mac)),
    encodeOctetString(salt),
    writtenRounds,
  );
  return encodeSequence(
    encodeInteger(version),
    encodeContentInfo(type, encodeOctetString(safe)),
    ...hasMac ? [macData] : [],
  );
}

/** A part that holds these bags in the clear. */
const bags = (...list: readonly Uint8Array[]) => data(encodeSequence(...list));

function encryptedData(algorithm: Uint8Array, ciphertext: Uint8Array): Bytes {
  const info = encodeSequence(
    encodeOid(PKCS12_OID.data),
    algorithm,
    encodeElement(contextTag(0, false), ciphertext),
  );
  return encodeContentInfo(PKCS12_OID.encryptedData, encodeSequence(encodeInteger(0), info));
}

const oldAlgorithm = (oid: string) =>
  encodeSequence(
    encodeOid(oid),
    encodeSequence(encodeOctetString(new Uint8Array(8)), encodeInteger(2048)),
  );

async function encrypted(content: Uint8Array, password = PASSWORD): Promise<Bytes> {
  const { algorithm, ciphertext } = await encryptPbes2(content, password, ROUNDS);
  return encryptedData(algorithm, ciphertext);
}

/** An AlgorithmIdentifier of PBES2 with these numbers of rounds. */
function pbes2Algorithm(rounds: number): Bytes {
  const kdf = encodeSequence(
    encodeOid("1.2.840.113549.1.5.12"),
    encodeSequence(
      encodeOctetString(new Uint8Array(8)),
      encodeInteger(rounds),
      encodeSequence(encodeOid("1.2.840.113549.2.9")),
    ),
  );
  const scheme = encodeSequence(
    encodeOid("2.16.840.1.101.3.4.1.42"),
    encodeOctetString(new Uint8Array(16)),
  );
  return encodeSequence(encodeOid("1.2.840.113549.1.5.13"), encodeSequence(kdf, scheme));
}

const HINT =
  "convert it with: openssl pkcs12 -legacy -aes256 -in OLD.p12 -out NEW.pem; and import NEW.pem";
const SECP256K1 = createPrivateKey(
  fs.readFileSync(new URL("../../testdata/x509/secp256k1.key", import.meta.url)),
);
const BLOCKS = new Uint8Array(32);
const TOO_MANY = "it wants more than 10000000 rounds, or none";

const REFUSED: readonly {
  readonly name: string;
  readonly file: Uint8Array | Promise<Uint8Array>;
  readonly why: string;
  readonly hint?: string;
}[] = [
  { name: "version 2", file: seal([], { version: 2 }), why: "it is not of version 3" },
  {
    name: "a signature instead of a MAC",
    file: seal([], { type: "1.2.840.113549.1.7.2" }),
    why: "it is protected by a signature, not by a password",
  },
  {
    name: "no MAC",
    file: seal([bags(KEY_BAG, LEAF_BAG)], { hasMac: false }),
    why: "it has no MAC, so anybody could have changed it",
  },
  {
    name: "PBMAC1",
    file: seal([], { digest: "1.2.840.113549.1.5.14" }),
    why: "its MAC (PBMAC1) is not supported",
    hint: HINT,
  },
  {
    name: "MD5 in the MAC",
    file: seal([], { digest: "1.2.840.113549.2.5" }),
    why: "its MAC (1.2.840.113549.2.5) is not supported",
    hint: HINT,
  },
  {
    name: "no salt",
    file: seal([], { salt: new Uint8Array() }),
    why: "the salt of its MAC is out of range",
  },
  {
    name: "a long salt",
    file: seal([], { salt: new Uint8Array(1025) }),
    why: "the salt of its MAC is out of range",
  },
  {
    name: "no rounds",
    file: seal([], { writtenRounds: encodeInteger(0) }),
    why: TOO_MANY,
  },
  {
    name: "more rounds than we do",
    file: seal([], { writtenRounds: encodeInteger(10_000_001) }),
    why: TOO_MANY,
  },
  {
    name: "more rounds in the parts than we do together",
    file: seal([encryptedData(pbes2Algorithm(10_000_000), BLOCKS)]),
    why: TOO_MANY,
  },
  {
    name: "more rounds in a part than we do",
    file: seal([encryptedData(pbes2Algorithm(10_000_001), BLOCKS)]),
    why: "its encryption parameters are out of range",
  },
  {
    name: "RC2",
    file: seal([encryptedData(oldAlgorithm("1.2.840.113549.1.12.1.6"), BLOCKS)]),
    why: "its encryption (RC2 of 40 bits) is not supported",
    hint: HINT,
  },
  {
    name: "triple DES",
    file: seal([
      bags(
        LEAF_BAG,
        bag(
          PKCS12_OID.shroudedKeyBag,
          encodeSequence(oldAlgorithm("1.2.840.113549.1.12.1.3"), encodeOctetString(BLOCKS)),
        ),
      ),
    ]),
    why: "its encryption (triple DES) is not supported",
    hint: HINT,
  },
  {
    name: "an unknown cipher",
    file: seal([encryptedData(oldAlgorithm("1.2.3.4"), BLOCKS)]),
    why: "its encryption (1.2.3.4) is not supported",
    hint: HINT,
  },
  {
    name: "a ciphertext that is no blocks",
    file: seal([encryptedData(pbes2Algorithm(1), new Uint8Array(31))]),
    why: "its ciphertext is not whole blocks",
  },
  {
    name: "another password inside",
    file: encrypted(encodeSequence(KEY_BAG), "another").then((part) => seal([part])),
    why: "a part of it has another password than the whole",
    hint: HINT,
  },
  {
    name: "a part that is encrypted for a key",
    file: seal([encodeContentInfo("1.2.840.113549.1.7.3", encodeNull())]),
    why: "a part of it is encrypted for a key, not with a password",
  },
  {
    name: "an unknown bag",
    file: seal([bags(bag("1.2.840.113549.1.12.10.1.6", encodeSequence()))]),
    why: "it holds something of an unknown type (1.2.840.113549.1.12.10.1.6)",
  },
  {
    name: "9 parts",
    file: seal(Array.from({ length: 9 }, () => bags())),
    why: "more than 8 parts in it",
  },
  {
    name: "65 bags",
    file: seal([
      bags(...Array.from({ length: 33 }, () => LEAF_BAG)),
      bags(...Array.from({ length: 32 }, () => LEAF_BAG)),
    ]),
    why: "more than 64 things in it",
  },
  { name: "nothing", file: seal([]), why: "it holds no key" },
  { name: "no key", file: seal([bags(LEAF_BAG)]), why: "it holds no key" },
  { name: "two keys", file: seal([bags(KEY_BAG, LEAF_BAG, KEY_BAG)]), why: "it holds 2 keys" },
  {
    name: "no certificate",
    file: seal([bags(KEY_BAG)]),
    why: "it holds no certificate for its key",
  },
  {
    name: "only another's certificate",
    file: seal([bags(KEY_BAG, certBag(CA.root.certificate.der))]),
    why: "it holds no certificate for its key",
  },
  {
    name: "what is no certificate",
    file: seal([bags(KEY_BAG, certBag(Uint8Array.of(1, 2, 3)))]),
    why: "it holds no certificate for its key",
  },
  {
    name: "a certificate of another kind",
    file: seal([
      bags(KEY_BAG, certBag(WHOLE.certificates[0] ?? BLOCKS, "1.2.840.113549.1.9.22.2")),
    ]),
    why: "it holds no certificate for its key",
  },
  {
    name: "what is no key",
    file: seal([bags(bag(PKCS12_OID.keyBag, encodeSequence(encodeNull())))]),
    why: "the key in it cannot be read",
  },
  {
    name: "a damaged part",
    file: seal([data(Uint8Array.of(0x30, 5, 0))]),
    why: "it is not a whole PKCS #12 file",
  },
  {
    name: "a byte behind the end of a part",
    file: seal([data(Uint8Array.of(0x30, 0, 0))]),
    why: "it is not a whole PKCS #12 file",
  },
];

for (const { name, file, why, hint } of REFUSED) {
  test(`parsePkcs12() refuses ${name}`, async () => {
    await assert.rejects(parse(await file), {
      name: "PkiError",
      kind: "malformed",
      message: `cannot open it: ${why}`,
      hint,
    });
  });
}

test("parsePkcs12() refuses a key of a kind that we do not use", async () => {
  await assert.rejects(parse(seal([bags(bag(PKCS12_OID.keyBag, pkcs8(SECP256K1)))])), {
    kind: "malformed",
    message: "cannot use the key: EC secp256k1 is not supported",
  });
});

test("parsePkcs12() reads what is at the limits, and what stands beside key and certificate", async () => {
  const others = [
    bag(PKCS12_OID.crlBag, encodeSequence()),
    bag(PKCS12_OID.secretBag, encodeSequence()),
    certBag(Uint8Array.of(1), "1.2.840.113549.1.9.22.2"),
  ];
  const parts = [
    ...Array.from({ length: 6 }, () => bags()),
    bags(...others),
    bags(KEY_BAG, LEAF_BAG),
  ];
  const salt = new Uint8Array(1024);
  const { key, certificates } = await parse(seal(parts, { salt, rounds: 3 }));
  assert.ok(key.equals(ALICE.key));
  assert.deepEqual(certificates, WHOLE.certificates.slice(0, 1));
  // A MAC of one round need not say so.
  await parse(seal(parts, { writtenRounds: new Uint8Array() }));
});

test("parsePkcs12() believes nothing before the MAC is right", async () => {
  const unknown = bags(bag("1.2.3", encodeSequence()));
  const file = seal([unknown]);
  await assert.rejects(parse(file), { kind: "malformed" });
  const at = Buffer.from(file).indexOf(Buffer.from(unknown));
  await assert.rejects(parse(flipBit(file, at + unknown.length - 1, 1)), { kind: "refused" });
});

/** Options of `openssl pkcs12 -export`, each read by us. */
const OPENSSL: readonly (readonly string[])[] = [
  [],
  ["-macalg", "sha1"],
  ["-macalg", "sha384"],
  ["-macalg", "sha512", "-maciter"],
  ["-nomaciter"],
  ["-keypbe", "aes-128-cbc", "-certpbe", "aes-256-cbc"],
  ["-keypbe", "NONE", "-certpbe", "NONE"],
  ["-name", "Alice", "-caname", "issuing"],
];

function keyPem(): string {
  return ALICE.key.export({ format: "pem", type: "pkcs8" }) as string;
}

for (const options of OPENSSL) {
  test(`parsePkcs12() reads what openssl pkcs12 -export ${options.join(" ")} writes`, {
    skip: WITHOUT_OPENSSL,
  }, async () => {
    const files = {
      "key.pem": keyPem(),
      "certs.pem": encodeCertificatesPem(WHOLE.certificates),
    };
    const file = inFolder(files, (cwd) => {
      const io = ["-inkey", "key.pem", "-in", "certs.pem", "-out", "it.p12"];
      const args = ["pkcs12", "-export", ...io, "-passout", `pass:${PASSWORD}`, ...options];
      const { status, output } = runTool("openssl", args, { cwd });
      assert.equal(status, 0, output);
      return fs.readFileSync(join(cwd, "it.p12"));
    });
    assertSame(await parse(file));
    await assert.rejects(parse(file, "wrong"), { kind: "refused" });
  });
}

for (const password of [PASSWORD, "grün", "пароль €", "schlüssel 🔑"]) {
  test(`openssl opens what encodePkcs12() writes with the password ${password}`, {
    skip: WITHOUT_OPENSSL,
  }, async () => {
    const file = await encode(WHOLE, password);
    const args = ["pkcs12", "-in", "it.p12", "-noenc", "-passin", `pass:${password}`];
    const { status, output } = runOpenssl(args, { "it.p12": file });
    assert.equal(status, 0, output);
    assert.match(output, /friendlyName: alice/);
    for (
      const pem of [
        keyPem(),
        ...WHOLE.certificates.map((der) => encodeCertificatesPem([der])),
      ]
    ) {
      assert.ok(output.includes(pem.trim()), output);
    }
    const wrong = runOpenssl([...args.slice(0, -1), "pass:wrong"], { "it.p12": file });
    assert.match(wrong.output, /invalid password/);
  });
}
