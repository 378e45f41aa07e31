import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createPrivateKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import fs from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { encodeHex, parseBase64 } from "../../lib/base/bytes.ts";
import {
  encodeVerifierKey,
  NOTE_CHARACTERS_MAX,
  NOTE_SIGNATURES_MAX,
  openNote,
  parseVerifierKey,
  signNote,
} from "../../lib/log/note.ts";

interface Vector {
  readonly name: string;
  readonly signerKey?: string;
  readonly verifierKey: string;
  readonly text: string;
  readonly note: string;
}

const VECTORS = JSON.parse(
  fs.readFileSync(new URL("../../testdata/log/notes.json", import.meta.url), "utf8"),
) as readonly Vector[];

/** The private key in a line of Go's note package: `PRIVATE+KEY+name+id+base64(0x01 ‖ seed)`. */
function parseSignerKey(line: string): KeyObject {
  const [, , , , ...key] = line.split("+");
  const seed = parseBase64(key.join("+")).subarray(1);
  const der = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), seed]);
  return createPrivateKey({ key: der, format: "der", type: "pkcs8" });
}

const { name: _, signerKey, verifierKey: VERIFIER, text: TEXT, note: NOTE } = VECTORS[0]!;
const PETER = parseSignerKey(signerKey!);
const KEY = parseVerifierKey(VERIFIER);
/** Of another key; the second of two that the second vector has. */
const STRANGER = VECTORS[1]!.note.split("\n").at(-2)! + "\n";
const SIGNATURE = NOTE.split("\n").at(-2)! + "\n";

for (const { name, verifierKey, text, note } of VECTORS) {
  test(`openNote() opens ${name}`, () => {
    assert.equal(openNote(note, parseVerifierKey(verifierKey)), text);
  });
}

test("signNote() and encodeVerifierKey() write the example of Go's note package", () => {
  assert.equal(signNote(TEXT, { name: "PeterNeumann", key: PETER }), NOTE);
  assert.equal(encodeVerifierKey("PeterNeumann", PETER), VERIFIER);
  assert.equal(encodeVerifierKey("PeterNeumann", KEY.key), VERIFIER);
});

test("parseVerifierKey() reads name, id and key", () => {
  assert.equal(KEY.name, "PeterNeumann");
  assert.equal(encodeHex(KEY.id), "c74f20a3");
  assert.equal(KEY.key.type, "public");
  assert.equal(KEY.key.asymmetricKeyType, "ed25519");
});

test("openNote() opens what signNote() wrote, for any text and any name", () => {
  const { privateKey: key } = generateKeyPairSync("ed25519");
  // deno-lint-ignore no-control-regex
  const line = fc.string({ unit: "grapheme" }).map((text) => text.replace(/[\0-\x1f]/g, ""));
  const name = fc.string({ unit: "grapheme", minLength: 1 })
    .map((text) => `n${text}`)
    // deno-lint-ignore no-control-regex
    .filter((text) => !/[\p{White_Space}+\0-\x1f]/u.test(text));
  fc.assert(
    fc.property(fc.array(line, { minLength: 1 }), name, (lines, name) => {
      const text = lines.map((each) => `${each}\n`).join("");
      const note = signNote(text, { name, key });
      const verifier = encodeVerifierKey(name, key);
      assert.equal(openNote(note, parseVerifierKey(verifier)), text);
      assert.equal(signNote(text, { name, key }), note);
    }),
  );
});

test("parseVerifierKey() refuses every part of a key, and every key with one character changed", () => {
  const refuses = (text: string) =>
    assert.throws(() => parseVerifierKey(text), { name: "PkiError", kind: "malformed" }, text);
  for (let from = 0; from <= VERIFIER.length; from++) {
    for (let to = from; to <= VERIFIER.length; to++) {
      if (to - from < VERIFIER.length) refuses(VERIFIER.slice(from, to));
    }
    for (const character of ["A", "+", " ", "\n", "=", "0"]) {
      refuses(VERIFIER.slice(0, from) + character + VERIFIER.slice(from));
      if (from < VERIFIER.length && VERIFIER[from] !== character) {
        refuses(VERIFIER.slice(0, from) + character + VERIFIER.slice(from + 1));
      }
    }
  }
  parseVerifierKey(VERIFIER);
});

const NO_PARTS = "it is not a name, an id and a key with plus signs between them";
const BASE64 = "ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const BAD_KEYS: readonly { name: string; text: string; why: string }[] = [
  { name: "nothing", text: "", why: NO_PARTS },
  { name: "no name", text: `+c74f20a3+${BASE64}`, why: NO_PARTS },
  { name: "a space in the name", text: `Peter Neumann+c74f20a3+${BASE64}`, why: NO_PARTS },
  { name: "another space", text: `Peter\u2003Neumann+c74f20a3+${BASE64}`, why: NO_PARTS },
  { name: "half a character", text: `Peter\ud800+c74f20a3+${BASE64}`, why: NO_PARTS },
  { name: "a control character", text: `Peter\x07+c74f20a3+${BASE64}`, why: NO_PARTS },
  { name: "a short id", text: `PeterNeumann+c74f20a+${BASE64}`, why: NO_PARTS },
  { name: "an id in capitals", text: `PeterNeumann+C74F20A3+${BASE64}`, why: NO_PARTS },
  { name: "no key", text: "PeterNeumann+c74f20a3+", why: NO_PARTS },
  { name: "a key of bad base64", text: "PeterNeumann+c74f20a3+ARp", why: "its key is not base64" },
  {
    // From the tests of Go's note package: its id fits.
    name: "a key of another length",
    text: "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
    why: "its key is not base64",
  },
  {
    name: "a key that is too long",
    text: "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADK",
    why: "its key is not an Ed25519 key",
  },
  {
    name: "a key that is too short",
    text: "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10Q=",
    why: "its key is not an Ed25519 key",
  },
  {
    // From the tests of Go's note package: its id fits.
    name: "an unknown signature type",
    text: "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    why: "its key is not an Ed25519 key",
  },
  {
    name: "another name than the id's",
    text: `PeterNeuman+c74f20a3+${BASE64}`,
    why: "its id does not belong to its name and key",
  },
];

for (const { name, text, why } of BAD_KEYS) {
  test(`parseVerifierKey() refuses ${name}`, () => {
    assert.throws(() => parseVerifierKey(text), {
      name: "PkiError",
      kind: "malformed",
      message: `cannot read the note key: ${why}`,
    });
  });
}

const ODD = "it has characters that a note cannot have";
const NO_LINE = "a line where signatures stand is none";
const WRONG = "its signature is wrong";
const UNSIGNED = "the key has not signed it";
const lengthened = (characters: number) =>
  signNote(`${"x".repeat(characters - SIGNATURE.length - 2)}\n`, {
    name: "PeterNeumann",
    key: PETER,
  });
const BAD_NOTES: readonly { name: string; note: string; why: string }[] = [
  { name: "nothing", note: "", why: "no empty line stands before its signatures" },
  { name: "a text alone", note: TEXT, why: "no empty line stands before its signatures" },
  { name: "no signatures", note: `${TEXT}\n`, why: "it has no signatures" },
  { name: "no end", note: NOTE.slice(0, -1), why: "its last line does not end" },
  {
    name: "no empty line",
    note: TEXT + SIGNATURE,
    why: "no empty line stands before its signatures",
  },
  { name: "a control character", note: `\x01${NOTE}`, why: ODD },
  { name: "a tab", note: NOTE.replace(" ", "\t"), why: ODD },
  { name: "a carriage return", note: NOTE.replace("\n", "\r\n"), why: ODD },
  { name: "what UTF-8 cannot express", note: `\ud800${NOTE}`, why: ODD },
  { name: "a line behind the signatures", note: `${NOTE}Unexpected line.\n`, why: NO_LINE },
  { name: "a line before them", note: `${TEXT}\nUnexpected\n${SIGNATURE}`, why: NO_LINE },
  { name: "a hyphen for the dash", note: NOTE.replace("\u2014", "-"), why: NO_LINE },
  { name: "an en dash", note: NOTE.replace("\u2014", "\u2013"), why: NO_LINE },
  { name: "a space in the name", note: NOTE.replace("PeterN", "Peter N"), why: NO_LINE },
  { name: "two spaces", note: NOTE.replace("\u2014 ", "\u2014  "), why: NO_LINE },
  { name: "a plus sign in a name", note: NOTE.replace("PeterN", "Peter+N"), why: NO_LINE },
  { name: "a space at the end", note: NOTE.replace(/\n$/, " \n"), why: NO_LINE },
  {
    name: "no signature behind the name",
    note: `${TEXT}\n\u2014 PeterNeumann\n`,
    why: "a signature is too short",
  },
  {
    name: "a signature that is but an id",
    note: `${TEXT}\n\u2014 PeterNeumann x08gow==\n`,
    why: "a signature is too short",
  },
  {
    name: "a signature without padding",
    note: NOTE.replace("=", ""),
    why: "a signature is not base64",
  },
  {
    name: "a stranger's bad base64",
    note: `${NOTE}\u2014 EnochRoot rwz*\n`,
    why: "a signature is not base64",
  },
  { name: "another name", note: NOTE.replace("PeterNeumann", "CarmenSandiego"), why: UNSIGNED },
  { name: "another id", note: NOTE.replace("x08g", "xxxx"), why: UNSIGNED },
  { name: "a stranger's signature", note: `${TEXT}\n${STRANGER}`, why: UNSIGNED },
  { name: "a changed text", note: NOTE.replace("your", "my"), why: WRONG },
  { name: "an empty line more", note: NOTE.replace("\n\n", "\n\n\n"), why: WRONG },
  { name: "a text before the text", note: `${TEXT}\n${NOTE}`, why: WRONG },
  { name: "a changed signature", note: NOTE.replace("ZJku", "ZJkv"), why: WRONG },
  {
    name: "a longer signature",
    note: NOTE.replace("UgYN", "ABCDUgYN"),
    why: WRONG,
  },
  {
    name: "a shorter signature",
    note: `${TEXT}\n\u2014 PeterNeumann x08goww=\n`,
    why: WRONG,
  },
  {
    name: "a false signature before the good one",
    note: `${TEXT}\n${SIGNATURE.replace("ZJku", "ZJkv")}${SIGNATURE}`,
    why: WRONG,
  },
  {
    name: "a false signature behind the good one",
    note: NOTE + SIGNATURE.replace("ZJku", "ZJkv"),
    why: WRONG,
  },
  {
    name: "a signature too many",
    note: NOTE + STRANGER.repeat(NOTE_SIGNATURES_MAX),
    why: "it has 101 signatures, at most 100 are read",
  },
  {
    name: "a character too many",
    note: lengthened(NOTE_CHARACTERS_MAX + 1),
    why: "it has 131073 characters, at most 131072 are read",
  },
];

for (const { name, note, why } of BAD_NOTES) {
  test(`openNote() refuses ${name}`, () => {
    assert.throws(() => openNote(note, KEY), {
      name: "PkiError",
      kind: "untrusted",
      message: `cannot trust the note: ${why}`,
    });
  });
}

/** A line of an ML-DSA-44 signature's length, of a type that is unknown here. */
const LONG_STRANGER = `\u2014 witness.example ${Buffer.alloc(4 + 2420, 7).toString("base64")}\n`;
const GOOD_NOTES: readonly { name: string; note: string }[] = [
  { name: "a stranger's signature before its own", note: `${TEXT}\n${STRANGER}${SIGNATURE}` },
  { name: "its own twice", note: NOTE + SIGNATURE },
  { name: "its name with another id", note: NOTE + SIGNATURE.replace("x08g", "xxxx") },
  { name: "its id with another name", note: NOTE + SIGNATURE.replace("Peter", "Paul") },
  { name: "16 long signatures", note: NOTE + LONG_STRANGER.repeat(15) },
  {
    name: "as many signatures as are read",
    note: NOTE + STRANGER.repeat(NOTE_SIGNATURES_MAX - 1),
  },
];

for (const { name, note } of GOOD_NOTES) {
  test(`openNote() opens a note with ${name}`, () => assert.equal(openNote(note, KEY), TEXT));
}

test("openNote() opens a note of as many characters as are read", () => {
  const note = lengthened(NOTE_CHARACTERS_MAX);
  assert.equal(note.length, NOTE_CHARACTERS_MAX);
  openNote(note, KEY);
});

test("openNote() opens texts that look like signatures and have empty lines", () => {
  for (const text of ["\n", "\n\n", `${SIGNATURE}`, `a\n\n${SIGNATURE}`, `${NOTE}\n`]) {
    const note = signNote(text, { name: "PeterNeumann", key: PETER });
    assert.equal(openNote(note, KEY), text);
  }
});

test("openNote() refuses a note with any one byte changed", () => {
  const bytes = Buffer.from(NOTE);
  for (let at = 0; at < bytes.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const changed = Buffer.from(bytes);
      changed[at] = changed[at]! ^ (1 << bit);
      // As latin-1 where it is no UTF-8 any more: characters that differ in any case.
      const text = changed.toString("utf8");
      assert.throws(() => openNote(text, KEY), { kind: "untrusted" }, `${at} ${bit}`);
    }
  }
});

const BAD_TEXTS: readonly { name: string; text: string }[] = [
  { name: "nothing", text: "" },
  { name: "a text that does not end", text: "abc" },
  { name: "a control character", text: "a\tb\n" },
  { name: "what UTF-8 cannot express", text: "\udc00\n" },
];

for (const { name, text } of BAD_TEXTS) {
  test(`signNote() refuses ${name}`, () => {
    assert.throws(() => signNote(text, { name: "a", key: PETER }), {
      name: "PkiError",
      kind: "internal",
      message: "cannot sign note: its text is not lines of text",
    });
  });
}

for (const name of ["", "a b", "a+b", "a\nb", "a\x85b", "a\u00a0b", "a\x00b", "\ud800"]) {
  test(`signNote() and encodeVerifierKey() refuse the name ${JSON.stringify(name)}`, () => {
    const expected = {
      name: "PkiError",
      kind: "internal",
      message: `cannot use note key: ${JSON.stringify(name)} is not a name`,
    };
    assert.throws(() => signNote("a\n", { name, key: PETER }), expected);
    assert.throws(() => encodeVerifierKey(name, PETER), expected);
  });
}

test("signNote() and encodeVerifierKey() refuse other keys than Ed25519", () => {
  const { privateKey: key } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const expected = { kind: "internal", message: "cannot use note key: it is ec" };
  assert.throws(() => signNote("a\n", { name: "a", key }), expected);
  assert.throws(() => encodeVerifierKey("a", key), expected);
});
