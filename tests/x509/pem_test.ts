import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { utf8 } from "../../lib/base/bytes.ts";
import {
  encodeCertificatesPem,
  encodePem,
  parseCertificatesPem,
  parsePem,
  parsePemBlock,
} from "../../lib/x509/pem.ts";

const NOT_CANONICAL = {
  kind: "malformed",
  message: "cannot read base64: it is not in canonical form",
};
const NO_BLOCK = { kind: "malformed", message: 'cannot read "x": no PEM block X in it' };

test("encodePem() writes lines of 64 characters between its labels", () => {
  assert.equal(
    encodePem("X", new Uint8Array(49)),
    `-----BEGIN X-----\n${"A".repeat(64)}\nAA==\n-----END X-----\n`,
  );
});

test("parsePem() reads what encodePem() wrote, with any line ends and text around", () => {
  const label = fc.constantFrom("CERTIFICATE", "ENCRYPTED PRIVATE KEY", "X 1");
  const block = fc.record({ label, der: fc.uint8Array({ maxLength: 200 }) }, {
    noNullPrototype: true,
  });
  fc.assert(fc.property(fc.array(block), fc.constantFrom("\n", "\r\n"), (blocks, lineEnd) => {
    const text = blocks
      .map(({ label, der }) => `subject: CN = x${lineEnd}${encodePem(label, der)}`)
      .join("some text\n").replaceAll("\n", lineEnd);
    assert.deepEqual(
      parsePem(text),
      blocks.map(({ label, der }) => ({ label, der: new Uint8Array(der) })),
    );
  }));
});

interface Row {
  readonly name: string;
  readonly text: string;
  readonly refused?: { kind: string; message: string };
}

const ROWS: readonly Row[] = [
  { name: "nothing", text: "", refused: NO_BLOCK },
  { name: "another label", text: encodePem("Y", utf8("abc")), refused: NO_BLOCK },
  {
    name: "an end of another label",
    text: "-----BEGIN X-----\nYWJj\n-----END Y-----\n",
    refused: NO_BLOCK,
  },
  { name: "no end", text: "-----BEGIN X-----\nYWJj\n", refused: NO_BLOCK },
  {
    name: "a lower-case label",
    text: "-----BEGIN x-----\nYWJj\n-----END x-----\n",
    refused: NO_BLOCK,
  },
  {
    name: "four hyphens",
    text: "----BEGIN X----\nYWJj\n----END X----\n",
    refused: NO_BLOCK,
  },
  {
    name: "headers (RFC 1421)",
    text: "-----BEGIN X-----\nProc-Type: 4,ENCRYPTED\n\nYWJj\n-----END X-----\n",
    refused: NO_BLOCK,
  },
  {
    name: "odd characters",
    text: "-----BEGIN X-----\nYW*Jj\n-----END X-----\n",
    refused: NOT_CANONICAL,
  },
  {
    name: "no padding",
    text: "-----BEGIN X-----\nYWI\n-----END X-----\n",
    refused: NOT_CANONICAL,
  },
  {
    name: "spare bits",
    text: "-----BEGIN X-----\nYWJ=\n-----END X-----\n",
    refused: NOT_CANONICAL,
  },
  {
    name: "bad base64 in a block before",
    text: "-----BEGIN Y-----\nY\n-----END Y-----\n" + encodePem("X", utf8("abc")),
    refused: NOT_CANONICAL,
  },
  { name: "one line of any length", text: "-----BEGIN X-----YWJj-----END X-----" },
  {
    name: "the block behind others",
    text: encodePem("Y", utf8("y")) + encodePem("X", utf8("abc")),
  },
  { name: "the first of two", text: encodePem("X", utf8("abc")) + encodePem("X", utf8("d")) },
];

for (const { name, text, refused } of ROWS) {
  test(`parsePemBlock() ${refused ? "refuses" : "reads"} ${name}`, () => {
    if (refused) assert.throws(() => parsePemBlock(text, ["X"], '"x"'), refused);
    else assert.deepEqual(parsePemBlock(text, ["X"], '"x"'), utf8("abc"));
  });
}

test("parsePemBlock() names all labels that it would have taken", () => {
  assert.throws(() => parsePemBlock("", ["A", "B"], "the key"), {
    message: "cannot read the key: no PEM block A or B in it",
  });
});

test("parsePem() is not slowed down by many beginnings without an end", () => {
  assert.deepEqual(parsePem("-----BEGIN X-----".repeat(15_000)), []);
});

test("parseCertificatesPem() reads the certificates in order and skips the rest", () => {
  const ders = [utf8("leaf"), utf8("issuing")];
  const text = encodePem("X", utf8("other")) + encodeCertificatesPem(ders);
  assert.deepEqual(parseCertificatesPem(text, "it"), ders);
  assert.throws(() => parseCertificatesPem(encodePem("X", utf8("other")), "it"), {
    kind: "malformed",
    message: "cannot read it: no PEM block CERTIFICATE in it",
  });
});
