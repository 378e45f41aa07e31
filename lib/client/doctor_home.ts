/** What `pki doctor` looks at in the home folder: who can read and write what, and what lies there. */

import * as fs from "node:fs";
import { platform } from "node:os";
import { join, relative, sep } from "node:path";
import { PkiError, systemCodeOf } from "../base/errors.ts";
import { storageError } from "../base/files.ts";
import { parseJson } from "../base/json.ts";
import { printable } from "../base/printable.ts";
import { parseAddress } from "./address.ts";
import type { Finding, Patient } from "./doctor_finding.ts";
import type { Home } from "./home.ts";
import { isId } from "../x509/names.ts";

const READABLE_BY_OTHERS = 0o044;
const WRITABLE_BY_OTHERS = 0o022;
/** Names of files that nobody else may read: keys, passphrases, what a server keeps. */
const SECRET = /^(?:key(?:-[0-9a-f]{16})?\.pem|.*\.key|.*passphrase|agent\.sock)$/;
/** What is written beside a file before it takes its place. */
const TEMPORARY = /\.tmp$/;
/** Files that are looked at: a home has a few for each identity and each contact. */
const ENTRIES_MAX = 10_000;

/** A file or folder of the home. */
interface Entry {
  readonly path: string;
  readonly name: string;
  readonly stats: fs.Stats;
}

/** Everything below a folder, but for what belongs to a server. */
function* listEntries(folder: string, skipped: string): Generator<Entry> {
  for (const name of fs.readdirSync(folder).sort()) {
    const path = join(folder, name);
    const stats = fs.lstatSync(path, { throwIfNoEntry: false });
    if (!stats || path === skipped) continue;
    yield { path, name, stats };
    if (stats.isDirectory()) yield* listEntries(path, skipped);
  }
}

/** At most so many that no folder, whoever filled it, keeps us busy. */
function entriesOf({ home }: Patient): readonly Entry[] {
  const entries: Entry[] = [];
  if (!fs.existsSync(home.folder)) return entries;
  for (const entry of listEntries(home.folder, home.serverFolder)) {
    if (entries.push(entry) >= ENTRIES_MAX) break;
  }
  return entries;
}

export function formatMode({ mode }: fs.Stats): string {
  return (mode & 0o777).toString(8).padStart(3, "0");
}

/** Whether the folder is there, and ours. */
export function checkFolder({ home, uid }: Patient): readonly Finding[] {
  const stats = fs.statSync(home.folder, { throwIfNoEntry: false });
  if (!stats) {
    return [{
      verdict: "warning",
      message: `there is no home folder "${home.folder}" yet`,
      hint: "the first command that certifies you makes it: pki join LINE, or pki csr --id NAME",
    }];
  }
  if (!stats.isDirectory()) {
    return [{
      verdict: "problem",
      kind: "storage",
      message: `"${home.folder}" is not a folder`,
      hint: "name another home with --home",
    }];
  }
  if (uid !== undefined && uid !== 0 && stats.uid !== uid) {
    return [{
      verdict: "problem",
      kind: "storage",
      message: `the home folder "${home.folder}" belongs to another user (${stats.uid})`,
      hint: "use a home of your own (--home), or have this one given to you with chown",
    }];
  }
  try {
    fs.accessSync(home.folder, fs.constants.R_OK | fs.constants.W_OK | fs.constants.X_OK);
  } catch (error) {
    return [{
      verdict: "problem",
      kind: "storage",
      message: `nothing can be written in "${home.folder}" (${systemCodeOf(error)})`,
      hint: "see whether the disk is read-only, and who owns the folder",
    }];
  }
  return [{ verdict: "ok", message: `the home folder is "${home.folder}"` }];
}

/** What is wrong with the mode of one file or folder. */
function findModeFault({ path, name, stats }: Entry): Finding | undefined {
  if (stats.isSymbolicLink()) return undefined;
  const mode = formatMode(stats);
  const fix = `chmod ${stats.isDirectory() ? "700" : "600"} "${path}"`;
  if (stats.mode & WRITABLE_BY_OTHERS) {
    return {
      verdict: "problem",
      kind: "storage",
      message: `others can change "${path}" (mode ${mode})`,
      hint: fix,
    };
  }
  if (!(stats.mode & READABLE_BY_OTHERS)) return undefined;
  if (!SECRET.test(name)) return { verdict: "warning", message: "", hint: fix };
  return {
    verdict: "problem",
    kind: "storage",
    message: `others can read the secret in "${path}" (mode ${mode})`,
    hint: `${fix}; if somebody may have read it, get a new key: pki csr --rekey`,
  };
}

/** What commands put into a home; whatever else is there belongs to somebody who wanted it so. */
const OWN_NAMES: readonly string[] = [
  ...["agent.sock", "checkpoint", "config.json", "evidence", "history", "ids", "log.pub"],
  ...["root.crt", "root.crt.old", "server.passphrase"],
];

/**
 * Takes from others what they can read or change in the home; not in a server's folder there, and not
 * of what is no part of a home, so that a folder that was named by mistake (`/etc`) stays as it is.
 * @returns the paths whose mode was changed
 * @throws {PkiError} `storage`, `conflict` for a folder that is no home
 */
export function fixModes(home: Home): readonly string[] {
  const { folder, serverFolder } = home;
  if (platform() === "win32" || !fs.existsSync(folder)) return [];
  if (!["ids", "root.crt"].some((name) => fs.existsSync(join(folder, name)))) {
    throw new PkiError("conflict", `cannot close "${folder}" to others: it is no home of pki`, {
      hint: "name the home with --home or $PKI_HOME",
    });
  }
  const own = [...listEntries(folder, serverFolder)].filter(({ path }) =>
    OWN_NAMES.includes(relative(folder, path).split(sep)[0] ?? "")
  );
  const all = [{ path: folder, stats: fs.statSync(folder) }, ...own];
  return all.filter(({ stats }) => !stats.isSymbolicLink() && (stats.mode & 0o077) !== 0)
    .map(({ path, stats }) => {
      try {
        fs.chmodSync(path, stats.mode & 0o700);
      } catch (error) {
        throw storageError(`cannot change the mode of "${path}"`, error);
      }
      return path;
    });
}

/** Whether anybody else can read secrets, or change whom you trust. */
export function checkModes(patient: Patient): readonly Finding[] {
  const { folder } = patient.home;
  const stats = fs.statSync(folder, { throwIfNoEntry: false });
  if (platform() === "win32" || !stats) return [];
  const entries = entriesOf(patient);
  const faults = [{ path: folder, name: "", stats }, ...entries]
    .flatMap((entry) => findModeFault(entry) ?? []);
  const problems = faults.filter(({ verdict }) => verdict === "problem");
  const readable = faults.length - problems.length;
  if (problems.length > 0) return problems;
  if (readable === 0) {
    return [{ verdict: "ok", message: "nobody else can read or change what is in it" }];
  }
  // A home that others cannot enter protects what is in it, whatever the modes there.
  if (!(stats.mode & 0o055)) return [{ verdict: "ok", message: "nobody else can enter it" }];
  return [{
    verdict: "warning",
    message: `others can read ${readable} files and folders in it, though no secrets: ` +
      "who you talk to, say",
    hint: `chmod 700 "${folder}"`,
  }];
}

export function checkConfiguration({ home }: Patient): readonly Finding[] {
  const config = home.loadConfig(); // throws what is wrong with it
  const { server } = config;
  if (server !== undefined) parseAddress(server, 1);
  const { idInUse } = home;
  if (idInUse !== undefined && !home.listIds().includes(idInUse)) {
    return [{
      verdict: "problem",
      kind: "not-found",
      message: `the identity in use, "${idInUse}", has no key here`,
      hint: "choose another with: pki id use NAME",
    }];
  }
  if (Object.keys(config).length === 0) return [];
  return [{ verdict: "ok", message: "config.json can be read" }];
}

/** Variables of the client, and what each goes before. */
const VARIABLES: Readonly<Record<string, string>> = {
  PKI_HOME: "the home folder",
  PKI_SERVER: "the server that is remembered",
  PKI_ID: "the identity in use",
  PKI_PASSWORD_FILE: "the question for the password",
  PKI_PASSWORD: "the question for the password",
  PKI_CA_PASSPHRASE: "the passphrase file of the server",
};
const SECRET_VARIABLES = ["PKI_PASSWORD", "PKI_CA_PASSPHRASE"];

export function checkEnvironment({ env, home, otherVariables }: Patient): readonly Finding[] {
  const found: Finding[] = [];
  for (const [name, value] of Object.entries(env).sort(([a], [b]) => a < b ? -1 : 1)) {
    if (!name.startsWith("PKI_") || !value) continue;
    const replaced = VARIABLES[name];
    if (replaced === undefined && otherVariables.includes(name)) continue;
    if (replaced === undefined) {
      found.push({
        verdict: "warning",
        message: `$${printable(name)} is set, and nothing reads it`,
        hint: `these are read: ${Object.keys(VARIABLES).map((known) => `$${known}`).join(", ")}`,
      });
    } else if (SECRET_VARIABLES.includes(name)) {
      found.push({
        verdict: "warning",
        message: `$${name} holds a secret that other programs of yours may see`,
        hint: "a file that only you can read is better: --password-file, --passphrase-file",
      });
    } else {
      found.push({
        verdict: "ok",
        message: `$${name} is set and goes before ${replaced}: ${printable(value)}`,
      });
    }
  }
  const id = env["PKI_ID"];
  if (id && (!isId(id) || !home.listIds().includes(id))) {
    found.push({
      verdict: "warning",
      message: `$PKI_ID says ${JSON.stringify(printable(id))}, who has no key here`,
      hint: "unset PKI_ID, or get this identity with pki csr",
    });
  }
  return found;
}

/** What a piece of evidence is about. */
function subjectOf(path: string): string {
  try {
    const { what } = parseJson(fs.readFileSync(path, "utf8")) as { readonly what?: unknown };
    return typeof what === "string" ? printable(what) : "it does not say of what";
  } catch {
    return "it cannot be read";
  }
}

/** Said loudly: somebody's log, or root, was not what it should be. */
export function checkEvidence({ home }: Patient): readonly Finding[] {
  const folder = home.evidenceFolder;
  if (!fs.existsSync(folder)) return [];
  const names = fs.readdirSync(folder).filter((name) => name.endsWith(".json")).sort();
  return names.map((name) => {
    const path = join(folder, name);
    return {
      verdict: "warning",
      message: `THERE IS EVIDENCE in "${path}": ${subjectOf(path)}`,
      hint: "show it to whoever runs the server; once you know why, move the file away",
    };
  });
}

/** What commands that were cut short have left. */
export function checkLeftovers(patient: Patient): readonly Finding[] {
  const { home } = patient;
  const found: Finding[] = [];
  const temporary = entriesOf(patient).filter(({ name, stats }) =>
    stats.isFile() && TEMPORARY.test(name)
  );
  const [first] = temporary;
  if (first) {
    found.push({
      verdict: "warning",
      message: `commands that were cut short have left ${temporary.length} temporary files, ` +
        `the first "${relative(home.folder, first.path)}"`,
      hint: "delete them while no pki command is running",
    });
  }
  for (const id of home.listIds()) {
    const waiting = entriesOf(patient).filter(({ path, name }) =>
      path === join(home.folder, "ids", id, name) && /^key-[0-9a-f]{16}\.pem$/.test(name)
    );
    if (waiting.length === 0) continue;
    found.push({
      verdict: "warning",
      message: `a new key of "${id}" was made and has no certificate yet`,
      hint: `have it certified with: pki csr --id ${id} --rekey`,
    });
  }
  return found;
}
