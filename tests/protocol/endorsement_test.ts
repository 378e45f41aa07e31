import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import * as v from "valibot";
import { type Bytes, concatBytes, sha256, utf8 } from "../../lib/base/bytes.ts";
import {
  endorse,
  type Endorsement,
  ENDORSEMENT_FIELDS,
  endorsementFromJson,
  ENDORSEMENTS_MAX,
  endorsementToJson,
  followEndorsements,
} from "../../lib/protocol/endorsement.ts";
import type { KeyType } from "../../lib/x509/algorithms.ts";
import { encodeSpki, generatePrivateKey } from "../../lib/x509/keys.ts";
import { encodePem } from "../../lib/x509/pem.ts";
import { flipBit } from "../fakes/ca.ts";
import { runOpenssl, WITHOUT_OPENSSL } from "../x509/openssl.ts";

const SCOPE = { root: utf8("the root"), id: "bob" };
const TIME_MS = Date.UTC(2026, 10, 1, 12);

/** Keys that followed one another, each endorsed by the one before; the first has nobody's word. */
async function makeKeys(types: readonly KeyType[], scope = SCOPE) {
  const keys = await Promise.all(types.map(generatePrivateKey));
  const spkis = keys.map(encodeSpki);
  const chain = keys.slice(1).map((_, at) =>
    endorse(scope, { by: keys[at]!, key: spkis[at + 1]!, timeMs: TIME_MS + at })
  );
  return { keys, spkis, chain };
}

const { keys, spkis, chain } = await makeKeys(["p256", "p384", "rsa3072", "ed25519", "p256"]);
const [first, second, third, fourth, last] = spkis as [Bytes, Bytes, Bytes, Bytes, Bytes];
const [one, two, three, four] = chain as [Endorsement, Endorsement, Endorsement, Endorsement];

function follow(
  endorsements: readonly Endorsement[],
  { pinned = first, key = last, ...scope }: Partial<Parameters<typeof followEndorsements>[1]> = {},
): readonly Endorsement[] | undefined {
  return followEndorsements(endorsements, { ...SCOPE, ...scope, pinned, key });
}

test("followEndorsements() leads from any key to a later one, over every kind of key", () => {
  for (let from = 0; from < spkis.length; from++) {
    for (let to = from; to < spkis.length; to++) {
      const range = { pinned: spkis[from]!, key: spkis[to]! };
      assert.deepEqual(follow(chain, range), chain.slice(from, to), `${from} to ${to}`);
      assert.deepEqual(follow(chain.slice(from, to), range), chain.slice(from, to));
    }
  }
});

const stranger = await generatePrivateKey("p256");
const strangers = endorse(SCOPE, { by: stranger, key: last, timeMs: TIME_MS });
/** Signed by whoever is meant to, for something that is no key that may be certified. */
const nonsense = endorse(SCOPE, { by: keys[0]!, key: utf8("no key"), timeMs: TIME_MS });

interface Row {
  readonly what: string;
  readonly endorsements: readonly Endorsement[];
  readonly options?: Parameters<typeof follow>[1];
}

const REFUSED: readonly Row[] = [
  { what: "nothing at all", endorsements: [] },
  { what: "another root", endorsements: chain, options: { root: utf8("another root") } },
  { what: "another id", endorsements: chain, options: { id: "bo" } },
  { what: "a pinned key that has signed nothing", endorsements: chain.slice(1) },
  { what: "a link that is missing", endorsements: [one, two, four] },
  { what: "an end that is missing", endorsements: [one, two, three] },
  { what: "another order", endorsements: [one, three, two, four] },
  { what: "the order of time turned round", endorsements: chain.toReversed() },
  { what: "a stranger's word", endorsements: [strangers] },
  { what: "a stranger's word at the end", endorsements: [one, two, three, strangers] },
  { what: "the way back", endorsements: chain, options: { pinned: last, key: first } },
  { what: "a circle", endorsements: [one, two, one, two] },
  { what: "another time", endorsements: [one, two, three, { ...four, timeMs: four.timeMs + 1 }] },
  { what: "a key that is none", endorsements: [nonsense, two, three, four] },
  {
    what: "a pinned key that is none",
    endorsements: [one],
    options: { pinned: utf8("no key"), key: second },
  },
];

for (const { what, endorsements, options } of REFUSED) {
  test(`followEndorsements() does not believe ${what}`, () => {
    assert.equal(follow(endorsements, options), undefined);
  });
}

test("followEndorsements() passes over what is before the pinned key and behind the other", () => {
  const damaged = { ...one, signature: utf8("damaged") };
  assert.deepEqual(follow([damaged, two, three, strangers], { pinned: second, key: fourth }), [
    two,
    three,
  ]);
  const back = endorse(SCOPE, { by: keys[1]!, key: first, timeMs: TIME_MS });
  const on = endorse(SCOPE, { by: keys[0]!, key: third, timeMs: TIME_MS });
  assert.deepEqual(follow([one, back, on], { key: third }), [on], "of a key that was used twice");
});

test(`followEndorsements() follows ${ENDORSEMENTS_MAX}, and no list of more`, async () => {
  const long = await makeKeys(Array<KeyType>(ENDORSEMENTS_MAX + 2).fill("p256"));
  const most = long.chain.slice(0, ENDORSEMENTS_MAX);
  const pinned = long.spkis[0]!;
  assert.equal(follow(most, { pinned, key: long.spkis[ENDORSEMENTS_MAX]! })?.length, most.length);
  assert.equal(follow(long.chain, { pinned, key: long.spkis[1]! }), undefined);
});

test("followEndorsements() reads no key before the signature over it held", () => {
  const read: string[] = [];
  const watched = (name: string, endorsement: Endorsement): Endorsement => ({
    ...endorsement,
    get signature() {
      read.push(name);
      return endorsement.signature;
    },
  });
  const broken = { ...one, signature: two.signature };
  assert.equal(follow([watched("one", broken), watched("two", two)], { key: third }), undefined);
  assert.deepEqual(read, ["one"], "the second key is not asked for anything");
});

test("followEndorsements() believes no signature, key or time of which one bit is changed", () => {
  const parts = ["key", "signature"] as const;
  fc.assert(
    fc.property(
      fc.nat(3),
      fc.constantFrom(...parts),
      fc.nat(),
      fc.nat(7),
      (at, part, byte, bit) => {
        const target = chain[at]!;
        const bytes = target[part];
        const changed = { ...target, [part]: flipBit(bytes, byte % bytes.length, bit) };
        assert.equal(follow(chain.with(at, changed)), undefined);
      },
    ),
    { numRuns: 300 },
  );
  for (let bit = 0; bit < 53; bit++) {
    const timeMs = Number(BigInt(one.timeMs) ^ 1n << BigInt(bit));
    assert.equal(follow([{ ...one, timeMs }], { key: second }), undefined, `bit ${bit}`);
  }
});

test("followEndorsements() tells an id from one that its length runs into", () => {
  const scope = { ...SCOPE, id: "a".repeat(63) };
  const long = endorse(scope, { by: keys[0]!, key: second, timeMs: 0 });
  assert.deepEqual(follow([long], { ...scope, key: second }), [long]);
  assert.equal(follow([long], { ...scope, id: "a".repeat(62), key: second }), undefined);
});

/** What openssl verifies with, by kind of key. */
const OPENSSL_VERIFY: Readonly<Record<string, readonly string[]>> = {
  p256: ["-digest", "sha256"],
  p384: ["-digest", "sha384"],
  rsa3072: ["-digest", "sha256"],
  ed25519: [],
};

test("endorse() signs what the protocol says, by openssl's reading", {
  skip: WITHOUT_OPENSSL,
}, async () => {
  for (const type of ["p256", "p384", "rsa3072", "ed25519"] as const) {
    const key = await generatePrivateKey(type);
    const { signature } = endorse(SCOPE, { by: key, key: last, timeMs: 0x0102030405 });
    const signed = concatBytes(
      utf8("pki/1 endorsement\0"),
      sha256(SCOPE.root),
      Uint8Array.of(3),
      utf8("bob"),
      sha256(encodeSpki(key)),
      sha256(last),
      Uint8Array.of(0, 0, 0, 1, 2, 3, 4, 5),
    );
    const { status, output } = runOpenssl(
      // deno-fmt-ignore
      ["pkeyutl", "-verify", "-pubin", "-inkey", "key.pem", "-rawin", ...OPENSSL_VERIFY[type] ?? [],
        "-in", "signed", "-sigfile", "signature"],
      { "key.pem": encodePem("PUBLIC KEY", encodeSpki(key)), signed, signature },
    );
    assert.equal(status, 0, `${type}: ${output}`);
  }
});

test("endorsementToJson() writes what the schema lets through and endorsementFromJson() reads", () => {
  const schema = v.object(ENDORSEMENT_FIELDS);
  for (const endorsement of chain) {
    const json: unknown = JSON.parse(JSON.stringify(endorsementToJson(endorsement)));
    assert.deepEqual(endorsementFromJson(v.parse(schema, json)), endorsement);
  }
  const good = endorsementToJson(one);
  assert.ok(v.safeParse(schema, { ...good, timeMs: 8.64e15 }).success);
  const rows: readonly (readonly [what: string, json: unknown])[] = [
    ["a key of nothing", { ...good, key: "" }],
    ["a key that is too long", { ...good, key: "A".repeat(1604) }],
    ["a signature that is too long", { ...good, signature: "A".repeat(1368) }],
    ["no base64", { ...good, signature: "?" }],
    ["a time before 1970", { ...good, timeMs: -1 }],
    ["a time that is no whole number", { ...good, timeMs: 1.5 }],
    ["a time that no date is", { ...good, timeMs: 8.64e15 + 1 }],
    ["no time", { key: good.key, signature: good.signature }],
  ];
  for (const [what, json] of rows) assert.ok(!v.safeParse(schema, json).success, what);
});
