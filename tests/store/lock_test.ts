import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import * as fs from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
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
      const [name = "", ...more] = fs.readdirSync(folder);
      assert.match(name, new RegExp(`^lock-${process.pid}-[0-9a-f]{16}$`));
      assert.deepEqual(more, []);
      const stat = fs.lstatSync(join(folder, name));
      assert.ok(stat.isSocket());
      assert.equal(stat.mode & 0o777, 0o600);
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

const DEAD = "lock-1-0123456789abcdef";

for (const [what, name] of [["a folder", "d"], ["a folder with a long path", LONG]] as const) {
  test(`takeLock() of ${what} takes over sockets whose processes were killed`, async () => {
    await inFolder(async (folder) => {
      // A socket can be bound only by a short path, but can be moved anywhere.
      const left = join(fs.mkdtempSync(join(folder.slice(0, folder.lastIndexOf(name)), "s-")), "s");
      for (const dead of [DEAD, "lock"]) {
        await leaveSocket(left);
        fs.renameSync(left, join(folder, dead));
      }
      const lock = await takeLock(folder);
      assert.equal(fs.readdirSync(folder).length, 1);
      await assertFails(takeLock(folder), "conflict", heldBy(folder, process.pid));
      await lock.release();
    }, name);
  });
}

test("takeLock() takes over what is no socket that somebody listens on", async () => {
  await inFolder(async (folder) => {
    for (const name of ["lock", DEAD]) {
      const path = join(folder, name);
      for (
        const make of [
          () => fs.writeFileSync(path, "1234\n"),
          () => fs.symlinkSync(join(folder, "gone"), path),
        ]
      ) {
        make();
        await (await takeLock(folder)).release();
        assert.deepEqual(fs.readdirSync(folder), []);
      }
    }
  });
});

test("takeLock() leaves alone what only looks like a lock", async () => {
  const names = ["lock-", "lock-1-0123456789abcde", "lock.bak", "locksmith", ".lock.new"];
  await inFolder(async (folder) => {
    for (const name of names) fs.writeFileSync(join(folder, name), "");
    await (await takeLock(folder)).release();
    assert.deepEqual(fs.readdirSync(folder).toSorted(), names.toSorted());
  });
});

test("takeLock() tidies away sockets that were never shown", async () => {
  await inFolder(async (folder) => {
    const nursery = join(folder, `.0123456789ab.${DEAD}.new`);
    fs.mkdirSync(nursery);
    fs.writeFileSync(join(nursery, "s"), "");
    const lock = await takeLock(folder);
    assert.equal(fs.existsSync(nursery), false);
    await lock.release();
  });
});

const HOLDERS: readonly [string, { name: string; greeting: string; who: string }][] = [
  ["says who it is", { name: "lock", greeting: "1234\n", who: "1234" }],
  ["says nothing of itself", { name: "lock", greeting: "", who: "(unknown)" }],
  ["says nothing, but has its process id in its name", { name: DEAD, greeting: "", who: "1" }],
];

for (const [what, { name, greeting, who }] of HOLDERS) {
  test(`takeLock() is refused by a holder that ${what}`, async () => {
    await inFolder(async (folder) => {
      const server = await listen(join(folder, name), greeting);
      await assertFails(takeLock(folder), "conflict", heldBy(folder, who));
      await close(server);
    });
  });
}

test("takeLock() waits for those who claimed before, and takes what they leave", async () => {
  await inFolder(async (folder) => {
    let asked = 0;
    const claimant: Server = createServer((socket) => {
      socket.end("claiming\n");
      if (++asked === 3) claimant.close();
    });
    await new Promise<void>((resolve) => claimant.listen(join(folder, DEAD), resolve));
    const lock = await takeLock(folder);
    assert.equal(asked, 3);
    await lock.release();
  });
});

test("takeLock() takes turns between processes, some of which are killed", async () => {
  await inFolder(async (folder) => {
    const script = fileURLToPath(new URL("lock_contender.ts", import.meta.url));
    const marker = join(folder, "..", "owner");
    const contenders = Array.from({ length: 5 }, async () => {
      const child = spawn(
        process.execPath,
        ["run", "--quiet", "--allow-all", "--no-check", script, folder, marker, "8"],
        { stdio: ["ignore", "pipe", "inherit"] },
      );
      let said = "";
      child.stdout.setEncoding("utf8").on("data", (text: string) => said += text);
      const signal = await new Promise((resolve) => child.once("close", (_, by) => resolve(by)));
      return { said, signal };
    });
    for (const { said, signal } of await Promise.all(contenders)) {
      assert.equal(said, "alone\n".repeat(8));
      assert.equal(signal, "SIGKILL");
    }
    const lock = await takeLock(folder);
    assert.equal(fs.readdirSync(folder).length, 1);
    await lock.release();
  });
});

const IMPOSSIBLE: readonly [string, (folder: string) => string][] = [
  ["is not there", (folder) => join(folder, "missing")],
  ["is a file", (folder) => {
    fs.writeFileSync(join(folder, "file"), "");
    return join(folder, "file");
  }],
  ...process.platform === "linux"
    ? [["cannot be written", () => "/sys"] as [string, () => string]]
    : [],
];

for (const [what, make] of IMPOSSIBLE) {
  test(`takeLock() of a folder that ${what} says so`, async () => {
    await inFolder(async (folder) => {
      await assertFails(
        takeLock(make(folder)),
        "storage",
        /^cannot lock "[^"]+": (ENOENT|ENOTDIR|EPERM|EACCES|EROFS): /,
      );
    });
  });
}
