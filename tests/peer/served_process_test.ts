import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import process from "node:process";
import { test } from "node:test";
import type { Line } from "../../lib/peer/line.ts";
import { ServedProcess } from "../../lib/peer/served_process.ts";

/** Whether a process is there, and no zombie that nobody has asked about. */
function isThere(pid: number): boolean {
  return spawnSync("ps", ["-o", "stat=", "-p", `${pid}`], { encoding: "utf8" }).stdout
    .match(/^[^Z]/m) !== null;
}

test("a program that ends leaves nobody behind in its group", async () => {
  let said = "";
  const ended = Promise.withResolvers<void>();
  const line: Pick<Line, "sendData" | "end" | "destroy"> = {
    sendData: (bytes) => {
      said += new TextDecoder().decode(bytes);
      return Promise.resolve();
    },
    end: () => ended.resolve(),
    destroy: (error) => ended.reject(error),
  };
  new ServedProcess({
    command: "sleep 600 </dev/null >/dev/null 2>&1 & echo $!",
    env: { PATH: process.env["PATH"] ?? "" },
    line: line as Line,
    onStderr: () => {},
    onEnd: () => {},
  });
  await ended.promise;
  const pid = Number(said);
  assert.ok(pid > 0, said);
  while (isThere(pid)) await new Promise((resolve) => setTimeout(resolve, 10));
});
