/** What `pki doctor` looks at in a server's data folder under the home, if there is one. */

import * as fs from "node:fs";
import { platform } from "node:os";
import { join } from "node:path";
import { isEqualBytes } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { fileExists, readTextIfThere } from "../base/files.ts";
import { parsePemBlock } from "../x509/pem.ts";
import { type Finding, type Patient, problemOf } from "./doctor_finding.ts";
import { formatMode } from "./doctor_home.ts";

/** The log reserves some of it at a time, and a snapshot takes the size of the tables. */
const FREE_BYTES_WARNING = 512 * 1024 * 1024;
const FREE_BYTES_MIN = 32 * 1024 * 1024;
const MIB = 1024 * 1024;

function checkModes(folder: string, passphrase: string): readonly Finding[] {
  if (platform() === "win32") return [];
  const keys = fs.readdirSync(folder).filter((name) => name.endsWith(".key"));
  const paths = [folder, passphrase, ...keys.map((name) => join(folder, name))];
  return paths.flatMap((path) => {
    const stats = fs.statSync(path, { throwIfNoEntry: false });
    if (!stats || !(stats.mode & 0o077)) return [];
    return [{
      verdict: "problem",
      kind: "storage",
      message: `others can read or enter "${path}" of the server (mode ${formatMode(stats)})`,
      hint: `chmod ${stats.isDirectory() ? "700" : "600"} "${path}"`,
    }];
  });
}

function checkSpace(folder: string): readonly Finding[] {
  const { bavail, bsize } = fs.statfsSync(folder);
  const free = bavail * bsize;
  if (free >= FREE_BYTES_WARNING) return [];
  const message = `the disk of "${folder}" has ${Math.floor(free / MIB)} MiB left`;
  const hint = "free some space: a server on a full disk can issue and revoke nothing";
  if (free >= FREE_BYTES_MIN) return [{ verdict: "warning", message, hint }];
  return [{ verdict: "problem", kind: "storage", message, hint }];
}

function checkRoot({ home }: Patient): readonly Finding[] {
  const path = join(home.serverFolder, "root.crt");
  const pem = readTextIfThere(path);
  const pinned = home.pinnedRoot();
  if (pem === undefined || pinned === undefined) return [];
  if (isEqualBytes(parsePemBlock(pem, ["CERTIFICATE"], path), pinned)) return [];
  return [{
    verdict: "warning",
    message: "the server in this home has another root than the one that is pinned",
    hint: "use a home of its own (--home) for another server",
  }];
}

async function checkRunning({ home, isServed }: Patient): Promise<readonly Finding[]> {
  const folder = home.serverFolder;
  try {
    if (await isServed(folder)) {
      return [{ verdict: "ok", message: `a server is running on the data folder "${folder}"` }];
    }
  } catch (error) {
    return [problemOf(error)];
  }
  const isKept = fileExists(home.passphrasePath);
  return [{
    verdict: "warning",
    message: `no server is running on the data folder "${folder}"` +
      (isKept ? "" : ", and the passphrase of its keys is not in the home"),
    hint: isKept ? "start it with: pki serve" : "start it with: pki serve --passphrase-file FILE",
  }];
}

export async function checkDataFolder(patient: Patient): Promise<readonly Finding[]> {
  const { home } = patient;
  const folder = home.serverFolder;
  if (!fileExists(folder)) return [];
  try {
    return [
      ...await checkRunning(patient),
      ...checkModes(folder, home.passphrasePath),
      ...checkRoot(patient),
      ...checkSpace(folder),
    ];
  } catch (error) {
    if (error instanceof PkiError) return [problemOf(error)];
    return [{
      verdict: "problem",
      kind: "storage",
      message: `cannot look into the data folder "${folder}": ${
        error instanceof Error ? error.message : String(error)
      }`,
      hint: "be the user whom it belongs to",
    }];
  }
}
