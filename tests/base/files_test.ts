import assert from "node:assert/strict";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, test } from "node:test";
import {
  fileExists,
  makeFolder,
  readText,
  readTextIfThere,
  syncFolder,
  writeFileAtomic,
  writeFileOnce,
} from "../../lib/base/files.ts";

const root = fs.mkdtempSync(join(tmpdir(), "pki-files-"));
after(() => fs.rmSync(root, { recursive: true }));

/** A path in a folder of its own. */
function fresh(name = "file"): string {
  return join(fs.mkdtempSync(join(root, "x-")), name);
}

function modeOf(path: string): number {
  return fs.statSync(path).mode & 0o777;
}

const IS_WINDOWS = process.platform === "win32";

test("writeFileAtomic() makes a file for its owner alone, and nothing beside it", () => {
  const path = fresh();
  writeFileAtomic(path, "one");
  writeFileAtomic(path, "two");
  assert.equal(fs.readFileSync(path, "utf8"), "two");
  assert.deepEqual(fs.readdirSync(join(path, "..")), ["file"]);
  if (!IS_WINDOWS) assert.equal(modeOf(path), 0o600);
});

test("writeFileAtomic() writes bytes, and another mode where it is told so", () => {
  const path = fresh();
  writeFileAtomic(path, Uint8Array.of(0, 255), { mode: 0o644, isDurable: false });
  assert.deepEqual([...fs.readFileSync(path)], [0, 255]);
  if (!IS_WINDOWS) assert.equal(modeOf(path), 0o644 & ~process.umask());
});

test("writeFileAtomic() replaces a link, not what it points to", { skip: IS_WINDOWS }, () => {
  const [path, target] = [fresh(), fresh("target")];
  fs.writeFileSync(target, "target");
  fs.symlinkSync(target, path);
  writeFileAtomic(path, "new");
  assert.equal(fs.readFileSync(target, "utf8"), "target");
  assert.equal(fs.lstatSync(path).isFile(), true);
});

test("writeFileAtomic() leaves no trace where it fails", () => {
  const path = fresh("folder");
  fs.mkdirSync(path);
  assert.throws(() => writeFileAtomic(path, "x"), { kind: "storage" });
  assert.deepEqual(fs.readdirSync(join(path, "..")), ["folder"]);
});

const IMPOSSIBLE: readonly { readonly name: string; readonly make: () => string }[] = [
  { name: "in a folder that is not there", make: () => join(fresh(), "y") },
  {
    name: "below a file",
    make: () => {
      const path = fresh();
      fs.writeFileSync(path, "x");
      return join(path, "y");
    },
  },
  { name: "with a name that is too long", make: () => fresh("x".repeat(300)) },
  { name: "with a name that leaves no room beside it", make: () => fresh("x".repeat(250)) },
];

for (const { name, make } of IMPOSSIBLE) {
  test(`writeFileAtomic() and writeFileOnce() fail as storage ${name}`, () => {
    for (const write of [writeFileAtomic, writeFileOnce]) {
      const path = make();
      assert.throws(() => write(path, "x"), (error) => {
        const { kind, message } = error as { kind?: string; message: string };
        assert.equal(kind, "storage", message);
        assert.ok(message.startsWith(`cannot write "${path}": `), message);
        return true;
      });
    }
  });
}

test("writeFileOnce() writes text and bytes for the owner alone, and replaces nothing", () => {
  const path = fresh();
  assert.equal(writeFileOnce(path, Uint8Array.of(0, 255)), true);
  assert.equal(writeFileOnce(path, "other"), false);
  assert.deepEqual([...fs.readFileSync(path)], [0, 255]);
  assert.deepEqual(fs.readdirSync(join(path, "..")), ["file"]);
  if (!IS_WINDOWS) assert.equal(modeOf(path), 0o600);
  const text = fresh();
  writeFileOnce(text, "text", 0o644);
  assert.equal(fs.readFileSync(text, "utf8"), "text");
});

test("writeFileOnce() replaces no link and follows none", { skip: IS_WINDOWS }, () => {
  const [path, target] = [fresh(), fresh("target")];
  fs.symlinkSync(target, path); // to nothing
  assert.equal(writeFileOnce(path, "new"), false);
  assert.equal(fs.existsSync(target), false);
});

test("makeFolder() makes those above too, for the owner alone, and again", () => {
  const path = join(fresh("a"), "b");
  makeFolder(path);
  makeFolder(path);
  assert.equal(fs.statSync(path).isDirectory(), true);
  if (!IS_WINDOWS) assert.deepEqual([modeOf(path), modeOf(join(path, ".."))], [0o700, 0o700]);
  syncFolder(path);
});

test("makeFolder() fails as storage below a file", () => {
  const path = fresh();
  fs.writeFileSync(path, "x");
  assert.throws(() => makeFolder(join(path, "y")), {
    kind: "storage",
    message: /^cannot make folder/,
  });
});

test("readText() and readTextIfThere() read what is there", () => {
  const path = fresh();
  fs.writeFileSync(path, "\ufeffä\r\n");
  assert.equal(readText(path), "\ufeffä\r\n");
  assert.equal(readTextIfThere(path), "\ufeffä\r\n");
  assert.equal(fileExists(path), true);
});

test("readText() and readTextIfThere() say what is not there", () => {
  const path = fresh();
  assert.equal(fileExists(path), false);
  assert.equal(readTextIfThere(path), undefined);
  assert.throws(() => readText(path), {
    kind: "not-found",
    message: `cannot read "${path}": there is no such file`,
  });
});

test("readText() refuses what is no text file", () => {
  const path = fresh();
  fs.writeFileSync(path, Uint8Array.of(0xff));
  assert.throws(() => readText(path), {
    kind: "malformed",
    message: "cannot read text: it is not UTF-8",
  });
  assert.throws(() => readText(join(path, "..")), { kind: "storage", message: /^cannot read "/ });
});

test("readText() reads 262,144 bytes and no more", () => {
  const path = fresh();
  fs.writeFileSync(path, "x".repeat(262_144));
  assert.equal(readText(path).length, 262_144);
  fs.appendFileSync(path, "x");
  assert.throws(() => readText(path), {
    kind: "malformed",
    message: `cannot read "${path}": more than 262144 bytes`,
  });
});
