/**
 * Drives the built `./pki` as its users do: in a fresh home, on free ports, with no terminal. Everything
 * waits for what the program prints or for its end, never for a time to pass.
 */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import process from "node:process";
import { cheapenHome, copyHome, moveServer } from "./template.ts";

export const ROOT = join(import.meta.dirname ?? ".", "..", "..");
export const PKI = join(ROOT, "pki");
/** Built with `--faults`; only for tests of what a fault does. */
export const PKI_FAULTS = join(ROOT, "pki-faults");

/** Turns of the event loop in which whatever waits in a pipe has been read. */
const TURNS = 4;

/** How long anything may take before a test gives up; no test asserts a time below it. */
const PATIENCE_MS = 60_000;

export const PASSWORDS: Readonly<Record<string, string>> = {
  alice: "alice rides a paper horse",
  bob: "bob keeps seven blue batteries",
  carol: "carol staples clouds at noon",
};

/** Options of `serve` that say how a new data folder is set up. */
const SETS_UP = new Set(["--data", "--domain", "--passphrase-file"]);

export interface Finished {
  /** `null` if a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stdoutBytes: Uint8Array;
  readonly stderr: string;
}

/** A program under test that is running. */
export class Running {
  readonly child: ChildProcess;
  readonly #stdout: Buffer[] = [];
  readonly #stderr: Buffer[] = [];
  readonly #watchers = new Set<() => void>();
  readonly finished: Promise<Finished>;

  constructor(command: string, args: readonly string[], options: RunOptions) {
    // A process group and session of its own: no controlling terminal, so nothing can prompt.
    const [first = command, ...rest] = [...(options.within ?? []), command, ...args];
    this.child = spawn(first, rest, {
      cwd: options.cwd ?? tmpdir(),
      env: { PATH: process.env["PATH"] ?? "", HOME: "/nonexistent", ...options.env },
      detached: true,
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.child.stdin?.on("error", () => {}); // a program may end before it has read everything
    this.child.stdout?.on("data", (chunk: Buffer) => this.#take(this.#stdout, chunk));
    this.child.stderr?.on("data", (chunk: Buffer) => this.#take(this.#stderr, chunk));
    this.finished = new Promise((resolve, reject) => {
      this.child.once("error", reject);
      this.child.once("close", (code) => {
        for (const watcher of this.#watchers) watcher();
        resolve({
          code,
          stdout: this.stdout,
          stdoutBytes: Buffer.concat(this.#stdout),
          stderr: this.stderr,
        });
      });
    });
    if (options.input !== undefined) this.child.stdin?.end(options.input);
    else if (!options.keepStdin) this.child.stdin?.end();
  }

  #take(into: Buffer[], chunk: Buffer): void {
    into.push(chunk);
    for (const watcher of this.#watchers) watcher();
  }

  get stdout(): string {
    return Buffer.concat(this.#stdout).toString();
  }

  /** How much it has written to stdout so far. */
  get stdoutLength(): number {
    return this.#stdout.reduce((sum, { length }) => sum + length, 0);
  }

  get stderr(): string {
    return Buffer.concat(this.#stderr).toString();
  }

  /** See {@link peakMiBOf}. */
  get peakMiB(): number {
    return peakMiBOf(this.child.pid ?? 0);
  }

  get isOver(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /**
   * Waits until its output (both streams) matches. What it had written to the other stream before is
   * there by then, too. Fails if it ends first.
   */
  async waitFor(pattern: RegExp): Promise<RegExpExecArray> {
    let onMatch: (match: RegExpExecArray) => void = () => {};
    let onFail: (error: Error) => void = () => {};
    const matched = new Promise<RegExpExecArray>((resolve, reject) => {
      onMatch = resolve;
      onFail = reject;
    });
    const look = () => {
      const match = pattern.exec(this.stdout) ?? pattern.exec(this.stderr);
      if (match) onMatch(match);
      else if (this.isOver) {
        onFail(new Error(`ended without ${pattern}: ${this.stdout}${this.stderr}`));
      }
    };
    const timer = setTimeout(
      () => onFail(new Error(`no ${pattern} in: ${this.stdout}${this.stderr}`)),
      PATIENCE_MS,
    );
    this.#watchers.add(look);
    look();
    try {
      const match = await matched;
      // Two pipes: which of them is read first is not up to the program.
      for (let turn = 0; turn < TURNS; turn++) {
        await new Promise((resolve) => setImmediate(resolve));
      }
      return match;
    } finally {
      clearTimeout(timer);
      this.#watchers.delete(look);
    }
  }

  kill(signal: NodeJS.Signals): void {
    // Not `child.kill`: under Deno that reports the signal as the end, whatever the program did with it.
    if (!this.isOver && this.child.pid !== undefined) process.kill(this.child.pid, signal);
  }

  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<Finished> {
    this.kill(signal);
    return await this.finished;
  }
}

/** The most memory that a program that is running has had so far, in MiB. */
export function peakMiBOf(pid: number): number {
  const [, kib] = /^VmHWM:\s+(\d+) kB$/m.exec(fs.readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kib) / 1024;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string | Uint8Array;
  /** Leaves stdin open; write to `child.stdin`. */
  readonly keepStdin?: boolean;
  readonly cwd?: string;
  /** Another executable than `./pki`. */
  readonly program?: string;
  /** What stands before the command, to run it elsewhere: on another host, see network.ts. */
  readonly within?: readonly string[];
}

/** A user who is certified, and not in the directory. */
export interface Unpublished {
  readonly unpublished: string;
}

export interface Served {
  readonly running: Running;
  readonly port: number;
  readonly fingerprint: string;
}

/** A fresh home and the programs started in it; `close` ends and removes all of it. */
export class World {
  readonly folder: string;
  readonly home: string;
  readonly #running: Running[] = [];
  readonly #program: string;
  #server: Served | undefined;
  /** Who listened on a port first: who answers at an address is remembered. */
  readonly #holders = new Map<number, string>();

  constructor(program: string = PKI) {
    assert.ok(fs.existsSync(program), `${program} is not built: deno task build`);
    this.#program = program;
    this.folder = fs.mkdtempSync(join(tmpdir(), "pki-test-"));
    this.home = join(this.folder, "home");
    for (const [id, password] of Object.entries(PASSWORDS)) {
      fs.writeFileSync(this.passwordFile(id), `${password}\n`, { mode: 0o600 });
    }
  }

  passwordFile(id: string): string {
    return join(this.folder, `${id}.pass`);
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  get server(): Served {
    assert.ok(this.#server, "no server was started");
    return this.#server;
  }

  /** The environment that programs get: the home, the server and nothing of ours. */
  #env(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
    const server = this.#server ? { PKI_SERVER: `localhost:${this.#server.port}` } : {};
    return { PKI_HOME: this.home, ...server, ...extra };
  }

  start(args: readonly string[], options: RunOptions = {}): Running {
    const running = new Running(options.program ?? this.#program, args, {
      ...options,
      env: this.#env(options.env),
    });
    this.#running.push(running);
    return running;
  }

  async run(args: readonly string[], options: RunOptions = {}): Promise<Finished> {
    return await this.start(args, options).finished;
  }

  /** Runs as a user, with the user's password file. */
  async as(id: string, args: readonly string[], options: RunOptions = {}): Promise<Finished> {
    return await this.run([...args, "--id", id, "--password-file", this.passwordFile(id)], options);
  }

  startAs(id: string, args: readonly string[], options: RunOptions = {}): Running {
    return this.start([...args, "--id", id, "--password-file", this.passwordFile(id)], options);
  }

  /** Runs as a user and expects success. */
  async ok(id: string, args: readonly string[], options: RunOptions = {}): Promise<Finished> {
    const finished = await this.as(id, args, options);
    assert.equal(finished.code, 0, `pki ${args.join(" ")}: ${finished.stderr}`);
    return finished;
  }

  /**
   * Starts `pki serve` on a free port and waits until it is ready. In a home that is not there yet, and
   * where no option says how it is set up, that is the first start on a folder of `pki init`.
   */
  async serve(args: readonly string[] = [], options: RunOptions = {}): Promise<Served> {
    this.#server = undefined;
    const isPlain = options.env === undefined && !args.some((arg) => SETS_UP.has(arg));
    if (isPlain && !fs.existsSync(this.home)) await this.#copyHome([]);
    const running = this.start(["serve", "--port", "0", "--json", ...args], options);
    const [line] = await running.waitFor(/^\{"event":"ready".*\}$/m);
    const { port, fingerprint } = JSON.parse(line) as { port: number; fingerprint: string };
    this.#server = { running, port, fingerprint };
    return this.#server;
  }

  /** A server, and these users registered, certified and, unless it is said otherwise, published. */
  async withUsers(...users: readonly (string | Unpublished)[]): Promise<void> {
    if (fs.existsSync(this.home)) {
      await this.serve();
      await this.#register(users);
      return;
    }
    await this.#copyHome(users);
    const { port } = await this.serve();
    if (users.length > 0) moveServer(this.home, `localhost:${port}`);
  }

  async #register(users: readonly (string | Unpublished)[]): Promise<void> {
    for (const user of users) {
      if (typeof user === "string") await this.ok(user, ["csr", "--register"]);
      else await this.ok(user.unpublished, ["csr", "--register", "--no-publish"]);
    }
  }

  /** Gives a user another home, as on another machine: the identity, and what is pinned. */
  moveOut(id: string, home: string): void {
    fs.mkdirSync(join(home, "ids"), { recursive: true, mode: 0o700 });
    for (const name of ["root.crt", "config.json", "checkpoint", "log.pub"]) {
      fs.copyFileSync(join(this.home, name), join(home, name));
    }
    fs.renameSync(join(this.home, "ids", id), join(home, "ids", id));
  }

  /** Takes a copy of a home with a data folder and these users. */
  async #copyHome(users: readonly (string | Unpublished)[]): Promise<void> {
    const names = users.map((user) => typeof user === "string" ? user : `no-${user.unpublished}`);
    await copyHome({
      program: PKI,
      name: ["home", ...names].join("-"),
      make: (home) => World.#makeHome(home, users),
      to: this.home,
    });
  }

  /** Makes what is copied: of a home with one user less. */
  static async #makeHome(home: string, users: readonly (string | Unpublished)[]): Promise<void> {
    await inWorld(async (world) => {
      if (users.length === 0) {
        const { code, stderr } = await world.run(["init"]);
        assert.equal(code, 0, stderr);
      } else {
        await world.withUsers(...users.slice(0, -1));
        await world.#register(users.slice(-1));
        assert.equal((await world.server.running.end()).code, 0);
        // Of its end alone: a server that has just certified people has none.
        fs.rmSync(join(world.home, "server", "state.db"), { force: true });
      }
      await cheapenHome(world.home, PASSWORDS);
      fs.cpSync(world.home, home, { recursive: true, preserveTimestamps: true });
    });
  }

  /** Starts `pki listen` on a free port and waits until it listens. */
  async listen(
    id: string,
    args: readonly string[] = [],
    options: RunOptions = {},
  ): Promise<{ readonly running: Running; readonly port: number }> {
    for (;;) {
      const running = this.startAs(
        id,
        ["listen", "--host", "127.0.0.1", "--port", "0", "--json", ...args],
        options,
      );
      const [, bound] = await running.waitFor(/"event":"listening".*"port":(\d+)/);
      const port = Number(bound);
      if (this.isNewPlace(id, port)) return { running, port };
      await running.end();
    }
  }

  /**
   * Whether a port that the system has given to somebody who listens was nobody else's before. If it
   * was, others remember another one there, and who listens has to do so elsewhere.
   */
  isNewPlace(id: string, port: number): boolean {
    const holder = this.#holders.get(port) ?? id;
    this.#holders.set(port, holder);
    return holder === id;
  }

  async close(): Promise<void> {
    await Promise.all(this.#running.map(async (running) => {
      running.kill("SIGTERM");
      const timer = setTimeout(() => running.kill("SIGKILL"), 10_000);
      await running.finished.catch(() => {}); // it was never started; nothing to end
      clearTimeout(timer);
    }));
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Runs a test's body in a world of its own. */
export async function inWorld(
  body: (world: World) => Promise<void>,
  program?: string,
): Promise<void> {
  const world = new World(program);
  try {
    await body(world);
  } finally {
    await world.close();
  }
}

/** Runs any program to its end. */
export async function runProgram(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Finished> {
  return await new Running(command, args, options).finished;
}

/** What `--json` has made of notes, warnings and errors, as people are shown them. */
export function inWords(stderr: string): string {
  return stderr.replace(/^\{"(note|warning|error)":.*\}$/gm, (line, severity: string) => {
    const told = (JSON.parse(line) as Record<string, string | { message: string; hint?: string }>)[
      severity
    ];
    if (typeof told !== "object") return told ?? line;
    const hint = told.hint === undefined ? "" : `\npki: hint: ${told.hint}`;
    return `pki: ${severity}: ${told.message}${hint}`;
  });
}

/** Whether a program, or a file by its path, is there; a test that needs it is skipped where not. */
export function hasProgram(name: string): boolean {
  const folders = (process.env["PATH"] ?? "").split(":");
  return folders.some((folder) => fs.existsSync(isAbsolute(name) ? name : join(folder, name)));
}

/** The `skip` option of a test that needs a program of Debian's. */
export function needs(...names: readonly string[]): { skip?: string } {
  const missing = names.filter((name) => !hasProgram(name));
  return missing.length > 0 ? { skip: `needs ${missing.join(", ")}` } : {};
}

/** Waits until something holds that nothing tells of, looking again and again. */
export async function until(isSo: () => boolean, what: string): Promise<void> {
  await untilAsync(() => Promise.resolve(isSo()), what);
}

/** As above, for what has to be asked for. */
export async function untilAsync(isSo: () => Promise<boolean>, what: string): Promise<void> {
  const endMs = performance.now() + PATIENCE_MS;
  while (!await isSo()) {
    if (performance.now() > endMs) throw new Error(`still not so: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Waits until files, which are all in one folder, have the content that is wanted of each. */
export async function untilRead(
  paths: readonly string[],
  isWanted: (text: string | undefined, at: number) => boolean,
): Promise<void> {
  const read = (path: string) => fs.existsSync(path) ? fs.readFileSync(path, "utf8") : undefined;
  const isThere = () => paths.every((path, at) => isWanted(read(path), at));
  const changed = Promise.withResolvers<void>();
  const timer = setTimeout(
    () => changed.reject(new Error(`they stay as they are: ${paths}`)),
    60_000,
  );
  const watcher = fs.watch(dirname(paths[0] ?? ""), () => isThere() && changed.resolve());
  try {
    if (!isThere()) await changed.promise;
  } finally {
    clearTimeout(timer);
    watcher.close();
  }
}
