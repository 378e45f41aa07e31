/** `pki backup`: all that a server cannot be without, in one file. */

import { buildCommand } from "@stricli/core";
import { PkiError } from "../lib/base/errors.ts";
import { fileExists } from "../lib/base/files.ts";
import type { DurableLog } from "../lib/server/ports.ts";
import type { PkiContext } from "./context.ts";
import { GLOBAL_FLAGS, type GlobalFlags, Surroundings, switchFlag, textFlag } from "./globals.ts";
import { withProgress } from "./progress.ts";
import { askDurable, untilInterrupted } from "./running_server.ts";
import { VERSION } from "./version.ts";

interface BackupFlags extends GlobalFlags {
  readonly data?: string;
  readonly force?: boolean;
}

export async function backup(
  context: PkiContext,
  flags: BackupFlags,
  path: string,
): Promise<void> {
  const surroundings = new Surroundings(context, flags);
  const { home } = surroundings;
  const folder = surroundings.dataFolder(flags.data);
  const { isSetUp } = await import("../lib/server/setup.ts");
  const { serverFiles } = await import("../lib/server/files.ts");
  const { backUp } = await import("../lib/server/backup.ts");
  const { measureLog } = await import("../lib/server/verify.ts");
  const { diskFiles } = await import("../lib/store/disk.ts");
  const { takeLock } = await import("../lib/store/lock.ts");
  if (!isSetUp(folder)) {
    throw new PkiError("not-found", `cannot back up "${folder}": there is no data folder`, {
      hint: "name it with --data",
    });
  }
  // A server that is stopping has no administration any more and the lock still: it is told so.
  const durable: DurableLog | undefined = await askDurable(folder, context.signal);
  const lock = durable === undefined ? await takeLock(folder) : undefined;
  try {
    const total = 2 * await measureLog(diskFiles, serverFiles(folder).log);
    const { bytes, verified, manifest } = await withProgress(
      surroundings,
      "backing up",
      total,
      (onBytes) =>
        backUp(path, {
          folder,
          version: VERSION,
          nowMs: context.now(),
          replaces: flags.force ?? false,
          // Asked again, once the files are open that may be replaced.
          askDurable: () => lock ? Promise.resolve(undefined) : askAgain(folder, context.signal),
          onBytes: untilInterrupted(onBytes, context.signal),
        }),
    );
    const { log: { index }, certificates, origin = "" } = verified;
    surroundings.result(
      {
        file: path,
        bytes,
        size: index.size,
        certificates,
        origin,
        checkpoint: manifest.checkpoint,
      },
      `backed up and verified: ${index.size} entries, ${certificates} certificates\n` +
        `  file  ${path}, ${bytes} bytes\n  log   ${origin}`,
    );
    surroundings.note(
      "the passphrase of the keys is not in it" +
        (fileExists(home.passphrasePath) ? ` but in "${home.passphrasePath}"` : "") +
        ": keep a copy elsewhere, the backup is of no use without it",
    );
  } finally {
    await lock?.release();
  }
}

/** @throws {PkiError} `busy` where the server ended meanwhile: nobody holds the lock then */
async function askAgain(folder: string, signal: AbortSignal): Promise<DurableLog> {
  const durable = await askDurable(folder, signal);
  if (durable) return durable;
  throw new PkiError("busy", `cannot back up "${folder}": the server was stopped meanwhile`, {
    hint: "try again",
  });
}

export const backupCommand = buildCommand<BackupFlags, [string], PkiContext>({
  func: async function (flags, path) {
    await backup(this, flags, path);
  },
  parameters: {
    flags: {
      data: textFlag(
        "Folder of the server's keys and state [$PKI_DATA, else server in the home]",
        "DIR",
      ),
      force: switchFlag("Replace FILE, once the new backup is written and verified"),
      ...GLOBAL_FLAGS,
    },
    positional: {
      kind: "tuple",
      parameters: [{ brief: "Where the backup goes", parse: String, placeholder: "FILE" }],
    },
  },
  docs: {
    customUsage: ["FILE [--data DIR] [--force] [options]"],
    brief: "Back the server's data up, also while it runs",
    fullDescription:
      "Writes keys (encrypted as they are), certificates and the log into one archive that\n" +
      "only you can read, then reads it again and verifies all of it. The server may run\n" +
      "meanwhile: everything that it acknowledged before is in the backup. The passphrase\n" +
      "of the keys is not: keep that elsewhere.\n\n" +
      "Examples:\n" +
      "  pki backup monday.backup\n" +
      "  pki backup --data /var/lib/pki /mnt/backups/monday.backup",
  },
});
