/// <reference lib="deno.worker" />
/** For `lean_worker_test.ts`: says what it can see of the environment, of files, and of programs. */

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";

/** What it gets, or the name of the error. */
function attempt(look: () => unknown): unknown {
  try {
    return look();
  } catch (error) {
    return (error as Error).name;
  }
}

(self as unknown as DedicatedWorkerGlobalScope).postMessage({
  path: attempt(() => process.env["PATH"]),
  all: attempt(() => Object.keys(process.env)),
  file: attempt(() => readFileSync("/etc/passwd", "utf8").length),
  program: attempt(() => spawnSync("true").error?.name),
});
