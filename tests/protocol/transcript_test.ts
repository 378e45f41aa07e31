import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { encodeHex, parseHex, sha256, utf8 } from "../../lib/base/bytes.ts";
import { encodeMessage, type Message } from "../../lib/protocol/peer_text.ts";
import { PEER_ROLES, type PeerRole } from "../../lib/protocol/safety_words.ts";
import {
  encodeFileEntry,
  type EntryKind,
  TranscriptChains,
  type TranscriptFile,
} from "../../lib/protocol/transcript.ts";

/** Made by `testdata/transcript/make.py`, which knows the documentation and hashlib. */
interface Vector {
  readonly session: string;
  readonly first: Readonly<Record<PeerRole, string>>;
  readonly entries: readonly {
    readonly role: PeerRole;
    readonly kind: EntryKind;
    readonly entry: string;
    readonly hash: string;
    readonly sha256: string;
  }[];
  readonly toSign: string;
}

const VECTORS = JSON.parse(
  fs.readFileSync(
    join(import.meta.dirname ?? ".", "..", "..", "testdata", "transcript", "vectors.json"),
    "utf8",
  ),
) as readonly Vector[];

/** The bytes of an entry, from what the vector says of it. */
function encode(row: Vector["entries"][number]): Uint8Array {
  return row.kind === "message" ? encodeMessage(row as unknown as Message) : encodeFileEntry({
    ...(row as unknown as TranscriptFile),
    sha256: parseHex(row.sha256),
  });
}

test("TranscriptChains come to the hashes that Python comes to", () => {
  assert.equal(VECTORS.length, 4);
  for (const { session, first, entries, toSign } of VECTORS) {
    const chains = new TranscriptChains(parseHex(session));
    for (const role of PEER_ROLES) {
      assert.equal(encodeHex(chains.hash(role)), first[role]);
      assert.equal(chains.entries(role), 0);
    }
    for (const row of entries) {
      assert.equal(encodeHex(encode(row)), row.entry);
      assert.equal(encodeHex(chains.add(row.role, row.kind, encode(row))), row.hash);
      assert.equal(encodeHex(chains.hash(row.role)), row.hash);
    }
    for (const role of PEER_ROLES) {
      assert.equal(chains.entries(role), entries.filter((row) => row.role === role).length);
    }
    assert.equal(encodeHex(chains.toSign()), toSign);
  }
});

test("TranscriptChains: whatever is said otherwise is signed otherwise", () => {
  type Said = readonly [PeerRole, EntryKind, Uint8Array];
  const signed = (session: Uint8Array, said: readonly Said[]) => {
    const chains = new TranscriptChains(session);
    for (const one of said) chains.add(...one);
    return encodeHex(chains.toSign());
  };
  const session = sha256(utf8("session"));
  const a: Said = ["caller", "message", utf8("a")];
  const b: Said = ["caller", "message", utf8("b")];
  const c: Said = ["listener", "message", utf8("c")];
  const other: readonly (readonly Said[])[] = [
    [],
    [a],
    [a, b],
    [b, a],
    [a, b, b],
    [["caller", "message", utf8("ab")]],
    [["caller", "message", utf8("")], ["caller", "message", utf8("ab")]],
    [["caller", "file", utf8("a")], b],
    [["listener", "message", utf8("a")], b],
    [["listener", "message", utf8("a")], ["listener", "message", utf8("b")]],
    [a, b, c],
  ];
  const all = [
    ...other.map((said) => signed(session, said)),
    signed(sha256(utf8("other")), [a, b]),
  ];
  assert.equal(new Set(all).size, all.length);
  // The directions have an order each; between them there is none to be signed.
  assert.equal(signed(session, [a, b, c]), signed(session, [c, a, b]));
});

test("TranscriptChains: entries of any bytes, no two histories alike", () => {
  const entry = fc.tuple(
    fc.constantFrom(...PEER_ROLES),
    fc.constantFrom("message" as const, "file" as const),
    fc.uint8Array({ maxLength: 40 }),
  );
  fc.assert(fc.property(fc.array(entry), fc.array(entry), (left, right) => {
    const sign = (said: typeof left) => {
      const chains = new TranscriptChains(new Uint8Array(32));
      for (const one of said) chains.add(...one);
      return encodeHex(chains.toSign());
    };
    const direction = (said: typeof left, role: PeerRole) =>
      JSON.stringify(
        said.filter(([who]) => who === role).map(([, kind, bytes]) => [kind, encodeHex(bytes)]),
      );
    const isSame = PEER_ROLES.every((role) => direction(left, role) === direction(right, role));
    assert.equal(sign(left) === sign(right), isSame);
  }));
});

test("what cannot be written down is a fault of ours", () => {
  const internal = { kind: "internal" };
  assert.throws(() => new TranscriptChains(new Uint8Array(31)), internal);
  const file = { path: ["a"], size: 0, sha256: new Uint8Array(32) };
  for (
    const wrong of [
      { ...file, path: [] },
      { ...file, path: Array(65).fill("a") as string[] },
      { ...file, path: [""] },
      { ...file, path: ["ö".repeat(128)] },
      { ...file, sha256: new Uint8Array(31) },
      { ...file, size: -1 },
    ]
  ) assert.throws(() => encodeFileEntry(wrong), internal);
  assert.equal(encodeFileEntry(file).length, 8 + 32 + 2);
});
