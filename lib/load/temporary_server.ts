/**
 * A server of our own for a while: this very program, on a free port of this machine, with a data
 * folder that did not exist before and does not afterwards.
 */

import { spawn } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { PkiError } from "../base/errors.ts";
import { storageError } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { ENDS_WITH_STDIN, ownEnvironment, programWords } from "../base/own_program.ts";

const SAID_CHARACTERS_MAX = 4096;
/** After that a server that shall end is killed: it has nothing that is worth more patience. */
const STOP_MS = 2 * LIMITS.drainMs;

export interface TemporaryServer {
  readonly pid: number;
  readonly port: number;
  /** Its home, as `--home` takes it: what is in it vouches for its root. */
  readonly home: string;
  /** Ends it and removes everything of it. */
  stop(): Promise<void>;
}

function makeHome(): string {
  const parent = tmpdir();
  try {
    return fs.mkdtempSync(join(parent, "pki-bench-"));
  } catch (cause) {
    throw storageError(`cannot make a folder in "${parent}" (see $TMPDIR)`, cause);
  }
}

/** @throws {PkiError} `storage`; `unreachable` if it does not come to listen; `interrupted` */
export async function startTemporaryServer(signal: AbortSignal): Promise<TemporaryServer> {
  const home = makeHome();
  const [program, ...words] = programWords();
  const child = spawn(program, [...words, "serve", "--port", "0", "--json", "--home", home], {
    cwd: "/",
    detached: true, // Ctrl-C is for us: what was measured is still to be told
    env: { ...ownEnvironment(), [ENDS_WITH_STDIN]: "1" },
    stdio: ["pipe", "pipe", "pipe"],
  });
  const ended = new Promise<void>((resolve) => {
    child.once("close", () => resolve());
    child.once("error", () => resolve());
  });
  const { pid } = child;
  const stop = async () => {
    const timer = setTimeout(() => pid !== undefined && process.kill(pid, "SIGKILL"), STOP_MS);
    // Not `child.kill`: under Deno that reports the signal as the end, whatever becomes of it.
    if (pid !== undefined && child.exitCode === null && child.signalCode === null) {
      process.kill(pid, "SIGTERM");
      await ended;
    }
    clearTimeout(timer);
    fs.rmSync(home, { recursive: true, force: true });
  };
  let said = "";
  let timer: ReturnType<typeof setTimeout> | undefined;
  let onAbort: (() => void) | undefined;
  try {
    const port = await new Promise<number>((resolve, reject) => {
      const fail = (why: string, cause?: unknown) =>
        reject(
          new PkiError("unreachable", `cannot start a server: ${why}`, {
            cause,
            hint: "see whether pki serve starts one",
          }),
        );
      onAbort = () => reject(new PkiError("interrupted", "interrupted"));
      signal.addEventListener("abort", onAbort);
      if (signal.aborted) onAbort();
      timer = setTimeout(() => fail("it does not come to listen"), LIMITS.agentStartMs);
      const hear = (chunk: Uint8Array) => {
        said = (said + new TextDecoder().decode(chunk)).slice(-SAID_CHARACTERS_MAX);
      };
      child.stderr.on("data", hear);
      child.stdout.on("data", (chunk: Uint8Array) => {
        hear(chunk);
        const [, port] = /"event":"ready".*"port":(\d+)/.exec(said) ?? [];
        if (port !== undefined) resolve(Number(port));
      });
      child.once("error", (cause) => fail(cause.message, cause));
      child.once("close", () => fail(said.trim() || "it has ended"));
    });
    return { pid: pid ?? 0, port, home, stop };
  } catch (error) {
    await stop();
    throw error;
  } finally {
    clearTimeout(timer);
    if (onAbort) signal.removeEventListener("abort", onAbort);
  }
}
