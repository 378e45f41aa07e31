/**
 * Builds the context, runs the command, sets the exit code. The only file that reads the process and
 * the only one that ends it; everything else is given what it needs and returns.
 */

import { ExitCode, run } from "@stricli/core";
import { homedir } from "node:os";
import process from "node:process";
import type { Writable } from "node:stream";
import type { PkiContext } from "./commands/context.ts";
import { exitCodeOf, formatError } from "./commands/error_text.ts";
import { GLOBAL_SWITCH_OPTIONS, GLOBAL_VALUE_OPTIONS } from "./commands/globals.ts";
import { program } from "./commands/program.ts";
import { systemCodeOf } from "./lib/base/errors.ts";
import { findTerminal } from "./lib/client/terminal.ts";

const SIGNALS = ["SIGINT", "SIGTERM"] as const;
/** What must not be inherited by anything that this process starts. */
const SECRETS = ["PKI_PASSWORD", "PKI_CA_PASSPHRASE"] as const;
const INTERNAL = 1;
const USAGE = 2;
const INTERRUPTED = 130;

/** Global options may come before the command; the command line's library wants them behind it. */
function moveLeadingOptions(args: readonly string[]): string[] {
  const leading: string[] = [];
  let at = 0;
  for (;;) {
    const arg = args[at];
    if (arg === undefined) break;
    const [name = ""] = arg.split("=", 1);
    if (GLOBAL_SWITCH_OPTIONS.includes(arg)) leading.push(arg);
    else if (GLOBAL_VALUE_OPTIONS.includes(name)) {
      leading.push(arg);
      const value = args[at + 1];
      if (name === arg && value !== undefined) {
        leading.push(value);
        at++;
      }
    } else break;
    at++;
  }
  const [command, ...rest] = args.slice(at);
  return [command ?? "session", ...leading, ...rest];
}

/** Exit codes of the library are negative where it was the one to fail. */
function exitCodeFrom(code: number | string | null | undefined): number {
  switch (code) {
    case ExitCode.UnknownCommand:
    case ExitCode.InvalidArgument:
      return USAGE;
    default:
      return typeof code === "number" && code >= 0 ? code : INTERNAL;
  }
}

/** Resolves when a stream has handed everything to the system, or never will. */
function drained(stream: Writable): Promise<void> {
  return new Promise((resolve) => {
    if (stream.destroyed || stream.writableFinished) return resolve();
    stream.once("error", () => resolve());
    stream.once("close", () => resolve());
    stream.write("", () => resolve());
  });
}

async function main(): Promise<number> {
  const env = { ...process.env };
  for (const name of SECRETS) delete process.env[name];
  const interruption = new AbortController();
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      // Whoever asks a second time does not want to wait for a clean end.
      if (interruption.signal.aborted) process.exit(INTERRUPTED);
      interruption.abort(signal);
    });
  }
  let isPipeBroken = false;
  process.stdout.on("error", (error) => {
    isPipeBroken ||= systemCodeOf(error) === "EPIPE";
  });
  const stricliProcess = {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    env,
    exitCode: undefined as number | undefined,
  };
  const context: PkiContext = {
    process: stricliProcess,
    homeFolder: homedir(),
    terminal: findTerminal(),
    signal: interruption.signal,
    now: Date.now,
  };
  await run(program, moveLeadingOptions(process.argv.slice(2)), context);
  await Promise.all([drained(process.stdout), drained(process.stderr)]);
  const code = exitCodeFrom(stricliProcess.exitCode);
  return isPipeBroken && code === 0 ? INTERNAL : code;
}

process.on("unhandledRejection", (error) => {
  process.stderr.write(`${formatError(error)}\n`);
  process.exit(exitCodeOf(error));
});

main().then((code) => process.exit(code), (error) => {
  process.stderr.write(`${formatError(error)}\n`, () => process.exit(exitCodeOf(error)));
});
