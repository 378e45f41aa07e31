import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import fs from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { encodeBase64, sha256, utf8 } from "../../lib/base/bytes.ts";
import { openCheckpoint, readOrigin, signCheckpoint } from "../../lib/log/checkpoint.ts";
import { encodeVerifierKey, openNote, parseVerifierKey, signNote } from "../../lib/log/note.ts";

const ORIGIN = "pki.internal/0123456789abcdef/1";
const ROOT = sha256(utf8("root"));
const BASE64 = encodeBase64(ROOT);
const { privateKey: PRIVATE } = generateKeyPairSync("ed25519");
const KEY = parseVerifierKey(encodeVerifierKey(ORIGIN, PRIVATE));
const CHECKPOINT = { origin: ORIGIN, size: 20_852_163, root: ROOT };
const MAX = Number.MAX_SAFE_INTEGER;

test("signCheckpoint() writes the text of C2SP tlog-checkpoint, signed under the origin", () => {
  const note = signCheckpoint(CHECKPOINT, { key: PRIVATE });
  assert.equal(openNote(note, KEY), `${ORIGIN}\n20852163\n${BASE64}\n`);
  assert.match(note, /\n\n— pki\.internal\/0123456789abcdef\/1 \S{92}\n$/);
  assert.equal(signCheckpoint(CHECKPOINT, { key: PRIVATE }), note);
});

test("openCheckpoint() reads what signCheckpoint() wrote, for any size and root", () => {
  const size = fc.oneof(fc.constantFrom(0, 1, MAX), fc.maxSafeNat());
  fc.assert(
    fc.property(size, fc.uint8Array({ minLength: 32, maxLength: 32 }), (size, bytes) => {
      const checkpoint = { origin: ORIGIN, size, root: sha256(bytes) };
      const note = signCheckpoint(checkpoint, { key: PRIVATE });
      assert.deepEqual(openCheckpoint(note, KEY), checkpoint);
      assert.equal(readOrigin(note), ORIGIN);
    }),
  );
});

test("openCheckpoint() passes over extension lines and other signatures", () => {
  const { privateKey: witness } = generateKeyPairSync("ed25519");
  const text = `${ORIGIN}\n7\n${BASE64}\nan extension\n and another\n`;
  const note = signNote(text, { name: ORIGIN, key: PRIVATE });
  const other = signNote(text, { name: "witness.example", key: witness });
  const both = note + other.slice(text.length + 1);
  assert.deepEqual(openCheckpoint(both, KEY), { origin: ORIGIN, size: 7, root: ROOT });
});

const LINES = "it does not have the lines of a checkpoint";
const SIZE = "its size is no number";
const BAD_TEXTS: readonly { name: string; text: string; why: string }[] = [
  { name: "another origin", text: `${ORIGIN}0\n7\n${BASE64}\n`, why: "it is about another log" },
  { name: "no origin", text: `\n7\n${BASE64}\n`, why: "it is about another log" },
  { name: "an origin alone", text: `${ORIGIN}\n`, why: LINES },
  { name: "no root", text: `${ORIGIN}\n7\n`, why: LINES },
  { name: "an empty root", text: `${ORIGIN}\n7\n\n`, why: "its root has 0 bytes" },
  { name: "an empty extension line", text: `${ORIGIN}\n7\n${BASE64}\n\n`, why: LINES },
  { name: "one before another", text: `${ORIGIN}\n7\n${BASE64}\n\nx\n`, why: LINES },
  { name: "no size", text: `${ORIGIN}\n\n${BASE64}\n`, why: SIZE },
  { name: "a leading zero", text: `${ORIGIN}\n07\n${BASE64}\n`, why: SIZE },
  { name: "two zeros", text: `${ORIGIN}\n00\n${BASE64}\n`, why: SIZE },
  { name: "a sign", text: `${ORIGIN}\n+7\n${BASE64}\n`, why: SIZE },
  { name: "a negative size", text: `${ORIGIN}\n-7\n${BASE64}\n`, why: SIZE },
  { name: "a fraction", text: `${ORIGIN}\n7.0\n${BASE64}\n`, why: SIZE },
  { name: "a size in hex", text: `${ORIGIN}\n0x7\n${BASE64}\n`, why: SIZE },
  { name: "a space behind the size", text: `${ORIGIN}\n7 \n${BASE64}\n`, why: SIZE },
  { name: "digits of another script", text: `${ORIGIN}\n\u0667\n${BASE64}\n`, why: SIZE },
  { name: "2^53 leaves", text: `${ORIGIN}\n9007199254740992\n${BASE64}\n`, why: SIZE },
  { name: "17 digits", text: `${ORIGIN}\n10000000000000000\n${BASE64}\n`, why: SIZE },
  {
    name: "a root without padding",
    text: `${ORIGIN}\n7\n${BASE64.slice(0, -1)}\n`,
    why: "its root is not base64",
  },
  {
    name: "a root in hex",
    text: `${ORIGIN}\n7\n${"ab".repeat(32)}\n`,
    why: "its root has 48 bytes",
  },
  {
    name: "a short root",
    text: `${ORIGIN}\n7\n${encodeBase64(ROOT.subarray(1))}\n`,
    why: "its root has 31 bytes",
  },
];

for (const { name, text, why } of BAD_TEXTS) {
  test(`openCheckpoint() refuses ${name}, though signed`, () => {
    const note = signNote(text, { name: ORIGIN, key: PRIVATE });
    assert.throws(() => openCheckpoint(note, KEY), {
      name: "PkiError",
      kind: "untrusted",
      message: `cannot trust the checkpoint: ${why}`,
    });
  });
}

test("openCheckpoint() takes the largest size that can be counted", () => {
  const note = signNote(`${ORIGIN}\n${MAX}\n${BASE64}\n`, { name: ORIGIN, key: PRIVATE });
  assert.equal(openCheckpoint(note, KEY).size, MAX);
});

const NOTE = signCheckpoint(CHECKPOINT, { key: PRIVATE });
const TAMPERED: readonly { name: string; note: string }[] = [
  { name: "another size", note: NOTE.replace("20852163", "20852164") },
  { name: "another root", note: NOTE.replace(BASE64, encodeBase64(sha256())) },
  { name: "the next generation", note: NOTE.replaceAll("/1", "/2") },
  { name: "an extension line", note: NOTE.replace(`${BASE64}\n`, `${BASE64}\nx\n`) },
  { name: "no signature", note: NOTE.slice(0, NOTE.indexOf("\u2014")) },
];

for (const { name, note } of TAMPERED) {
  test(`openCheckpoint() refuses a checkpoint that was given ${name}`, () => {
    assert.notEqual(note, NOTE);
    assert.throws(() => openCheckpoint(note, KEY), { name: "PkiError", kind: "untrusted" });
  });
}

test("openCheckpoint() refuses another key of the same name, and this key under another", () => {
  const { privateKey } = generateKeyPairSync("ed25519");
  const other = parseVerifierKey(encodeVerifierKey(ORIGIN, privateKey));
  const renamed = parseVerifierKey(encodeVerifierKey(ORIGIN.replace("/1", "/2"), PRIVATE));
  for (const key of [other, renamed]) {
    assert.throws(() => openCheckpoint(NOTE, key), {
      kind: "untrusted",
      message: "cannot trust the note: the key has not signed it",
    });
  }
});

test("openCheckpoint() refuses a log whose key bears another name than its origin", () => {
  const [vector] = (JSON.parse(
    fs.readFileSync(new URL("../../testdata/log/notes.json", import.meta.url), "utf8"),
  ) as { verifierKey: string; note: string }[]).slice(-1);
  assert.throws(() => openCheckpoint(vector!.note, parseVerifierKey(vector!.verifierKey)), {
    kind: "untrusted",
    message: "cannot trust the checkpoint: it is about another log",
  });
});

const BAD_CHECKPOINTS: readonly { name: string; change: Partial<typeof CHECKPOINT> }[] = [
  { name: "a negative size", change: { size: -1 } },
  { name: "a fraction", change: { size: 0.5 } },
  { name: "a size that cannot be counted", change: { size: MAX + 1 } },
  { name: "a short root", change: { root: sha256().slice(1) } },
  { name: "an origin that is no name", change: { origin: "go.sum database tree" } },
  { name: "an origin of two lines", change: { origin: "a\nb" } },
];

for (const { name, change } of BAD_CHECKPOINTS) {
  test(`signCheckpoint() refuses ${name}`, () => {
    assert.throws(() => signCheckpoint({ ...CHECKPOINT, ...change }, { key: PRIVATE }), {
      name: "PkiError",
      kind: "internal",
    });
  });
}

const ORIGINS: readonly { name: string; note: string; want: string | undefined }[] = [
  { name: "nothing", note: "", want: undefined },
  { name: "a line that does not end", note: ORIGIN, want: undefined },
  { name: "an empty line", note: `\n${ORIGIN}\n`, want: undefined },
  { name: "a space", note: "a b\n", want: undefined },
  { name: "an escape sequence", note: "a\x1b[2J\n", want: undefined },
  { name: "a letter beyond ASCII", note: "p\u0456i\n", want: undefined },
  { name: "513 characters", note: `${"a".repeat(513)}\n`, want: undefined },
  { name: "512 characters", note: `${"a".repeat(512)}\n`, want: "a".repeat(512) },
  { name: "an origin and rubbish", note: `${ORIGIN}\nrubbish`, want: ORIGIN },
];

for (const { name, note, want } of ORIGINS) {
  test(`readOrigin() ${want === undefined ? "refuses" : "reads"} ${name}`, () => {
    if (want !== undefined) return assert.equal(readOrigin(note), want);
    assert.throws(() => readOrigin(note), {
      name: "PkiError",
      kind: "malformed",
      message: "cannot read the checkpoint: it does not begin with an origin",
    });
  });
}
