import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fs from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { type Bytes, copyBytes, sha256, utf8 } from "../../lib/base/bytes.ts";
import { PkiError } from "../../lib/base/errors.ts";
import {
  checkConsistency,
  checkInclusion,
  type ConsistencyClaim,
  type InclusionClaim,
} from "../../lib/log/proof.ts";
import { hashLeaf, hashNode, MerkleTree } from "../../lib/log/tree.ts";
import { naiveConsistency, naiveInclusion, naiveRoot } from "./naive_tree.ts";

const LEAVES: readonly Bytes[] = Array.from(
  { length: 3000 },
  (_, i) => hashLeaf(utf8(`leaf ${i}`)),
);
const TREE = new MerkleTree();
for (const leaf of LEAVES) TREE.append(leaf);

/** Sides of a proof's hashes, from the leaf up; first what the path starts from. */
type Shape = ("leaf" | "known" | "given" | "left" | "right")[];

function splitOf(size: number): number {
  let k = 1;
  while (k * 2 < size) k *= 2;
  return k;
}

function inclusionShape(index: number, size: number): Shape {
  if (size === 1) return ["leaf"];
  const k = splitOf(size);
  return index < k
    ? [...inclusionShape(index, k), "right"]
    : [...inclusionShape(index - k, size - k), "left"];
}

function consistencyShape(from: number, to: number, isWhole = true): Shape {
  if (from === to) return [isWhole ? "known" : "given"];
  const k = splitOf(to);
  return from <= k
    ? [...consistencyShape(from, k, isWhole), "right"]
    : [...consistencyShape(from - k, to - k, false), "left"];
}

function inclusionOf(index: number, size: number): InclusionClaim {
  return {
    leafHash: LEAVES[index]!,
    index,
    size,
    root: TREE.root(size),
    proof: TREE.inclusionProof(index, size),
  };
}

function consistencyOf(from: number, to: number): ConsistencyClaim {
  return {
    from: { size: from, root: TREE.root(from) },
    to: { size: to, root: TREE.root(to) },
    proof: TREE.consistencyProof(from, to),
  };
}

/** Whether a check passes; any other error than its own is a fault. */
function passes(check: () => void): boolean {
  try {
    check();
    return true;
  } catch (error) {
    if (error instanceof PkiError && error.kind === "untrusted") return false;
    throw error;
  }
}

const VECTORS = JSON.parse(
  fs.readFileSync(new URL("../../testdata/log/merkle.json", import.meta.url), "utf8"),
) as {
  readonly leaves: readonly string[];
  readonly roots: readonly string[];
  readonly inclusion: readonly { index: number; size: number; proof: string[] }[];
  readonly consistency: readonly { from: number; to: number; proof: string[] }[];
};

function unhex(text: string): Bytes {
  return copyBytes(Buffer.from(text, "hex"));
}

test("checkInclusion() and checkConsistency() take the published proofs", () => {
  const roots = VECTORS.roots.map(unhex);
  for (const { index, size, proof } of VECTORS.inclusion) {
    const leafHash = hashLeaf(unhex(VECTORS.leaves[index]!));
    checkInclusion({ leafHash, index, size, root: roots[size]!, proof: proof.map(unhex) });
  }
  for (const { from, to, proof } of VECTORS.consistency) {
    checkConsistency({
      from: { size: from, root: roots[from]! },
      to: { size: to, root: roots[to]! },
      proof: proof.map(unhex),
    });
  }
});

test("checkInclusion() and checkConsistency() take what RFC 9162 defines, up to 70 leaves", () => {
  for (let size = 1; size <= 70; size++) {
    const leaves = LEAVES.slice(0, size);
    const root = naiveRoot(leaves);
    for (let index = 0; index < size; index++) {
      const proof = naiveInclusion(index, leaves);
      checkInclusion({ leafHash: leaves[index]!, index, size, root, proof });
      const from = { size: index + 1, root: naiveRoot(leaves.slice(0, index + 1)) };
      checkConsistency({ from, to: { size, root }, proof: naiveConsistency(from.size, leaves) });
    }
    checkConsistency({ from: { size: 0, root: sha256() }, to: { size, root }, proof: [] });
  }
});

// The root does not say its size: a proof holds for every leaf and size that are hashed alike, and
// for no other. Who signs a checkpoint signs the size with the root.
test("checkInclusion() takes a proof for another leaf or size only where the path is the same", () => {
  for (let size = 1; size <= 18; size++) {
    for (let index = 0; index < size; index++) {
      const claim = inclusionOf(index, size);
      const shape = inclusionShape(index, size).join();
      for (let otherSize = 0; otherSize <= 19; otherSize++) {
        for (let otherIndex = 0; otherIndex <= otherSize; otherIndex++) {
          const other = { ...claim, index: otherIndex, size: otherSize };
          const isSame = otherIndex < otherSize &&
            inclusionShape(otherIndex, otherSize).join() === shape;
          assert.equal(
            passes(() => checkInclusion(other)),
            isSame,
            `${index}/${size} as ${otherIndex}/${otherSize}`,
          );
        }
      }
    }
  }
});

test("checkConsistency() takes a proof for other sizes only where the paths are the same", () => {
  for (let to = 2; to <= 16; to++) {
    for (let from = 1; from < to; from++) {
      const claim = consistencyOf(from, to);
      const shape = consistencyShape(from, to).join();
      for (let otherTo = 0; otherTo <= 17; otherTo++) {
        for (let otherFrom = 0; otherFrom <= 17; otherFrom++) {
          const other = {
            from: { ...claim.from, size: otherFrom },
            to: { ...claim.to, size: otherTo },
            proof: claim.proof,
          };
          const isSame = otherFrom > 0 && otherFrom < otherTo &&
            consistencyShape(otherFrom, otherTo).join() === shape;
          assert.equal(
            passes(() => checkConsistency(other)),
            isSame,
            `${from}-${to} as ${otherFrom}-${otherTo}`,
          );
        }
      }
    }
  }
});

/** Every way to spoil a list of hashes in one place, which `seed` picks. */
function spoiledProofs(proof: readonly Bytes[], seed: number): Uint8Array[][] {
  const at = seed % Math.max(proof.length, 1);
  const spoiled: Uint8Array[][] = [
    [...proof, sha256()],
    [sha256(), ...proof],
    [...proof.slice(0, at), sha256(), ...proof.slice(at)],
    [...proof, new Uint8Array(0)],
  ];
  if (proof.length > 0) {
    spoiled.push(
      proof.toSpliced(at, 1),
      proof.toSpliced(at, 0, proof[at]!),
      proof.slice(0, -1),
      proof.slice(1),
      [],
      proof.with(at, proof[at]!.slice(0, 31)),
      proof.with(at, copyBytes(Buffer.concat([proof[at]!, Buffer.alloc(1)]))),
    );
    for (let bit = 0; bit < 8; bit++) spoiled.push(proof.with(at, flip(proof[at]!, seed, bit)));
  }
  if (proof.length > 1) {
    const next = (at + 1) % proof.length;
    spoiled.push(proof.with(at, proof[next]!).with(next, proof[at]!), proof.toReversed());
  }
  return spoiled;
}

function flip(hash: Uint8Array, seed: number, bit = seed % 8): Bytes {
  const flipped = copyBytes(hash);
  const at = seed % flipped.length;
  flipped[at] = flipped[at]! ^ (1 << bit);
  return flipped;
}

const SIZE = fc.oneof(
  fc.constantFrom(1, 2, 255, 256, 257, 511, 512, 513, 2048),
  fc.integer({ min: 1, max: LEAVES.length }),
);

test("checkInclusion() takes no spoiled proof", () => {
  fc.assert(
    fc.property(SIZE, fc.nat(), fc.nat(), (size, pick, seed) => {
      const index = pick % size;
      const claim = inclusionOf(index, size);
      checkInclusion(claim);
      const others: InclusionClaim[] = [
        ...spoiledProofs(claim.proof as Bytes[], seed).map((proof) => ({ ...claim, proof })),
        { ...claim, root: flip(claim.root, seed) },
        { ...claim, root: sha256() },
        { ...claim, leafHash: flip(claim.leafHash, seed) },
        { ...claim, index: seed % size === index ? size : seed % size },
        { ...claim, index: index - 1 },
        { ...claim, index: index + 1 },
        { ...claim, size: index },
        { ...claim, size: size * 4 },
      ];
      for (const other of others) assert.throws(() => checkInclusion(other), { kind: "untrusted" });
    }),
    { numRuns: 150 },
  );
});

test("checkConsistency() takes no spoiled proof", () => {
  fc.assert(
    fc.property(SIZE, SIZE, fc.nat(), (a, b, seed) => {
      const claim = consistencyOf(Math.min(a, b), Math.max(a, b));
      checkConsistency(claim);
      const { from, to, proof } = claim;
      const others: ConsistencyClaim[] = [
        ...spoiledProofs(proof as Bytes[], seed).map((spoiled) => ({ ...claim, proof: spoiled })),
        { ...claim, from: { ...from, root: flip(from.root, seed) } },
        { ...claim, to: { ...to, root: flip(to.root, seed) } },
        { ...claim, from: { ...from, root: sha256() } },
        { ...claim, to: { ...to, size: from.size - 1 } },
        { ...claim, to: { ...to, size: to.size * 4 } },
        { ...claim, from: { ...from, size: to.size + 1 } },
      ];
      if (from.size < to.size) {
        others.push(
          { from: { ...from, root: to.root }, to: { ...to, root: from.root }, proof },
          { from, to: { ...to, size: from.size }, proof },
          { from: { ...from, size: to.size }, to, proof },
          { from: { ...from, size: 0 }, to, proof: [] },
        );
      }
      for (const other of others) {
        assert.throws(() => checkConsistency(other), { kind: "untrusted" });
      }
    }),
    { numRuns: 150 },
  );
});

const MAX = Number.MAX_SAFE_INTEGER;

/** A proof of that shape from made-up hashes, and the two roots that it leads to. */
function makeUp(shape: Shape, start: Bytes): { proof: Bytes[]; first: Bytes; second: Bytes } {
  const [kind, ...sides] = shape;
  const proof = kind === "given" ? [start] : [];
  let [first, second] = [start, start];
  sides.forEach((side, i) => {
    const hash = sha256(utf8(`${i}`));
    proof.push(hash);
    if (side === "left") first = hashNode(hash, first);
    second = side === "left" ? hashNode(hash, second) : hashNode(second, hash);
  });
  return { proof, first, second };
}

test("checkInclusion() and checkConsistency() work up to 2^53 - 1 leaves", () => {
  const size = fc.oneof(fc.constantFrom(2 ** 32, 2 ** 32 + 1, 2 ** 52, MAX), fc.maxSafeNat());
  fc.assert(
    fc.property(size, size, (a, b) => {
      const [low, to] = a < b ? [a, b] : [b, a];
      fc.pre(to > 0);
      const index = Math.min(low, to - 1);
      const inclusion = makeUp(inclusionShape(index, to), LEAVES[0]!);
      const claim = {
        leafHash: LEAVES[0]!,
        index,
        size: to,
        root: inclusion.second,
        proof: inclusion.proof,
      };
      checkInclusion(claim);
      for (const proof of spoiledProofs(claim.proof, index)) {
        assert.throws(() => checkInclusion({ ...claim, proof }), { kind: "untrusted" });
      }
      const from = index + 1;
      const { proof, first, second } = makeUp(consistencyShape(from, to), LEAVES[0]!);
      const heads = { from: { size: from, root: first }, to: { size: to, root: second } };
      checkConsistency({ ...heads, proof });
      for (const spoiled of spoiledProofs(proof, index)) {
        assert.throws(() => checkConsistency({ ...heads, proof: spoiled }), { kind: "untrusted" });
      }
    }),
  );
});

const INCLUSION = inclusionOf(2, 5);
const BAD_INCLUSIONS: readonly { name: string; change: Partial<InclusionClaim>; why: string }[] = [
  { name: "a leaf past the tree", change: { index: 5 }, why: "there is no leaf 5 in a tree of 5" },
  { name: "a leaf before it", change: { index: -1 }, why: "there is no leaf -1 in a tree of 5" },
  { name: "half a leaf", change: { index: 1.5 }, why: "there is no leaf 1.5 in a tree of 5" },
  { name: "no number", change: { index: NaN }, why: "there is no leaf NaN in a tree of 5" },
  {
    name: "a leaf of no tree",
    change: { index: 0, size: 0, proof: [] },
    why: "there is no leaf 0 in a tree of 0",
  },
  { name: "a negative size", change: { size: -1 }, why: "a tree cannot have -1 leaves" },
  {
    name: "a size that cannot be counted",
    change: { size: MAX + 1 },
    why: "a tree cannot have 9007199254740992 leaves",
  },
  { name: "half a size", change: { size: 5.5 }, why: "a tree cannot have 5.5 leaves" },
  { name: "a short leaf", change: { leafHash: new Uint8Array(31) }, why: "a hash has 31 bytes" },
  { name: "a long root", change: { root: new Uint8Array(33) }, why: "a hash has 33 bytes" },
  {
    name: "an empty hash behind the rest",
    change: { proof: [...INCLUSION.proof, new Uint8Array(0)] },
    why: "a hash has 0 bytes",
  },
  {
    name: "a hash too few",
    change: { proof: INCLUSION.proof.slice(0, -1) },
    why: "it has too few hashes",
  },
  {
    name: "a hash too many",
    change: { proof: [...INCLUSION.proof, sha256()] },
    why: "it has too many hashes",
  },
  {
    name: "another root",
    change: { root: sha256() },
    why: "it does not lead to the root of the tree of 5",
  },
];

for (const { name, change, why } of BAD_INCLUSIONS) {
  test(`checkInclusion() refuses ${name}`, () => {
    assert.throws(() => checkInclusion({ ...INCLUSION, ...change }), {
      name: "PkiError",
      kind: "untrusted",
      message: `cannot trust the inclusion proof: ${why}`,
    });
    checkInclusion(INCLUSION);
  });
}

const CONSISTENCY = consistencyOf(3, 5);
const FROM_FOUR = consistencyOf(4, 5);
const BAD_CONSISTENCIES: readonly { name: string; claim: ConsistencyClaim; why: string }[] = [
  {
    name: "a tree that shrank",
    claim: { from: CONSISTENCY.to, to: CONSISTENCY.from, proof: [] },
    why: "the tree shrank from 5 to 3 leaves",
  },
  {
    name: "a negative size",
    claim: { ...CONSISTENCY, from: { ...CONSISTENCY.from, size: -1 } },
    why: "a tree cannot have -1 leaves",
  },
  {
    name: "a size that cannot be counted",
    claim: { ...CONSISTENCY, to: { ...CONSISTENCY.to, size: MAX + 1 } },
    why: "a tree cannot have 9007199254740992 leaves",
  },
  {
    name: "a short root",
    claim: { ...CONSISTENCY, from: { size: 3, root: new Uint8Array(31) } },
    why: "a hash has 31 bytes",
  },
  {
    name: "a long hash",
    claim: { ...CONSISTENCY, proof: [new Uint8Array(33)] },
    why: "a hash has 33 bytes",
  },
  {
    name: "two roots of one size",
    claim: { from: CONSISTENCY.to, to: { size: 5, root: sha256() }, proof: [] },
    why: "it does not lead to the root of the tree of 5",
  },
  {
    name: "hashes from a size to itself",
    claim: { from: CONSISTENCY.to, to: CONSISTENCY.to, proof: [sha256()] },
    why: "it has hashes where none are needed",
  },
  {
    name: "hashes from nothing",
    claim: { from: { size: 0, root: sha256() }, to: CONSISTENCY.to, proof: [sha256()] },
    why: "it has hashes where none are needed",
  },
  {
    name: "nothing with a root of something",
    claim: { from: { size: 0, root: LEAVES[0]! }, to: CONSISTENCY.to, proof: [] },
    why: "it does not lead to the root of the tree of 0",
  },
  {
    name: "nothing twice, with another root the second time",
    claim: { from: { size: 0, root: sha256() }, to: { size: 0, root: LEAVES[0]! }, proof: [] },
    why: "it does not lead to the root of the tree of 0",
  },
  {
    name: "an empty proof",
    claim: { ...CONSISTENCY, proof: [] },
    why: "it has too few hashes",
  },
  {
    name: "an empty proof from a power of two",
    claim: { ...FROM_FOUR, proof: [] },
    why: "it has too few hashes",
  },
  {
    name: "a proof from a power of two that begins with its root",
    claim: { ...FROM_FOUR, proof: [FROM_FOUR.from.root, ...FROM_FOUR.proof] },
    why: "it has too many hashes",
  },
  {
    name: "another first root",
    claim: { ...CONSISTENCY, from: { size: 3, root: sha256() } },
    why: "it does not lead to the root of the tree of 3",
  },
  {
    name: "another second root",
    claim: { ...CONSISTENCY, to: { size: 5, root: sha256() } },
    why: "it does not lead to the root of the tree of 5",
  },
];

for (const { name, claim, why } of BAD_CONSISTENCIES) {
  test(`checkConsistency() refuses ${name}`, () => {
    assert.throws(() => checkConsistency(claim), {
      name: "PkiError",
      kind: "untrusted",
      message: `cannot trust the consistency proof: ${why}`,
    });
    checkConsistency(CONSISTENCY);
    checkConsistency(FROM_FOUR);
  });
}

test("checkConsistency() takes a tree that stayed empty", () => {
  const empty = { size: 0, root: sha256() };
  checkConsistency({ from: empty, to: empty, proof: [] });
});
