/** Both ends of a transfer, over a line that is none: what is sent is in a folder afterwards. */

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { sha256, utf8 } from "../../lib/base/bytes.ts";
import { PkiError } from "../../lib/base/errors.ts";
import { FileReceiving, type ReceivingEvent } from "../../lib/peer/file_receiving.ts";
import { FileSending, type SendingEvent } from "../../lib/peer/file_sending.ts";
import { FileStore, type ReceivedFolder } from "../../lib/peer/file_store.ts";
import { walkFiles } from "../../lib/peer/file_walk.ts";
import {
  IncomingFiles,
  type Offer,
  type SenderMessage,
} from "../../lib/protocol/incoming_files.ts";
import { OutgoingFiles, type ReceiverMessage } from "../../lib/protocol/outgoing_files.ts";

const LARGE = 200_000;

interface Folders {
  readonly from: string;
  readonly to: string;
  readonly received: ReceivedFolder[];
}

async function inFolders(body: (folders: Folders) => Promise<void>): Promise<void> {
  const folder = fs.mkdtempSync(join(tmpdir(), "pki-files-"));
  const [from, to] = [join(folder, "from"), join(folder, "to")];
  fs.mkdirSync(from);
  fs.mkdirSync(to);
  try {
    await body({ from, to, received: [] });
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

interface TransferOptions extends Folders {
  /** What is sent, of what is in `from`. */
  readonly names: readonly string[];
  readonly owner?: string;
  readonly decide?: (offer: Offer) => Promise<void>;
  /** Sees the bytes of files before they are sent. */
  readonly onBytes?: (file: number) => void;
  /** Ends the line behind so many bytes of files. */
  readonly cutBehind?: number;
  readonly onSending?: (event: SendingEvent) => void;
  /** Has this side cancel when so many bytes have come. */
  readonly cancel?: { readonly by: "sender" | "receiver"; readonly behind: number };
}

interface Transferred {
  readonly error: PkiError | undefined;
  readonly sent: readonly SendingEvent[];
  readonly received: readonly ReceivingEvent[];
  /** Bytes of files that went over the line. */
  readonly bytes: number;
}

const CUT = new PkiError("truncated", "the line was cut");
const ENOUGH = new PkiError("interrupted", "enough");

async function transfer(options: TransferOptions): Promise<Transferred> {
  const { from, to, names } = options;
  const { files } = await walkFiles(names.map((name) => join(from, name)));
  const sent: SendingEvent[] = [];
  const received: ReceivingEvent[] = [];
  let bytes = 0;
  let isCut = false;
  let cancelled = Promise.resolve();
  let deliveries = Promise.resolve();
  const deliver = (work: () => Promise<void>) => {
    const delivered = deliveries.then(() => isCut ? undefined : work());
    deliveries = delivered.catch(() => {});
    return delivered;
  };
  const sending: FileSending = new FileSending({
    machine: new OutgoingFiles(),
    peer: "bob",
    files,
    line: {
      sendFileControl: (control) => {
        void deliver(() => receiving.hear(control as SenderMessage));
      },
      sendFile: async (file, piece) => {
        options.onBytes?.(file);
        const wire = Uint8Array.from(piece);
        if (bytes + wire.length > (options.cutBehind ?? Infinity)) {
          await deliveries;
          isCut = true;
          await receiving.stop(CUT);
          return sending.stop(CUT);
        }
        bytes += wire.length;
        const { by, behind = Infinity } = options.cancel ?? {};
        if (bytes - wire.length < behind && bytes >= behind) {
          if (by === "sender") sending.cancel(ENOUGH);
          else cancelled = receiving.cancel(ENOUGH);
        }
        await deliver(() => receiving.bytes(file, wire));
      },
    },
    on: (event) => {
      sent.push(event);
      options.onSending?.(event);
    },
  });
  const receiving: FileReceiving = new FileReceiving({
    machine: new IncomingFiles(),
    line: {
      sendFileControl: (control) => {
        if (!isCut) queueMicrotask(() => sending.hear(control as ReceiverMessage));
      },
    },
    openStore: () =>
      new FileStore({
        folder: to,
        owner: sha256(utf8(options.owner ?? "alice")),
        umask: 0o022,
        received: {
          list: () => options.received,
          add: (folder) => void options.received.push(folder),
        },
      }),
    decide: options.decide ?? (() => Promise.resolve()),
    on: (event) => received.push(event),
  });
  let error: PkiError | undefined;
  try {
    await sending.run();
  } catch (thrown) {
    if (!(thrown instanceof PkiError)) throw thrown;
    error = thrown;
  }
  await deliveries;
  await cancelled;
  return { error, sent, received, bytes };
}

/** Paths below a folder with their content's hash, folders with a slash. */
function contents(folder: string, prefix = ""): Readonly<Record<string, string>> {
  const all: Record<string, string> = {};
  for (const name of fs.readdirSync(folder).sort()) {
    const location = join(folder, name);
    if (fs.lstatSync(location).isDirectory()) {
      all[`${prefix}${name}/`] = "";
      Object.assign(all, contents(location, `${prefix}${name}/`));
    } else all[`${prefix}${name}`] = hash(fs.readFileSync(location));
  }
  return all;
}

const hash = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex").slice(0, 16);
const failures = ({ sent }: Transferred) =>
  sent.flatMap((event) => event.type === "failed" ? [event.error.message] : []);
const overOf = ({ received }: Transferred) =>
  received.flatMap((event) => event.type === "over" ? [event.received] : [])[0];

test("a tree arrives as it is, with modes and times, and folders that nothing is in", () =>
  inFolders(async (folders) => {
    const { from, to } = folders;
    const tree = join(from, "tree");
    fs.mkdirSync(join(tree, "empty"), { recursive: true });
    fs.mkdirSync(join(tree, "sub", ".hidden"), { recursive: true });
    fs.writeFileSync(join(tree, "nothing"), "");
    fs.writeFileSync(join(tree, "sub", "größe 日本.txt"), "content", { mode: 0o640 });
    fs.writeFileSync(join(tree, "sub", ".hidden", "run"), "#!/bin/sh\n");
    fs.chmodSync(join(tree, "sub", ".hidden", "run"), 0o4777);
    fs.writeFileSync(join(tree, "large"), randomBytes(LARGE));
    for (let i = 0; i < 300; i++) fs.writeFileSync(join(tree, "sub", `n${i}`), `${i}`);
    fs.utimesSync(join(tree, "large"), 1_500_000_000.25, 1_500_000_000.25);
    fs.utimesSync(join(tree, "empty"), 1_400_000_000, 1_400_000_000);
    fs.chmodSync(join(tree, "sub"), 0o555);
    const done = await transfer({ ...folders, names: ["tree"] });
    fs.chmodSync(join(tree, "sub"), 0o755);
    assert.equal(done.error, undefined);
    assert.deepEqual(failures(done), []);
    assert.deepEqual(contents(to), contents(from));
    const modeOf = (path: string) => fs.statSync(join(to, "tree", path)).mode & 0o7777;
    assert.equal(modeOf("sub/größe 日本.txt"), 0o640);
    assert.equal(modeOf("sub/.hidden/run"), 0o755, "never setuid, and not for others to write");
    assert.equal(modeOf("sub"), 0o755, "its owner may always write");
    const timeOf = (path: string) => Math.round(fs.statSync(join(to, "tree", path)).mtimeMs);
    assert.equal(timeOf("large"), 1_500_000_000_250);
    assert.equal(timeOf("empty"), 1_400_000_000_000);
    const over = overOf(done);
    assert.ok(over);
    assert.deepEqual([over.files, over.folders, over.failed], [304, 4, 0]);
    assert.deepEqual(over.locations, [join(to, "tree")]);
    const stored = done.sent.filter(({ type }) => type === "stored");
    assert.equal(stored.length, 308);
  }));

test("a cut transfer goes on where it was, and sends nothing twice", () =>
  inFolders(async (folders) => {
    const { from, to } = folders;
    fs.mkdirSync(join(from, "d"));
    fs.writeFileSync(join(from, "d", "a"), randomBytes(LARGE));
    fs.writeFileSync(join(from, "d", "b"), randomBytes(30 * LARGE));
    const options = { ...folders, names: ["d"] };
    const cut = await transfer({ ...options, cutBehind: LARGE + 20 * LARGE });
    assert.equal(cut.error, CUT);
    assert.equal(overOf(cut)?.end, CUT);
    assert.equal(overOf(cut)?.files, 1);
    const [, part] = fs.readdirSync(join(to, "d")).sort().reverse();
    assert.match(part ?? "", /^\.b\.[0-9a-f]{24}\.part$/);
    assert.equal(fs.statSync(join(to, "d", part ?? "")).mode & 0o777, 0o600);
    const there = fs.statSync(join(to, "d", part ?? "")).size;
    assert.ok(there > LARGE);
    const again = await transfer(options);
    assert.equal(again.error, undefined);
    assert.equal(
      again.bytes,
      30 * LARGE - there,
      "the first file is there, of the second the rest",
    );
    assert.deepEqual(contents(to), contents(from));
    assert.equal(overOf(again)?.there, 1);
    const third = await transfer(options);
    assert.equal(third.bytes, 0);
    assert.deepEqual(contents(to), contents(from), "and no second copy is made");
  }));

test("a part is gone on with only if it is the beginning of what is sent, by the same sender", () =>
  inFolders(async (folders) => {
    const { from, to } = folders;
    const location = join(from, "f");
    fs.writeFileSync(location, randomBytes(30 * LARGE));
    const options = { ...folders, names: ["f"] };
    const cut = () => transfer({ ...options, cutBehind: 20 * LARGE });
    await cut();
    const part = fs.readdirSync(to)[0] ?? "";
    const mine = fs.readFileSync(join(to, part));

    const other = await transfer({ ...options, owner: "mallory", cutBehind: 20 * LARGE });
    const begun = (done: Transferred) =>
      done.sent.flatMap((event) => event.type === "begun" ? [event.had] : [])[0];
    assert.equal(begun(other), 0, "another sender has a part of its own");
    assert.equal(fs.readdirSync(to).length, 2);
    assert.deepEqual(fs.readFileSync(join(to, part)), mine);

    fs.appendFileSync(location, "more");
    const grown = await transfer({ ...options, cutBehind: 0 });
    assert.equal(begun(grown), mine.length, "what was added to does not begin anew");

    fs.writeFileSync(location, randomBytes(30 * LARGE));
    const changed = await transfer({ ...options });
    assert.equal(begun(changed), 0);
    assert.equal(changed.bytes, 30 * LARGE);
    assert.deepEqual(fs.readFileSync(join(to, "f")), fs.readFileSync(location));

    fs.symlinkSync(join(from, "victim"), join(to, part));
    fs.writeFileSync(join(from, "victim"), "untouched");
    fs.rmSync(join(to, "f"));
    const linked = await transfer(options);
    assert.equal(linked.error, undefined);
    assert.equal(fs.readFileSync(join(from, "victim"), "utf8"), "untouched");
    assert.deepEqual(fs.readFileSync(join(to, "f")), fs.readFileSync(location));
  }));

test("what is there is never overwritten, and the same is not stored twice", () =>
  inFolders(async (folders) => {
    const { from, to } = folders;
    fs.writeFileSync(join(from, "a.txt"), "new");
    fs.writeFileSync(join(from, "large.bin"), randomBytes(LARGE));
    fs.writeFileSync(join(to, "a.txt"), "mine");
    fs.writeFileSync(join(to, "large.bin"), randomBytes(LARGE));
    fs.utimesSync(join(to, "large.bin"), 1, 1);
    const options = { ...folders, names: ["a.txt", "large.bin"] };
    for (let round = 0; round < 2; round++) {
      const done = await transfer(options);
      assert.deepEqual(
        overOf(done)?.locations,
        ["a (1).txt", "large (1).bin"].map((name) => join(to, name)),
      );
      assert.equal(overOf(done)?.there, round === 0 ? 0 : 2);
      if (round === 1) assert.equal(done.bytes, 3, "the large one is not sent again");
    }
    assert.deepEqual(fs.readdirSync(to).sort(), [
      "a (1).txt",
      "a.txt",
      "large (1).bin",
      "large.bin",
    ]);
    assert.equal(fs.readFileSync(join(to, "a.txt"), "utf8"), "mine");
  }));

test("a folder that somebody else has made, or a link, is not entered", () =>
  inFolders(async (folders) => {
    const { from, to } = folders;
    fs.mkdirSync(join(from, "project", "hooks"), { recursive: true });
    fs.writeFileSync(join(from, "project", "hooks", "run"), "evil");
    fs.mkdirSync(join(to, "project"));
    fs.mkdirSync(join(from, "outside"));
    fs.symlinkSync(join(from, "outside"), join(to, "project (1)"));
    const done = await transfer({ ...folders, names: ["project"] });
    assert.deepEqual(overOf(done)?.locations, [join(to, "project (2)")]);
    assert.deepEqual(fs.readdirSync(join(to, "project")), []);
    assert.deepEqual(fs.readdirSync(join(from, "outside")), []);
    // A link within a folder that is ours is not followed either.
    fs.rmSync(join(to, "project (2)", "hooks"), { recursive: true });
    fs.symlinkSync(join(from, "outside"), join(to, "project (2)", "hooks"));
    await transfer({ ...folders, names: ["project"] });
    assert.deepEqual(fs.readdirSync(join(from, "outside")), []);
    assert.equal(fs.readFileSync(join(to, "project (2)", "hooks (1)", "run"), "utf8"), "evil");
  }));

test("names that are one name elsewhere are two here", () =>
  inFolders(async (folders) => {
    const { from, to } = folders;
    const tree = join(from, "t");
    fs.mkdirSync(join(tree, "Sub"), { recursive: true });
    fs.mkdirSync(join(tree, "sub"));
    for (
      const path of ["README", "readme", "caf\u00e9", "cafe\u0301", "a:b", "a?b", "Sub/x", "sub/x"]
    ) {
      fs.writeFileSync(join(tree, path), path);
    }
    for (let round = 0; round < 2; round++) {
      const done = await transfer({ ...folders, names: ["t"] });
      assert.deepEqual(failures(done), []);
      assert.deepEqual(
        Object.keys(contents(to)),
        [
          "t/",
          "t/README",
          "t/Sub/",
          "t/Sub/x",
          "t/a_b",
          "t/a_b (1)",
          "t/caf\u00e9",
          "t/caf\u00e9 (1)",
          "t/readme (1)",
          "t/sub (1)/",
          "t/sub (1)/x",
        ].sort(),
        `round ${round}`,
      );
    }
    assert.equal(fs.readFileSync(join(to, "t", "sub (1)", "x"), "utf8"), "sub/x");
  }));

test("a file that changes while it is sent fails, and the others do not", () =>
  inFolders(async (folders) => {
    const { from, to } = folders;
    for (const name of ["a", "b", "c", "d"]) {
      fs.writeFileSync(join(from, name), randomBytes(20 * LARGE));
    }
    const done = await transfer({
      ...folders,
      names: ["a", "b", "c", "d"],
      onBytes: (file) => {
        if (file === 1) fs.appendFileSync(join(from, "a"), "x");
        if (file === 2) fs.truncateSync(join(from, "b"), 1000);
      },
      onSending: (event) => {
        if (event.type === "stored" && event.file.path[0] === "c") fs.rmSync(join(from, "d"));
      },
    });
    assert.equal(done.error, undefined);
    const changed = (name: string) =>
      `cannot send "${join(from, name)}": it changed while it was sent`;
    assert.deepEqual(failures(done).slice(0, 2), [changed("a"), changed("b")]);
    assert.equal(fs.existsSync(join(to, "c")), true);
    assert.equal(overOf(done)?.failed, 2);
    assert.deepEqual(fs.readdirSync(to).filter((name) => name.includes("part")), []);
  }));

test("either side ends a transfer while files are on their way to the disk, and it goes on later", () =>
  inFolders(async (folders) => {
    const { from, to } = folders;
    fs.mkdirSync(join(from, "t"));
    for (let i = 0; i < 200; i++) fs.writeFileSync(join(from, "t", `${i}`), randomBytes(1000));
    fs.writeFileSync(join(from, "t", "zzz"), randomBytes(20 * LARGE));
    const options = { ...folders, names: ["t"] };
    for (const by of ["receiver", "sender"] as const) {
      fs.rmSync(join(to, "t"), { recursive: true, force: true });
      for (const behind of [50_000, 150_000, 200_000 + 12 * LARGE]) {
        const done = await transfer({ ...options, cancel: { by, behind } });
        assert.match(
          done.error?.message ?? "",
          by === "sender" ? /^enough$/ : /^bob has ended the transfer: enough$/,
        );
        const overs = done.received.filter(({ type }) => type === "over");
        assert.equal(overs.length, 1, `${by} behind ${behind}`);
        assert.ok(overOf(done)?.end);
      }
    }
    const last = await transfer(options);
    assert.equal(last.error, undefined);
    assert.deepEqual(contents(to), contents(from));
  }));

test("an offer is declined with a reason, and nothing is stored", () =>
  inFolders(async (folders) => {
    fs.writeFileSync(join(folders.from, "a"), "x");
    const offers: Offer[] = [];
    const done = await transfer({
      ...folders,
      names: ["a"],
      decide: (offer) => {
        offers.push(offer);
        return Promise.reject(new PkiError("refused", "not now"));
      },
    });
    assert.equal(done.error?.kind, "refused");
    assert.equal(done.error?.message, "bob has declined: not now");
    assert.deepEqual(offers, [{ transfer: 1, name: "a", files: 1, bytes: 1 }]);
    assert.deepEqual(fs.readdirSync(folders.to), []);
  }));

test("what does not fit onto the disk is declined before a byte of it is sent", () =>
  inFolders(async (folders) => {
    const location = join(folders.from, "sparse");
    fs.writeFileSync(location, "");
    fs.truncateSync(location, 2 ** 42);
    const done = await transfer({ ...folders, names: ["sparse"] });
    assert.equal(done.error?.kind, "storage");
    assert.equal(done.error?.message, "bob has declined: there is not enough room");
    assert.equal(done.bytes, 0);
  }));

test("a folder that was made anew is not the sender's any more, whatever its number", () =>
  inFolders(async (folders) => {
    const { from, to } = folders;
    fs.mkdirSync(join(from, "project"));
    fs.writeFileSync(join(from, "project", "hook"), "evil");
    await transfer({ ...folders, names: ["project"] });
    const bornMs = () => Math.floor(fs.lstatSync(join(to, "project")).birthtimeMs);
    for (const first = bornMs(); bornMs() === first;) { // clocks of file systems are coarse
      fs.rmSync(join(to, "project"), { recursive: true });
      fs.mkdirSync(join(to, "project"));
    }
    // As a system does that gives the next folder the number of the last one.
    const { ino } = fs.lstatSync(join(to, "project"));
    const received = folders.received.map((folder) => ({ ...folder, inode: ino }));
    await transfer({ ...folders, received, names: ["project"] });
    assert.deepEqual(fs.readdirSync(join(to, "project")), []);
    assert.deepEqual(fs.readdirSync(join(to, "project (1)")), ["hook"]);
  }));

/** What a receiver tells while a sender says this. */
async function hear(to: string, messages: readonly SenderMessage[]) {
  const events: ReceivingEvent[] = [];
  const asked: Offer[] = [];
  const receiving = new FileReceiving({
    machine: new IncomingFiles(),
    line: { sendFileControl: () => {} },
    openStore: () =>
      new FileStore({
        folder: to,
        owner: sha256(utf8("mallory")),
        umask: 0o022,
        received: { list: () => [], add: () => {} },
      }),
    decide: (offer) => {
      asked.push(offer);
      return Promise.resolve();
    },
    on: (event) => events.push(event),
  });
  const settled = () => new Promise((resolve) => setImmediate(resolve));
  for (const message of messages) {
    await receiving.hear(message);
    const isAnswered = () => events.length > 0 || messages.length === 2 && message.type === "OFFER";
    while (!isAnswered()) await settled();
  }
  while (!events.some(({ type }) => type === "over" || type === "withdrawn")) await settled();
  return { events, asked };
}

const OFFER = { type: "OFFER", transfer: 1, name: "a", files: 1, bytes: 1 } as const;
const cancelOf = (message: string) =>
  ({ type: "CANCEL", transfer: 1, side: "sender", message }) as const;

test("nobody is asked about an offer that was taken back at once", () =>
  inFolders(async ({ to }) => {
    const { events, asked } = await hear(to, [OFFER, cancelOf("never mind")]);
    assert.deepEqual(asked, []);
    assert.deepEqual(events.map(({ type }) => type), ["withdrawn"]);
  }));

test("why a sender ends a transfer is shown without what a terminal obeys", () =>
  inFolders(async ({ to }) => {
    const description = { kind: "file", size: 1, permissions: 0o644, modified: 0 } as const;
    const file = { type: "FILE", file: 1, path: ["a"], ...description } as const;
    const { events } = await hear(to, [OFFER, file, cancelOf("\u001b]0;owned\u0007\nbob: yes")]);
    const [over] = events.flatMap((event) => event.type === "over" ? [event.received] : []);
    assert.equal(
      over?.end?.message,
      "the sender has ended it: \ufffd]0;owned\ufffd\ufffdbob: yes",
    );
  }));
