/** Opens the state of a data folder: the snapshot, and the log's entries behind it. */

import { readFileSync } from "node:fs";
import { encodeHex } from "../base/bytes.ts";
import { messageOf, PkiError, systemCodeOf } from "../base/errors.ts";
import { encodeLeaf, type Entry, type StoredEntry } from "../log/entry.ts";
import { hashLeaf, Tree } from "../log/tree.ts";
import { type Journal, openJournal } from "./journal.ts";
import { State } from "./state.ts";

export interface OpenedState {
  readonly state: State;
  readonly journal: Journal;
  /** What an operator should hear of, as sentences. */
  readonly warnings: readonly string[];
  /** Whether the snapshot did not stand for the whole log: the last server did not stop cleanly. */
  readonly isReplayed: boolean;
  /** Whether there was no log. */
  readonly isNew: boolean;
}

function loadSnapshot(path: string, entries: readonly StoredEntry[]): State | string | undefined {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    return systemCodeOf(error) === "ENOENT" ? undefined : messageOf(error);
  }
  try {
    const state = State.load(bytes);
    const position = state.snapshotPosition;
    if (!position) return "it does not say which log it stands for";
    if (position.size > entries.length) {
      throw new PkiError(
        "storage",
        `cannot start: the log has ${entries.length} entries, the snapshot knows of ${position.size}`,
        { hint: "entries were lost; put the whole log back in its place, from a backup" },
      );
    }
    const tree = new Tree();
    for (const entry of entries.slice(0, position.size)) tree.append(hashLeaf(encodeLeaf(entry)));
    return encodeHex(tree.root()) === position.root ? state : "it is of another log";
  } catch (error) {
    if (error instanceof PkiError && error.kind === "storage") throw error;
    return messageOf(error);
  }
}

function isWhole(entry: StoredEntry): entry is Entry {
  return entry.private !== "redacted";
}

/**
 * @param logFolder folder of the journal, made if it is not there
 * @param snapshotPath may be missing or damaged: the log alone is enough
 * @throws {PkiError} `storage` if the log is damaged
 */
export async function openState(logFolder: string, snapshotPath: string): Promise<OpenedState> {
  const { journal, entries, bytesCut, isNew } = await openJournal(logFolder);
  const warnings: string[] = [];
  if (bytesCut > 0) {
    warnings.push(
      `the log ended in ${bytesCut} bytes that were never acknowledged; they were cut off`,
    );
  }
  const loaded = loadSnapshot(snapshotPath, entries);
  if (typeof loaded === "string") {
    warnings.push(`the snapshot "${snapshotPath}" is not used: ${loaded}; the log has everything`);
  }
  const state = loaded instanceof State ? loaded : State.empty();
  const from = loaded instanceof State ? loaded.snapshotPosition?.size ?? 0 : 0;
  const rest = entries.slice(from);
  for (const entry of rest) if (isWhole(entry)) state.apply(entry);
  return { state, journal, warnings, isReplayed: rest.length > 0, isNew };
}
