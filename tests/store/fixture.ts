/** Logs for the tests of the store: entries that differ, their bytes, and a log opened on a fake disk. */

import assert from "node:assert/strict";
import { type Bytes, concatBytes } from "../../lib/base/bytes.ts";
import { PkiError } from "../../lib/base/errors.ts";
import { encodeLeaf, type Entry, type StoredEntry } from "../../lib/log/entry.ts";
import { encodeFileHeader, encodeRecord } from "../../lib/log/records.ts";
import { hashLeaf } from "../../lib/log/tree.ts";
import type { Files } from "../../lib/store/disk.ts";
import type { Journal } from "../../lib/store/journal.ts";
import { startJournal } from "../../lib/store/start_journal.ts";
import { LogIndex } from "../../lib/store/log_index.ts";
import { readLog, segmentName } from "../../lib/store/segments.ts";
import { type Call, type CallName, FakeFiles, type Fault } from "../fakes/files.ts";
import { naiveRoot } from "../log/naive_tree.ts";

export const FOLDER = "/data/log";

/** Where the segment is that starts with this entry. */
export function pathOf(first: number): string {
  return `${FOLDER}/${segmentName(first)}`;
}

export const FILE = pathOf(0);

export function entryOf(n: number): Entry {
  return {
    type: "issued",
    timeMs: n,
    public: { serial: n },
    private: n % 2 === 0 ? null : { from: "192.0.2.1" },
    salt: n % 2 === 0 ? null : new Uint8Array(32).fill(n + 1),
  };
}

/** The `count` entries from `from`. */
export function entriesFrom(from: number, count: number): Entry[] {
  return Array.from({ length: count }, (_, n) => entryOf(from + n));
}

export const entriesTo = (count: number): Entry[] => entriesFrom(0, count);

/** A segment. */
export function segmentOf(first: number, entries: readonly StoredEntry[]): Bytes {
  return concatBytes(encodeFileHeader(first), ...entries.map(encodeRecord));
}

/** A log of one segment. */
export const logOf = (entries: readonly StoredEntry[]): Bytes => segmentOf(0, entries);

/** By the definition, not by our tree. */
export function rootOf(entries: readonly StoredEntry[]): Bytes {
  return naiveRoot(entries.map((entry) => hashLeaf(encodeLeaf(entry))));
}

/** A fake disk with a log of so many entries. */
export function diskWith(count: number): FakeFiles {
  const files = new FakeFiles();
  files.plant(FILE, logOf(entriesTo(count)));
  return files;
}

/** A fake disk with segments of so many entries each. */
export function diskOf(counts: readonly number[]): FakeFiles {
  const files = new FakeFiles();
  let first = 0;
  for (const count of counts) {
    files.plant(pathOf(first), segmentOf(first, entriesFrom(first, count)));
    first += count;
  }
  return files;
}

/** Every segment on a disk, one behind the other, by its path. */
export function segmentsOn(files: FakeFiles): Record<string, Bytes | undefined> {
  const names = files.paths().filter((path) => path.endsWith(".log"));
  return Object.fromEntries(names.map((path) => [path, files.content(path)]));
}

export interface OpenedLog {
  readonly journal: Journal;
  readonly index: LogIndex;
  readonly entries: readonly StoredEntry[];
  readonly tornBytes: number;
  readonly reservedBytes: number;
  readonly isNew: boolean;
}

export interface OpenLogOptions {
  readonly files: Files;
  readonly index?: LogIndex;
  readonly onSynced?: () => void;
  readonly segmentBytesMax?: number;
  readonly reserveBytes?: number;
}

/** Reads a log and makes it ready, as a start of the server does. */
export async function openLog(
  folder: string,
  { files, index = new LogIndex(), ...options }: OpenLogOptions,
): Promise<OpenedLog> {
  const entries: StoredEntry[] = [];
  const reading = await readLog({
    ...{ files, folder, index, mode: "existing" },
    onEntry: (entry) => entries.push(entry),
  });
  const isNew = reading.handles.size === 0;
  const journal = await startJournal(reading, { files, folder, index, ...options });
  const { tornBytes, reservedBytes } = reading;
  return { journal, index, entries, tornBytes, reservedBytes, isNew };
}

export async function refusalOf(promise: Promise<unknown>): Promise<PkiError> {
  const error: unknown = await promise.then(() => undefined, (error) => error);
  assert.ok(error instanceof PkiError, `refused with ${error}`);
  assert.equal(error.kind, "storage");
  return error;
}

/** Every disk that a crash at this moment could leave, all files being interrupted alike. */
export function crashesOf(files: FakeFiles): FakeFiles[] {
  const most = files.unsynced();
  const disks: FakeFiles[] = [];
  for (let names = 0; names <= most.names; names++) {
    for (let steps = 0; steps <= most.steps; steps++) disks.push(files.crash({ names, steps }));
  }
  return disks;
}

/** Plans a fault for the nth call of a name, counted from now. */
export function failNth(
  files: FakeFiles,
  name: CallName,
  options: { n?: number; fault: Fault },
): void {
  let left = options.n ?? 0;
  files.fault = (call: Call) => call.name === name && left-- === 0 ? options.fault : undefined;
}

/** Resolves when all that is under way on a fake disk has got as far as it can. */
export const delay = () => new Promise<void>((resolve) => setTimeout(resolve));

/** Segments that are soon full. */
export const SMALL = { segmentBytesMax: 200 } as const;

/** What happened to one run of a journal. */
export interface Run {
  readonly sent: Entry[];
  /** By index in the log. */
  readonly acknowledged: Map<number, Entry>;
}

/** Appends groups of entries, each group in one turn; goes on after refusals. */
export async function run(journal: Journal, { groups, into }: { groups: number[]; into: Run }) {
  for (const size of groups) {
    const group = Array.from({ length: size }, (_, i) => entryOf(into.sent.length + i));
    into.sent.push(...group);
    await Promise.all(group.map((entry) =>
      journal.append(entry).then(
        ({ index }) => into.acknowledged.set(index, entry),
        (error) => assert.equal(error.kind, "storage"),
      )
    ));
  }
}

/** A disk that a crash could leave, and what had been sent and acknowledged by then. */
export interface Moment {
  readonly disk: FakeFiles;
  readonly run: Run;
}

/** Appends some groups of entries to a new log, and has it crash before each call in every way. */
export async function crashAlways(options: Omit<OpenLogOptions, "files"> = {}): Promise<Moment[]> {
  const files = new FakeFiles();
  const into: Run = { sent: [], acknowledged: new Map() };
  const moments: Moment[] = [];
  files.before = () => {
    const run = { sent: [...into.sent], acknowledged: new Map(into.acknowledged) };
    for (const disk of crashesOf(files)) moments.push({ disk, run });
  };
  const { journal } = await openLog(FOLDER, { files, ...options });
  await run(journal, { groups: [1, 3, 2], into });
  await journal.close();
  assert.equal(into.acknowledged.size, 6);
  assert.ok(moments.length > 400);
  return moments;
}
