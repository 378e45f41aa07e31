import assert from "node:assert/strict";
import { test } from "node:test";
import { connectionsWithin, filesFor, parseOpenFiles } from "../../lib/server/open_files.ts";

test("connectionsWithin() is what filesFor() needs no more files for", () => {
  assert.equal(filesFor(1000, 64), 3840);
  for (const connections of [0, 1, 2, 146, 1000, 100_000]) {
    assert.equal(connectionsWithin(filesFor(connections, 7), 7), connections);
    assert.equal(connectionsWithin(filesFor(connections, 7) + 2, 7), connections);
    assert.equal(connectionsWithin(filesFor(connections, 7) - 1, 7), Math.max(0, connections - 1));
  }
  assert.equal(connectionsWithin(0, 4), 0);
});

test("parseOpenFiles() reads the limit that holds, if there is one", () => {
  const limits = (soft: string) =>
    "Limit                     Soft Limit           Hard Limit           Units     \n" +
    "Max core file size        0                    unlimited            bytes     \n" +
    `Max open files            ${soft.padEnd(20)} 524288               files     \n` +
    "Max locked memory         8388608              8388608              bytes     \n";
  const rows: readonly [string, number | undefined][] = [
    [limits("1024"), 1024],
    [limits("524288"), 524_288],
    [limits("unlimited"), undefined],
    ["", undefined],
  ];
  for (const [text, wanted] of rows) assert.equal(parseOpenFiles(text), wanted);
});
