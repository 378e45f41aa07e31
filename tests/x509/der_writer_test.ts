import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { concatBytes, utf8 } from "../../lib/base/bytes.ts";
import { encodeElement, encodeSequence, readWhole, TAG } from "../../lib/x509/der.ts";
import { DerWriter } from "../../lib/x509/der_writer.ts";

/** A tree of elements: content, or members. */
type Tree = Uint8Array | readonly Tree[];

const { tree } = fc.letrec<{ tree: Tree }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 5, depthSize: "medium" },
    fc.uint8Array({ maxLength: 400 }),
    fc.array(tie("tree"), { maxLength: 5 }),
  ),
}));

function encode(node: Tree): Uint8Array {
  return node instanceof Uint8Array
    ? encodeElement(TAG.octetString, node)
    : encodeSequence(...node.map(encode));
}

function write(writer: DerWriter, node: Tree): void {
  if (node instanceof Uint8Array) return void writer.element(TAG.octetString, node);
  const { mark } = writer;
  for (const member of [...node].reverse()) write(writer, member);
  writer.wrap(TAG.sequence, mark);
}

test("DerWriter writes what encodeElement() does, for any tree", () => {
  fc.assert(
    fc.property(tree, (node) => {
      const writer = new DerWriter();
      write(writer, node);
      assert.deepEqual(writer.take(), encode(node));
    }),
    { numRuns: 500 },
  );
});

for (const length of [0, 1, 127, 128, 255, 256, 2047, 2048, 65_535, 65_536, 100_000]) {
  test(`DerWriter writes a content of ${length} bytes`, () => {
    const content = new Uint8Array(length).fill(7);
    const written = new DerWriter().element(TAG.octetString, content).take();
    assert.deepEqual(written, encodeElement(TAG.octetString, content));
    assert.deepEqual(readWhole(written, TAG.octetString).content, content);
  });
}

test("DerWriter puts text and single bytes in front", () => {
  const writer = new DerWriter().ascii("pki.internal").byte(0).bytes(utf8("x"));
  assert.equal(writer.mark, 14);
  assert.deepEqual(writer.take(), concatBytes(utf8("x"), Uint8Array.of(0), utf8("pki.internal")));
  const long = "a".repeat(5000);
  assert.deepEqual(new DerWriter().ascii(long).byte(1).take(), utf8(`\x01${long}`));
});
