/**
 * DER as a tree that can be changed and written down again, with lengths that fit: mutations of it
 * reach what lies behind the reader's first checks. A reader of its own, lenient and independent of
 * `lib/x509/der.ts`, which it helps to test.
 */

import fc from "fast-check";
import { type Bytes, concatBytes, copyBytes, utf8 } from "../../lib/base/bytes.ts";

export interface DerNode {
  readonly tag: number;
  /** Bytes of the content before the children: the count of unused bits of a BIT STRING. */
  readonly prefix: Uint8Array;
  /** What it holds: elements, or bytes. */
  readonly children?: readonly DerNode[];
  readonly content: Uint8Array;
  /** How its length is written, where not as DER wants. */
  readonly length?: LengthForm;
}

type LengthForm = "long" | "indefinite" | "one too many" | "one too few" | "huge";

const NOTHING = new Uint8Array();
const OCTET_STRING = 0x04;
const BIT_STRING = 0x03;
const IS_CONSTRUCTED = 0x20;
const DEPTH_MAX = 24;

/** The elements that these bytes are, to the last byte; `undefined` if they are none. */
function parseAll(bytes: Uint8Array, depth: number): readonly DerNode[] | undefined {
  const nodes: DerNode[] = [];
  for (let at = 0; at < bytes.length;) {
    const tag = bytes[at] ?? 0;
    const first = bytes[at + 1];
    if (first === undefined || (tag & 0x1f) === 0x1f) return undefined;
    const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
    if (first === 0x80 || lengthBytes > 3) return undefined;
    let length = lengthBytes === 0 ? first : 0;
    for (let i = 0; i < lengthBytes; i++) length = length * 256 + (bytes[at + 2 + i] ?? 0);
    const from = at + 2 + lengthBytes;
    if (from + length > bytes.length) return undefined;
    nodes.push(parseNode(tag, bytes.subarray(from, from + length), depth));
    at = from + length;
  }
  return nodes;
}

function parseNode(tag: number, content: Uint8Array, depth: number): DerNode {
  const leaf = { tag, prefix: NOTHING, content };
  if (depth >= DEPTH_MAX || content.length === 0) return leaf;
  const isBits = tag === BIT_STRING && content[0] === 0;
  if ((tag & IS_CONSTRUCTED) === 0 && tag !== OCTET_STRING && !isBits) return leaf;
  const prefix = isBits ? content.subarray(0, 1) : NOTHING;
  const children = parseAll(content.subarray(prefix.length), depth + 1);
  return children?.length ? { tag, prefix, children, content: NOTHING } : leaf;
}

/** @throws {Error} if the bytes are not one element: samples are */
export function parseTree(bytes: Uint8Array): DerNode {
  const [node, ...more] = parseAll(bytes, 0) ?? [];
  if (!node || more.length > 0) throw new Error("a sample is not one DER element");
  return node;
}

function encodeLength(length: number, form: LengthForm | undefined): Bytes {
  switch (form) {
    case "long":
      return Uint8Array.of(0x84, 0, length >>> 16 & 0xff, length >>> 8 & 0xff, length & 0xff);
    case "indefinite":
      return Uint8Array.of(0x80);
    case "huge":
      return Uint8Array.of(0x84, 0xff, 0xff, 0xff, 0xff);
    case "one too many":
      return encodeLength(length + 1, undefined);
    case "one too few":
      return encodeLength(Math.max(0, length - 1), undefined);
    case undefined:
      if (length < 0x80) return Uint8Array.of(length);
      if (length < 0x100) return Uint8Array.of(0x81, length);
      if (length < 0x10000) return Uint8Array.of(0x82, length >>> 8, length & 0xff);
      return Uint8Array.of(0x83, length >>> 16, length >>> 8 & 0xff, length & 0xff);
  }
}

export function encodeTree(node: DerNode): Bytes {
  const content = node.children
    ? concatBytes(node.prefix, ...node.children.map(encodeTree))
    : copyBytes(node.content);
  return concatBytes(Uint8Array.of(node.tag), encodeLength(content.length, node.length), content);
}

/** All nodes in the order in which they are written, by their paths. */
function pathsOf(node: DerNode, path: readonly number[] = []): (readonly number[])[] {
  const below = (node.children ?? []).flatMap((child, i) => pathsOf(child, [...path, i]));
  return [path, ...below];
}

function nodeAt(node: DerNode, path: readonly number[]): DerNode {
  return path.reduce((at, i) => at.children?.[i] ?? at, node);
}

/** The tree with another node, or several, or none, at a path. */
function replaceAt(
  node: DerNode,
  [first, ...rest]: readonly number[],
  change: (old: DerNode) => readonly DerNode[],
): DerNode {
  if (first === undefined) return change(node)[0] ?? node;
  const children = (node.children ?? []).flatMap((child, i) => {
    if (i !== first) return [child];
    return rest.length === 0 ? change(child) : [replaceAt(child, rest, change)];
  });
  return { ...node, children };
}

/** Contents that readers trip over, whatever they stand in. */
const CONTENTS: readonly Uint8Array[] = [
  NOTHING,
  Uint8Array.of(0),
  Uint8Array.of(0xff),
  Uint8Array.of(0x80),
  Uint8Array.of(0, 0),
  Uint8Array.of(0, 0x80),
  Uint8Array.of(0xff, 0xff),
  Uint8Array.of(7, 1),
  Uint8Array.of(8),
  new Uint8Array(21).fill(0x7f),
  new Uint8Array(300).fill(0x61),
  new Uint8Array(64).fill(0xff),
  utf8("alice"),
  utf8("bob"),
  utf8("al\u0000ice"),
  utf8("\u0430lice"),
  utf8("\u001b[31malice"),
  Uint8Array.of(0xc3, 0x28),
  utf8("spiffe://pki.internal/user/bob"),
  utf8("spiffe://pki.internal/user/alice"),
  utf8("spiffe://pki.internal/server"),
  utf8("bob.user.pki.internal"),
  utf8("*.user.pki.internal"),
  utf8("20991231235959Z"),
  utf8("991231235959Z"),
  utf8("99991231235959Z"),
  utf8("20260230000000Z"),
  // OIDs: basicConstraints, subjectAltName, extKeyUsage, nameConstraints, SHA-1 with RSA, a huge arc
  Uint8Array.of(0x55, 0x1d, 0x13),
  Uint8Array.of(0x55, 0x1d, 0x11),
  Uint8Array.of(0x55, 0x1d, 0x25),
  Uint8Array.of(0x55, 0x1d, 0x1e),
  Uint8Array.of(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05),
  new Uint8Array(40).fill(0x81),
];

const TAGS = [
  ...[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0a, 0x0c, 0x13, 0x14, 0x16, 0x17, 0x18, 0x1e, 0x30],
  ...[0x31, 0x80, 0x81, 0x82, 0x86, 0x87, 0xa0, 0xa1, 0xa3, 0xa4, 0x00, 0x1f, 0x24, 0x3f, 0xff],
] as const;

const LENGTHS = ["long", "indefinite", "one too many", "one too few", "huge"] as const;

const WAYS = [
  ...["drop", "double", "swap", "graft", "wrap", "nest", "tag", "length"],
  ...["content", "content", "bytes", "flip", "flip"],
] as const;

export interface DerMutation {
  readonly way: (typeof WAYS)[number];
  /** Which node, and which of the choices that the way has. */
  readonly at: number;
  readonly choice: number;
  readonly bytes: Uint8Array;
}

export const derMutation: fc.Arbitrary<DerMutation> = fc.record({
  way: fc.constantFrom(...WAYS),
  at: fc.nat(),
  choice: fc.nat(),
  bytes: fc.uint8Array({ maxLength: 24 }),
});

/** Changes one thing. */
export function mutateTree(tree: DerNode, { way, at, choice, bytes }: DerMutation): DerNode {
  const paths = pathsOf(tree);
  const path = paths[at % paths.length] ?? [];
  const other = nodeAt(tree, paths[choice % paths.length] ?? []);
  const leaf = (old: DerNode, content: Uint8Array): DerNode => ({
    tag: old.tag,
    prefix: NOTHING,
    content,
  });
  return replaceAt(tree, path, (old) => {
    switch (way) {
      case "drop":
        return [];
      case "double":
        return [old, old];
      case "swap":
        return [{ ...old, ...(old.children ? { children: old.children.toReversed() } : {}) }];
      case "graft":
        return [other];
      case "wrap":
        return [{
          tag: TAGS[choice % TAGS.length] ?? 0,
          prefix: NOTHING,
          content: encodeTree(old),
        }];
      case "nest": {
        let node = old;
        for (let i = 0; i < choice % 300; i++) {
          node = { tag: 0x30, prefix: NOTHING, children: [node], content: NOTHING };
        }
        return [node];
      }
      case "tag":
        return [{ ...old, tag: TAGS[choice % TAGS.length] ?? 0 }];
      case "length":
        return [{ ...old, length: LENGTHS[choice % LENGTHS.length] ?? "long" }];
      case "content":
        return [leaf(old, CONTENTS[choice % CONTENTS.length] ?? NOTHING)];
      case "bytes":
        return [leaf(old, bytes)];
      case "flip": {
        const content = copyBytes(old.children ? encodeTree(old).subarray(2) : old.content);
        if (content.length > 0) {
          const index = (choice >>> 3) % content.length;
          content[index] = (content[index] ?? 0) ^ 1 << (choice & 7);
        }
        return [leaf(old, content)];
      }
    }
  });
}
