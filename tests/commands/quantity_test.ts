import assert from "node:assert/strict";
import { test } from "node:test";
import { count, formatBytes, parseBytes } from "../../commands/quantity.ts";

const SHOWN: readonly (readonly [bytes: number, shown: string])[] = [
  [0, "0 bytes"],
  [1, "1 byte"],
  [1023, "1023 bytes"],
  [1024, "1.00 KiB"],
  [10_234, "9.99 KiB"],
  [10_235, "10.0 KiB"],
  [102_348, "99.9 KiB"],
  [102_400, "100 KiB"],
  [1_048_063, "1023 KiB"],
  [1_048_064, "1.00 MiB"],
  [1_048_576, "1.00 MiB"],
  [200 * 1024 ** 2, "200 MiB"],
  [5 * 1024 ** 4, "5.00 TiB"],
  [Number.MAX_SAFE_INTEGER, "8.00 PiB"],
];

for (const [bytes, shown] of SHOWN) {
  test(`formatBytes() shows ${bytes} as ${shown}`, () => {
    assert.equal(formatBytes(bytes), shown);
  });
}

const READ: readonly (readonly [text: string, bytes: number])[] = [
  ["0", 0],
  ["1000", 1000],
  ["64K", 65_536],
  ["20M", 20 * 1024 ** 2],
  ["5g", 5 * 1024 ** 3],
  ["1T", 1024 ** 4],
  ["3MiB", 3 * 1024 ** 2],
  ["3mb", 3 * 1024 ** 2],
];

test("parseBytes() reads numbers with units", () => {
  for (const [text, bytes] of READ) assert.equal(parseBytes(text), bytes, text);
});

test("parseBytes() refuses what is no number of bytes", () => {
  for (const text of ["", "-1", "1.5M", "M", "10X", "1 M", "9999999999T", "1KK", "٣"]) {
    assert.throws(() => parseBytes(text), {
      kind: "usage",
      message: `${
        JSON.stringify(text)
      } is not a number of bytes: a number, and K, M, G or T behind it`,
    });
  }
});

test("count() says how many of what", () => {
  assert.equal(count(0, "file"), "0 files");
  assert.equal(count(1, "file"), "1 file");
  assert.equal(count(2, "folder"), "2 folders");
});
