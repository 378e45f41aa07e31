/**
 * Opens what the directory owns: its key to the log, the tables, and the log itself, ready to be
 * appended to. This is where it is decided whether a server may go on with the log that it finds.
 */

import { copyBytes } from "../base/bytes.ts";
import { randomBytes } from "node:crypto";
import { PkiError } from "../base/errors.ts";
import { fileExists } from "../base/files.ts";
import { diskFiles, type Files } from "../store/disk.ts";
import type { LogIndex } from "../store/log_index.ts";
import { checkpointPath, openState } from "../store/open_state.ts";
import type { SignedLog } from "../store/signed_log.ts";
import { startLog } from "../store/start_log.ts";
import type { State } from "../store/state.ts";
import type { Certificate } from "../x509/certificate.ts";
import type { ServerFiles } from "./files.ts";
import { generationOf, loadLogKey, type LogKey, makeLogKeyByRoot } from "./log_key.ts";

export interface OpenLogOptions {
  readonly files: ServerFiles;
  readonly root: Certificate;
  readonly domain: string;
  readonly passphrase: string;
  readonly witness: string;
  readonly acceptsLoss: boolean;
  readonly nowMs: number;
  /** A sentence for the operator. */
  readonly warn: (text: string) => void;
  readonly disk?: Files;
}

export interface OpenedLog {
  readonly log: SignedLog;
  readonly state: State;
  readonly index: LogIndex;
  readonly key: LogKey;
  /** How many entries the snapshot stood for, and how long it is. */
  readonly snapshotSize: number;
  readonly snapshotBytes: number;
}

/** @throws {PkiError} `storage`; `conflict` if a loss is accepted where nothing is lost */
export async function openLog(options: OpenLogOptions): Promise<OpenedLog> {
  const { files, root, domain, passphrase, warn, witness, acceptsLoss, disk = diskFiles } = options;
  const isOfBeforeCheckpoints = ![
    files.logPublic,
    checkpointPath(files.log),
    witness,
  ].some(fileExists);
  // Where a checkpoint was ever signed, another key would only hide what it says.
  if (isOfBeforeCheckpoints) {
    await makeLogKeyByRoot(files, { root, domain, generation: 1, passphrase });
  }
  const keyOfBefore = await loadLogKey(files, { root, passphrase });
  const paths = { log: files.log, snapshot: files.snapshot, witness };
  const opened = await openState({
    files: disk,
    paths,
    verifier: keyOfBefore.verifier,
    // The first entry is the server's own certificate, which is written after it.
    hasServed: fileExists(files.serverCertificate),
    acceptsLoss,
  });
  opened.warnings.forEach(warn);
  const { state, index, loss, snapshotSize, snapshotBytes } = opened;
  if (acceptsLoss && loss === undefined) {
    throw new PkiError("conflict", "cannot accept a loss: the log has lost nothing", {
      hint: "start the server without --accept-loss",
    });
  }
  if (loss !== undefined) {
    warn(`going on with a loss: ${loss}; the log gets a new key, and clients will say so`);
    const generation = generationOf(keyOfBefore.verifier) + 1;
    await makeLogKeyByRoot(files, { root, domain, generation, passphrase });
  }
  const key = loss === undefined ? keyOfBefore : await loadLogKey(files, { root, passphrase });
  const log = await startLog(opened, { files: disk, paths, signer: key, warn });
  if (loss !== undefined) {
    const { index: entry } = await log.append({
      type: "restarted",
      timeMs: options.nowMs,
      public: { ...key.statement },
      private: { loss },
      salt: copyBytes(randomBytes(32)),
    });
    warn(`the loss is entry ${entry} of the log`);
  }
  return { log, state, index, key, snapshotSize, snapshotBytes };
}
