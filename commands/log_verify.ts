/** `pki log verify`: whether a data folder or a backup is whole, and agrees with itself. */

import { buildCommand, buildRouteMap } from "@stricli/core";
import * as fs from "node:fs";
import { encodeBase64 } from "../lib/base/bytes.ts";
import { PkiError } from "../lib/base/errors.ts";
import type { Verified } from "../lib/server/verify.ts";
import type { PkiContext } from "./context.ts";
import { GLOBAL_FLAGS, type GlobalFlags, Surroundings, textFlag } from "./globals.ts";
import { withProgress } from "./progress.ts";
import { askDurable, untilInterrupted } from "./running_server.ts";

interface LogVerifyFlags extends GlobalFlags {
  readonly data?: string;
  readonly witness?: string;
}

async function verifyData(
  surroundings: Surroundings,
  { data, witness }: LogVerifyFlags,
): Promise<Verified> {
  const folder = surroundings.dataFolder(data);
  const { isSetUp } = await import("../lib/server/setup.ts");
  const { serverFiles } = await import("../lib/server/files.ts");
  const { findWitness } = await import("./server_configuration.ts");
  const { measureLog, verifyFolder } = await import("../lib/server/verify.ts");
  const { diskFiles } = await import("../lib/store/disk.ts");
  if (!fs.existsSync(folder) || (!isSetUp(folder) && fs.readdirSync(folder).length === 0)) {
    throw new PkiError("not-found", `cannot verify "${folder}": there is no data folder`, {
      hint: "name it with --data",
    });
  }
  const paths = serverFiles(folder);
  const total = await measureLog(diskFiles, paths.log);
  return await withProgress(surroundings, "verifying", total, (onBytes) =>
    verifyFolder({
      files: diskFiles,
      paths,
      witness: findWitness(folder, witness, surroundings.context.process.env),
      askDurable: () => askDurable(folder, surroundings.context.signal),
      onBytes: untilInterrupted(onBytes, surroundings.context.signal),
    }));
}

async function verifyFile(surroundings: Surroundings, path: string): Promise<Verified> {
  const { verifyBackup } = await import("../lib/server/backup_reader.ts");
  const total = fs.statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  const { verified } = await withProgress(
    surroundings,
    "verifying",
    total,
    (onBytes) =>
      verifyBackup(path, { onBytes: untilInterrupted(onBytes, surroundings.context.signal) }),
  );
  return verified;
}

export async function logVerify(
  context: PkiContext,
  flags: LogVerifyFlags,
  path: string | undefined,
): Promise<void> {
  const surroundings = new Surroundings(context, flags);
  if (path !== undefined && (flags.data !== undefined || flags.witness !== undefined)) {
    throw new PkiError("usage", "cannot verify a backup and a data folder at once", {
      hint: "name the backup alone, or the folder with --data",
    });
  }
  const verified = path === undefined
    ? await verifyData(surroundings, flags)
    : await verifyFile(surroundings, path);
  const { findings, origin = "", log: { index }, certificates, isLive } = verified;
  for (const { what, where, severity } of flags.json ? [] : findings) {
    const line = `${severity}: "${where}": ${what}`;
    if (severity === "error") context.process.stderr.write(`pki: ${line}\n`);
    else surroundings.note(line);
  }
  const root = encodeBase64(index.tree.root());
  const faults = findings.filter(({ severity }) => severity === "error").length;
  surroundings.result(
    { ok: faults === 0, origin, size: index.size, root, certificates, isLive, findings },
    `${faults === 0 ? "verified" : "damaged"}: ${index.size} entries, ${certificates} ` +
      `certificates\n  log        ${origin}\n  tree head  ${root}` +
      (isLive ? "\n  a server is running: this is what is durable now" : ""),
  );
  if (faults > 0) {
    throw new PkiError("storage", `the verification found ${faults} errors`, {
      hint: "nothing was changed; docs/operations.md says what to do about each of them",
    });
  }
}

const logVerifyCommand = buildCommand<LogVerifyFlags, [string?], PkiContext>({
  func: async function (flags, path) {
    await logVerify(this, flags, path);
  },
  parameters: {
    flags: {
      data: textFlag(
        "Folder of the server's keys and state [$PKI_DATA, else server in the home]",
        "DIR",
      ),
      witness: textFlag("Where the newest checkpoint is remembered [DIR.witness]", "FILE"),
      ...GLOBAL_FLAGS,
    },
    positional: {
      kind: "tuple",
      parameters: [{
        brief: "A backup, to be verified instead of a data folder",
        parse: String,
        placeholder: "BACKUP",
        optional: true,
      }],
    },
  },
  docs: {
    customUsage: ["[--data DIR] [--witness FILE] [options]", "BACKUP [options]"],
    brief: "Verify a data folder or a backup",
    fullDescription:
      "Reads everything and changes nothing: each record of the log and its checksum, the\n" +
      "tree over it and the checkpoints that the server has signed, the snapshot, each\n" +
      "certificate's signature, the copies. It may run beside the server. It needs no\n" +
      "passphrase, so whether the keys can be opened it cannot tell.\n\n" +
      "Examples:\n" +
      "  pki log verify\n" +
      "  pki log verify --data /var/lib/pki --json\n" +
      "  pki log verify monday.backup",
  },
});

export const logRoutes = buildRouteMap({
  routes: { verify: logVerifyCommand },
  docs: {
    brief: "Look after the server's log",
    fullDescription: "What the server keeps of all that it did: see pki log verify --help.",
  },
});
