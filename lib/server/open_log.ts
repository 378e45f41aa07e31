/**
 * Opens what the directory owns: its key to the log, the tables, and the log itself, ready to be
 * appended to. This is where it is decided whether a server may go on with the log that it finds.
 */

import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { copyBytes } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { fileExists } from "../base/files.ts";
import type { Entry } from "../log/entry.ts";
import { diskFiles, type Files } from "../store/disk.ts";
import type { LogIndex } from "../store/log_index.ts";
import { checkpointPath, openState } from "../store/open_state.ts";
import type { SignedLog } from "../store/signed_log.ts";
import { startLog } from "../store/start_log.ts";
import type { State } from "../store/state.ts";
import type { Certificate } from "../x509/certificate.ts";
import type { ServerFiles } from "./files.ts";
import {
  generationOf,
  loadLogKey,
  loadLogStatement,
  type LogKey,
  type LogKeySigner,
  type LogStatement,
  makeLogKey,
} from "./log_key.ts";
import { loadIssuing, openIssuingKey } from "./issuers.ts";
import { openRootKey } from "./root_key.ts";

export interface OpenLogOptions {
  readonly files: ServerFiles;
  readonly root: Certificate;
  readonly domain: string;
  readonly passphrase: string;
  readonly witness: string;
  readonly acceptsLoss: boolean;
  /** A file with the root's key, which may start the log anew, and its passphrase if it has its own. */
  readonly rootKeyPath?: string;
  readonly rootPassphrase?: string;
  readonly nowMs: number;
  /** A sentence for the operator. */
  readonly warn: (text: string) => void;
  readonly disk?: Files;
  /** Told how long each sync of the log took, and how many entries it has made durable. */
  readonly onSyncTime?: (ms: number, entries: number) => void;
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
    const signer = { key: await openRootKey(files, root, rootKeySource(options)) };
    await makeLogKey(files, { root, signer, domain, generation: 1, passphrase });
  }
  const { verifier, statement } = loadLogStatement(files, root);
  const paths = { log: files.log, snapshot: files.snapshot, witness };
  const opened = await openState({
    files: disk,
    paths,
    verifier,
    // The first entry is the server's own certificate, which is written after it.
    hasServed: fileExists(files.serverCertificate),
    acceptsLoss,
  });
  opened.warnings.forEach(warn);
  const { state, index, loss, snapshotSize, snapshotBytes } = opened;
  if (loss !== undefined) {
    const signer = await openSigner(options, statement);
    warn(`going on with a loss: ${loss}; the log gets a new key, and clients will say so`);
    // They follow from the log as it was: what was lost of it must not come back by them.
    for (const path of [files.snapshot, files.serverCertificate]) fs.rmSync(path, { force: true });
    const generation = opened.generation + 1;
    await makeLogKey(files, { root, signer, domain, generation, passphrase });
  }
  const key = await loadLogKey(files, { root, passphrase });
  const isAnew = generationOf(key.verifier) > 1 && state.restartedKey !== key.statement.key;
  if (acceptsLoss && loss === undefined && !isAnew) {
    throw new PkiError("conflict", "cannot accept a loss: the log has lost nothing", {
      hint: "start the server without --accept-loss",
    });
  }
  const log = await startLog(opened, {
    ...{ files: disk, paths, signer: key, warn },
    reserveBytes: LIMITS.logReserveBytes,
    ...(options.onSyncTime === undefined ? {} : { onSyncTime: options.onSyncTime }),
  });
  if (isAnew) {
    // Also where the start that accepted the loss did not get this far.
    const entry: Entry = {
      type: "restarted",
      timeMs: options.nowMs,
      public: { ...key.statement },
      private: { loss: loss ?? "said by a start that did not end well" },
      salt: copyBytes(randomBytes(32)),
    };
    const { index: at } = await log.append(entry);
    state.apply(entry, at);
    warn(`the loss is entry ${at} of the log`);
  }
  return { log, state, index, key, snapshotSize, snapshotBytes };
}

function rootKeySource({ passphrase, rootKeyPath, rootPassphrase }: OpenLogOptions) {
  return {
    passphrase,
    ...(rootKeyPath === undefined ? {} : { path: rootKeyPath }),
    ...(rootPassphrase === undefined ? {} : { rootPassphrase }),
  };
}

/**
 * Who certifies the log's next key: who certified the one before, since clients that have seen the
 * root's signature take no other.
 */
async function openSigner(
  options: OpenLogOptions,
  { issuer }: LogStatement,
): Promise<LogKeySigner> {
  const { files, root, passphrase } = options;
  if (issuer === undefined) {
    return { key: await openRootKey(files, root, rootKeySource(options)) };
  }
  const issuing = loadIssuing(files);
  return { key: await openIssuingKey(files, issuing, passphrase), issuing };
}
