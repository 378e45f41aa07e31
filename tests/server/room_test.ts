import assert from "node:assert/strict";
import { test } from "node:test";
import { connectionsWithin, findShortage, neededFor, parseLimit } from "../../lib/server/room.ts";

const SPARES = 7;

test("connectionsWithin() is what neededFor() needs no more of, of files and of threads", () => {
  assert.equal(neededFor(1000, "files", 64), 3840);
  assert.equal(neededFor(1000, "threads", 64), 1292);
  for (const connections of [0, 1, 2, 146, 1000, 100_000]) {
    for (const name of ["files", "threads"] as const) {
      const within = (more: number) => {
        const room = { files: Infinity, threads: Infinity };
        room[name] = neededFor(connections, name, SPARES) + more;
        return connectionsWithin(room, SPARES);
      };
      assert.equal(within(0), connections);
      assert.equal(within(-1), Math.max(0, connections - 1));
    }
  }
  assert.equal(connectionsWithin({ files: 0, threads: Infinity }, 4), 0);
  assert.equal(connectionsWithin({ files: Infinity, threads: 0 }, 4), 0);
  assert.equal(connectionsWithin({ files: Infinity, threads: Infinity }, 4), Infinity);
});

test("findShortage() names what there is too little of, and how much is needed", () => {
  const rows: readonly [number, number, string | undefined][] = [
    [3839, 1292, "3839 files may be open"],
    [3840, 1291, "1291 threads may run"],
    [3840, 1292, undefined],
    [Infinity, Infinity, undefined],
  ];
  for (const [files, threads, why] of rows) {
    assert.equal(findShortage({ files, threads }, 1000, 64)?.why, why);
  }
  assert.deepEqual(findShortage({ files: 100, threads: 100 }, 1000, 64), {
    why: "100 files may be open",
    needed: 3840,
    least: 843,
    hint: "allow more: ulimit -n 3840 before the start, or LimitNOFILE= of systemd",
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
