import assert from "node:assert/strict";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import {
  History,
  HISTORY_LINE_CHARACTERS_MAX,
  HISTORY_LINES_MAX,
} from "../../lib/client/history.ts";

/** Runs a test's body with a path where no file is yet, in a folder that is not there yet either. */
function inFolder(body: (path: string) => void): void {
  const folder = fs.mkdtempSync(join(tmpdir(), "pki-history-"));
  try {
    body(join(folder, "home", "history"));
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

function open(path: string | undefined): History {
  return new History(path, (text) => assert.fail(text));
}

const modeOf = (path: string) => fs.statSync(path).mode & 0o777;
const FOR_FILE = { isForFile: true };

test("History gives a later session what an earlier one kept, for the owner alone", () =>
  inFolder((path) => {
    const first = open(path);
    assert.deepEqual(first.newestFirst, []);
    assert.equal(fs.existsSync(path), false, "nothing typed, nothing written");
    first.add("csr", FOR_FILE);
    first.add("csr", FOR_FILE);
    first.add("my password", { isForFile: false });
    first.add("request bob", FOR_FILE);
    assert.deepEqual(first.newestFirst, ["request bob", "my password", "csr"]);
    assert.equal(fs.readFileSync(path, "utf8"), "csr\nrequest bob\n");
    assert.equal(modeOf(path), 0o600);
    assert.equal(modeOf(join(path, "..")), 0o700);
    fs.chmodSync(path, 0o644);
    assert.deepEqual(open(path).newestFirst, ["request bob", "csr"]);
    assert.equal(modeOf(path), 0o600, "it is made private again");
  }));

test("History does not keep what is empty, too long or acted on by a terminal", () =>
  inFolder((path) => {
    const history = open(path);
    for (const line of ["", "a\nb", "a\x1b[2Jb", "a\u202eb", "x".repeat(1025)]) {
      history.add(line, FOR_FILE);
    }
    assert.deepEqual(history.newestFirst, []);
    history.add("x".repeat(HISTORY_LINE_CHARACTERS_MAX), FOR_FILE);
    assert.equal(history.newestFirst.length, 1);
    assert.equal(fs.readFileSync(path, "utf8").length, HISTORY_LINE_CHARACTERS_MAX + 1);
  }));

test("History without a file remembers for the session", () => {
  const history = open(undefined);
  history.add("csr", FOR_FILE);
  assert.deepEqual(history.newestFirst, ["csr"]);
});

test("History keeps the file bounded and its newest lines", () =>
  inFolder((path) => {
    fs.mkdirSync(join(path, ".."));
    const lines = Array.from({ length: 3 * HISTORY_LINES_MAX }, (_, at) => `line ${at}`);
    fs.writeFileSync(path, lines.map((line) => `${line}\n`).join(""), { mode: 0o644 });
    const history = open(path);
    assert.deepEqual(history.newestFirst, lines.slice(-HISTORY_LINES_MAX).reverse());
    const kept = fs.readFileSync(path, "utf8").split("\n");
    assert.equal(kept.length, HISTORY_LINES_MAX + 1);
    assert.equal(kept[0], `line ${2 * HISTORY_LINES_MAX}`);
    assert.equal(modeOf(path), 0o600);
    history.add("one more", FOR_FILE);
    assert.equal(history.newestFirst.length, HISTORY_LINES_MAX, "in memory too");
  }));

test("History reads no more of a huge file than it can keep", () =>
  inFolder((path) => {
    fs.mkdirSync(join(path, ".."));
    fs.writeFileSync(path, "");
    fs.truncateSync(path, 2 ** 33); // zeros, and nothing of them is on the disk
    fs.appendFileSync(path, "\ncsr\n");
    assert.deepEqual(open(path).newestFirst, ["csr"]);
    assert.equal(fs.readFileSync(path, "utf8"), "csr\n");
  }));

test("History drops damaged lines and keeps the others", () =>
  inFolder((path) => {
    fs.mkdirSync(join(path, ".."));
    fs.writeFileSync(path, "csr\n\0\0\0\nup\x1b[2Jload\n\nrequest bob\nrequest bob\nrene");
    const history = open(path);
    assert.deepEqual(history.newestFirst, ["rene", "request bob", "csr"]);
    history.add("upload", FOR_FILE); // no part of the line that was cut short
    assert.deepEqual(open(path).newestFirst, ["upload", "rene", "request bob", "csr"]);
  }));

test("History that cannot be read or written says so once and goes on", () =>
  inFolder((path) => {
    fs.mkdirSync(path, { recursive: true }); // a folder where the file should be
    const warnings: string[] = [];
    const history = new History(path, (text) => warnings.push(text));
    history.add("csr", FOR_FILE);
    history.add("upload", FOR_FILE);
    assert.deepEqual(history.newestFirst, ["upload", "csr"]);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? "", /^the history is not kept: /);
    fs.rmdirSync(path);
    fs.writeFileSync(path, new Uint8Array([0x63, 0xff, 0xfe, 0x0a]));
    const other = new History(path, (text) => warnings.push(text));
    assert.deepEqual(other.newestFirst, []);
    assert.equal(warnings.length, 2, "it is not UTF-8");
  }));
