import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import * as fs from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { takeLock } from "../../lib/store/lock.ts";
import { assertFails } from "../fakes/directory.ts";

/** A folder for one test, with what a name that long leaves of it. */
async function inFolder(work: (folder: string) => Promise<void>, name = "d"): Promise<void> {
  const above = fs.mkdtempSync(join(tmpdir(), "pki-lock-"));
  const folder = join(above, name);
  fs.mkdirSync(folder, { recursive: true });
  try {
    await work(folder);
  } finally {
    fs.rmSync(above, { recursive: true, force: true });
  }
}

const heldBy = (folder: string, who: number | string) =>
  `cannot use "${folder}": process ${who} is using it`;

function listen(path: string, greeting: string): Promise<Server> {
  return new Promise((resolve) => {
    const server: Server = createServer((socket) => socket.end(greeting));
    server.listen(path, () => resolve(server));
  });
}

const close = (server: Server) => new Promise<void>((resolve) => server.close(() => resolve()));

/** A socket as a process leaves it that was killed. */
async function leaveSocket(path: string): Promise<void> {
  const child = spawn(process.execPath, [
    "eval",
    `require("node:net").createServer().listen(${JSON.stringify(path)}, () => console.log("up"))`,
    "--ext=cjs",
  ], { stdio: ["ignore", "pipe", "inherit"] });
  await new Promise((resolve) => child.stdout.once("data", resolve));
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await ended;
  assert.ok(fs.lstatSync(path).isSocket(), "the child has not left its socket");
}

const LONG = "a-folder-with-a-long-name/".repeat(6) + "end";

for (const [what, name] of [["a folder", "d"], ["a folder with a long path", LONG]] as const) {
  test(`takeLock() of ${what} is refused while somebody holds it, and names the process`, async () => {
    await inFolder(async (folder) => {
      const lock = await takeLock(folder);
      assert.ok(fs.lstatSync(join(folder, "lock")).isSocket());
      await assertFails(takeLock(folder), "conflict", heldBy(folder, process.pid));
      await assertFails(takeLock(folder), "conflict", heldBy(folder, process.pid));
      await lock.release();
      assert.deepEqual(fs.readdirSync(folder), []);
      const again = await takeLock(folder);
      await again.release();
    }, name);
  });
}

test("takeLock() of two folders gives both", async () => {
  await inFolder(async (one) => {
    await inFolder(async (other) => {
      const locks = [await takeLock(one), await takeLock(other)];
      for (const lock of locks) await lock.release();
    });
  });
});

test("takeLock() by several at the same moment gives it to one", async () => {
  await inFolder(async (folder) => {
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => takeLock(folder)));
    const locks = results.flatMap((result) => result.status === "fulfilled" ? [result.value] : []);
    assert.equal(locks.length, 1);
    await locks[0]?.release();
  });
});

for (const [what, name] of [["a folder", "d"], ["a folder with a long path", LONG]] as const) {
  test(`takeLock() of ${what} takes over a socket whose process was killed`, async () => {
    await inFolder(async (folder) => {
      // A socket can be bound only by a short path, but can be moved anywhere.
      const left = join(fs.mkdtempSync(join(folder.slice(0, folder.lastIndexOf(name)), "s-")), "s");
      await leaveSocket(left);
      fs.renameSync(left, join(folder, "lock"));
      const lock = await takeLock(folder);
      await assertFails(takeLock(folder), "conflict", heldBy(folder, process.pid));
      await lock.release();
    }, name);
  });
}

test("takeLock() takes over what is no socket that somebody listens on", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, "lock");
    for (
      const make of [
        () => fs.writeFileSync(path, "1234\n"),
        () => fs.symlinkSync(join(folder, "gone"), path),
      ]
    ) {
      make();
      await (await takeLock(folder)).release();
      assert.equal(fs.existsSync(path), false);
    }
  });
});

test("takeLock() is refused by a holder that says nothing of itself", async () => {
  await inFolder(async (folder) => {
    const server = await listen(join(folder, "lock"), "");
    await assertFails(takeLock(folder), "conflict", heldBy(folder, "(unknown)"));
    await close(server);
  });
});

test("takeLock() of a folder that is not there says so", async () => {
  await inFolder(async (folder) => {
    const missing = join(folder, "missing");
    await assertFails(takeLock(missing), "storage", /^cannot lock ".*missing": /);
  });
});
