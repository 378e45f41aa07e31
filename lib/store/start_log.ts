/**
 * Makes a log that was read ready to be appended to: journal, signatures, and the files that remember
 * checkpoints. From here on the disk is changed.
 */

import { messageOf } from "../base/errors.ts";
import { CheckpointFile } from "./checkpoint_file.ts";
import { diskError, type Files } from "./disk.ts";
import { startJournal } from "./start_journal.ts";
import { checkpointPath, type OpenedState, type StatePaths } from "./open_state.ts";
import { type LogSigner, SignedLog } from "./signed_log.ts";

export interface StartLogOptions {
  readonly files: Files;
  readonly paths: StatePaths;
  readonly signer: LogSigner;
  /** A sentence for the operator. */
  readonly warn: (text: string) => void;
  readonly segmentBytesMax?: number;
  readonly reserveBytes?: number;
  /** Told how long each sync took, and how many entries it has made durable. */
  readonly onSyncTime?: (ms: number, entries: number) => void;
}

/** @throws {PkiError} `storage` */
export async function startLog(
  { index, reading, newestSlots }: Pick<OpenedState, "index" | "reading" | "newestSlots">,
  options: StartLogOptions,
): Promise<SignedLog> {
  const { files, paths, signer, warn, segmentBytesMax, reserveBytes, onSyncTime } = options;
  const log = new SignedLog({ index, signer, warn });
  const journal = await startJournal(reading, {
    ...{ files, folder: paths.log, index, onSynced: log.onSynced },
    ...(segmentBytesMax === undefined ? {} : { segmentBytesMax }),
    ...(reserveBytes === undefined ? {} : { reserveBytes }),
    ...(onSyncTime === undefined ? {} : { onSyncTime }),
  });
  const [inner, outer] = newestSlots;
  const note = log.checkpoint;
  const remembered: CheckpointFile[] = [];
  try {
    const path = checkpointPath(paths.log);
    remembered.push(await CheckpointFile.open(files, path, { note, keep: inner }));
  } catch (error) {
    await journal.close();
    throw diskError(`cannot write "${checkpointPath(paths.log)}"`, error);
  }
  if (paths.witness !== undefined) {
    try {
      remembered.push(await CheckpointFile.open(files, paths.witness, { note, keep: outer }));
    } catch (error) {
      // The server can do without: clients remember checkpoints too.
      warn(
        `the witness "${paths.witness}" cannot be written: ${messageOf(error)}; ` +
          "name a place with --witness",
      );
    }
  }
  log.attach(journal, remembered);
  return log;
}
