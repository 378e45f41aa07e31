import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { utf8 } from "../../lib/base/bytes.ts";
import { encodeElement, encodeOid, encodeSequence, TAG } from "../../lib/x509/der.ts";
import { formatName } from "../../lib/x509/name_text.ts";
import { inFolder, runTool, without } from "../tool.ts";

const T61_STRING = 0x14;

type Attribute = readonly [oid: string, text: string, tag?: number];

function encodeName(...parts: readonly (readonly Attribute[])[]): Uint8Array {
  return encodeSequence(...parts.map((attributes) =>
    encodeElement(
      TAG.set,
      ...attributes.map(([oid, text, tag = TAG.utf8String]) =>
        encodeSequence(encodeOid(oid), encodeElement(tag, utf8(text)))
      ),
    )
  ));
}

const CN = "2.5.4.3";

test("formatName() writes a name as RFC 4514 does", () => {
  const rows: readonly (readonly [Uint8Array, string])[] = [
    [encodeName(), ""],
    [encodeName([[CN, "alice"]]), "CN=alice"],
    [encodeName([["2.5.4.6", "DE"]], [["2.5.4.10", "A"]], [[CN, "b"]]), "CN=b,O=A,C=DE"],
    [encodeName([["2.5.4.11", "Sales"], [CN, "J. Smith"]]), "OU=Sales+CN=J. Smith"],
    [encodeName([["0.9.2342.19200300.100.1.25", "net"]]), "DC=net"],
    [encodeName([["1.3.6.1.4.1.99999.1", "x"]]), "1.3.6.1.4.1.99999.1=x"],
    [encodeName([[CN, 'a"b+c,d;e<f>g\\h']]), 'CN=a\\"b\\+c\\,d\\;e\\<f\\>g\\\\h'],
    [encodeName([[CN, " a b "]]), "CN=\\ a b\\ "],
    [encodeName([[CN, " "]]), "CN=\\ "],
    [encodeName([[CN, "#a#"]]), "CN=\\#a#"],
    [encodeName([[CN, "a\0b"]]), "CN=a\\00b"],
    [encodeName([[CN, "Lučić"]]), "CN=Lučić"],
    [encodeName([[CN, "ab", T61_STRING]]), "CN=#14026162"],
  ];
  for (const [der, text] of rows) assert.equal(formatName(der), text);
});

test("formatName() writes what openssl writes", { skip: without("openssl") }, () => {
  // Not quoted by both alike: control characters, and names that are empty.
  const text = fc.string({
    unit: fc.constantFrom(...'ab ,+"\\<>;#=/é日'),
    minLength: 1,
    maxLength: 12,
  });
  const oid = fc.constantFrom(CN, "2.5.4.10", "2.5.4.11", "0.9.2342.19200300.100.1.25");
  const names = fc.sample(
    fc.array(fc.tuple(oid, text), { minLength: 1, maxLength: 4 }),
    { numRuns: 40, seed: 1 },
  );
  const ders = names.map((attributes) => encodeName(...attributes.map((one) => [one])));
  // A name is shown as a part of something: of a PKCS #10 request whose key and signature are none.
  const files = Object.fromEntries(ders.map((name, i) => [`${i}.der`, requestWith(name)]));
  inFolder(files, (cwd) => {
    ders.forEach((name, i) => {
      const { output } = runTool("openssl", [
        ...["req", "-inform", "DER", "-in", `${i}.der`, "-noout", "-subject"],
        ...["-nameopt", "RFC2253,-esc_msb,utf8"],
      ], { cwd });
      assert.equal(output, `subject=${formatName(name)}\n`);
    });
  });
});

function requestWith(name: Uint8Array): Uint8Array {
  const algorithm = encodeSequence(encodeOid("1.3.101.112"));
  const bits = encodeElement(TAG.bitString, new Uint8Array(33));
  const info = encodeSequence(
    encodeElement(TAG.integer, Uint8Array.of(0)),
    name,
    encodeSequence(algorithm, bits),
    encodeElement(0xa0),
  );
  return encodeSequence(info, algorithm, bits);
}
