import assert from "node:assert/strict";
import { test } from "node:test";
import { type Bytes, encodeBase64, parseBase64, utf8 } from "../../lib/base/bytes.ts";
import { judgeLogKey } from "../../lib/client/log_key.ts";
import { type Claim, judgeProof, type ProofAnswer } from "../../lib/client/log_proof.ts";
import { openCheckpoint } from "../../lib/log/checkpoint.ts";
import type { EntryType, JsonObject } from "../../lib/log/entry.ts";
import { makeTestCa } from "../fakes/ca.ts";
import { FakeLog, makeLogKey } from "./fake_log.ts";

const CA = await makeTestCa();
const KEY = makeLogKey();
const CERTIFICATE = utf8("certificate");
const OTHER_CERTIFICATE = utf8("another certificate");

const makeLog = () => new FakeLog({ root: CA.root, key: KEY });
const LOG_KEY = judgeLogKey(makeLog().shown, CA.judging.anchor);

test("judgeProof() believes an honest log at every size, from every size, about every entry", () => {
  const log = makeLog();
  for (let i = 0; i < 18; i++) log.issue("alice", utf8(`certificate ${i}`));
  for (let from = 1; from <= log.size; from++) {
    for (let index = 0; index < log.size; index++) {
      const newest = judgeProof(log.prove({ from, index }), {
        key: LOG_KEY,
        known: openCheckpoint(log.checkpoint(from), LOG_KEY.note),
        claim: { index, id: "alice", certificate: utf8(`certificate ${index}`) },
      });
      assert.equal(newest.size, log.size);
    }
  }
});

/** A log in which entry 5 of 9 is the certificate, and what was known of it: its first 4 entries. */
function makeSample() {
  const log = makeLog();
  log.grow(5);
  const index = log.issue("alice", CERTIFICATE);
  log.grow(3);
  return { log, index, from: 4 };
}

const SAMPLE = makeSample();
const CLAIM: Claim = { index: SAMPLE.index, id: "alice", certificate: CERTIFICATE };
const HONEST = SAMPLE.log.prove(SAMPLE);
const KNOWN = openCheckpoint(SAMPLE.log.checkpoint(SAMPLE.from), LOG_KEY.note);

/** A log that agrees with the sample only in its first entries. */
function fork(shared: number): FakeLog {
  const log = SAMPLE.log.copy(shared);
  while (log.size < SAMPLE.index) log.append("published", { serial: "fork" });
  log.issue("alice", CERTIFICATE);
  log.grow(3);
  return log;
}

/** A log in which the entry in the certificate's place is another one. */
function withEntry(type: EntryType, shown: JsonObject): ProofAnswer {
  const log = SAMPLE.log.copy(SAMPLE.index);
  log.append(type, shown);
  return log.prove(SAMPLE);
}

const ISSUED = { profile: "user", id: "alice", certificate: encodeBase64(CERTIFICATE) } as const;
const { consistency: CONSISTENCY = [], inclusion: INCLUSION = [], leaf: LEAF = "" } = HONEST;
const without = (field: keyof ProofAnswer): ProofAnswer => {
  const { [field]: _, ...rest } = HONEST;
  return rest as ProofAnswer;
};

const NOT_SIGNED = "its checkpoint is not signed by its key";
const CHANGED = "it does not hold the entries that it showed before";
const MISSING = "it does not contain this certificate";

const LIES: readonly (readonly [what: string, answer: ProofAnswer, why: string])[] = [
  ["another key's checkpoint", {
    ...HONEST,
    checkpoint: fakeOf({ key: makeLogKey() }).checkpoint(),
  }, NOT_SIGNED],
  ["another generation's checkpoint", {
    ...HONEST,
    checkpoint: fakeOf({ key: KEY, generation: 2 }).checkpoint(),
  }, NOT_SIGNED],
  ["another trust domain's checkpoint", {
    ...HONEST,
    checkpoint: fakeOf({ key: KEY, domain: "other.test" }).checkpoint(),
  }, NOT_SIGNED],
  ["a checkpoint with another size", {
    ...HONEST,
    checkpoint: HONEST.checkpoint.replace("\n9\n", "\n8\n"),
  }, NOT_SIGNED],
  ["a checkpoint without its signature", {
    ...HONEST,
    checkpoint: HONEST.checkpoint.replace(/\u2014.*\n/, ""),
  }, NOT_SIGNED],
  ["a checkpoint that is none", { ...HONEST, checkpoint: "checkpoint" }, NOT_SIGNED],
  [
    "a log that was rolled back",
    SAMPLE.log.copy(3).prove({}),
    "it forgot entries that it showed before: 3 are left of 4",
  ],
  [
    "an empty log",
    SAMPLE.log.copy(0).prove({}),
    "it forgot entries that it showed before: 0 are left of 4",
  ],
  ["a log that was forked before", fork(3).prove(SAMPLE), CHANGED],
  ["a log that was forked at the start", fork(0).prove(SAMPLE), CHANGED],
  ["the honest log's proof for a fork", {
    ...fork(3).prove(SAMPLE),
    consistency: CONSISTENCY,
  }, CHANGED],
  ["no consistency proof", without("consistency"), CHANGED],
  ["an empty consistency proof", { ...HONEST, consistency: [] }, CHANGED],
  ["a consistency proof that is too short", {
    ...HONEST,
    consistency: CONSISTENCY.slice(1),
  }, CHANGED],
  ["a consistency proof that is too long", {
    ...HONEST,
    consistency: [...CONSISTENCY, ...CONSISTENCY.slice(-1)],
  }, CHANGED],
  ["no leaf", without("leaf"), MISSING],
  ["no inclusion proof", without("inclusion"), MISSING],
  ["an empty inclusion proof", { ...HONEST, inclusion: [] }, MISSING],
  ["an inclusion proof that is too long", {
    ...HONEST,
    inclusion: [...INCLUSION, ...INCLUSION.slice(-1)],
  }, MISSING],
  ["the proof of another leaf", {
    ...HONEST,
    ...pick(SAMPLE.log.prove({ index: SAMPLE.index + 1 })),
  }, MISSING],
  ["the leaf without its proof", {
    ...SAMPLE.log.prove({ from: SAMPLE.from, index: SAMPLE.index + 1 }),
    leaf: LEAF,
  }, MISSING],
  ["a leaf that is none", withLeaf(utf8("leaf")), MISSING],
  ["a leaf that is cut", withLeaf(parseBase64(LEAF).slice(0, -1)), MISSING],
  ["an entry of another type", withEntry("published", ISSUED), MISSING],
  ["another profile", withEntry("issued", { ...ISSUED, profile: "server" }), MISSING],
  ["another id", withEntry("issued", { ...ISSUED, id: "bob" }), MISSING],
  ["no id", withEntry("issued", omit(ISSUED, "id")), MISSING],
  [
    "another certificate",
    withEntry("issued", {
      ...ISSUED,
      certificate: encodeBase64(OTHER_CERTIFICATE),
    }),
    MISSING,
  ],
  ["no certificate", withEntry("issued", omit(ISSUED, "certificate")), MISSING],
];

function fakeOf(options: Omit<ConstructorParameters<typeof FakeLog>[0], "root">): FakeLog {
  const log = new FakeLog({ root: CA.root, ...options });
  log.grow(9);
  return log;
}

function pick({ leaf, inclusion }: ProofAnswer): Partial<ProofAnswer> {
  return { leaf, inclusion };
}

function omit(shown: JsonObject, field: string): JsonObject {
  const { [field]: _, ...rest } = shown;
  return rest;
}

/** A log that has any bytes for an entry. */
function withLeaf(leaf: Bytes): ProofAnswer {
  const log = SAMPLE.log.copy(SAMPLE.index);
  log.appendLeaf(leaf);
  return log.prove(SAMPLE);
}

test("judgeProof() believes the sample that the lies are made of", () => {
  const newest = judgeProof(HONEST, { key: LOG_KEY, known: KNOWN, claim: CLAIM });
  assert.equal(newest.size, 9);
  // What is logged may say more than we know of.
  const newer = withEntry("issued", { ...ISSUED, newer: true });
  assert.equal(judgeProof(newer, { key: LOG_KEY, known: KNOWN, claim: CLAIM }).size, 6);
});

for (const [what, answer, why] of LIES) {
  test(`judgeProof() does not believe ${what}`, () => {
    assert.throws(() => judgeProof(answer, { key: LOG_KEY, known: KNOWN, claim: CLAIM }), {
      name: "PkiError",
      kind: "untrusted",
      message: `cannot trust the server's log: ${why}`,
    });
  });
}

test("judgeProof() does not believe an index beyond the log, nor one that is another's", () => {
  for (const index of [0, SAMPLE.index - 1, SAMPLE.index + 1, 9, 10, Number.MAX_SAFE_INTEGER]) {
    const expectation = { key: LOG_KEY, known: KNOWN, claim: { ...CLAIM, index } };
    assert.throws(() => judgeProof(HONEST, expectation), {
      kind: "untrusted",
      message: `cannot trust the server's log: ${MISSING}`,
    });
  }
});

test("judgeProof() does not believe any flipped bit of a proof", () => {
  const flips = (text: string): string[] =>
    [0, 100, 255].map((bit) => {
      const bytes = parseBase64(text);
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      return encodeBase64(bytes);
    });
  const expectation = { key: LOG_KEY, known: KNOWN, claim: CLAIM };
  for (const field of ["consistency", "inclusion"] as const) {
    const proof = HONEST[field] ?? [];
    assert.ok(proof.length > 1);
    for (const [i, hash] of proof.entries()) {
      for (const flipped of flips(hash)) {
        const answer = { ...HONEST, [field]: proof.with(i, flipped) };
        assert.throws(() => judgeProof(answer, expectation), { kind: "untrusted" });
      }
    }
  }
  for (const leaf of flips(LEAF)) {
    assert.throws(() => judgeProof({ ...HONEST, leaf }, expectation), { kind: "untrusted" });
  }
});

test("judgeProof() needs no proof for what it is not asked about", () => {
  const { checkpoint } = HONEST;
  const newest = judgeProof({ checkpoint }, { key: LOG_KEY, known: undefined, claim: undefined });
  assert.equal(newest.size, 9);
  const same = { key: LOG_KEY, known: newest, claim: undefined };
  assert.equal(judgeProof({ checkpoint }, same).size, 9, "the same checkpoint needs none");
  assert.throws(() => judgeProof({ checkpoint: fork(8).checkpoint() }, same), {
    message: `cannot trust the server's log: ${CHANGED}`,
  });
});
