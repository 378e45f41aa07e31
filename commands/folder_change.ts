/**
 * Changes the CAs of a data folder, whether its server runs or not: a running one takes over what was
 * changed, without one nobody else has the folder meanwhile.
 */

import { join } from "node:path";
import { messageOf, PkiError } from "../lib/base/errors.ts";
import { fileExists, makeFolder } from "../lib/base/files.ts";
import { askServer } from "../lib/client/admin.ts";
import { type GlobalFlags, type Surroundings, textFlag } from "./globals.ts";
import { PASSPHRASE_FLAG, type PassphraseFlags } from "./passphrase.ts";

export const FOLDER_FLAGS = {
  data: textFlag(
    "Folder of the server's keys and state [$PKI_DATA, else server in the home]",
    "DIR",
  ),
  passphraseFile: PASSPHRASE_FLAG,
} as const;

export interface FolderFlags extends GlobalFlags, PassphraseFlags {
  readonly data?: string;
}

/** The data folder that is meant. @throws {PkiError} `not-found`, `conflict` if it is not complete */
export async function findFolder(
  surroundings: Surroundings,
  { data }: Pick<FolderFlags, "data">,
): Promise<string> {
  const folder = surroundings.dataFolder(data);
  const { isSetUp } = await import("../lib/server/setup.ts");
  const { checkNotPending } = await import("../lib/server/outside_root.ts");
  checkNotPending(folder);
  if (isSetUp(folder)) return folder;
  throw new PkiError("not-found", `cannot use "${folder}": there is no data folder`, {
    hint: "name it with --data, on the machine of the server; pki init makes one",
  });
}

/** What was changed, and whether a running server has taken it over. */
export interface Changed<T> {
  readonly result: T;
  readonly isRunning: boolean;
}

/**
 * Does the change under the folder's lock, or beside the server that has it; two changes at once take
 * turns by a lock of their own.
 * @throws {PkiError} `busy`, and what the work throws
 */
export async function changeFolder<T>(
  { context: { signal } }: Surroundings,
  folder: string,
  work: () => Promise<T> | T,
): Promise<Changed<T>> {
  const { serverFiles } = await import("../lib/server/files.ts");
  const { takeLock } = await import("../lib/store/lock.ts");
  const isRunning = await askServer(folder, "STATUS", {}, { signal }) !== undefined;
  const lock = isRunning ? undefined : await takeLock(folder);
  const { issuers } = serverFiles(folder);
  try {
    makeFolder(issuers);
    const turn = await takeLock(issuers);
    try {
      const result = await work();
      if (isRunning) await reload(folder, signal);
      return { result, isRunning };
    } finally {
      await turn.release();
    }
  } finally {
    await lock?.release();
  }
}

async function reload(folder: string, signal: AbortSignal): Promise<void> {
  try {
    await askServer(folder, "RELOAD", {}, { signal });
  } catch (error) {
    throw new PkiError(
      "storage",
      `the folder was changed, but the server has not taken it over: ${messageOf(error)}`,
      { hint: "stop the server and start it again", cause: error },
    );
  }
}

/** Says where the root's key is, and that it belongs elsewhere. */
export function noteRootKey(surroundings: Surroundings, folder: string): void {
  const path = join(folder, "root.key");
  surroundings.note(
    fileExists(path)
      ? `the root's key is "${path}", and the server does not need it: move it to a medium that is ` +
        "kept elsewhere; pki rotate and pki issuer add ask for it"
      : "the root's key is not in the folder, and the server does not need it; " +
        "pki rotate and pki issuer add ask for it",
  );
}
