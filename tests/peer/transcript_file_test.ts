import assert from "node:assert/strict";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { PkiError } from "../../lib/base/errors.ts";
import {
  releaseFile,
  reserveFile,
  UnwrittenTranscript,
  type WriteSync,
} from "../../lib/peer/transcript_file.ts";
import { keep, keepWhole, makeTalk, say, sign } from "../fakes/transcript.ts";

const talk = await makeTalk();

function inFolder(body: (path: string) => void): void {
  const folder = fs.mkdtempSync(join(tmpdir(), "pki-transcript-"));
  try {
    body(join(folder, "talk.jsonl"));
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

const linesOf = (path: string) =>
  fs.readFileSync(path, "utf8").split("\n").filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);

/** A disk that is full after so many bytes. */
function full(bytesMax: number): WriteSync {
  let left = bytesMax;
  return (descriptor, bytes) => {
    if (left === 0) {
      throw Object.assign(new Error("ENOSPC: no space left on device, write"), {
        code: "ENOSPC",
      });
    }
    const written = fs.writeSync(descriptor, bytes.subarray(0, left));
    left -= written;
    return written;
  };
}

test("TranscriptWriter writes each line as it happens, for the owner alone", () => {
  inFolder((path) => {
    const writer = keep(talk, path);
    assert.equal(fs.statSync(path).mode & 0o777, 0o600);
    assert.deepEqual(linesOf(path).map(({ type }) => type), ["transcript"]);
    say(writer, "listener", ["hi", 0, 1]);
    const [, message] = linesOf(path);
    const { hash, line, ...rest } = message ?? {};
    assert.deepEqual(rest, {
      n: 2,
      type: "message",
      from: "listener",
      number: 1,
      time: "1970-01-01T00:00:00.001Z",
      seen: 0,
      noted: "2026-11-01T12:00:00.001Z",
      text: "hi",
    });
    assert.match(`${hash} ${line}`, /^[0-9a-f]{64} [0-9a-f]{64}$/);
    writer.end("the line was cut");
    assert.deepEqual(linesOf(path).map(({ type }) => type), [
      "transcript",
      "message",
      "end",
      "seal",
    ]);
    const { noted: _, line: __, ...end } = linesOf(path)[2] ?? {};
    assert.equal(end["why"], "the line was cut");
    assert.equal(end["complete"], false);
  });
});

test("TranscriptWriter shows a terminal nothing that could harm it", () => {
  inFolder((path) => {
    const text = keepWhole(talk, path);
    // deno-lint-ignore no-control-regex -- control characters are what it is about
    assert.doesNotMatch(text, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/);
    assert.match(text, /five million \\u202e\\u001b\[2J👋/);
  });
});

test("TranscriptWriter writes over nothing, and follows no link", () => {
  inFolder((path) => {
    fs.writeFileSync(path, "mine");
    const isThere = {
      kind: "conflict",
      message: `cannot write the transcript to "${path}": it is there already`,
      hint: "name another file with --transcript",
    };
    assert.throws(() => keep(talk, path), isThere);
    assert.equal(fs.readFileSync(path, "utf8"), "mine");
    fs.rmSync(path);
    fs.symlinkSync(`${path}.elsewhere`, path);
    assert.throws(() => keep(talk, path), isThere);
    assert.equal(fs.existsSync(`${path}.elsewhere`), false);
    assert.throws(() => keep(talk, join(path, "in", "no", "folder")), { kind: "storage" });
  });
});

test("TranscriptWriter says where the disk is full from the start", () => {
  for (const bytes of [0, 1, 100]) {
    inFolder((path) => {
      const { failure } = keep(talk, path, { write: full(bytes) });
      assert.equal(failure?.kind, "storage");
      assert.match(failure.message, /^cannot write ".*": ENOSPC/);
      assert.equal(failure.hint, "free some space and try again");
      assert.equal(fs.readFileSync(path, "utf8"), "");
    });
  }
});

test("reserveFile() makes a file of nothing, which releaseFile() takes back", () => {
  inFolder((path) => {
    const file = reserveFile(path);
    assert.deepEqual([fs.statSync(path).size, fs.statSync(path).mode & 0o777], [0, 0o600]);
    releaseFile(file);
    assert.equal(fs.existsSync(path), false);
  });
});

test("UnwrittenTranscript comes to what a written one comes to", () => {
  inFolder((path) => {
    const writer = keep(talk, path);
    const unwritten = new UnwrittenTranscript(talk.session);
    for (const notes of [writer, unwritten]) {
      say(notes, "caller", ["hello bob", 0]);
      notes.file("listener", { path: ["a"], size: 1, sha256: new Uint8Array(32) });
    }
    assert.deepEqual(unwritten.toSign(), writer.toSign());
    writer.end(undefined);
  });
});

test("TranscriptWriter ends with a whole line where the disk becomes full, and signs all the same", () => {
  const ends = new Set<number>();
  let whole = 0;
  inFolder((path) => whole = keepWhole(talk, path).length);
  for (let bytes = 4500; bytes < whole; bytes += 97) {
    inFolder((path) => {
      const writer = keep(talk, path, { write: full(bytes) });
      say(writer, "caller", ["hello bob", 0]);
      say(writer, "listener", ["hello alice", 1]);
      sign(talk, writer, "caller");
      sign(talk, writer, "listener");
      const toSign = writer.toSign();
      writer.end(undefined);
      const lines = linesOf(path); // each of them whole
      ends.add(lines.length);
      assert.equal(writer.failure instanceof PkiError, lines.length < 7);
      inFolder((other) => {
        const unhindered = keep(talk, other);
        say(unhindered, "caller", ["hello bob", 0]);
        say(unhindered, "listener", ["hello alice", 1]);
        assert.deepEqual(unhindered.toSign(), toSign, "what the peer is sent has all of it");
        unhindered.end(undefined);
      });
    });
  }
  assert.ok(ends.size >= 5, `it became full in ${[...ends]}`);
});

test("TranscriptWriter ends once", () => {
  inFolder((path) => {
    const writer = keep(talk, path);
    writer.end(undefined);
    const text = fs.readFileSync(path, "utf8");
    writer.end("again");
    say(writer, "caller", ["late", 0]);
    assert.equal(fs.readFileSync(path, "utf8"), text);
  });
});
