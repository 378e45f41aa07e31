import assert from "node:assert/strict";
import { test } from "node:test";
import { CheckpointFile, readNotes } from "../../lib/store/checkpoint_file.ts";
import { FakeFiles } from "../fakes/files.ts";

const PATH = "/data/log/checkpoint";
const SLOT_BYTES = 2048;
const noteOf = (n: number) => `origin\n${n}\nroot\n\n— origin ${"s".repeat(n % 90)}\n`;

async function started(): Promise<{ files: FakeFiles; file: CheckpointFile }> {
  const files = new FakeFiles();
  return { files, file: await CheckpointFile.open(files, PATH, { note: noteOf(0), keep: 0 }) };
}

test("CheckpointFile.open() makes a file of full length, durably", async () => {
  const { files } = await started();
  const disk = files.crash();
  assert.equal(disk.content(PATH)?.length, 2 * SLOT_BYTES);
  assert.deepEqual(await readNotes(disk, PATH), ["\n", noteOf(0)]);
  assert.deepEqual(await readNotes(new FakeFiles(), PATH), []);
});

test("CheckpointFile.write() takes the slots in turn, and its file never grows", async () => {
  const { files, file } = await started();
  for (let n = 1; n < 8; n++) {
    file.write(noteOf(n));
    const wanted = [noteOf(n), noteOf(n - 1)];
    assert.deepEqual(await readNotes(files, PATH), n % 2 === 1 ? wanted : wanted.reverse());
    assert.equal(files.content(PATH)?.length, 2 * SLOT_BYTES);
  }
  await file.sync();
  assert.deepEqual((await readNotes(files.crash(), PATH)).toSorted(), [noteOf(6), noteOf(7)]);
  await file.close();
  assert.equal(files.openCount, 0);
});

test("CheckpointFile.write() leaves the other slot whole, wherever a crash cuts it", async () => {
  const { files, file } = await started();
  file.write(noteOf(1));
  await file.sync();
  file.write(noteOf(2));
  for (let steps = 0; steps <= SLOT_BYTES; steps++) {
    const notes = await readNotes(files.crash({ names: 0, steps }), PATH);
    assert.equal(notes[0], noteOf(1), `cut after ${steps} bytes`);
  }
});

test("CheckpointFile.sync() runs one at a time, and the next is shared and covers all before it", async () => {
  const { files, file } = await started();
  const syncs: PromiseWithResolvers<void>[] = [];
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  files.before = ({ name }) => {
    if (name !== "sync") return;
    const sync = Promise.withResolvers<void>();
    syncs.push(sync);
    return sync.promise;
  };
  const first = file.sync();
  await turn();
  assert.equal(syncs.length, 1);
  file.write(noteOf(1));
  const later = [file.sync(), file.sync()];
  await turn();
  assert.equal(syncs.length, 1, "while the disk does not answer");
  syncs[0]?.resolve();
  await first;
  await turn();
  assert.equal(syncs.length, 2);
  syncs[1]?.resolve();
  await Promise.all(later);
  assert.ok((await readNotes(files.crash(), PATH)).includes(noteOf(1)));
  files.before = () => {};
  files.fault = ({ name }) => name === "sync" ? { code: "EIO" } : undefined;
  await assert.rejects(file.sync(), /EIO/);
  files.fault = () => undefined;
  file.write(noteOf(2));
  await file.sync();
  assert.ok((await readNotes(files.crash(), PATH)).includes(noteOf(2)), "after one that failed");
});

for (const keep of [0, 1]) {
  test(`CheckpointFile.open() leaves slot ${keep} alone until the other is synced`, async () => {
    const { files, file } = await started();
    file.write(noteOf(1));
    await file.close();
    const before = await readNotes(files, PATH);
    await CheckpointFile.open(files, PATH, { note: noteOf(2), keep });
    const after = await readNotes(files.crash(), PATH);
    assert.equal(after[keep], before[keep]);
    assert.equal(after[1 - keep], noteOf(2));
  });
}

test("CheckpointFile.open() mends a file that is too short, and readNotes() takes any bytes", async () => {
  for (const bytes of [0, 1, 2047, 2048, 2049, 4095, 4096, 5000]) {
    const files = new FakeFiles();
    files.plant(PATH, new Uint8Array(bytes).fill(0xff));
    // What is no text is not passed for nothing.
    const wanted = [0, SLOT_BYTES].map((from) => bytes > from ? "\ufffd\n" : "\n");
    assert.deepEqual(await readNotes(files, PATH), wanted);
    await CheckpointFile.open(files, PATH, { note: noteOf(3), keep: 0 });
    assert.equal((await readNotes(files, PATH))[1], noteOf(3));
    assert.ok(files.content(PATH)!.length >= 2 * SLOT_BYTES);
  }
});

test("CheckpointFile.open() fails and closes the file whatever call of its own fails", async () => {
  for (let index = 0; index < 100; index++) {
    const files = new FakeFiles();
    files.fault = (call) => call.index === index ? { code: "EIO" } : undefined;
    const opened = CheckpointFile.open(files, PATH, { note: noteOf(1), keep: 0 });
    const error: unknown = await opened.then(() => undefined, (error) => error);
    if (error === undefined) {
      assert.ok(index > 5 && files.calls.length === index, "every call was failed once");
      return;
    }
    assert.match(String(error), /EIO/);
    assert.equal(files.openCount, 0);
  }
});

test("CheckpointFile.write() takes a note that fills a slot, and refuses a longer one", async () => {
  const { file } = await started();
  file.write("a".repeat(SLOT_BYTES));
  assert.throws(() => file.write("a".repeat(SLOT_BYTES + 1)), { kind: "internal" });
});
