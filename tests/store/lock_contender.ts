/**
 * One of several processes that want a folder's lock, for `lock_test.ts`: takes it so many times,
 * says each time whether it was alone, and is killed while it holds it for the last time.
 */

import * as fs from "node:fs";
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { PkiError } from "../../lib/base/errors.ts";
import { type Lock, takeLock } from "../../lib/store/lock.ts";

const [folder = "", marker = "", times = ""] = process.argv.slice(2);

async function take(): Promise<Lock> {
  for (;;) {
    try {
      return await takeLock(folder);
    } catch (error) {
      if (!(error instanceof PkiError && error.kind === "conflict")) throw error;
      await wait(Math.random() * 5);
    }
  }
}

for (let left = Number(times); left > 0; left--) {
  const lock = await take();
  // Nobody is killed between these two, so whoever finds a marker is not alone.
  fs.writeFileSync(marker, "", { flag: "wx" });
  await wait(Math.random() * 3);
  fs.rmSync(marker);
  fs.writeSync(1, "alone\n");
  if (left === 1) process.kill(process.pid, "SIGKILL");
  await lock.release();
}
