import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  type Bytes,
  concatBytes,
  copyBytes,
  encodeHex,
  isEqualBytes,
} from "../../lib/base/bytes.ts";
import { PkiError } from "../../lib/base/errors.ts";
import { LIMITS } from "../../lib/base/limits.ts";
import { OID } from "../../lib/x509/certificate.ts";
import {
  type Crl,
  encodeCrlEntry,
  encodeTbsCrl,
  isCrlSignedBy,
  parseCrl,
  parseCrlHead,
  REVOCATION_REASONS,
  signCrl,
} from "../../lib/x509/crl.ts";
import {
  contextTag,
  DerReader,
  encodeElement,
  encodeGeneralizedTime,
  encodeInteger,
  encodeNull,
  encodeOid,
  encodeSequence,
  encodeTime,
  readWhole,
  TAG,
} from "../../lib/x509/der.ts";
import {
  encodeAuthorityKeyId,
  encodeExtension,
  encodeSignatureAlgorithm,
  signTbs,
} from "../../lib/x509/encode.ts";
import { generatePrivateKey } from "../../lib/x509/keys.ts";
import { x509 } from "../../lib/x509/provider.ts";
import {
  draftIssuing,
  flipBit,
  HOUR_MS,
  makeTestCa,
  NOW_MS,
  signDraft,
  type TestCa,
} from "../fakes/ca.ts";
import { parseCertificate } from "../../lib/x509/certificate.ts";
import { encodeEntries, LASTING_REASONS, makeCrl, NEXT_MS, reasonOf, serialOf } from "./crls.ts";

const ca = await makeTestCa();

function summary(crl: Crl) {
  const { thisUpdateMs, nextUpdateMs, number, entryCount } = crl;
  return { thisUpdateMs, nextUpdateMs, number, entryCount, entries: [...crl.entries()] };
}

test("parseCrl() reads what encodeTbsCrl() and signCrl() make", () => {
  const reason = fc.constantFrom(...LASTING_REASONS);
  const time = fc.integer({ min: 0, max: Date.UTC(2080, 0) / 1000 }).map((seconds) =>
    seconds * 1000
  );
  const serial = fc.uint8Array({ minLength: 1, maxLength: 19 }).map((bytes) =>
    concatBytes(Uint8Array.of(0x11), bytes)
  );
  const entries = fc.uniqueArray(fc.record({ serial, revokedMs: time, reason }), {
    selector: (entry) => encodeHex(entry.serial),
    maxLength: 50,
  });
  const number = fc.bigInt({ min: 0n, max: 2n ** 159n - 1n });
  fc.assert(fc.property(entries, number, time, (list, number, thisUpdateMs) => {
    const nextUpdateMs = thisUpdateMs + HOUR_MS;
    const issuer = ca.issuing.certificate;
    const encoded = list.map((entry) => encodeCrlEntry(entry));
    const tbs = encodeTbsCrl({ issuer, number, thisUpdateMs, nextUpdateMs, entries: encoded });
    const crl = parseCrl(signCrl(tbs, ca.issuing));
    const expected = list.map((entry) => ({ ...entry, serial: encodeHex(entry.serial) }));
    assert.deepEqual(summary(crl), {
      thisUpdateMs,
      nextUpdateMs,
      number,
      entryCount: list.length,
      entries: expected,
    });
    for (const { serial, revokedMs, reason } of expected) {
      assert.deepEqual(crl.find(serial), { serial, revokedMs, reason });
      assert.equal(crl.find(`${serial}00`), undefined);
    }
    assert.deepEqual(crl.issuer, issuer.subject);
    assert.deepEqual(crl.authorityKeyId, issuer.subjectKeyId);
    assert.equal(crl.deltaBase, undefined);
    assert.equal(crl.scope, undefined);
    assert.equal(isCrlSignedBy(crl, issuer), true);
  }));
});

test("encodeCrlEntry() takes a serial number in hex, and leaves `unspecified` out", () => {
  const entry = { serial: "01ff", revokedMs: NOW_MS, reason: "unspecified" } as const;
  assert.equal(
    encodeHex(encodeCrlEntry(entry)),
    "3013" + "020201ff" + "170d3236313130313132303030305a",
  );
  assert.equal(
    encodeHex(encodeCrlEntry({ ...entry, reason: "aACompromise" })),
    "3021" + "020201ff" + "170d3236313130313132303030305a" + "300c300a0603551d1504030a010a",
  );
  assert.throws(() => encodeCrlEntry({ ...entry, serial: "1" }), { kind: "malformed" });
});

test("encodeTbsCrl() takes any number of encoded entries, one or many in a part", () => {
  const count = 150_000; // more than a function takes arguments
  const entries = encodeEntries(count);
  const template = {
    issuer: ca.issuing.certificate,
    number: 1n,
    thisUpdateMs: NOW_MS,
    nextUpdateMs: NEXT_MS,
  };
  const tbs = encodeTbsCrl({ ...template, entries });
  const parts = [concatBytes(...entries.slice(0, 1000)), ...entries.slice(1000)];
  assert.ok(isEqualBytes(tbs, encodeTbsCrl({ ...template, entries: parts })));
  const crl = parseCrl(signCrl(tbs, ca.issuing));
  assert.equal(crl.entryCount, count);
  const last = count - 1;
  assert.deepEqual(crl.find(encodeHex(serialOf(last))), {
    serial: encodeHex(serialOf(last)),
    revokedMs: NOW_MS - last * HOUR_MS,
    reason: reasonOf(last),
  });
});

test("encodeTbsCrl() leaves a list without entries out (RFC 5280, section 5.1.2.6)", () => {
  const tagsOf = (entries: readonly Bytes[]) => {
    const issuer = ca.issuing.certificate;
    const times = { thisUpdateMs: NOW_MS, nextUpdateMs: NEXT_MS };
    const tbs = encodeTbsCrl({ issuer, number: 1n, ...times, entries });
    const reader = new DerReader(readWhole(tbs, TAG.sequence).content);
    const tags: number[] = [];
    while (!reader.isAtEnd) tags.push(reader.read().tag);
    return tags;
  };
  const { integer, sequence, utcTime } = TAG;
  const extensions = contextTag(0, true);
  const start = [integer, sequence, sequence, utcTime, utcTime];
  assert.deepEqual(tagsOf([]), [...start, extensions]);
  assert.deepEqual(tagsOf(encodeEntries(1)), [...start, sequence, extensions]);
});

test("signCrl() signs nothing but a list of its CA", async () => {
  const other = await makeTestCa({ domain: "other.example" });
  const tbs = (issuer: TestCa) =>
    encodeTbsCrl({
      issuer: issuer.issuing.certificate,
      number: 1n,
      thisUpdateMs: NOW_MS,
      nextUpdateMs: NEXT_MS,
      entries: [],
    });
  const rows: readonly (readonly [string, Uint8Array])[] = [
    ["a certificate", ca.issuing.certificate.tbs],
    ["another CA's list", tbs(other)],
    ["a list of version 1", encodeSequence(encodeInteger(0))],
    ["a list of another algorithm", encodeSequence(encodeInteger(1), encodeSequence())],
  ];
  for (const [what, bytes] of rows) {
    assert.throws(
      () => signCrl(bytes, ca.issuing),
      { kind: "internal", message: "cannot sign CRL: it is not a list of this CA" },
      what,
    );
  }
  assert.equal(isCrlSignedBy(parseCrl(signCrl(tbs(ca), ca.issuing)), ca.issuing.certificate), true);
});

test("isCrlSignedBy() is false for another CA, another key, a key that must not sign lists", async () => {
  const der = makeCrl(ca, encodeEntries(1));
  const crl = parseCrl(der);
  const { certificate, key } = ca.issuing;
  const draft = { ...draftIssuing(key), commonName: certificate.commonNames[0] ?? "" };
  const signed = async (changes: Partial<typeof draft>) =>
    parseCertificate(await signDraft({ ...draft, ...changes }, ca.root));
  const otherKey = await generatePrivateKey("p256");
  const rows: readonly (readonly [string, Crl, typeof certificate, boolean])[] = [
    ["another name", crl, await signed({ commonName: "other" }), false],
    ["another key", crl, await signed({ key: otherKey }), false],
    [
      "another key with the same identifier",
      crl,
      await signed({ key: otherKey, subjectKeyId: encodeHex(certificate.subjectKeyId ?? der) }),
      false,
    ],
    ["no cRLSign", crl, await signed({ keyUsage: x509.KeyUsageFlags.keyCertSign }), false],
    ["no key usage", crl, await signed({ keyUsage: null }), true],
    ["no key identifier", crl, await signed({ subjectKeyId: null }), true],
    ["a changed entry", parseCrl(flipBit(der, der.indexOf(0x40))), certificate, false],
    ["its own", crl, certificate, true],
  ];
  for (const [what, list, issuer, expected] of rows) {
    assert.equal(isCrlSignedBy(list, issuer), expected, what);
  }
});

/** A list from its parts, each of which may be wrong. */
interface Parts {
  readonly version?: Uint8Array;
  readonly algorithm?: Uint8Array;
  readonly thisUpdate?: Uint8Array;
  readonly nextUpdate?: Uint8Array;
  readonly list?: Uint8Array;
  readonly extensions?: readonly Uint8Array[] | null;
  readonly behind?: Uint8Array;
}

const NOTHING = new Uint8Array();
const keyId = encodeExtension(OID.authorityKeyId, false, encodeAuthorityKeyId(Uint8Array.of(1)));

function crlOf(parts: Parts): Bytes {
  const { key, certificate } = ca.issuing;
  const algorithm = encodeSignatureAlgorithm(key);
  const { extensions = [keyId] } = parts;
  const tbs = encodeSequence(
    parts.version ?? encodeInteger(1),
    parts.algorithm ?? algorithm,
    certificate.subject,
    parts.thisUpdate ?? encodeTime(NOW_MS),
    parts.nextUpdate ?? encodeTime(NOW_MS + HOUR_MS),
    parts.list ?? NOTHING,
    extensions ? encodeElement(contextTag(0, true), encodeSequence(...extensions)) : NOTHING,
    parts.behind ?? NOTHING,
  );
  return signTbs(tbs, key);
}

function entryOf(...extensions: readonly Uint8Array[]): Bytes {
  const list = extensions.length > 0 ? encodeSequence(...extensions) : NOTHING;
  return encodeSequence(encodeInteger(7), encodeTime(NOW_MS), list);
}

const enumerated = (code: number) => encodeElement(TAG.enumerated, Uint8Array.of(code));
const reasonExtension = (code: number) => encodeExtension("2.5.29.21", false, enumerated(code));
const number = (value: Uint8Array) => encodeExtension("2.5.29.20", false, value);
const delta = (base: number) => encodeExtension("2.5.29.27", true, encodeInteger(base));
const scope = (...fields: readonly Uint8Array[]) =>
  encodeExtension("2.5.29.28", true, encodeSequence(...fields));
const flag = (index: number, byte = 0xff) =>
  encodeElement(contextTag(index, false), Uint8Array.of(byte));
const UNKNOWN = "1.3.6.1.4.1.99999.1";

const REFUSED: readonly (readonly [string, Bytes, string])[] = [
  ["no version", crlOf({ version: NOTHING }), "not of version 2"],
  ["version 1", crlOf({ version: encodeInteger(0) }), "not of version 2"],
  ["version 3", crlOf({ version: encodeInteger(2) }), "not of version 2"],
  [
    "another algorithm inside",
    crlOf({ algorithm: encodeSequence(encodeOid("1.3.101.112")) }),
    "two different signature algorithms",
  ],
  [
    "a GeneralizedTime before 2050",
    crlOf({ thisUpdate: encodeGeneralizedTime(NOW_MS) }),
    "a year that belongs into a UTCTime",
  ],
  ["no time", crlOf({ thisUpdate: encodeNull() }), "a time of another type"],
  [
    "an end before the beginning",
    crlOf({ nextUpdate: encodeTime(NOW_MS - 1000) }),
    "its next update is before this one",
  ],
  ["no extension", crlOf({ extensions: [] }), "an empty list of extensions"],
  ["an extension twice", crlOf({ extensions: [keyId, keyId] }), "extension 2.5.29.35 twice"],
  ["bytes behind it", crlOf({ behind: encodeNull() }), "bytes behind the end"],
  [
    "an unknown critical extension",
    crlOf({ extensions: [keyId, encodeExtension(UNKNOWN, true, encodeNull())] }),
    `the unknown critical extension ${UNKNOWN}`,
  ],
  [
    "a negative number",
    crlOf({ extensions: [number(encodeElement(TAG.integer, Uint8Array.of(0x80)))] }),
    "a number out of range",
  ],
  [
    "a number of 21 bytes",
    crlOf({ extensions: [number(encodeElement(TAG.integer, new Uint8Array(21).fill(1)))] }),
    "a number out of range",
  ],
  [
    "a number with a leading zero",
    crlOf({ extensions: [number(encodeElement(TAG.integer, Uint8Array.of(0, 1)))] }),
    "an integer that is not in its shortest form",
  ],
  [
    "an indirect list",
    crlOf({ extensions: [scope(flag(4))] }),
    "an indirect list, with certificates of several issuers",
  ],
  [
    "some reasons only",
    crlOf({ extensions: [scope(encodeElement(contextTag(3, false), Uint8Array.of(6, 0x40)))] }),
    "a list for some reasons only",
  ],
  ["attributes only", crlOf({ extensions: [scope(flag(5))] }), "a list for no certificates"],
  [
    "users only and CAs only",
    crlOf({ extensions: [scope(flag(1), flag(2))] }),
    "a list for no certificates",
  ],
  [
    "a default in its scope",
    crlOf({ extensions: [scope(flag(1, 0))] }),
    "a default value that DER leaves out",
  ],
  [
    "an entry's unknown critical extension",
    crlOf({ list: encodeSequence(entryOf(encodeExtension(UNKNOWN, true, encodeNull()))) }),
    `the unknown critical extension ${UNKNOWN} of an entry`,
  ],
  [
    "an entry of another issuer",
    crlOf({
      list: encodeSequence(entryOf(encodeExtension("2.5.29.29", true, encodeSequence()))),
    }),
    "an indirect list, with certificates of several issuers",
  ],
  [
    "an entry's empty extensions",
    crlOf({
      list: encodeSequence(
        encodeSequence(encodeInteger(7), encodeTime(NOW_MS), encodeSequence()),
      ),
    }),
    "an empty list of extensions",
  ],
  ["reason 7", crlOf({ list: encodeSequence(entryOf(reasonExtension(7))) }), "an unknown reason"],
  ["reason 11", crlOf({ list: encodeSequence(entryOf(reasonExtension(11))) }), "an unknown reason"],
  [
    "a removal in a complete list",
    crlOf({ list: encodeSequence(entryOf(reasonExtension(8))) }),
    "a removal in a list that is complete",
  ],
  [
    "an invalidity date in a UTCTime",
    crlOf({
      list: encodeSequence(entryOf(encodeExtension("2.5.29.24", false, encodeTime(NOW_MS)))),
    }),
    "tag 0x17 where 0x18 is due",
  ],
  [
    "a serial number twice",
    crlOf({ list: encodeSequence(entryOf(), entryOf(reasonExtension(1))) }),
    "a serial number twice",
  ],
  [
    "too many bytes",
    copyBytes(new Uint8Array(LIMITS.crlBytesMax + 1)),
    `${LIMITS.crlBytesMax + 1} bytes, at most ${LIMITS.crlBytesMax} accepted`,
  ],
  ["no bytes", copyBytes(NOTHING), "it ends too early"],
];

test("parseCrl() refuses what is not DER of a list, or what it cannot use", () => {
  for (const [what, der, reason] of REFUSED) {
    assert.throws(
      () => parseCrl(der),
      { kind: "malformed", message: `cannot read CRL: ${reason}` },
      what,
    );
  }
  const good = parseCrl(crlOf({ list: encodeSequence(entryOf()) }));
  assert.equal(good.entryCount, 1);
});

test("parseCrl() reads what our own lists do not have", () => {
  const invalidityMs = Date.UTC(2020, 1, 3);
  const crl = parseCrl(crlOf({
    nextUpdate: NOTHING,
    list: encodeSequence(
      entryOf(
        reasonExtension(8),
        encodeExtension("2.5.29.24", false, encodeGeneralizedTime(invalidityMs)),
        encodeExtension("2.5.29.23", false, encodeNull()), // a hold instruction, ignored
      ),
    ),
    extensions: [
      number(encodeInteger(300)),
      delta(299),
      scope(encodeElement(contextTag(0, true), encodeNull()), flag(1)),
      encodeExtension("2.5.29.46", false, encodeSequence()),
      encodeExtension(UNKNOWN, false, encodeNull()),
    ],
  }));
  assert.equal(crl.nextUpdateMs, undefined);
  assert.equal(crl.number, 300n);
  assert.equal(crl.deltaBase, 299n);
  assert.equal(crl.authorityKeyId, undefined);
  assert.deepEqual(crl.scope, {
    distributionPoint: new Uint8Array(encodeNull()),
    onlyUsers: true,
    onlyCas: false,
  });
  assert.equal(crl.extensions.size, 5);
  assert.deepEqual(crl.find("07"), {
    serial: "07",
    revokedMs: NOW_MS,
    reason: "removeFromCRL",
    invalidityMs,
  });
  const plain = parseCrl(crlOf({ list: encodeSequence(), extensions: null }));
  assert.deepEqual([plain.number, plain.entryCount, plain.extensions.size], [undefined, 0, 0]);
});

test("parseCrl() reads entries alike, whether they have only a reason or more than that", () => {
  const ignored = encodeExtension(UNKNOWN, false, encodeNull());
  LASTING_REASONS.slice(1).forEach((reason) => {
    const code = REVOCATION_REASONS[reason];
    const expected = { serial: "07", revokedMs: NOW_MS, reason };
    for (const more of [[], [ignored]]) {
      const list = encodeSequence(entryOf(reasonExtension(code), ...more));
      assert.deepEqual([...parseCrl(crlOf({ list })).entries()], [expected]);
    }
  });
  // What looks like a reason at its end is none.
  const list = encodeSequence(entryOf(encodeExtension("2.5.29.29", false, enumerated(1))));
  assert.throws(() => parseCrl(crlOf({ list })), { kind: "malformed" });
  const critical = encodeSequence(entryOf(encodeExtension("2.5.29.21", true, enumerated(1))));
  assert.equal(parseCrl(crlOf({ list: critical })).find("07")?.reason, "keyCompromise");
});

test("parseCrlHead() reads what parseCrl() reads of a list, but for the entries", () => {
  for (const [count, number] of [[0, 0n], [3, 1n], [1, 255n], [0, 2n ** 159n - 1n]] as const) {
    const der = makeCrl(ca, encodeEntries(count), number);
    const { nextUpdateMs, authorityKeyId } = parseCrl(der);
    assert.deepEqual(parseCrlHead(der), { number, nextUpdateMs, authorityKeyId });
  }
  assert.throws(() => parseCrlHead(crlOf({ list: encodeSequence(), extensions: null })), {
    kind: "malformed",
    message: "cannot read CRL: it has no number",
  });
  const der = makeCrl(ca, encodeEntries(2));
  for (let length = 0; length < der.length; length++) {
    assert.throws(() => parseCrlHead(der.subarray(0, length)), { kind: "malformed" });
  }
});

test("parseCrl() refuses every truncation", () => {
  const der = makeCrl(ca, encodeEntries(11));
  for (let length = 0; length < der.length; length++) {
    assert.throws(() => parseCrl(der.subarray(0, length)), { kind: "malformed" }, `${length}`);
  }
});

test("a list with a flipped bit is refused or not signed by its CA", () => {
  const der = makeCrl(ca, encodeEntries(11));
  for (let at = 0; at < der.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      let isSigned = false;
      try {
        isSigned = isCrlSignedBy(parseCrl(flipBit(der, at, bit)), ca.issuing.certificate);
      } catch (error) {
        assert.ok(error instanceof PkiError && error.kind === "malformed", `${at}, ${bit}`);
      }
      assert.equal(isSigned, false, `bit ${bit} of byte ${at}`);
    }
  }
});

test("parseCrl() ends with a value or a refusal for random bytes", () => {
  const der = makeCrl(ca, encodeEntries(3));
  const change = fc.record({ at: fc.nat(der.length - 1), byte: fc.integer({ min: 0, max: 255 }) });
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 8 }), (changes) => {
      const changed = copyBytes(der);
      for (const { at, byte } of changes) changed[at] = byte;
      try {
        assert.ok(parseCrl(changed).entryCount >= 0);
      } catch (error) {
        assert.ok(error instanceof PkiError && error.kind === "malformed");
      }
    }),
    { numRuns: 2000 },
  );
});
