import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { encodeBase64, encodeHex, parseHex, sha256, utf8 } from "../../lib/base/bytes.ts";
import { TranscriptFault } from "../../lib/peer/transcript_fault.ts";
import {
  encodeTranscriptLine,
  FIRST_RUNNING_HASH,
  TRANSCRIPT_LINE_BYTES_MAX,
  type TranscriptLine,
} from "../../lib/peer/transcript_lines.ts";
import { type Proof, proveTranscript } from "../../lib/peer/transcript_proof.ts";
import { encodeMessage } from "../../lib/protocol/peer_text.ts";
import type { PeerRole } from "../../lib/protocol/safety_words.ts";
import { encodeFileEntry, TranscriptChains } from "../../lib/protocol/transcript.ts";
import { signLabelled } from "../../lib/x509/keys.ts";
import { DOMAIN, HOUR_MS, makeTestCa, NOW_MS } from "../fakes/ca.ts";
import { keep, keepWhole, makeTalk, say, sign } from "../fakes/transcript.ts";

const talk = await makeTalk();
const stranger = await makeTalk();
const { anchor } = talk.ca.judging;
const folder = fs.mkdtempSync(join(tmpdir(), "pki-transcript-"));
let files = 0;
const freshPath = () => join(folder, `${files++}.jsonl`);
test.after?.(() => fs.rmSync(folder, { recursive: true }));

const WHOLE = keepWhole(talk, freshPath());

async function prove(
  text: string | Uint8Array,
  chunkBytes = 65_536,
  anchorAt: (nowMs: number) => Omit<typeof anchor, "domain"> & { domain?: string } = () => anchor,
): Promise<Proof> {
  const bytes = typeof text === "string" ? utf8(text) : text;
  async function* chunks() {
    for (let at = 0; at < bytes.length; at += chunkBytes) {
      yield await Promise.resolve(bytes.slice(at, at + chunkBytes));
    }
  }
  return await proveTranscript(chunks(), { anchorAt });
}

/** One line, open to be changed in any way. */
type Open = Record<string, unknown>;

/** What is said in a line, in one that says something. */
interface Spoken {
  readonly type: string;
  readonly from: PeerRole;
  readonly path: readonly string[];
  readonly size: number;
  readonly text: string;
  readonly time: string;
  readonly seen: number;
}

const open = (text: string): Open[] =>
  text.trimEnd().split("\n").map((line) => JSON.parse(line) as Open);

/** As somebody writes them who knows how running hashes are made, but has no key. */
function rerun(lines: readonly Open[]): string {
  let before: Uint8Array = FIRST_RUNNING_HASH;
  return lines.map(({ line: _, ...said }) => {
    const { text, running } = encodeTranscriptLine(said as TranscriptLine, before);
    before = running;
    return text;
  }).join("");
}

/** As above, with places, and the hashes of what was said as well. */
function rechain(lines: readonly Open[]): string {
  const chains = new TranscriptChains(parseHex(String(lines[0]?.["session"])));
  return rerun(lines.map((line, i) => {
    const from = line["from"] as PeerRole;
    const { path, size, text, time, seen } = line as unknown as Spoken;
    const entry = line["type"] === "message"
      ? encodeMessage({ timeMs: Date.parse(time), seen, text })
      : line["type"] === "file"
      ? encodeFileEntry({ path, size, sha256: parseHex(String(line["sha256"])) })
      : undefined;
    const chainEnd = (role: PeerRole) => ({
      entries: chains.entries(role),
      hash: encodeHex(chains.hash(role)),
    });
    if (entry) {
      const hash = encodeHex(chains.add(from, line["type"] as "message" | "file", entry));
      return { ...line, n: i + 1, number: chains.entries(from), hash };
    }
    return line["type"] === "end"
      ? { ...line, n: i + 1, caller: chainEnd("caller"), listener: chainEnd("listener") }
      : { ...line, n: i + 1 };
  }));
}

/** Lines of {@link WHOLE}, counted from 1. */
const change = (n: number, more: Open) =>
  open(WHOLE).map((line, i) => i === n - 1 ? { ...line, ...more } : line);
const without = (...gone: readonly number[]) => open(WHOLE).filter((_, i) => !gone.includes(i + 1));
const swapped = (n: number) => {
  const lines = open(WHOLE);
  return [
    ...lines.slice(0, n - 1),
    ...lines.slice(n, n + 1),
    ...lines.slice(n - 1, n),
    ...lines.slice(n + 1),
  ];
};
/** Edited by hand: nothing is computed again. */
const raw = (lines: readonly Open[]) => lines.map((line) => `${JSON.stringify(line)}\n`).join("");
const edit = (from: string, to: string) => {
  assert.ok(WHOLE.includes(from), from);
  return WHOLE.replace(from, to);
};

test("proveTranscript() finds a whole transcript good, in chunks of any size", async () => {
  const expected = {
    session: encodeHex(talk.session),
    domain: DOMAIN,
    keeper: "caller",
    started: new Date(NOW_MS).toISOString(),
    ended: new Date(NOW_MS + 9).toISOString(),
    isComplete: true,
    why: undefined,
    caller: {
      role: "caller",
      id: "alice",
      fingerprint: encodeHex(sha256(talk.users.caller.certificate.der)),
      messages: 3,
      files: 1,
      wasWilling: true,
      hasSigned: true,
    },
    listener: {
      role: "listener",
      id: "bob",
      fingerprint: encodeHex(sha256(talk.users.listener.certificate.der)),
      messages: 2,
      files: 0,
      wasWilling: true,
      hasSigned: true,
    },
    isSealed: true,
    isTorn: false,
    lines: 11,
  };
  for (const chunkBytes of [1, 7, 1000, 65_536]) {
    assert.deepEqual(await prove(WHOLE, chunkBytes), expected);
  }
  assert.deepEqual(await prove(WHOLE.trimEnd()), expected, "without the end of the last line");
  const byBob = await prove(keepWhole(talk, freshPath(), { keeper: "listener" }));
  assert.deepEqual(byBob, { ...expected, keeper: "listener" });
});

test("proveTranscript() judges certificates at the time of the talk", async () => {
  const { notAfterMs } = talk.users.caller.certificate;
  const asked: number[] = [];
  const late = keepWhole(talk, freshPath(), { startedMs: notAfterMs - HOUR_MS });
  await prove(late, 1000, (nowMs) => (asked.push(nowMs), anchor));
  assert.deepEqual(asked, [notAfterMs - HOUR_MS]);
  const tooLate = keepWhole(talk, freshPath(), { startedMs: notAfterMs + HOUR_MS });
  await assert.rejects(prove(tooLate), {
    kind: "untrusted",
    line: undefined,
    message: /^cannot trust the transcript: the certificate of alice: it expired 2026-12-01/,
    hint: "a certificate must have been good when the talk began",
  });
});

test("proveTranscript() tells what is not proven from what is wrong", async () => {
  const cut = async (lines: number) =>
    await prove(WHOLE.split("\n").slice(0, lines).join("\n") + "\n");
  for (let lines = 1; lines <= 11; lines++) {
    const { caller, listener, isSealed, isComplete, isTorn, ended } = await cut(lines);
    assert.deepEqual(
      [caller.hasSigned, listener.hasSigned, isComplete, ended !== undefined, isSealed, isTorn],
      [lines >= 8, lines >= 9, lines >= 10, lines >= 10, lines >= 11, false],
    );
  }
  const writer = keep(talk, freshPath());
  say(writer, "caller", ["hello", 0]);
  writer.end("the line was cut");
  const broken = await prove(fs.readFileSync(join(folder, `${files - 1}.jsonl`)));
  assert.equal(broken.why, "the line was cut");
  assert.equal(broken.isComplete, false);
  assert.equal(broken.isSealed, true);
  assert.equal(broken.caller.hasSigned || broken.listener.hasSigned, false);
});

test("proveTranscript(): every truncation is told, and none proves more than is there", async () => {
  const bytes = utf8(WHOLE);
  const whole = await prove(bytes);
  const first = WHOLE.indexOf("\n");
  for (let length = 0; length < bytes.length - 1; length += length < first ? 211 : 13) {
    try {
      const proof = await prove(bytes.slice(0, length));
      assert.notDeepEqual(proof, whole);
      assert.equal(proof.isSealed, false);
      const isLineEnd = bytes[length - 1] === 0x0a || bytes[length] === 0x0a;
      assert.equal(proof.isTorn, !isLineEnd, `${length}`);
    } catch (error) {
      assert.ok(error instanceof TranscriptFault && error.kind === "malformed", String(error));
      assert.ok(length < first, `${length}: ${error.message}`);
    }
  }
});

/** What was done to the file, what that gives, and what is said of it. */
// deno-fmt-ignore
const ALTERED: readonly (readonly [
  what: string,
  text: string,
  kind: "untrusted" | "malformed",
  line: number | undefined,
  message: string | RegExp,
])[] = [
  // By somebody with a text editor
  ["a word", edit("agreed", "refused"), "untrusted", 7, "line 7 was altered, or added"],
  ["a letter of the first line", edit('"id":"bob"', '"id":"rob"'), "untrusted", 1, "line 1 was altered, or added"],
  ["a sender", edit('"n":3,"type":"message","from":"listener"', '"n":3,"type":"message","from":"caller"'), "untrusted", 3, "line 3 was altered, or added"],
  ["a time", edit('"n":2,"type":"message","from":"caller","number":1,"time":"2026', '"n":2,"type":"message","from":"caller","number":1,"time":"2025'), "untrusted", 2, "line 2 was altered, or added"],
  ["what was seen", edit('"seen":3', '"seen":2'), "untrusted", 7, "line 7 was altered, or added"],
  ["a local time", edit("12:00:00.002Z", "12:00:00.003Z"), "untrusted", 3, "line 3 was altered, or added"],
  ["how it ended", edit('"complete":true', '"complete":false'), "untrusted", 10, "line 10 was altered, or added"],
  ["a file's size", edit('"size":5', '"size":6'), "untrusted", 5, "line 5 was altered, or added"],
  ["a file's name", edit("größe", "groesse"), "untrusted", 5, "line 5 was altered, or added"],
  ["JSON broken", edit('"text":"agreed"', '"text":agreed'), "untrusted", 7, "line 7 was altered"],
  ["a field more", raw(change(4, { more: 1 })), "untrusted", 4, "line 4 was altered"],
  ["a line made empty", WHOLE.replace(/\n.*five million.*\n/, "\n\n"), "untrusted", 6, "line 6 was altered"],
  ["lines with CR LF", WHOLE.replaceAll("\n", "\r\n"), "untrusted", 1, "line 1 was altered, or added"],
  ["a line missing", WHOLE.replace(/.*five million.*\n/, ""), "untrusted", 6, "line 6 is missing, or not in its place: line 7 stands there"],
  ["the first line missing", WHOLE.replace(/^.*\n/, ""), "untrusted", 1, "line 1 is missing, or not in its place: line 2 stands there"],
  ["two lines missing", WHOLE.replace(/(.*"number":2.*\n.*"number":3.*\n)/, ""), "untrusted", 4, "line 4 is missing, or not in its place: line 6 stands there"],
  ["a line twice", WHOLE.replace(/(.*hello bob.*\n)/, "$1$1"), "untrusted", 3, "line 3 was added, or is not in its place: it says that it is line 2"],
  ["the first line twice", WHOLE.replace(/^(.*\n)/, "$1$1"), "untrusted", 2, "line 2 does not belong there"],
  ["two lines swapped", WHOLE.replace(/(.*hello bob.*\n)(.*hello alice.*\n)/, "$2$1"), "untrusted", 2, "line 2 is missing, or not in its place: line 3 stands there"],
  ["text behind the seal", `${WHOLE}x`, "untrusted", 12, "line 12 was added"],
  ["a line behind the seal", `${WHOLE}x\n`, "untrusted", 12, "line 12 was altered"],
  ["a line that is too long", WHOLE.replace("agreed", "a".repeat(TRANSCRIPT_LINE_BYTES_MAX)), "untrusted", 7, "line 7 is longer than any of a transcript"],
  // By somebody who computes running hashes again
  ["a word, run on", rerun(change(7, { text: "refused" })), "untrusted", 7, "line 7 does not follow what was said before it"],
  ["a sender, run on", rerun(change(7, { from: "caller" })), "untrusted", 7, /^line 7 /],
  ["a time, run on", rerun(change(7, { time: "2026-11-01T12:00:00.001Z" })), "untrusted", 7, "line 7 does not follow what was said before it"],
  ["what was seen, run on", rerun(change(7, { seen: 2 })), "untrusted", 7, "line 7 does not follow what was said before it"],
  ["a file's hash, run on", rerun(change(5, { sha256: "0".repeat(64) })), "untrusted", 5, "line 5 does not follow what was said before it"],
  ["a message made a file", rerun(change(7, { type: "file" })), "malformed", 7, /^line 7 is not one of a transcript/],
  ["a line missing, run on", rerun(without(2).map((line, i) => ({ ...line, n: i + 1 }))), "untrusted", 2, /^line 2 is not in its place: its sender had seen 1 messages, 0 stand before it$/],
  ["lines of both swapped", rerun(swapped(2).map((line, i) => ({ ...line, n: i + 1 }))), "untrusted", 2, "line 2 is not in its place: its sender had seen 1 messages, 0 stand before it"],
  ["a local time, run on", rerun(change(3, { noted: "2026-11-01T12:00:00.009Z" })), "untrusted", 11, "line 11 has a seal of alice that does not fit: some line was altered, with its hashes"],
  ["how it ended, run on", rerun(change(10, { complete: false, why: "x" })), "untrusted", 11, /^line 11 has a seal of alice that does not fit/],
  ["who was willing, run on", rerun(change(1, { caller: { ...open(WHOLE)[0]?.["caller"] as Open, signs: false } })), "untrusted", 11, /^line 11 has a seal/],
  ["the end's count, run on", rerun(change(10, { caller: { entries: 3, hash: "0".repeat(64) } })), "untrusted", 10, "line 10 has another end than what was said comes to"],
  ["another start", rerun(change(1, { started: "2026-11-01T12:00:00.001Z" })), "untrusted", 11, /^line 11 has a seal/],
  ["another session", rerun(change(1, { session: "0".repeat(64) })), "untrusted", 1, "line 1 has another session than its certificates and nonces give"],
  ["another nonce", rerun(change(1, { caller: { ...open(WHOLE)[0]?.["caller"] as Open, nonce: "0".repeat(64) } })), "untrusted", 1, "line 1 has another session than its certificates and nonces give"],
  ["another id", rerun(change(1, { caller: { ...open(WHOLE)[0]?.["caller"] as Open, id: "carol" } })), "untrusted", 1, 'line 1 says "carol", whose certificate is of "alice"'],
  ["another domain", rerun(change(1, { domain: "example.org" })), "untrusted", 1, "line 1 is of the trust domain example.org, not of pki.internal"],
  ["roles swapped", rerun(change(1, { caller: open(WHOLE)[0]?.["listener"], listener: open(WHOLE)[0]?.["caller"] })), "untrusted", 1, "line 1 has another session than its certificates and nonces give"],
  ["a seal of the other", rerun(change(11, { by: "listener" })), "untrusted", 11, "line 11 does not belong there"],
  ["no end", rerun(without(10).map((line, i) => ({ ...line, n: i + 1 }))), "untrusted", 10, "line 10 does not belong there"],
  ["signed twice", rerun([...without(9, 10, 11), open(WHOLE)[7] ?? {}].map((line, i) => ({ ...line, n: i + 1 }))), "untrusted", 9, "line 9 does not belong there"],
  ["said behind a signature", rechain([...without(7, 9, 10, 11), open(WHOLE)[6] ?? {}]), "untrusted", 7, /^line 7 has a signature of alice that does not fit what was said$/],
  ["signatures swapped", rerun(change(8, { by: "listener" })), "untrusted", 8, "line 8 has a signature of bob that does not fit what was said"],
  ["no signature at all", rerun(change(8, { signature: encodeBase64(utf8("x")) })), "untrusted", 8, "line 8 has a signature of alice that does not fit what was said"],
  ["a path that cannot be", rerun(change(5, { path: ["ö".repeat(128)] })), "untrusted", 5, "line 5 has a path that cannot be"],
  ["a message too long", rerun(change(7, { text: "x".repeat(262_145) })), "untrusted", 7, "line 7 is longer than a message can be"],
  ["a certificate of another CA", rerun(change(1, { caller: open(keepWhole(stranger, freshPath()))[0]?.["caller"] })), "untrusted", undefined, /^the certificate of alice: /],
  // By somebody who computes all hashes again
  ["a word, chained", rechain(change(7, { text: "refused" })), "untrusted", 8, "line 8 has a signature of alice that does not fit what was said"],
  ["a message added", rechain([ ...open(WHOLE).slice(0, 7), { ...open(WHOLE)[6], text: "more" }, ...open(WHOLE).slice(7), ]), "untrusted", 9, "line 9 has a signature of alice that does not fit what was said"],
  ["a message removed", rechain(without(6)), "untrusted", 6, "line 6 is not in its place: its sender had seen 3 messages, 2 stand before it"],
  ["the last message removed", rechain(without(7)), "untrusted", 7, "line 7 has a signature of alice that does not fit what was said"],
  ["a file added", rechain([ ...open(WHOLE).slice(0, 7), { ...open(WHOLE)[4], from: "listener" }, ...open(WHOLE).slice(7), ]), "untrusted", 9, /^line 9 has a signature of alice/],
  // What is no transcript, or none that we know
  ["nothing", "", "malformed", undefined, "there is nothing in it"],
  ["text", "hello\n", "malformed", 1, "line 1 is not one of a transcript: not JSON in UTF-8"],
  ["text without an end", "hello", "malformed", 1, "line 1 is not one of a transcript: not JSON in UTF-8"],
  ["a name twice", '{"type":"message","text":"yes","text":"no"}\n', "malformed", 1, "line 1 is not one of a transcript: text stands twice"],
  ["JSON", "{}\n", "malformed", 1, /^line 1 is not one of a transcript: /],
  ["a list", "[]\n", "malformed", 1, /^line 1 is not one of a transcript: /],
  ["another version", rerun(change(1, { version: 2 })), "malformed", 1, 'line 1 is not one of a transcript: its "version" is wrong'],
  ["one long line", "x".repeat(TRANSCRIPT_LINE_BYTES_MAX + 1), "malformed", 1, "line 1 is longer than any of a transcript"],
  ["an unknown line", rerun(change(4, { type: "later" })), "malformed", 4, /^line 4 is not one of a transcript: /],
  ["an unknown field", rerun(change(4, { later: 1 })), "malformed", 4, 'line 4 is not one of a transcript: its "later" is wrong'],
  ["a time of another form", rerun(change(4, { noted: "2026-11-01T12:00:00Z" })), "malformed", 4, 'line 4 is not one of a transcript: its "noted" is wrong'],
  ["a time that is none", rerun(change(4, { time: "never" })), "malformed", 4, 'line 4 is not one of a transcript: its "time" is wrong'],
  ["a time before 1970", rerun(change(4, { time: "1969-12-31T23:59:59.999Z" })), "malformed", 4, 'line 4 is not one of a transcript: its "time" is wrong'],
  ["half a character", rerun(change(4, { text: "\ud800" })), "malformed", 4, 'line 4 is not one of a transcript: its "text" is wrong'],
];

test("proveTranscript() finds the first line that is wrong", async () => {
  for (const [what, text, kind, line, message] of ALTERED) {
    const prefix = "cannot trust the transcript: ";
    await assert.rejects(prove(text), (error) => {
      assert.ok(error instanceof TranscriptFault, `${what}: ${error}`);
      assert.deepEqual([error.kind, error.line], [kind, line], `${what}: ${error.message}`);
      assert.ok(error.message.startsWith(prefix), error.message);
      const said = error.message.slice(prefix.length);
      if (typeof message === "string") assert.equal(said, message, what);
      else assert.match(said, message, what);
      return true;
    }, what);
  }
  assert.equal(rerun(open(WHOLE)), WHOLE, "what is run on and not changed is as it was");
  assert.equal(rechain(open(WHOLE)), WHOLE, "what is chained and not changed is as it was");
});

test("proveTranscript(): whoever has one key alone can neither change nor add", async () => {
  const resign = (lines: readonly Open[]) => {
    const path = freshPath();
    const writer = keep(talk, path);
    for (const { type, from, text, seen } of lines as unknown as Spoken[]) {
      if (type === "message") say(writer, from, [text, seen]);
    }
    sign(talk, writer, "caller");
    return { path, writer };
  };
  // Alice signs what was not said, and takes bob's signature from what was.
  const { path, writer } = resign(change(7, { text: "I owe alice five million" }));
  writer.signature("listener", Buffer.from(String(open(WHOLE)[8]?.["signature"]), "base64"));
  writer.end(undefined);
  await assert.rejects(prove(fs.readFileSync(path)), { kind: "untrusted", line: 8 });
  // Without it, she is alone with her word.
  const alone = resign(change(7, { text: "I owe alice five million" }));
  alone.writer.end(undefined);
  const { caller, listener } = await prove(fs.readFileSync(alone.path));
  assert.deepEqual([caller.hasSigned, listener.hasSigned], [true, false]);
  // A signature for another purpose is none for this.
  const other = resign(open(WHOLE));
  const { key } = talk.users.listener;
  other.writer.signature(
    "listener",
    signLabelled(key, "pki/1 transcript file", other.writer.toSign()),
  );
  other.writer.end(undefined);
  await assert.rejects(prove(fs.readFileSync(other.path)), { kind: "untrusted", line: 8 });
});

test("proveTranscript(): who said it to whom is bound by the session", async () => {
  // Mallory talked with alice; with bob's help it shall look as if alice had talked with bob.
  const mallory = await makeTalk(talk.ca);
  const forged = {
    ...talk,
    users: { caller: talk.users.caller, listener: mallory.users.listener },
  };
  const path = freshPath();
  keepWhole(forged, path); // signed by alice and by bob's new key, over the session of another pair
  await assert.rejects(prove(fs.readFileSync(path)), {
    kind: "untrusted",
    line: 1,
    message: /another session than its certificates and nonces give/,
  });
});

test("proveTranscript(): a bit anywhere", async () => {
  const bytes = utf8(WHOLE);
  const whole = await prove(bytes);
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: bytes.length - 1 }),
      fc.integer({ min: 0, max: 7 }),
      async (at, bit) => {
        const flipped = new Uint8Array(bytes);
        flipped[at] = (flipped[at] ?? 0) ^ (1 << bit);
        let proof: Proof;
        try {
          proof = await prove(flipped);
        } catch (error) {
          assert.ok(error instanceof TranscriptFault, String(error));
          return;
        }
        assert.equal(
          at,
          bytes.length - 1,
          "only the last end of a line changes nothing that is said",
        );
        assert.notDeepEqual(proof, whole);
      },
    ),
    { numRuns: 400 },
  );
});

test("proveTranscript() under another root says so", async () => {
  const other = await makeTestCa();
  await assert.rejects(prove(WHOLE, 1000, () => other.judging.anchor), {
    kind: "untrusted",
    message: /^cannot trust the transcript: the certificate of alice: /,
    hint: "it was kept under another root: if you trust that, name it with --root",
  });
  const { root } = anchor;
  const proof = await prove(WHOLE, 1000, () => ({ root }));
  assert.equal(proof.domain, DOMAIN);
  await assert.rejects(prove(WHOLE, 1000, () => ({ root, issuers: new Set(["00".repeat(32)]) })), {
    kind: "untrusted",
    message: /the issuing CA is not one that is pinned$/,
  });
});
