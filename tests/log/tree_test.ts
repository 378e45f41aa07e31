import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fs from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { type Bytes, concatBytes, encodeHex, utf8 } from "../../lib/base/bytes.ts";
import { hashLeaf, hashNode, MerkleTree, TILE_LEAVES } from "../../lib/log/tree.ts";
import { naiveConsistency, naiveInclusion, naiveRoot } from "./naive_tree.ts";

const VECTORS = JSON.parse(
  fs.readFileSync(new URL("../../testdata/log/merkle.json", import.meta.url), "utf8"),
) as {
  readonly leaves: readonly string[];
  readonly roots: readonly string[];
  readonly inclusion: readonly { index: number; size: number; proof: string[] }[];
  readonly consistency: readonly { from: number; to: number; proof: string[] }[];
};

/** Sizes on both sides of each edge: of stored levels, of tiles, of the fourth stored level. */
const EDGES = [0, 1, 15, 16, 17, 255, 256, 257, 511, 512, 513, 4095, 4096, 4097];

const LEAVES: readonly Bytes[] = Array.from(
  { length: 4400 },
  (_, i) => hashLeaf(utf8(`leaf ${i}`)),
);

function treeOf(hashes: readonly Uint8Array[]): MerkleTree {
  const tree = new MerkleTree();
  for (const hash of hashes) tree.append(hash);
  return tree;
}

const BIG = treeOf(LEAVES);

test("MerkleTree has the published roots and proofs", () => {
  const hashes = VECTORS.leaves.map((leaf) => hashLeaf(Buffer.from(leaf, "hex")));
  const whole = treeOf(hashes);
  VECTORS.roots.forEach((root, size) => {
    assert.equal(encodeHex(treeOf(hashes.slice(0, size)).root()), root);
    assert.equal(encodeHex(whole.root(size)), root);
  });
  for (const { index, size, proof } of VECTORS.inclusion) {
    assert.deepEqual(whole.inclusionProof(index, size).map(encodeHex), proof);
  }
  for (const { from, to, proof } of VECTORS.consistency) {
    assert.deepEqual(whole.consistencyProof(from, to).map(encodeHex), proof);
  }
});

test("MerkleTree agrees with the definitions of RFC 9162 for 0 to 70 leaves, all pairs", () => {
  const tree = new MerkleTree();
  for (let size = 0; size <= 70; size++) {
    const leaves = LEAVES.slice(0, size);
    assert.equal(tree.size, size);
    assert.deepEqual(tree.root(), naiveRoot(leaves));
    assert.deepEqual(BIG.root(size), naiveRoot(leaves));
    for (let index = 0; index < size; index++) {
      const proof = naiveInclusion(index, leaves);
      assert.deepEqual(tree.inclusionProof(index, size), proof);
      assert.deepEqual(BIG.inclusionProof(index, size), proof);
    }
    assert.deepEqual(tree.consistencyProof(0, size), []);
    for (let from = 1; from <= size; from++) {
      const proof = naiveConsistency(from, leaves);
      assert.deepEqual(tree.consistencyProof(from, size), proof);
      assert.deepEqual(BIG.consistencyProof(from, size), proof);
    }
    tree.append(LEAVES[size]!);
  }
});

test("MerkleTree agrees with the definitions of RFC 9162 at edges and at random sizes", () => {
  const size = fc.oneof(
    fc.constantFrom(...EDGES.slice(1)),
    fc.integer({ min: 1, max: LEAVES.length }),
  );
  fc.assert(
    fc.property(size, size, fc.nat(), (a, b, pick) => {
      const [from, to] = a < b ? [a, b] : [b, a];
      const leaves = LEAVES.slice(0, to);
      const index = pick % to;
      assert.deepEqual(BIG.root(to), naiveRoot(leaves));
      assert.deepEqual(BIG.inclusionProof(index, to), naiveInclusion(index, leaves));
      assert.deepEqual(BIG.consistencyProof(from, to), naiveConsistency(from, leaves));
    }),
    { numRuns: 20 },
  );
});

test("MerkleTree.root() is the same for a tree of that size and for a longer one", () => {
  const tree = new MerkleTree();
  for (const leaf of LEAVES) {
    tree.append(leaf);
    assert.deepEqual(tree.root(), BIG.root(tree.size));
  }
});

test("MerkleTree.leafHash() returns each hash that was appended", () => {
  LEAVES.forEach((leaf, index) => assert.deepEqual(BIG.leafHash(index), leaf));
});

test("MerkleTree owns its hashes: changing what was given or got changes nothing", () => {
  const tree = new MerkleTree();
  const leaf = hashLeaf(utf8("a"));
  const given = hashLeaf(utf8("a"));
  tree.append(given);
  given.fill(0);
  const gets = [
    () => tree.root(),
    () => tree.root(1),
    () => tree.leafHash(0),
    () => tree.inclusionProof(1, 2)[0]!,
    () => tree.consistencyProof(1, 2)[0]!,
    () => tree.encodeTile(0),
  ];
  for (const get of gets.slice(0, 3)) {
    get().fill(0);
    assert.deepEqual(get(), leaf);
  }
  tree.append(leaf);
  for (const get of gets) {
    const before = get().slice();
    get().fill(0);
    assert.deepEqual(get(), before);
  }
});

test("MerkleTree.appendTile() restores what encodeTile() wrote, at every edge", () => {
  for (const size of EDGES) {
    const tree = treeOf(LEAVES.slice(0, size));
    const copy = new MerkleTree();
    for (let tile = 0; tile * TILE_LEAVES < size; tile++) copy.appendTile(tree.encodeTile(tile));
    assert.equal(copy.size, size);
    // Both go on alike, past the next edge of each kind.
    for (const leaf of LEAVES.slice(size, size + 280)) copy.append(leaf);
    assert.deepEqual(copy.root(), BIG.root(copy.size));
    for (let at = 1; at <= copy.size; at += 61) {
      assert.deepEqual(copy.root(at), BIG.root(at));
      assert.deepEqual(
        copy.inclusionProof(at - 1, copy.size),
        BIG.inclusionProof(at - 1, copy.size),
      );
      assert.deepEqual(copy.consistencyProof(at, copy.size), BIG.consistencyProof(at, copy.size));
    }
    for (let tile = 0; tile * TILE_LEAVES < size - TILE_LEAVES; tile++) {
      assert.deepEqual(copy.encodeTile(tile), BIG.encodeTile(tile));
    }
  }
});

test("MerkleTree.encodeTile() writes leaves, and for a full tile the nodes of level 4 and 8", () => {
  const leaves = LEAVES.slice(256, 512);
  const middles = Array.from(
    { length: 16 },
    (_, i) => naiveRoot(leaves.slice(16 * i, 16 * i + 16)),
  );
  assert.deepEqual(BIG.encodeTile(1), concatBytes(...leaves, ...middles, naiveRoot(leaves)));
  const partial = treeOf(LEAVES.slice(0, 511));
  assert.deepEqual(partial.encodeTile(1), concatBytes(...leaves.slice(0, 255)));
});

test("MerkleTree.appendTile() hashes nothing in a full tile: it believes the nodes", () => {
  const bytes = BIG.encodeTile(0);
  bytes.fill(7, bytes.length - 32);
  const tree = new MerkleTree();
  tree.appendTile(bytes);
  assert.deepEqual(tree.root(), new Uint8Array(32).fill(7));
});

const BAD_TILES: readonly { name: string; bytes: number; kind?: "storage" }[] = [
  { name: "nothing", bytes: 0, kind: "storage" },
  { name: "a cut hash", bytes: 31, kind: "storage" },
  { name: "one hash", bytes: 32 },
  { name: "a byte more than one hash", bytes: 33, kind: "storage" },
  { name: "255 hashes", bytes: 255 * 32 },
  { name: "256 hashes without their nodes", bytes: 256 * 32, kind: "storage" },
  { name: "272 hashes", bytes: 272 * 32, kind: "storage" },
  { name: "a byte less than a full tile", bytes: 273 * 32 - 1, kind: "storage" },
  { name: "a full tile", bytes: 273 * 32 },
  { name: "a byte more than a full tile", bytes: 273 * 32 + 1, kind: "storage" },
  { name: "a hash more than a full tile", bytes: 274 * 32, kind: "storage" },
];

for (const { name, bytes, kind } of BAD_TILES) {
  test(`MerkleTree.appendTile() ${kind === undefined ? "takes" : "refuses"} ${name}`, () => {
    const tree = new MerkleTree();
    const append = () => tree.appendTile(new Uint8Array(bytes));
    if (kind === undefined) return append();
    assert.throws(append, {
      name: "PkiError",
      kind,
      message: `cannot append tile: ${bytes} bytes are not a tile`,
    });
    assert.equal(tree.size, 0);
  });
}

const SMALL = treeOf(LEAVES.slice(0, 5));
const OUTSIDE: readonly { name: string; run: () => unknown; message: string }[] = [
  {
    name: "append() of what is no hash",
    run: () => SMALL.append(new Uint8Array(31)),
    message: "cannot use tree: hash has 31 bytes",
  },
  {
    name: "hashNode() of what is no hash",
    run: () => hashNode(LEAVES[0]!, new Uint8Array(33)),
    message: "cannot use tree: hash has 33 bytes",
  },
  {
    name: "leafHash() past the end",
    run: () => SMALL.leafHash(5),
    message: "cannot use tree: leaf 5 is not in 0 to 4",
  },
  {
    name: "leafHash() of a fraction",
    run: () => SMALL.leafHash(0.5),
    message: "cannot use tree: leaf 0.5 is not in 0 to 4",
  },
  {
    name: "root() of a later size",
    run: () => SMALL.root(6),
    message: "cannot use tree: size 6 is not in 0 to 5",
  },
  {
    name: "root() of less than nothing",
    run: () => SMALL.root(-1),
    message: "cannot use tree: size -1 is not in 0 to 5",
  },
  {
    name: "inclusionProof() of a leaf past the size",
    run: () => SMALL.inclusionProof(4, 4),
    message: "cannot use tree: leaf 4 is not in 0 to 3",
  },
  {
    name: "inclusionProof() in an empty tree",
    run: () => SMALL.inclusionProof(0, 0),
    message: "cannot use tree: leaf 0 is not in 0 to -1",
  },
  {
    name: "inclusionProof() in a later tree",
    run: () => SMALL.inclusionProof(0, 6),
    message: "cannot use tree: size 6 is not in 0 to 5",
  },
  {
    name: "consistencyProof() to a later tree",
    run: () => SMALL.consistencyProof(5, 6),
    message: "cannot use tree: size 6 is not in 0 to 5",
  },
  {
    name: "consistencyProof() backward",
    run: () => SMALL.consistencyProof(5, 4),
    message: "cannot use tree: size 5 is not in 0 to 4",
  },
  {
    name: "encodeTile() past the end",
    run: () => SMALL.encodeTile(1),
    message: "cannot use tree: tile 1 is not in 0 to 0",
  },
  {
    name: "encodeTile() of an empty tree",
    run: () => new MerkleTree().encodeTile(0),
    message: "cannot use tree: tile 0 is not in 0 to -1",
  },
  {
    name: "appendTile() behind a partial tile",
    run: () => SMALL.appendTile(BIG.encodeTile(0)),
    message: "cannot append tile: tree has 5 leaves",
  },
];

for (const { name, run, message } of OUTSIDE) {
  test(`MerkleTree refuses ${name} and stays as it was`, () => {
    assert.throws(run, { name: "PkiError", kind: "internal", message });
    assert.equal(SMALL.size, 5);
    assert.deepEqual(SMALL.root(), BIG.root(5));
  });
}

test("MerkleTree takes the last leaf, size and tile that it has", () => {
  assert.deepEqual(SMALL.leafHash(4), LEAVES[4]);
  assert.deepEqual(SMALL.root(5), SMALL.root());
  assert.equal(SMALL.inclusionProof(4, 5).length, 1);
  assert.deepEqual(SMALL.consistencyProof(5, 5), []);
  assert.equal(SMALL.encodeTile(0).length, 5 * 32);
});
