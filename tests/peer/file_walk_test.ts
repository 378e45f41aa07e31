import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { walkFiles } from "../../lib/peer/file_walk.ts";
import { hasProgram } from "../e2e/harness.ts";

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = fs.mkdtempSync(join(tmpdir(), "pki-walk-"));
  try {
    await body(folder);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

test("walkFiles() lists folders before what is in them, in one order everywhere", () =>
  inFolder(async (folder) => {
    const tree = join(folder, "t");
    fs.mkdirSync(join(tree, "b", "empty"), { recursive: true });
    for (const path of ["é", "Z", "a", "b/2", "b/10"]) fs.writeFileSync(join(tree, path), path);
    fs.writeFileSync(join(folder, "single"), "12345");
    fs.chmodSync(join(tree, "a"), 0o4711);
    fs.utimesSync(join(tree, "a"), 1_500_000_000, 1_500_000_000);
    const { files, leftOut, bytes } = await walkFiles([tree, join(folder, "single")]);
    assert.deepEqual(files.map(({ path, kind }) => `${path.join("/")} ${kind}`), [
      "t folder",
      "t/Z file",
      "t/a file",
      "t/b folder",
      "t/b/10 file",
      "t/b/2 file",
      "t/b/empty folder",
      "t/é file",
      "single file",
    ]);
    assert.deepEqual(leftOut, []);
    assert.equal(bytes, 1 + 1 + 4 + 3 + 2 + 5);
    assert.deepEqual(files[2], {
      path: ["t", "a"],
      location: join(tree, "a"),
      kind: "file",
      size: 1,
      permissions: 0o711,
      modifiedMs: 1_500_000_000_000,
    });
  }));

test("walkFiles() leaves out what is no file and no folder, and says why", () =>
  inFolder(async (folder) => {
    const tree = join(folder, "t");
    fs.mkdirSync(tree);
    fs.symlinkSync("/etc/passwd", join(tree, "1 outside"));
    fs.symlinkSync(tree, join(tree, "2 loop"));
    fs.symlinkSync("nowhere", join(tree, "3 broken"));
    const server = createServer().listen(join(tree, "4 socket"));
    await new Promise<void>((resolve) => server.once("listening", resolve));
    const hasFifo = hasProgram("mkfifo") &&
      spawnSync("mkfifo", [join(tree, "5 pipe")]).status === 0;
    if (process.platform === "linux") {
      // An engine may make UTF-8 of a path that is not.
      spawnSync("sh", ["-c", `: > "$1/6 $(printf '\\377')"`, "sh", tree]);
    }
    let deep = tree;
    for (let i = 0; i < 64; i++) deep = join(deep, "7");
    fs.mkdirSync(deep, { recursive: true });
    const { files, leftOut } = await walkFiles([tree]);
    server.close();
    assert.equal(files.length, 64, "the tree and 63 folders in it");
    assert.deepEqual(
      leftOut.map(({ location, why }) =>
        `${location.slice(tree.length + 1, tree.length + 9)}: ${why}`
      ),
      [
        "1 outsid: a symbolic link",
        "2 loop: a symbolic link",
        "3 broken: a symbolic link",
        "4 socket: a socket",
        ...(hasFifo ? ["5 pipe: a named pipe"] : []),
        ...(process.platform === "linux" ? ["6 \ufffd: its name is not UTF-8"] : []),
        "7/7/7/7/: more than 64 folders deep",
      ],
    );
  }));

test("walkFiles() follows a link that was named, and calls it by its own name", () =>
  inFolder(async (folder) => {
    fs.writeFileSync(join(folder, "real"), "x");
    fs.symlinkSync("real", join(folder, "link"));
    const { files } = await walkFiles([join(folder, "link")]);
    assert.deepEqual(files.map(({ path, size }) => [path, size]), [[["link"], 1]]);
  }));

test("walkFiles() names a folder that is named by dots by its name", () =>
  inFolder(async (folder) => {
    fs.mkdirSync(join(folder, "t", "sub"), { recursive: true });
    const { files } = await walkFiles([join(folder, "t", "sub", "..")]);
    assert.deepEqual(files.map(({ path }) => path.join("/")), ["t", "t/sub"]);
  }));

const REFUSED: readonly (readonly [
  name: string,
  names: readonly string[],
  kind: string,
  message: RegExp,
])[] = [
  ["nothing there", ["none"], "not-found", /^cannot send "[^"]*none": there is no such file$/],
  ["a file as a folder", ["a/x"], "not-found", /there is no such file$/],
  ["a link to nowhere", ["broken"], "not-found", /there is no such file$/],
  ["two of one name", ["a", "d/a"], "usage", /^cannot send two files of the name "a" at once$/],
];

for (const [name, names, kind, message] of REFUSED) {
  test(`walkFiles() refuses ${name}`, () =>
    inFolder(async (folder) => {
      fs.mkdirSync(join(folder, "d"));
      for (const path of ["a", "d/a"]) fs.writeFileSync(join(folder, path), "x");
      fs.symlinkSync("nowhere", join(folder, "broken"));
      await assert.rejects(walkFiles(names.map((one) => join(folder, one))), { kind, message });
    }));
}
