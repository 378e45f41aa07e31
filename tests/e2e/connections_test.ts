/** Many connections at once: each has a worker of its own, which ends with it. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { writeLimits } from "./administrator.ts";
import { inWorld, until, untilAsync } from "./harness.ts";
import { header, RawClient, withClient } from "./raw_client.ts";

/** As many as there is room for where 1,024 files may be open, as many systems have it. */
const HELD = 227;
const FILES = 1024;
/** The program raises the soft limit to the hard one by itself. */
const WITHIN_FILES = ["sh", "-c", `ulimit -Sn 256 && ulimit -Hn ${FILES} && exec "$@"`, "sh"];
/** Workers that wait for a connection where nobody comes: `workersSpare` of `docs/limits.md`. */
const SPARE = 4;
/** Of `worker_pool.ts`: what may be waiting beside those while many come. */
const SPARES_MAX = 64;
const AT_A_TIME = 8;
/** Answers to somebody else, one after the other, behind which one that is too many has heard of that. */
const BEFORE_MAX = 20;

/** Threads of a process that are connection workers (Linux). */
function connectionWorkers(pid: number): number {
  const folder = `/proc/${pid}/task`;
  return fs.readdirSync(folder).filter((thread) => {
    try {
      return fs.readFileSync(join(folder, thread, "comm"), "utf8") === "connection\n";
    } catch {
      return false; // it ended while we looked
    }
  }).length;
}

const descriptors = (pid: number) => fs.readdirSync(`/proc/${pid}/fd`).length;

test("each of many connections has a worker of its own, and nothing is left of them", () =>
  inWorld(async (world) => {
    // Nobody is to be too slow on a slow machine.
    writeLimits(world, { helloSeconds: 3600, loginSeconds: 3600 });
    const { running } = await world.serve([], { within: WITHIN_FILES });
    await running.waitFor(
      new RegExp(`at most ${HELD} connections are taken: ${FILES} files may be`),
    );
    const pid = running.child.pid ?? 0;
    const isSettled = () => connectionWorkers(pid) === SPARE;
    await until(isSettled, `${SPARE} workers wait`);
    await withClient(RawClient.open(world), (client) => client.ok("HELLO").then(() => {}));
    await until(isSettled, `${SPARE} workers wait again`);
    const before = descriptors(pid);

    const clients: RawClient[] = [];
    let begun = 0;
    await Promise.all(Array.from({ length: AT_A_TIME }, async () => {
      while (begun < HELD) {
        begun++;
        const client = await RawClient.open(world);
        clients.push(client);
        await client.ok("HELLO");
      }
    }));
    assert.equal(clients.length, HELD);
    const workers = connectionWorkers(pid);
    assert.ok(workers >= HELD && workers <= HELD + SPARES_MAX, `${workers} workers`);
    await withClient(RawClient.open(world), async (late) => {
      // At once: others who ask behind it are not answered many times before.
      let hasHeard = false;
      void late.heard().then(() => hasHeard = true);
      for (let asked = 0; asked < BEFORE_MAX; asked++) await clients[0]?.ok("HELLO");
      assert.ok(hasHeard, "it has heard of it");
      const said = await late.rest();
      assert.deepEqual(said.map(({ seq, code }) => [seq, code]), [[0, "BUSY"]]);
      assert.match(said[0]?.message ?? "", /^the server is busy: 227 .*, try again in \d+ s$/);
    });
    await Promise.all(clients.map((client) => client.ok("HELLO"))); // nobody has noticed

    for (const client of clients) client.close();
    await until(isSettled, `${SPARE} workers are left`);
    await until(() => descriptors(pid) <= before, `${before} descriptors are left`);
    await withClient(RawClient.open(world), (client) => client.ok("HELLO").then(() => {}));

    // Whoever was shown the door and stays, its worker gone, does not keep the server from a clean end.
    await until(isSettled, `${SPARE} workers wait once more`);
    const lingering = await RawClient.open(world);
    await lingering.ok("HELLO");
    await until(() => connectionWorkers(pid) === SPARE + 1, "it has a worker");
    lingering.pause();
    lingering.write(header(0));
    await until(isSettled, "its worker is gone");
    assert.equal((await running.end()).code, 0, running.stderr);
    lingering.close();
  }));

test("a server takes no more connections than files may be open, and says so", () =>
  inWorld(async (world) => {
    const within = (files: number) => {
      const script = `ulimit -Sn ${files} && ulimit -Hn ${files} && exec "$@"`;
      return { within: ["sh", "-c", script, "sh"] };
    };
    const refused = await world.run(["serve", "--port", "0"], within(200));
    assert.equal(refused.code, 9, refused.stderr);
    assert.match(
      refused.stderr,
      /^pki: error: cannot serve: 200 files may be open, at least 203 needed\npki: hint: .*ulimit/m,
    );
    const { running } = await world.serve([], within(206));
    const told = "at most 2 connections are taken: 206 files may be open, and 1000 need 3800";
    await running.waitFor(new RegExp(told));
    const [first, second] = await Promise.all([RawClient.open(world), RawClient.open(world)]);
    await first.ok("HELLO");
    await second.ok("HELLO");
    await withClient(RawClient.open(world), async (third) => {
      assert.deepEqual((await third.rest()).map(({ code }) => code), ["BUSY"]);
    });
    await first.ok("HELLO");

    // Nor can a reload have it take none at all.
    writeLimits(world, { workersSpare: 1000 });
    running.kill("SIGHUP");
    await running.waitFor(
      /nothing was reloaded, all stays as it was: cannot serve: 206 files may be open/,
    );
    first.close();
    const isFree = () =>
      withClient(RawClient.open(world), async (client) => {
        client.say("HELLO");
        return (await client.nextOrEnd())?.type === "OK";
      });
    await untilAsync(isFree, "the place of the first is somebody else's");
    second.close();
    assert.equal((await running.end()).code, 0, running.stderr);

    // An order where no server runs needs room for nobody.
    const ordered = await world.run(["users"], within(200));
    assert.equal(ordered.code, 0, ordered.stderr);
    assert.doesNotMatch(ordered.stderr, /files may be open/);
  }));
