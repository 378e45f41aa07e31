/**
 * A terminal with `./pki` in it: a tmux server of its own for each, so that what a person would see and
 * type can be tested. Nothing of it touches the terminal that the tests run in.
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { randomInt } from "node:crypto";
import * as fs from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { PKI, runProgram, type World } from "./harness.ts";

export const COLUMNS = 120;
export const ROWS = 40;

/** How long anything may take before a test gives up; no test asserts a time below it. */
const PATIENCE_MS = 60_000;
const POLL_MS = 20;
/** How long nothing may be sent before the screen is looked at all the same. */
const LOOK_MS = 500;

export type Key =
  | "Enter"
  | "Tab"
  | "C-l"
  | "C-r"
  | "C-c"
  | "C-d"
  | "C-u"
  | "Left"
  | "Right"
  | "Up"
  | "BSpace"
  | "Escape";

export interface TerminalOptions {
  /** The home folder, where it is not the world's. */
  readonly home?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Where it runs. */
  readonly cwd?: string;
  /** What stands behind the program in its command line, for the shell: a redirection, say. */
  readonly behind?: string;
  /** What stands before it, to run it elsewhere: on another host, see network.ts. */
  readonly within?: readonly string[];
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** The program under test in a terminal; `close` ends both. */
export class Terminal {
  readonly #socket: string;
  /** Every byte that the terminal was sent. */
  readonly #rawPath: string;

  private constructor(socket: string, rawPath: string) {
    this.#socket = socket;
    this.#rawPath = rawPath;
  }

  /** Runs `./pki` with these arguments; the server is the world's, if it has one. */
  static async start(
    world: World,
    args: readonly string[],
    options: TerminalOptions = {},
  ): Promise<Terminal> {
    const folder = fs.mkdtempSync(join(world.folder, "tmux-"));
    const env = {
      PATH: process.env["PATH"] ?? "",
      HOME: "/nonexistent",
      LC_ALL: "C.UTF-8",
      PKI_HOME: options.home ?? world.home,
      ...options.env,
    };
    const line = [...(options.within ?? []), PKI, ...args].map(quote).join(" ");
    const command = [
      "exec env -i TERM=$TERM",
      ...Object.entries(env).map(([name, value]) => `${name}=${quote(value)}`),
      "sh -c",
      // Ctrl-C is for the program; the shell stays to say how it ended.
      quote(`trap : INT; ${line} ${options.behind ?? ""}; echo "exit=$?"; exec sleep 1000`),
    ].join(" ");
    const rawPath = join(folder, "raw");
    fs.writeFileSync(rawPath, "");
    const terminal = new Terminal(join(folder, "socket"), rawPath);
    await terminal.#tmux(
      ...["-u", "-f", "/dev/null", "new-session", "-d", "-x", String(COLUMNS), "-y", String(ROWS)],
      ...(options.cwd === undefined ? [] : ["-c", options.cwd]),
      ...[command, ";", "pipe-pane", `cat > ${quote(rawPath)}`],
    );
    return terminal;
  }

  async #tmux(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await runProgram("tmux", ["-S", this.#socket, ...args], {
      env: { LC_ALL: "C.UTF-8" },
    });
    assert.equal(code, 0, `tmux ${args.join(" ")}: ${stderr}`);
    return stdout;
  }

  async type(text: string): Promise<void> {
    await this.#tmux("send-keys", "-l", "--", text);
  }

  async press(key: Key): Promise<void> {
    await this.#tmux("send-keys", key);
  }

  /** Pastes text, as a terminal does that marks what is pasted. */
  async paste(text: string): Promise<void> {
    await this.#tmux("set-buffer", "--", text);
    await this.#tmux("paste-buffer", "-p", "-d");
  }

  /** Types a line and presses Enter. */
  async enter(text: string): Promise<void> {
    await this.type(text);
    await this.press("Enter");
  }

  /** What is on the screen now; a line that was too long for it is one line here. */
  async screen(): Promise<string> {
    return (await this.#tmux("capture-pane", "-p", "-J")).trimEnd();
  }

  /** What the screen shows and what has scrolled out of it. */
  async history(): Promise<string> {
    return (await this.#tmux("capture-pane", "-p", "-J", "-S", "-")).trimEnd();
  }

  /** The bytes that the terminal was sent, escape sequences and all. */
  raw(): string {
    return Buffer.from(fs.readFileSync(this.#rawPath)).toString("utf8");
  }

  /** Waits until the bytes that the terminal was sent are as they should be. */
  async waitForRaw(isThere: (raw: string) => boolean, what: string): Promise<void> {
    const endMs = performance.now() + PATIENCE_MS;
    while (!isThere(this.raw())) {
      if (performance.now() > endMs) {
        throw new Error(`not sent to the terminal: ${what}: ${JSON.stringify(this.raw())}`);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** The process of the program. */
  async pid(): Promise<number> {
    const shell = (await this.#tmux("display-message", "-p", "#{pane_pid}")).trim();
    return Number(fs.readFileSync(`/proc/${shell}/task/${shell}/children`, "utf8").trim());
  }

  /** Sends a signal to the program, as somebody at another terminal would. */
  async kill(signal: NodeJS.Signals): Promise<void> {
    process.kill(await this.pid(), signal);
  }

  /** Waits until the screen matches. Each look costs a process: it looks when something was sent. */
  async waitFor(pattern: RegExp): Promise<RegExpExecArray> {
    const endMs = performance.now() + PATIENCE_MS;
    for (;;) {
      const seen = this.#rawBytes();
      const screen = await this.screen();
      const match = pattern.exec(screen);
      if (match) return match;
      if (performance.now() > endMs) throw new Error(`no ${pattern} on the screen:\n${screen}`);
      const lookMs = performance.now() + LOOK_MS;
      do await new Promise((resolve) => setTimeout(resolve, POLL_MS)); while (
        this.#rawBytes() === seen && performance.now() < lookMs
      );
    }
  }

  /** How much the terminal was sent so far. */
  #rawBytes(): number {
    return fs.statSync(this.#rawPath).size;
  }

  /** What the program ended with. All that the terminal was sent is in {@link raw} by then. */
  async exitCode(): Promise<number> {
    const [end = "", code] = await this.waitFor(/^exit=(\d+)$/m);
    await this.waitForRaw((raw) => raw.includes(end), "how the program has ended");
    return Number(code);
  }

  /** Ends the terminal, and with it what runs in it. */
  async close(): Promise<void> {
    await this.#tmux("kill-server").catch(() => {}); // it is gone already
  }
}

/** Runs a test's body with a terminal, which is closed behind it. */
export async function inTerminal(
  world: World,
  args: readonly string[],
  body: (terminal: Terminal) => Promise<void>,
  options: TerminalOptions = {},
): Promise<void> {
  const terminal = await Terminal.start(world, args, options);
  try {
    await body(terminal);
  } finally {
    await terminal.close();
  }
}

/** Chooses Yes where No is what Enter alone would choose. */
export async function sayYes(terminal: Terminal): Promise<void> {
  await terminal.press("Left");
  await terminal.waitFor(/● Yes/);
  await terminal.press("Enter");
}

/** A port that nobody listens on, where one has to be named, and that the system gives to nobody. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_000, 32_768); // what the system chooses itself begins there
    const server = createServer();
    const isFree = new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false));
      server.listen(port, () => server.close(() => resolve(true)));
    });
    if (await isFree) return port;
  }
}
