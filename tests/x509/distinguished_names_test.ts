import assert from "node:assert/strict";
import { test } from "node:test";
import { type Bytes, utf8 } from "../../lib/base/bytes.ts";
import { encodeElement, encodeOid, encodeSequence, TAG } from "../../lib/x509/der.ts";
import { isEmptyName, isSameName, parseName } from "../../lib/x509/distinguished_names.ts";

const COMMON_NAME = "2.5.4.3";
const ORGANIZATION = "2.5.4.10";
const BMP_STRING = 0x1e;

const attribute = (text: string | Uint8Array, tag: number = TAG.utf8String, oid = COMMON_NAME) =>
  encodeSequence(
    encodeOid(oid),
    encodeElement(tag, typeof text === "string" ? utf8(text) : text),
  );
const relative = (...attributes: readonly Uint8Array[]) => encodeElement(TAG.set, ...attributes);
const name = (...texts: readonly string[]): Bytes =>
  encodeSequence(...texts.map((text) => relative(attribute(text))));

const ROWS: readonly {
  readonly what: string;
  readonly a: Bytes;
  readonly b: Bytes;
  readonly is: boolean;
}[] = [
  { what: "the same", a: name("a"), b: name("a"), is: true },
  { what: "others", a: name("a"), b: name("b"), is: false },
  { what: "letters of both cases", a: name("Some CA"), b: name("sOME ca"), is: true },
  { what: "spaces around and between", a: name("Some CA"), b: name("  Some   CA "), is: true },
  { what: "no space between", a: name("Some CA"), b: name("SomeCA"), is: false },
  { what: "letters composed or not", a: name("\u00fc"), b: name("u\u0308"), is: true },
  {
    what: "letters of both cases beyond ASCII",
    a: name("\u00dcber"),
    b: name("\u00fcBER"),
    is: true,
  },
  { what: "accents or none", a: name("\u00fc"), b: name("u"), is: false },
  {
    what: "two character sets",
    a: name("Some CA"),
    b: encodeSequence(relative(attribute("some ca", TAG.printableString))),
    is: true,
  },
  {
    what: "a character set that is not read, of the same bytes",
    a: encodeSequence(relative(attribute("ab", BMP_STRING))),
    b: encodeSequence(relative(attribute("ab", BMP_STRING))),
    is: true,
  },
  {
    what: "a character set that is not read, in two cases",
    a: encodeSequence(relative(attribute("ab", BMP_STRING))),
    b: encodeSequence(relative(attribute("aB", BMP_STRING))),
    is: false,
  },
  {
    what: "two types of one text",
    a: name("a"),
    b: encodeSequence(relative(attribute("a", TAG.utf8String, ORGANIZATION))),
    is: false,
  },
  { what: "a beginning", a: name("a"), b: name("a", "b"), is: false },
  { what: "another order", a: name("a", "b"), b: name("b", "a"), is: false },
  { what: "a text with a separator", a: name('a","b'), b: name("a", "b"), is: false },
  {
    what: "two attributes at once in another order",
    a: encodeSequence(relative(attribute("a"), attribute("b", TAG.utf8String, ORGANIZATION))),
    b: encodeSequence(relative(attribute("b", TAG.utf8String, ORGANIZATION), attribute("a"))),
    is: true,
  },
  {
    what: "two attributes at once or one after another",
    a: encodeSequence(relative(attribute("a"), attribute("b"))),
    b: name("a", "b"),
    is: false,
  },
  { what: "nothing", a: name(), b: name(), is: true },
  { what: "nothing and an empty text", a: name(), b: name(""), is: false },
];

for (const { what, a, b, is } of ROWS) {
  test(`isSameName() ${is ? "knows as one" : "tells apart"} ${what}`, () => {
    assert.equal(isSameName(a, b), is);
    assert.equal(isSameName(b, a), is);
    assert.equal(isSameName(a, a.slice()), true);
  });
}

test("parseName() reads attributes in order, with their text where it can be read", () => {
  const der = encodeSequence(
    relative(attribute("x", TAG.printableString, ORGANIZATION)),
    relative(attribute("a"), attribute("ab", BMP_STRING), attribute(Uint8Array.of(0xff))),
  );
  const read = parseName(der).map((part) => part.map(({ oid, text }) => [oid, text]));
  assert.deepEqual(read, [
    [[ORGANIZATION, "x"]],
    [[COMMON_NAME, "a"], [COMMON_NAME, undefined], [COMMON_NAME, undefined]],
  ]);
  assert.equal(isEmptyName(der), false);
  assert.equal(isEmptyName(name()), true);
  assert.throws(() => parseName(encodeSequence(relative())), {
    kind: "malformed",
    message: "cannot read certificate: a part of a name without attributes",
  });
});
