/**
 * Opens the state of a data folder: the snapshot, the log's entries behind it, and what is remembered
 * of the log elsewhere. Nothing is changed before it is clear that nothing is missing.
 */

import { join } from "node:path";
import { messageOf, PkiError } from "../base/errors.ts";
import { readOrigin } from "../log/checkpoint.ts";
import type { NoteKey } from "../log/note.ts";
import { parseOrigin } from "../log/origin.ts";
import { readNotes } from "./checkpoint_file.ts";
import { diskError, type Files } from "./disk.ts";
import { LogIndex } from "./log_index.ts";
import { closeAll, hasLastEntryOf, type LogReading } from "./segments.ts";
import { lossOf, openOwn } from "./signed_log.ts";
import { type LoadedSnapshot, readSnapshot, replayLog } from "./snapshot.ts";
import { State } from "./state.ts";

export interface StatePaths {
  /** Folder of the log. */
  readonly log: string;
  /** May be missing or damaged: the log alone is enough. */
  readonly snapshot: string;
  /** Remembers the newest checkpoint, outside of the data folder. */
  readonly witness: string | undefined;
}

export interface OpenOptions {
  readonly files: Files;
  readonly paths: StatePaths;
  /** What the log's checkpoints are verified with. */
  readonly verifier: NoteKey;
  /** Whether the log must have entries, as somebody remembers that it had. */
  readonly hasServed: boolean;
  /** Goes on although entries were lost. */
  readonly acceptsLoss: boolean;
  readonly onBytes?: (count: number) => void;
}

export interface OpenedState {
  readonly state: State;
  readonly index: LogIndex;
  /** For `startJournal`; nothing has been changed yet. */
  readonly reading: LogReading;
  /** What an operator should hear of, as sentences. */
  readonly warnings: readonly string[];
  /** What was lost, if that was accepted. */
  readonly loss: string | undefined;
  /** How many entries the snapshot stood for; those behind it were replayed. */
  readonly snapshotSize: number;
  /** How long the snapshot is on disk; 0 if it could not be used. */
  readonly snapshotBytes: number;
  /** The latest generation of this log that anybody remembers. */
  readonly generation: number;
  /** The slot that holds the newest note, of the file in the log's folder and of the witness. */
  readonly newestSlots: readonly [number, number];
}

/** The file in the log's folder that remembers the newest checkpoint. */
export function checkpointPath(logFolder: string): string {
  return join(logFolder, "checkpoint");
}

/** @throws {PkiError} `storage` if the log is damaged, or has lost entries and that is not accepted */
export async function openState(options: OpenOptions): Promise<OpenedState> {
  const { paths, acceptsLoss } = options;
  const warnings: string[] = [];
  const snapshot = await loadSnapshot(options, warnings);
  const losses: string[] = [];
  const isBelieved = snapshot !== undefined && await isOfLog(options, snapshot);
  const replayed = await replay(options, isBelieved ? snapshot : undefined);
  const { state, index, reading } = replayed;
  if (snapshot && !isBelieved) {
    if (index.size < snapshot.index.size && isStartOf(snapshot.index, index)) {
      losses.push(`it has ${index.size} entries, the snapshot knows of ${snapshot.index.size}`);
    } else {
      warnings.push(notUsed(paths.snapshot, "it is of another log"));
    }
  }
  try {
    const inner = await recall(options, { path: checkpointPath(paths.log), index, warnings });
    const outer = paths.witness === undefined
      ? { newestSlot: 0, loss: undefined, generation: 0 }
      : await recall(options, { path: paths.witness, index, warnings });
    const empty = options.hasServed && index.size === 0 ? "the log is missing or empty" : undefined;
    losses.push(...[inner.loss, outer.loss, empty].filter((loss) => loss !== undefined));
    const [loss] = losses;
    if (loss !== undefined && !acceptsLoss) throw lost(loss);
    if (reading.tornBytes > 0) {
      warnings.push(
        `the log ended in ${reading.tornBytes} bytes that were never acknowledged; they were cut off`,
      );
    }
    return {
      ...replayed,
      warnings,
      loss,
      newestSlots: [inner.newestSlot, outer.newestSlot],
      generation: Math.max(inner.generation, outer.generation),
    };
  } catch (error) {
    await closeAll(reading.handles);
    state.close();
    throw error;
  }
}

/** The log has lost entries that were acknowledged. */
export function lost(what: string): PkiError {
  return new PkiError("storage", `the log has lost entries: ${what}`, {
    hint: "put the newest backup in its place (pki restore); " +
      "only to go on without what is lost: pki serve --accept-loss",
  });
}

/** The snapshot of a data folder, or the reason why there is none that can be used. */
async function loadSnapshot(
  { files, paths }: OpenOptions,
  warnings: string[],
): Promise<LoadedSnapshot | undefined> {
  try {
    return await readSnapshot(files, paths.snapshot);
  } catch (error) {
    warnings.push(notUsed(paths.snapshot, messageOf(error)));
    return undefined;
  }
}

function notUsed(path: string, why: string): string {
  return `the snapshot "${path}" is not used: ${why}; everything is read from the log`;
}

/** Whether a snapshot is of this log, and not ahead of it; else its tables are closed. */
async function isOfLog(
  { files, paths }: OpenOptions,
  { state, index }: LoadedSnapshot,
): Promise<boolean> {
  if (await hasLastEntryOf(index, { files, folder: paths.log })) return true;
  state.close();
  return false;
}

/** Whether one log goes on from another. */
function isStartOf(whole: LogIndex, start: LogIndex): boolean {
  return whole.isPrefix(start.size, start.tree.root());
}

async function replay(
  { files, paths, onBytes }: OpenOptions,
  snapshot: LoadedSnapshot | undefined,
) {
  const state = snapshot?.state ?? State.empty();
  const index = snapshot?.index ?? new LogIndex();
  const before = index.size;
  const { log: folder } = paths;
  try {
    const reading = await replayLog(state, {
      ...{ files, folder, index, mode: "existing" },
      ...(onBytes ? { onBytes } : {}),
    });
    return { state, index, reading, snapshotSize: before, snapshotBytes: snapshot?.bytes ?? 0 };
  } catch (error) {
    state.close();
    throw error;
  }
}

interface Recalled {
  readonly newestSlot: number;
  readonly loss: string | undefined;
  /** The latest generation of this log that the file knows of. */
  readonly generation: number;
}

/**
 * What a file of checkpoints remembers of this log.
 * @throws {PkiError} `storage` if it is there and cannot be read, or the witness is of another log
 */
async function recall(
  { files, verifier, paths }: OpenOptions,
  { path, index, warnings }: {
    readonly path: string;
    readonly index: LogIndex;
    readonly warnings: string[];
  },
): Promise<Recalled> {
  let notes: readonly string[];
  try {
    notes = await readNotes(files, path);
  } catch (error) {
    // It may know of a loss, so it is not passed over.
    throw diskError(`cannot read the checkpoints in "${path}"`, error);
  }
  const own = notes.map((note) => openOwn(note, verifier));
  const sizes = own.map((checkpoint) => checkpoint?.size ?? -1);
  const newestSlot = (sizes[1] ?? -1) > (sizes[0] ?? -1) ? 1 : 0;
  const generations = notes.map((note) => generationOf(note, verifier.name));
  const generation = Math.max(...generations, parseOrigin(verifier.name).generation);
  const isUsed = notes.some((note) => note.trim() !== "");
  if (isUsed && path === paths.witness && generations.every((known) => known === 0)) {
    throw new PkiError("storage", `cannot use the witness "${path}": it is not of this log`, {
      hint: "is this the right data folder? if so, name another witness with --witness, " +
        "or move this one away",
    });
  }
  const successor = notes.find((note) => isLaterGeneration(note, verifier.name));
  // Every slot: one may be a client's, of a log that then went another way.
  const lossOfOwn = lossOf(index, own[newestSlot]) ?? lossOf(index, own[1 - newestSlot]);
  const loss = successor !== undefined
    ? `it was started anew as ${readOrigin(successor)} after this copy`
    : lossOfOwn;
  if (loss !== undefined) return { newestSlot, generation, loss: `${loss} ("${path}")` };
  if (isUsed && own.every((checkpoint) => !checkpoint)) {
    warnings.push(`"${path}" held no checkpoint of this log; it is written anew`);
  }
  return { newestSlot, generation, loss: undefined };
}

/** Which generation of this log a note names; 0 if it is of no log of this root. */
function generationOf(note: string, ownOrigin: string): number {
  try {
    const own = parseOrigin(ownOrigin);
    const other = parseOrigin(readOrigin(note));
    const isOurs = other.domain === own.domain && other.rootFingerprint16 === own.rootFingerprint16;
    return isOurs ? other.generation : 0;
  } catch {
    return 0; // no note of ours
  }
}

/** Whether a note is about a log of the same root that was started after this one. */
export function isLaterGeneration(note: string, ownOrigin: string): boolean {
  return generationOf(note, ownOrigin) > parseOrigin(ownOrigin).generation;
}
