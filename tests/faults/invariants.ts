/**
 * A small server's store on a fake disk, whose every step a test can make fail, and what must hold
 * whatever happened: what was acknowledged is there, nothing is half there, and everything that
 * follows from the log does follow from it.
 */

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { encodeBase64, encodeHex } from "../../lib/base/bytes.ts";
import { PkiError } from "../../lib/base/errors.ts";
import { openCheckpoint } from "../../lib/log/checkpoint.ts";
import { encodeLeaf, type Entry, redactEntry, type StoredEntry } from "../../lib/log/entry.ts";
import { encodeVerifierKey, parseVerifierKey } from "../../lib/log/note.ts";
import { hashLeaf } from "../../lib/log/tree.ts";
import { loadSqlite } from "../../lib/store/database.ts";
import { replaceFile } from "../../lib/store/disk.ts";
import type { LogIndex } from "../../lib/store/log_index.ts";
import { openState, type StatePaths } from "../../lib/store/open_state.ts";
import type { SignedLog } from "../../lib/store/signed_log.ts";
import { encodeSnapshot } from "../../lib/store/snapshot.ts";
import { startLog } from "../../lib/store/start_log.ts";
import { State } from "../../lib/store/state.ts";
import type { FakeFiles } from "../fakes/files.ts";
import { makeTestCa, makeUser } from "../fakes/ca.ts";
import { naiveRoot } from "../log/naive_tree.ts";

await loadSqlite();

const CA = await makeTestCa();
/** So many users; more entries come from the same ones. */
const USERS = await Promise.all(
  Array.from({ length: 4 }, (_, n) => makeUser(CA, { id: `user${n}` })),
);

const { privateKey, publicKey } = generateKeyPairSync("ed25519");
const ORIGIN = "pki.test/0123456789abcdef/1";
export const VERIFIER = parseVerifierKey(encodeVerifierKey(ORIGIN, publicKey));

export const PATHS: StatePaths = {
  log: "/data/log",
  snapshot: "/data/state.db",
  witness: "/witness",
};

/** A certificate fills it. */
const SEGMENT_BYTES_MAX = 500;
const RESERVE_BYTES = 600;

/** The workload: every type of entry, some with a private part. */
export function entryOf(n: number): Entry {
  const user = USERS[Math.floor(n / 4) % USERS.length];
  assert.ok(user);
  const head = { timeMs: 1_800_000_000_000 + n, salt: new Uint8Array(32).fill(n + 1) };
  const id = `user${Math.floor(n / 4)}`;
  switch (n % 4) {
    case 0:
      return {
        ...head,
        type: "registered",
        public: {},
        private: { id, credential: `credential ${n}`, record: "record" },
      };
    case 1:
      return {
        ...head,
        type: "issued",
        public: { profile: "user", id, certificate: encodeBase64(user.certificate.der) },
        private: null,
        salt: null,
      };
    case 2:
      return {
        ...head,
        type: "published",
        public: { serial: user.certificate.serial },
        private: null,
        salt: null,
      };
    default:
      return {
        ...head,
        type: "credentials",
        public: {},
        private: { id, credential: `credential ${n}`, record: "another" },
      };
  }
}

/** So many entries can be appended before a certificate would come twice. */
export const ENTRIES_MAX = USERS.length * 4;

/** What somebody outside remembers. */
export interface Memory {
  /** Entries that were acknowledged, by index. */
  readonly acknowledged: Map<number, Entry>;
  /** Checkpoints that anybody may have seen. */
  readonly checkpoints: string[];
  /** What is appended, by index. */
  readonly entryOf: (n: number) => Entry;
  /** Batches of entries that were to be redacted, and whether that was acknowledged. */
  readonly redacted: Map<readonly number[], boolean>;
}

export function freshMemory(workload = entryOf): Memory {
  return { acknowledged: new Map(), checkpoints: [], entryOf: workload, redacted: new Map() };
}

/** What is remembered at this moment. */
export function copyMemory(memory: Memory): Memory {
  const { acknowledged, checkpoints, redacted } = memory;
  return {
    ...memory,
    acknowledged: new Map(acknowledged),
    checkpoints: [...checkpoints],
    redacted: new Map(redacted),
  };
}

/** Disks that were checked, with what somebody remembered of them. */
const checked = new Set<string>();

/**
 * Whether a disk has to be checked against a memory: many failures leave the same, and what is the
 * same comes out the same.
 */
export function isNew(files: FakeFiles, { acknowledged, checkpoints, redacted }: Memory): boolean {
  const remembered = [[...acknowledged.keys()], checkpoints, [...redacted]];
  const both = `${files.digest()} ${JSON.stringify(remembered)}`;
  if (checked.has(both)) return false;
  checked.add(both);
  return true;
}

export interface Store {
  readonly state: State;
  readonly index: LogIndex;
  readonly log: SignedLog;
  readonly warnings: string[];
}

/** As the server opens it. @throws {PkiError} `storage` */
export async function openStore(files: FakeFiles): Promise<Store> {
  const warnings: string[] = [];
  const opened = await openState({
    files,
    paths: PATHS,
    verifier: VERIFIER,
    hasServed: false,
    acceptsLoss: false,
  });
  warnings.push(...opened.warnings);
  const log = await startLog(opened, {
    files,
    paths: PATHS,
    signer: { key: privateKey, verifier: VERIFIER },
    warn: (text) => warnings.push(text),
    segmentBytesMax: SEGMENT_BYTES_MAX,
    reserveBytes: RESERVE_BYTES,
  });
  return { state: opened.state, index: opened.index, log, warnings };
}

/** Appends the next entry; remembers it if it was acknowledged. @throws {PkiError} `storage` */
export async function appendNext(store: Store, memory: Memory): Promise<void> {
  const entry = memory.entryOf(store.log.size);
  const { index } = await store.log.append(entry);
  store.state.apply(entry, index);
  memory.acknowledged.set(index, entry);
  memory.checkpoints.push(store.log.checkpoint);
}

/** Several at once, that share a sync. Every one is acknowledged or refused. */
export async function appendTogether(
  store: Store,
  memory: Memory,
  count: number,
): Promise<void> {
  const from = store.log.size;
  const entries = Array.from({ length: count }, (_, i) => memory.entryOf(from + i));
  const outcomes = await Promise.allSettled(entries.map((entry) => store.log.append(entry)));
  for (const [i, outcome] of outcomes.entries()) {
    const entry = entries[i];
    assert.ok(entry);
    if (outcome.status === "rejected") {
      assertStorage(outcome.reason);
      continue;
    }
    store.state.apply(entry, outcome.value.index);
    memory.acknowledged.set(outcome.value.index, entry);
  }
  memory.checkpoints.push(store.log.checkpoint);
}

/** Writes a snapshot, as at a clean stop. */
export async function takeSnapshot(
  files: FakeFiles,
  { state, index }: Store,
  options: { readonly forgets?: boolean } = {},
): Promise<void> {
  await replaceFile(files, PATHS.snapshot, encodeSnapshot({ state, index }, options));
}

/** Redacts entries in one batch. @throws {PkiError} `storage` */
export async function redact(
  { log }: Store,
  memory: Memory,
  entries: readonly number[],
): Promise<void> {
  memory.redacted.set(entries, false);
  await log.redact(entries);
  memory.redacted.set(entries, true);
}

/** An entry as it must be: redacted, with all of its batch, where that was promised. */
function wantedOf(entries: readonly StoredEntry[], { entryOf, redacted }: Memory): StoredEntry[] {
  const wanted: StoredEntry[] = entries.map((_, at) => entryOf(at));
  for (const [batch, isDone] of redacted) {
    const isRedacted = isDone || batch.some((at) => entries[at]?.private === "redacted");
    for (const at of isRedacted ? batch : []) {
      const entry = wanted[at];
      if (entry) wanted[at] = redactEntry(entry);
    }
  }
  return wanted;
}

export function assertStorage(error: unknown): void {
  assert.ok(error instanceof PkiError, `not foreseen: ${error}`);
  assert.equal(error.kind, "storage", error.message);
  assert.ok(error.hint, `it does not say what to do: ${error.message}`);
}

/** Every row of the tables that entries add up to. */
function tablesOf(state: State): unknown {
  return ["accounts", "certificates", "published"].map((table) =>
    state.database.query(`SELECT * FROM ${table} ORDER BY 1`).values()
  );
}

/** Checks everything that must hold of a store that has just been opened. */
export function checkInvariants({ state, index, log }: Store, memory: Memory): void {
  const entries: StoredEntry[] = [];
  for (let at = 0; at < log.size; at++) entries.push(log.read(at));
  for (const at of memory.acknowledged.keys()) {
    assert.ok(at < entries.length, `entry ${at} was acknowledged`);
  }
  const wanted = wantedOf(entries, memory);
  entries.forEach((entry, at) => assert.deepEqual(entry, wanted[at], `entry ${at}`));
  const hashes = entries.map((entry) => hashLeaf(encodeLeaf(entry)));
  assert.equal(encodeHex(index.tree.root()), encodeHex(naiveRoot(hashes)));
  for (const note of memory.checkpoints) {
    const { size, root } = openCheckpoint(note, VERIFIER);
    assert.ok(size <= entries.length, `a checkpoint of ${size}, ${entries.length} entries`);
    assert.equal(encodeHex(naiveRoot(hashes.slice(0, size))), encodeHex(root));
    assert.equal(log.lossBy(note), undefined);
  }
  assert.equal(openCheckpoint(log.checkpoint, VERIFIER).size, entries.length);
  const rebuilt = State.empty();
  entries.forEach((entry, at) => rebuilt.apply(entry, at));
  assert.deepEqual(tablesOf(state), tablesOf(rebuilt));
  rebuilt.close();
}

/** Closes everything, whatever the disk does. */
export async function closeStore({ log, state }: Store): Promise<void> {
  await log.close();
  state.close();
}
