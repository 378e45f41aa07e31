/**
 * Entry of the snapshot worker: brings the last snapshot up to date by replaying the log behind it,
 * and writes the next one. The directory goes on meanwhile; nothing is shared but the disk, where the
 * log only grows. It answers one question and is ended.
 */

import { type MessagePort, parentPort } from "node:worker_threads";
import { isEqualBytes } from "../base/bytes.ts";
import { answerCalls } from "../base/call.ts";
import { PkiError } from "../base/errors.ts";
import { loadSqlite } from "../store/database.ts";
import { diskError, diskFiles, replaceFile } from "../store/disk.ts";
import { LogIndex } from "../store/log_index.ts";
import { closeAll, hasLastEntryOf } from "../store/segments.ts";
import { encodeSnapshot, readSnapshot, replayLog, type Snapshot } from "../store/snapshot.ts";
import { State } from "../store/state.ts";
import type { FromSnapshot, ToSnapshot } from "./ports.ts";

/** The last snapshot, or nothing: the directory has told the operator why it is of no use. */
async function loadLast({ snapshotPath, logFolder: folder }: ToSnapshot): Promise<Snapshot> {
  const snapshot = await readSnapshot(diskFiles, snapshotPath).catch(() => undefined);
  if (snapshot && await hasLastEntryOf(snapshot.index, { files: diskFiles, folder })) {
    return snapshot;
  }
  snapshot?.state.close();
  return { state: State.empty(), index: new LogIndex() };
}

async function takeSnapshot(question: ToSnapshot): Promise<FromSnapshot> {
  const { logFolder, snapshotPath, segments, size, root, forgets, missingCopies } = question;
  await loadSqlite();
  const { state, index } = await loadLast(question);
  const { handles } = await replayLog(state, {
    files: diskFiles,
    folder: logFolder,
    index,
    mode: "read",
    until: segments,
  });
  await closeAll(handles);
  if (index.size !== size || !isEqualBytes(index.tree.root(), root)) {
    throw new PkiError("storage", "cannot take a snapshot: the log on disk is not what was logged");
  }
  const parts = encodeSnapshot({ state, index }, { forgets, missingCopies });
  try {
    await replaceFile(diskFiles, snapshotPath, parts);
  } catch (error) {
    throw diskError(`cannot write "${snapshotPath}"`, error);
  }
  return { bytes: parts.reduce((sum, part) => sum + part.length, 0) };
}

answerCalls(parentPort as MessagePort, takeSnapshot);
