/** `pki restore`: makes a data folder out of a backup. */

import { buildCommand } from "@stricli/core";
import * as fs from "node:fs";
import type { PkiContext } from "./context.ts";
import { GLOBAL_FLAGS, type GlobalFlags, Surroundings, textFlag } from "./globals.ts";
import { withProgress } from "./progress.ts";
import { untilInterrupted } from "./running_server.ts";

interface RestoreFlags extends GlobalFlags {
  readonly data?: string;
  readonly witness?: string;
}

export async function restoreBackup(
  context: PkiContext,
  flags: RestoreFlags,
  path: string,
): Promise<void> {
  const surroundings = new Surroundings(context, flags);
  const folder = surroundings.dataFolder(flags.data);
  const { findWitness } = await import("./server_configuration.ts");
  const { restore } = await import("../lib/server/restore.ts");
  const witness = findWitness(folder, flags.witness, context.process.env);
  const total = fs.statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  const { verified, manifest, loss, missing } = await withProgress(
    surroundings,
    "restoring",
    total,
    (onBytes) =>
      restore(path, { folder, witness, onBytes: untilInterrupted(onBytes, context.signal) }),
  );
  const { log: { index }, certificates, origin = "" } = verified;
  const madeAt = new Date(manifest.timeMs).toISOString();
  surroundings.result(
    { folder, size: index.size, certificates, origin, madeAt, missing, ...(loss ? { loss } : {}) },
    `restored and verified: ${index.size} entries, ${certificates} certificates\n` +
      `  folder  ${folder}\n  backup  of ${madeAt}\n  log     ${origin}`,
  );
  if (loss === undefined) return;
  surroundings.warn(
    `this backup is older than the server was: ${loss} ("${witness}")` +
      (missing > 0 ? `; ${missing} entries are missing` : ""),
    "look for a newer backup; the server does not start on this one unless it is told " +
      "to go on without what is lost, with pki serve --accept-loss",
  );
}

export const restoreCommand = buildCommand<RestoreFlags, [string], PkiContext>({
  func: async function (flags, path) {
    await restoreBackup(this, flags, path);
  },
  parameters: {
    flags: {
      data: textFlag(
        "The folder that is made: not there yet, or empty [$PKI_DATA, else server in the home]",
        "DIR",
      ),
      witness: textFlag("Where the newest checkpoint is remembered [DIR.witness]", "FILE"),
      ...GLOBAL_FLAGS,
    },
    positional: {
      kind: "tuple",
      parameters: [{ brief: "The backup", parse: String, placeholder: "FILE" }],
    },
  },
  docs: {
    customUsage: ["FILE [--data DIR] [--witness FILE] [options]"],
    brief: "Make a data folder out of a backup",
    fullDescription:
      "Unpacks a backup beside the folder, verifies all of it, and only then gives it the\n" +
      "folder's name. Nothing that is there is replaced. Where the witness remembers more\n" +
      "than the backup has, it says how much is missing.\n\n" +
      "Examples:\n" +
      "  pki restore monday.backup\n" +
      "  pki restore monday.backup --data /var/lib/pki",
  },
});
