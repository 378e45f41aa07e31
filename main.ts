/**
 * Builds the context, runs the command, sets the exit code. The only file that reads the process and
 * the only one that ends it; everything else is given what it needs and returns.
 */

import { homedir } from "node:os";
import process from "node:process";
import type { Writable } from "node:stream";
import type { PkiContext } from "./commands/context.ts";
import { exitCodeOf, formatError, wantsJson } from "./commands/error_text.ts";
import { choosePaint, findColorMode } from "./commands/paint.ts";
import { runProgram } from "./commands/program.ts";
import { closePipe } from "./lib/base/descriptors.ts";
import { messageOf, PkiError, systemCodeOf } from "./lib/base/errors.ts";
import { findTerminal } from "./lib/client/terminal.ts";

const SIGNALS = ["SIGINT", "SIGTERM"] as const;
/** What must not be inherited by anything that this process starts. */
const SECRETS = ["PKI_PASSWORD", "PKI_CA_PASSPHRASE"] as const;
const [STDIN, STDOUT, STDERR] = [0, 1, 2];
const INTERNAL = 1;
const INTERRUPTED = 130;

const WORDS: readonly string[] = process.argv.slice(2);

/** Says an error on stderr. */
function tell(error: unknown, told: () => void = () => {}): void {
  const { stderr, env } = process;
  const style = wantsJson(WORDS)
    ? "json"
    : choosePaint(stderr, { mode: findColorMode(WORDS), env });
  stderr.write(`${formatError(error, style)}\n`, told);
}

/** Stdout or stderr, and why it cannot be written to any more. */
interface Outlet {
  readonly stream: Writable;
  error?: unknown;
  /** Its end, once it was asked for: a stream that has ended does not say so a second time. */
  end?: Promise<void>;
}

function watchOutlet(stream: Writable): Outlet {
  const outlet: Outlet = { stream };
  stream.on("error", (error) => outlet.error ??= error);
  return outlet;
}

/**
 * Ends a stream; resolves when it has handed everything to the system, or never will. In the executable
 * an empty write is no way to know: its callback does not wait for the writes before it.
 */
function drained(outlet: Outlet): Promise<void> {
  const { stream, error } = outlet;
  return outlet.end ??= new Promise((resolve) => {
    if (error !== undefined || stream.destroyed || stream.writableFinished) return resolve();
    const done = () => setImmediate(resolve); // the failure of the last write comes after the end
    stream.once("error", done);
    stream.once("close", done);
    stream.end(done);
  });
}

/** Ends stdout now: a program that reads it sees the end. */
async function endEarly(outlet: Outlet): Promise<void> {
  await drained(outlet);
  if (outlet.error !== undefined) throw outlet.error;
  closePipe(STDOUT, [STDIN, STDERR]);
}

/** What a command that succeeded ends with if its result did not get out. */
function codeOfLost(lost: unknown): number {
  if (lost === undefined) return 0;
  if (systemCodeOf(lost) === "EPIPE") return INTERNAL; // the reader has left and knows it
  const error = new PkiError("storage", `cannot write the result: ${messageOf(lost)}`);
  tell(error);
  return error.exitCode;
}

async function main(): Promise<number> {
  const env = { ...process.env };
  for (const name of SECRETS) delete process.env[name];
  // The package that draws prompts looks here.
  if (findColorMode(WORDS) === "never") process.env["NO_COLOR"] = "1";
  const interruption = new AbortController();
  let interruptHandler: (() => boolean) | undefined;
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      if (signal === "SIGINT" && interruptHandler?.()) return;
      // Whoever asks a second time does not want to wait for a clean end.
      if (interruption.signal.aborted) process.exit(INTERRUPTED);
      interruption.abort(signal);
    });
  }
  const stdout = watchOutlet(process.stdout);
  const stderr = watchOutlet(process.stderr);
  const context: PkiContext = {
    process: { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr, env },
    homeFolder: homedir(),
    terminal: findTerminal(interruption.signal),
    signal: interruption.signal,
    now: Date.now,
    takeInterrupts: (handler) => {
      const before = interruptHandler;
      interruptHandler = handler;
      return () => {
        interruptHandler = before;
      };
    },
    endStdout: () => endEarly(stdout),
    onHangUp: (listener) => void process.on("SIGHUP", listener),
  };
  const result = await runProgram(WORDS, context);
  await drained(stdout);
  const code = result || codeOfLost(stdout.error);
  await drained(stderr);
  return code;
}

/** A fault that no command caught: said in words, and the end. */
function endByFault(error: unknown): never {
  tell(error);
  process.exit(exitCodeOf(error));
}

process.on("unhandledRejection", endByFault);
process.on("uncaughtException", endByFault);

process.exitCode = INTERNAL; // should the program run out of work before it comes to an end
main().then((code) => process.exit(code), (error) => {
  tell(error, () => process.exit(exitCodeOf(error)));
});
