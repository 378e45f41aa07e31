import assert from "node:assert/strict";
import { test } from "node:test";
import {
  findShortage,
  neededFor,
  parseLimit,
  planFor,
  RESERVE_FULL,
  reserveFor,
} from "../../lib/server/room.ts";

const SPARES = 4;
const BOUNDLESS = { files: Infinity, threads: Infinity, megabytes: Infinity };
const FULL = { handshakes: 256, spares: 64, ending: 128 };

test("planFor() takes as many as neededFor() needs no more for, of each resource", () => {
  assert.equal(neededFor(1000, "files", SPARES), 3800);
  assert.equal(neededFor(1000, "threads", SPARES), 1292);
  assert.equal(neededFor(1000, "megabytes", SPARES), 3726);
  for (const connections of [1, 2, 146, 959, 960, 1000, 100_000]) {
    for (const name of ["files", "threads", "megabytes"] as const) {
      const within = (more: number) => {
        const room = { ...BOUNDLESS, [name]: neededFor(connections, name, SPARES) + more };
        return planFor(room, 1_000_000, SPARES).connections;
      };
      assert.equal(within(0), connections);
      assert.equal(within(-1), connections - 1);
    }
  }
  assert.equal(planFor({ ...BOUNDLESS, files: 0 }, 1000, SPARES).connections, 0);
  assert.equal(planFor({ ...BOUNDLESS, threads: 0 }, 1000, SPARES).connections, 0);
  assert.equal(planFor({ ...BOUNDLESS, megabytes: 0 }, 1000, SPARES).connections, 0);
});

test("planFor() keeps what a full server has beside its connections, where there is room", () => {
  assert.deepEqual(planFor(BOUNDLESS, 1000, SPARES), { connections: 1000, ...FULL });
  assert.deepEqual(planFor(BOUNDLESS, 1, SPARES), { connections: 1, ...FULL });
  assert.deepEqual(planFor(BOUNDLESS, 5, 100), { connections: 5, ...FULL, spares: 100 });
  assert.deepEqual(reserveFor(RESERVE_FULL, SPARES), FULL);
});

test("planFor() has most of a small room for connections, and the rest for what is beside them", () => {
  const usual = { ...BOUNDLESS, files: 1024 };
  const { connections, handshakes, spares, ending } = planFor(usual, 1000, SPARES);
  assert.equal(connections, 227);
  assert.ok(handshakes >= 64 && spares >= 16 && ending >= 32, "a quarter of a full server");
  assert.ok(160 + 3 * connections + handshakes + 2 * (spares + ending) <= usual.files);
  // Who wants fewer has the more beside them.
  const small = planFor(usual, 100, SPARES);
  assert.equal(small.connections, 100);
  assert.ok(small.handshakes > handshakes && small.ending > ending);
  const smaller = planFor(usual, 10, SPARES);
  assert.deepEqual(smaller, { connections: 10, ...FULL });
});

test("findShortage() names what there is too little of, and how much is needed", () => {
  const rows: readonly [number, number, number, string | undefined][] = [
    [3799, 1292, 3726, "3799 files may be open"],
    [3800, 1291, 3726, "1291 threads may run"],
    [3800, 1292, 3725, "3725 MB of memory are there"],
    [3800, 1292, 3726, undefined],
    [Infinity, Infinity, Infinity, undefined],
  ];
  for (const [files, threads, megabytes, why] of rows) {
    assert.equal(findShortage({ files, threads, megabytes }, 1000, SPARES)?.why, why);
  }
  const least = findShortage({ files: 1024, threads: 500, megabytes: 500 }, 1000, SPARES);
  assert.equal(least?.why, "500 MB of memory are there", "it is for the fewest connections");
  assert.deepEqual(findShortage({ files: 100, threads: 100, megabytes: 100 }, 1000, SPARES), {
    why: "100 files may be open",
    needed: 3800,
    least: 203,
    hint: "allow more: ulimit -n 3800 before the start, or LimitNOFILE= of systemd",
  });
});

test("parseLimit() reads the limit that holds, if there is one", () => {
  const limits = (files: string, processes: string) =>
    "Limit                     Soft Limit           Hard Limit           Units     \n" +
    "Max core file size        0                    unlimited            bytes     \n" +
    `Max processes             ${processes.padEnd(20)} 99                   processes \n` +
    `Max open files            ${files.padEnd(20)} 524288               files     \n` +
    "Max locked memory         8388608              8388608              bytes     \n";
  const rows: readonly [string, number, number][] = [
    [limits("1024", "40"), 1024, 40],
    [limits("524288", "unlimited"), 524_288, Infinity],
    [limits("unlimited", "1"), Infinity, 1],
    ["", Infinity, Infinity],
  ];
  for (const [text, files, processes] of rows) {
    assert.equal(parseLimit(text, "Max open files"), files);
    assert.equal(parseLimit(text, "Max processes"), processes);
  }
});
