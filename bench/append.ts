/**
 * Appends a second, durable, with 1, 8 and 64 writers: our journal with its tables and a checkpoint
 * signed for each sync, and beside it `bun:sqlite` in WAL mode with `synchronous=FULL`, one
 * transaction an insert. Run by bun, the engine of the executable; prints JSON.
 */

import { generateKeyPairSync, randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { encodeHex } from "../lib/base/bytes.ts";
import { LIMITS } from "../lib/base/limits.ts";
import type { Entry } from "../lib/log/entry.ts";
import { encodeVerifierKey, parseVerifierKey } from "../lib/log/note.ts";
import { CheckpointFile } from "../lib/store/checkpoint_file.ts";
import { diskFiles } from "../lib/store/disk.ts";
import { startJournal } from "../lib/store/start_journal.ts";
import { LogIndex } from "../lib/store/log_index.ts";
import { readLog } from "../lib/store/segments.ts";
import { SignedLog } from "../lib/store/signed_log.ts";

const SECONDS = 3;
const ORIGIN = "pki.internal/0123456789abcdef/1";

async function rateOf(writers: number, write: (n: number) => Promise<unknown>): Promise<number> {
  let count = 0;
  const startMs = performance.now();
  const endMs = startMs + SECONDS * 1000;
  await Promise.all(Array.from({ length: writers }, async () => {
    while (performance.now() < endMs) await write(count++);
  }));
  return count / ((performance.now() - startMs) / 1000);
}

/** What an issued certificate takes: about as long, and never the same. */
const body = encodeHex(randomBytes(400));

async function ours(folder: string, writers: number) {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const index = new LogIndex();
  const verifier = parseVerifierKey(encodeVerifierKey(ORIGIN, publicKey));
  const log = new SignedLog({ index, signer: { key: privateKey, verifier }, warn: () => {} });
  const options = { files: diskFiles, folder, index, reserveBytes: LIMITS.logReserveBytes };
  const reading = await readLog({ ...options, mode: "existing", onEntry: () => {} });
  const journal = await startJournal(reading, { ...options, onSynced: log.onSynced });
  const note = log.checkpoint;
  log.attach(journal, [
    await CheckpointFile.open(diskFiles, join(folder, "checkpoint"), { note, keep: 0 }),
  ]);
  const perSecond = await rateOf(writers, (n) => {
    const entry: Entry = {
      type: "issued",
      timeMs: Date.now(),
      public: { profile: "user", id: `user${n}`, certificate: body },
      private: null,
      salt: null,
    };
    return log.append(entry);
  });
  const bytesEach = index.bytes / index.size;
  await log.close();
  return { perSecond, bytesEach };
}

async function sqlite(folder: string, writers: number) {
  const name = "bun:sqlite"; // by way of a variable: the type checker does not know the module
  const { Database } = await import(name);
  const database = new Database(join(folder, "peer.db"));
  database.run("PRAGMA journal_mode = WAL");
  database.run("PRAGMA synchronous = FULL");
  database.run(
    "CREATE TABLE log (number INTEGER PRIMARY KEY, time INTEGER, id TEXT, certificate TEXT)",
  );
  const insert = database.query("INSERT INTO log (time, id, certificate) VALUES (?, ?, ?)");
  // It has one thread and blocks: writers take turns, as they would in a server.
  const perSecond = await rateOf(writers, async (n) => {
    insert.run(Date.now(), `user${n}`, body);
    await null;
  });
  database.close();
  return perSecond;
}

const results = [];
for (const writers of [1, 8, 64]) {
  // On the disk of the temporary folder, which must not be one in memory.
  const folder = fs.mkdtempSync(join(process.env["PKI_BENCH_FOLDER"] ?? tmpdir(), "pki-append-"));
  try {
    const { perSecond, bytesEach } = await ours(join(folder, "log"), writers);
    results.push({ writers, perSecond, bytesEach, peer: await sqlite(folder, writers) });
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}
process.stdout.write(JSON.stringify(results));
