import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { concatBytes, encodeHex, sha256, utf8 } from "../../lib/base/bytes.ts";
import { PkiError } from "../../lib/base/errors.ts";
import { hashLeaf, hashNode, Tree } from "../../lib/log/tree.ts";

// The reference leaves and roots of Certificate Transparency.
const LEAVES = [
  "",
  "00",
  "10",
  "2021",
  "3031",
  "40414243",
  "5051525354555657",
  "606162636465666768696a6b6c6d6e6f",
];
const ROOTS = [
  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
  "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
  "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
  "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
  "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
  "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
  "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
  "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
  "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

test("Tree has the published roots for 0 to 8 leaves", () => {
  const tree = new Tree();
  assert.equal(encodeHex(tree.root()), ROOTS[0]);
  LEAVES.forEach((leaf, i) => {
    tree.append(hashLeaf(Buffer.from(leaf, "hex")));
    assert.equal(encodeHex(tree.root()), ROOTS[i + 1]);
  });
});

test("Tree agrees with the definition of RFC 9162 for 0 to 200 leaves", () => {
  const tree = new Tree();
  const leaves: Uint8Array[] = [];
  for (let size = 0; size <= 200; size++) {
    assert.equal(tree.size, size);
    assert.deepEqual(Buffer.from(tree.root()), naiveRoot(leaves));
    leaves.push(utf8(`leaf ${size}`));
    tree.append(hashLeaf(leaves.at(-1)!));
  }
});

/** MTH of RFC 9162, section 2.1.1, word for word. */
function naiveRoot(leaves: readonly Uint8Array[]): Buffer {
  const hash = createHash("sha256");
  if (leaves.length === 0) return hash.digest();
  if (leaves.length === 1) return hash.update("\0").update(leaves[0]!).digest();
  let k = 1;
  while (k * 2 < leaves.length) k *= 2;
  return hash.update("\x01").update(naiveRoot(leaves.slice(0, k)))
    .update(naiveRoot(leaves.slice(k))).digest();
}

test("Tree.parseFrontier() goes on where encodeFrontier() stopped, for 0 to 200 leaves", () => {
  for (let size = 0; size <= 200; size++) {
    const tree = new Tree();
    for (let i = 0; i < size; i++) tree.append(sha256(utf8(`${i}`)));
    const copy = Tree.parseFrontier(tree.encodeFrontier());
    assert.equal(copy.size, size);
    assert.deepEqual(copy.root(), tree.root());
    for (const each of [tree, copy]) each.append(sha256(utf8("next")));
    assert.deepEqual(copy.root(), tree.root());
    assert.deepEqual(copy.encodeFrontier(), tree.encodeFrontier());
  }
});

test("Tree.parseFrontier() and append() work past 32 bits", () => {
  const hash = sha256();
  // 2^33 - 1 leaves: 33 subtrees, which the next leaf makes one.
  const hashes = Array.from({ length: 33 }, () => hash);
  const tree = Tree.parseFrontier(concatBytes(Uint8Array.of(0, 0, 0, 1), BITS_32, ...hashes));
  assert.equal(tree.size, 2 ** 33 - 1);
  tree.append(hash);
  assert.equal(tree.size, 2 ** 33);
  assert.deepEqual(tree.root(), hashes.reduce((right, left) => hashNode(left, right), hash));
  assert.equal(tree.encodeFrontier().length, 8 + 32);
});

const BITS_32 = new Uint8Array(4).fill(0xff);

test("Tree owns its hashes: changing what was given or got changes nothing", () => {
  const tree = new Tree();
  const leaf = hashLeaf(utf8("a"));
  tree.append(leaf);
  leaf.fill(0);
  tree.root().fill(0);
  assert.deepEqual(tree.root(), hashLeaf(utf8("a")));
});

const HASH = new Array<number>(32).fill(7);
const BAD_FRONTIERS: readonly { name: string; bytes: number[]; message: string }[] = [
  { name: "nothing", bytes: [], message: "cannot read tree: frontier has 0 bytes" },
  {
    name: "a cut size",
    bytes: [0, 0, 0, 0, 0, 0, 0],
    message: "cannot read tree: frontier has 7 bytes",
  },
  {
    name: "a cut hash",
    bytes: [0, 0, 0, 0, 0, 0, 0, 1, ...HASH.slice(1)],
    message: "cannot read tree: frontier of size 1 has 39 bytes, 40 needed",
  },
  {
    name: "a missing hash",
    bytes: [0, 0, 0, 0, 0, 0, 0, 3, ...HASH],
    message: "cannot read tree: frontier of size 3 has 40 bytes, 72 needed",
  },
  {
    name: "a hash too many",
    bytes: [0, 0, 0, 0, 0, 0, 0, 0, ...HASH],
    message: "cannot read tree: frontier of size 0 has 40 bytes, 8 needed",
  },
  {
    name: "a size that cannot be counted",
    bytes: [0, 0x20, 0, 0, 0, 0, 0, 0, ...HASH],
    message: "cannot read tree: size 9007199254740992 is out of range",
  },
];

for (const { name, bytes, message } of BAD_FRONTIERS) {
  test(`Tree.parseFrontier() refuses ${name}`, () => {
    assert.throws(
      () => Tree.parseFrontier(Uint8Array.from(bytes)),
      (error) => error instanceof PkiError && error.kind === "storage" && error.message === message,
    );
  });
}

test("Tree.append() refuses what is no hash and stays as it was", () => {
  const tree = new Tree();
  assert.throws(() => tree.append(new Uint8Array(31)), { name: "PkiError", kind: "internal" });
  assert.equal(tree.size, 0);
});
