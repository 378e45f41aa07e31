import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { platform } from "node:process";
import { test } from "node:test";
import { PkiError } from "../../lib/base/errors.ts";
import type { Entry } from "../../lib/log/entry.ts";
import { encodeFileHeader } from "../../lib/log/records.ts";
import { diskFiles } from "../../lib/store/disk.ts";
import { FakeFiles } from "../fakes/files.ts";
import {
  crashesOf,
  delay,
  diskWith,
  entriesTo,
  entryOf,
  failNth,
  FILE,
  FOLDER,
  logOf,
  openLog,
  refusalOf,
  rootOf,
} from "./fixture.ts";

test("startJournal() makes an empty log, durable before it returns", async () => {
  const files = new FakeFiles();
  const opened = await openLog(FOLDER, { files });
  assert.equal(opened.isNew, true);
  assert.equal(opened.tornBytes, 0);
  assert.deepEqual(opened.entries, []);
  assert.equal(opened.index.size, 0);
  assert.deepEqual(opened.index.tree.root(), rootOf([]));
  assert.deepEqual(files.crash().content(FILE), encodeFileHeader(0));
});

test("startJournal() returns what is there", async () => {
  const files = diskWith(5);
  const opened = await openLog(FOLDER, { files });
  assert.equal(opened.isNew, false);
  assert.equal(opened.tornBytes, 0);
  assert.deepEqual(opened.entries, entriesTo(5));
  assert.equal(opened.index.size, 5);
  assert.deepEqual(opened.index.tree.root(), rootOf(entriesTo(5)));
});

test("startJournal() reads on after short reads", async () => {
  const files = diskWith(5);
  files.fault = ({ name }) => name === "read" ? { shortBytes: 7 } : undefined;
  assert.deepEqual((await openLog(FOLDER, { files })).entries, entriesTo(5));
});

test("startJournal() refuses a file that ends while it is read", async () => {
  const files = diskWith(5);
  failNth(files, "read", { fault: { shortBytes: 0 } });
  assert.match(
    (await refusalOf(openLog(FOLDER, { files }))).message,
    /ended at byte 0 of \d+$/,
  );
});

test("startJournal() syncs what the process before may not have synced", async () => {
  const files = diskWith(0);
  const { journal } = await openLog(FOLDER, { files });
  // The process dies between write and sync; the system lives.
  files.before = ({ name }) => name === "sync" ? new Promise(() => {}) : undefined;
  journal.append(entryOf(0));
  await delay();
  const next = files.restart();
  assert.deepEqual((await openLog(FOLDER, { files: next })).entries, entriesTo(1));
  assert.deepEqual((await openLog(FOLDER, { files: next.crash() })).entries, entriesTo(1));
});

test("startJournal() cuts a log truncated at any byte to its whole records, durably", async () => {
  const log = logOf(entriesTo(3));
  const bounds = [0, 1, 2, 3].map((count) => logOf(entriesTo(count)).length);
  for (let length = 0; length <= log.length; length++) {
    const files = new FakeFiles();
    files.plant(FILE, log.subarray(0, length));
    if (length < 16) {
      await refusalOf(openLog(FOLDER, { files }));
      assert.deepEqual(files.content(FILE), log.subarray(0, length));
      continue;
    }
    const { journal, entries, tornBytes, reservedBytes } = await openLog(FOLDER, { files });
    const whole = bounds.filter((bound) => bound <= length).length - 1;
    assert.deepEqual(entries, entriesTo(whole));
    const rest = log.subarray(bounds[whole], length);
    const isZero = rest.every((byte) => byte === 0);
    assert.deepEqual([tornBytes, reservedBytes], isZero ? [0, rest.length] : [rest.length, 0]);
    assert.deepEqual(files.crash().content(FILE), log.subarray(0, bounds[whole]));
    assert.equal((await journal.append(entryOf(whole))).index, whole);
    assert.deepEqual(files.crash().content(FILE), logOf(entriesTo(whole + 1)));
  }
});

test("startJournal() names a damaged log, and never changes it", async () => {
  const log = logOf(entriesTo(3));
  const last = logOf(entriesTo(2)).length;
  for (let at = 0; at < last; at++) {
    const files = new FakeFiles();
    const damaged = log.with(at, log[at]! ^ 0x10);
    files.plant(FILE, damaged);
    const error = await refusalOf(openLog(FOLDER, { files }));
    assert.match(error.message, /^cannot read log "\/data\/log\/0{12}\.log": .*byte \d+/);
    assert.match(error.hint ?? "", /nothing was changed/);
    assert.deepEqual(files.content(FILE), damaged);
    assert.equal(
      files.count("write") + files.count("writeNow") + files.count("truncate") +
        files.count("sync"),
      0,
    );
    assert.equal(files.count("close"), 1);
  }
});

test("startJournal() refuses, and opens the next time, whatever call of its own fails", async () => {
  const torn = logOf(entriesTo(2)).slice(0, -5);
  for (const start of [undefined, logOf(entriesTo(2)), torn]) {
    for (const isStored of [false, true]) {
      for (let index = 0;; index++) {
        const files = new FakeFiles();
        if (start !== undefined) files.plant(FILE, start);
        files.fault = (call) => call.index === index ? { code: "EIO", isStored } : undefined;
        const outcome = await openLog(FOLDER, { files }).catch((error) => error);
        if (!(outcome instanceof PkiError)) {
          assert.ok(index >= 4 && files.calls.length === index, "every call was failed once");
          break;
        }
        assert.equal(outcome.kind, "storage");
        const next = files.restart();
        const { entries } = await openLog(FOLDER, { files: next });
        assert.deepEqual(entries, entriesTo(start === undefined ? 0 : start === torn ? 1 : 2));
        assert.deepEqual(next.crash().content(FILE), logOf(entries as Entry[]));
      }
    }
  }
});

test("startJournal() finds a whole log, or none, after a crash at any moment of the first start", async () => {
  const files = new FakeFiles();
  const disks: FakeFiles[] = [];
  files.before = () => void disks.push(...crashesOf(files));
  await openLog(FOLDER, { files });
  assert.ok(disks.length > 16);
  for (const disk of disks) {
    const { journal, entries, tornBytes } = await openLog(FOLDER, { files: disk });
    assert.deepEqual(entries, []);
    assert.equal(tornBytes, 0);
    await journal.append(entryOf(0));
    assert.deepEqual(disk.crash().content(FILE), logOf(entriesTo(1)));
  }
});

// The real disk

async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "pki-journal-"));
  try {
    await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

test("startJournal() works on the real disk: makes, appends, cuts, goes on", () =>
  withFolder(async (folder) => {
    const log = join(folder, "log");
    const file = join(log, "000000000000.log");
    const first = await openLog(log, { files: diskFiles });
    assert.equal(first.isNew, true);
    await Promise.all(entriesTo(200).map((entry) => first.journal.append(entry)));
    await first.journal.close();
    assert.deepEqual(new Uint8Array(await readFile(file)), logOf(entriesTo(200)));
    assert.deepEqual(await readdir(log), ["000000000000.log"]);
    if (platform !== "win32") {
      assert.equal((await stat(log)).mode & 0o777, 0o700);
      assert.equal((await stat(file)).mode & 0o777, 0o600);
    }

    await truncate(file, logOf(entriesTo(100)).length + 20);
    const second = await openLog(log, { files: diskFiles });
    assert.equal(second.isNew, false);
    assert.equal(second.tornBytes, 20);
    assert.deepEqual(second.entries, entriesTo(100));
    assert.equal((await second.journal.append(entryOf(100))).index, 100);
    await second.journal.close();
    assert.deepEqual(new Uint8Array(await readFile(file)), logOf(entriesTo(101)));

    await writeFile(file, logOf(entriesTo(101)).with(30, 255));
    await refusalOf(openLog(log, { files: diskFiles }));
  }));

test("startJournal() says so when it cannot make a log", () =>
  withFolder(async (folder) => {
    const error = await refusalOf(openLog(join(folder, "missing", "log"), { files: diskFiles }));
    assert.match(error.message, /^cannot open log ".*": ENOENT/);
  }));
