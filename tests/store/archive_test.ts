import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import * as fc from "fast-check";
import { pack } from "tar-stream";
import { concatBytes, encodeHex, sha256, utf8 } from "../../lib/base/bytes.ts";
import { type ErrorKind, PkiError } from "../../lib/base/errors.ts";
import {
  type Member,
  readArchive,
  type ReadArchiveOptions,
  writeArchive,
} from "../../lib/store/archive.ts";

const root = fs.mkdtempSync(join(tmpdir(), "pki-archive-"));
after(() => fs.rmSync(root, { recursive: true }));

/** A path in a folder of its own. */
function fresh(): string {
  return join(fs.mkdtempSync(join(root, "x-")), "backup.tar");
}

type Files = Readonly<Record<string, Uint8Array>>;

function membersOf(files: Files): Member[] {
  return Object.entries(files).map(([name, content]) => ({
    name,
    bytes: content.length,
    content: [content],
  }));
}

async function readAll(
  path: string,
  options: Partial<ReadArchiveOptions> = {},
): Promise<Record<string, Uint8Array>> {
  const files: Record<string, Uint8Array> = {};
  await readArchive(path, async (name, bytes, content) => {
    const parts: Uint8Array[] = [];
    for await (const part of content) parts.push(new Uint8Array(part));
    files[name] = concatBytes(...parts);
    assert.equal(files[name].length, bytes);
  }, { isAllowed: () => true, ...options });
  return files;
}

async function assertFails(
  work: Promise<unknown>,
  kind: ErrorKind,
  message: string | RegExp,
): Promise<void> {
  const error: unknown = await work.then(() => undefined, (thrown) => thrown);
  assert.ok(error instanceof PkiError, `failed with ${error}`);
  if (typeof message === "string") assert.equal(error.message, message);
  else assert.match(error.message, message);
  assert.equal(error.kind, kind);
}

/** The bytes of a tar file as tar-stream writes them, without what `writeArchive` adds. */
async function packRaw(
  entries: readonly (Parameters<ReturnType<typeof pack>["entry"]>[0] & { text?: string })[],
): Promise<Uint8Array> {
  const packer = pack();
  for (const { text, ...header } of entries) {
    if (text === undefined) packer.entry(header).end(null);
    else packer.entry(header, text);
  }
  packer.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of packer) chunks.push(chunk as Uint8Array);
  return concatBytes(...chunks);
}

const FILES: Files = {
  "root.crt": utf8("a certificate\n"),
  "log/000000000000.log": new Uint8Array(70_000).map((_, index) => index * 7),
  "empty": new Uint8Array(),
  "block": new Uint8Array(512).fill(1),
};

test("readArchive() gives what writeArchive() took, in order", async () => {
  const path = fresh();
  await writeArchive(path, membersOf(FILES));
  const files = await readAll(path);
  assert.deepEqual(files, FILES);
  assert.deepEqual(Object.keys(files), Object.keys(FILES));
  assert.equal(fs.statSync(path).mode & 0o777, 0o600);
  assert.deepEqual(fs.readdirSync(join(path, "..")), ["backup.tar"]);
});

test("readArchive() gives what writeArchive() took, whatever its sizes and portions", async () => {
  const path = fresh();
  const portions = fc.array(fc.uint8Array({ maxLength: 1500 }), { maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(fc.array(portions, { maxLength: 5 }), async (all) => {
      const expected = Object.fromEntries(
        all.map((parts, index) => [`f${index}`, concatBytes(...parts)]),
      );
      const members = all.map((content, index) => ({
        name: `f${index}`,
        bytes: expected[`f${index}`]?.length ?? 0,
        content,
      }));
      await writeArchive(path, members);
      assert.deepEqual(await readAll(path), expected);
    }),
    { numRuns: 60 },
  );
});

test("writeArchive() makes what tar lists and takes apart, and sha256sum confirms", async () => {
  const path = fresh();
  await writeArchive(path, membersOf(FILES));
  const listed = execFileSync("tar", ["tf", path], { encoding: "utf8" });
  assert.deepEqual(listed.trim().split("\n"), [...Object.keys(FILES), "SHA256SUMS"]);
  const folder = join(path, "..");
  execFileSync("tar", ["xf", path, "-C", folder]);
  for (const [name, content] of Object.entries(FILES)) {
    assert.deepEqual(new Uint8Array(fs.readFileSync(join(folder, name))), content);
  }
  execFileSync("sha256sum", ["--check", "--strict", "SHA256SUMS"], { cwd: folder });
});

test("readArchive() reads what tar has packed again", async () => {
  const path = fresh();
  const folder = join(path, "..");
  await writeArchive(path, membersOf(FILES));
  execFileSync("tar", ["xf", path, "-C", folder]);
  fs.rmSync(path);
  const names = [...Object.keys(FILES), "SHA256SUMS"];
  execFileSync("tar", ["cf", path, "--format=ustar", "-C", folder, ...names]);
  assert.deepEqual(await readAll(path), FILES);
});

test("writeArchive() takes members and contents as they come, and tells how far it is", async () => {
  const path = fresh();
  const told: number[] = [];
  let opened = 0;
  async function* content() {
    for (let part = 0; part < 3; part++) yield await Promise.resolve(new Uint8Array(1000));
  }
  async function* members() {
    for (const name of ["a", "b"]) {
      opened++;
      yield await Promise.resolve({ name, bytes: 3000, content: content() });
    }
  }
  await writeArchive(path, members(), { onBytes: (bytes) => told.push(bytes) });
  assert.equal(opened, 2);
  assert.deepEqual(told, [1000, 2000, 3000, 4000, 5000, 6000]);
  const read: number[] = [];
  await readAll(path, { onBytes: (bytes) => read.push(bytes) });
  assert.equal(read.at(-1), 6000);
  assert.deepEqual(read, read.toSorted((a, b) => a - b));
});

test("writeArchive() and readArchive() hold no more of a member than a few portions", async () => {
  const path = fresh();
  const portions = 64;
  const portion = new Uint8Array(256 * 1024);
  let made = 0;
  let seen = 0;
  function* content() {
    for (; made < portions; made++) {
      // What is on disk and what is under way differ by a bounded number of portions.
      const [temporary = ""] = fs.readdirSync(join(path, ".."));
      const written = fs.statSync(join(path, "..", temporary)).size / portion.length;
      assert.ok(made - written < 4, `${made} made, ${written} written`);
      yield portion;
    }
  }
  await writeArchive(path, [{ name: "big", bytes: portions * portion.length, content: content() }]);
  await readArchive(path, async (_name, _bytes, chunks) => {
    for await (const chunk of chunks) seen += chunk.length;
  }, { isAllowed: () => true });
  assert.equal(seen, portions * portion.length);
});

test("writeArchive() leaves what was there when it fails, and nothing beside it", async () => {
  const path = fresh();
  fs.writeFileSync(path, "before");
  const own = new Error("the disk of the source is broken");
  const broken = (function* () {
    yield new Uint8Array(10);
    throw own;
  })();
  const error = await writeArchive(path, [{ name: "a", bytes: 20, content: broken }]).catch((e) =>
    e
  );
  assert.equal(error, own);
  assert.equal(fs.readFileSync(path, "utf8"), "before");
  assert.deepEqual(fs.readdirSync(join(path, "..")), ["backup.tar"]);
});

const ten = [new Uint8Array(10)];
function* endless(): Generator<Uint8Array> {
  for (;;) yield new Uint8Array(10);
}

const UNWRITABLE: readonly [string, readonly Member[], ErrorKind, string][] = [
  [
    "content that is too short",
    [{ name: "a", bytes: 11, content: ten }],
    "storage",
    '"a" has 10 instead of 11 bytes',
  ],
  [
    "content that is too long",
    [{ name: "a", bytes: 9, content: ten }],
    "storage",
    '"a" has more than 9 bytes',
  ],
  [
    "content that does not end",
    [{ name: "a", bytes: 99, content: endless() }],
    "storage",
    '"a" has more than 99 bytes',
  ],
  [
    "a name twice",
    [{ name: "a", bytes: 10, content: ten }, { name: "a", bytes: 10, content: ten }],
    "internal",
    '"a" cannot be a member\'s name',
  ],
  ...["", "/a", "a/", "a//b", "../a", "a/../b", ".", "a b", "ä", "SHA256SUMS", "a".repeat(101)].map(
    (name): [string, readonly Member[], ErrorKind, string] => [
      `the name ${JSON.stringify(name)}`,
      [{ name, bytes: 10, content: ten }],
      "internal",
      `${JSON.stringify(name)} cannot be a member's name`,
    ],
  ),
  [
    "more than a header can say",
    [{ name: "a", bytes: 8 ** 11, content: ten }],
    "storage",
    '"a" has 8589934592 bytes, which is too many',
  ],
];

for (const [what, members, kind, message] of UNWRITABLE) {
  test(`writeArchive() refuses ${what}`, async () => {
    const path = fresh();
    await assertFails(writeArchive(path, members), kind, `cannot write "${path}": ${message}`);
    assert.deepEqual(fs.readdirSync(join(path, "..")), []);
  });
}

test("writeArchive() into a folder that is not there says so", async () => {
  const path = join(fresh(), "missing.tar");
  await assertFails(writeArchive(path, []), "storage", /^cannot write ".*": ENOENT/);
});

test("readArchive() of a file that is not there says so", async () => {
  const path = fresh();
  await assertFails(readAll(path), "not-found", `cannot read "${path}": there is no such file`);
});

const sums = (files: Readonly<Record<string, string>>) => ({
  name: "SHA256SUMS",
  text: Object.entries(files).map(([name, text]) => `${encodeHex(sha256(utf8(text)))}  ${name}\n`)
    .join(""),
});
const a = { name: "a", text: "x" };
const goodSums = sums({ a: "x" });

type RawEntries = Parameters<typeof packRaw>[0];
/** What tar allows and an archive does not: entries, and what is said of them. */
const REFUSED: readonly [string, RawEntries, string][] = [
  ["no members", [], "it is cut off"],
  ["no sums", [a], 'it is cut off behind "a"'],
  [
    "a name that is not allowed",
    [{ name: "secret", text: "x" }],
    '"secret" does not belong into it',
  ],
  [
    "a name that leaves the folder",
    [{ name: "../a", text: "x" }],
    '"../a" does not belong into it',
  ],
  ["an absolute name", [{ name: "/a", text: "x" }], '"/a" does not belong into it'],
  ["a member twice", [a, a, goodSums], '"a" is in it twice'],
  ["a folder", [{ name: "a", type: "directory" }], '"a" is no plain file'],
  ["a symbolic link", [{ name: "a", type: "symlink", linkname: "b" }], '"a" is no plain file'],
  ["a hard link", [{ name: "a", type: "link", linkname: "b" }], '"a" is no plain file'],
  ["a device", [{ name: "a", type: "character-device" }], '"a" is no plain file'],
  ["a FIFO", [{ name: "a", type: "fifo" }], '"a" is no plain file'],
  [
    "a member that is too large",
    [{ name: "a", text: "x".repeat(1001) }],
    '"a" has 1001 bytes, at most 1000 allowed',
  ],
  [
    "an extension header first",
    [{ ...a, pax: { comment: "x" } }, goodSums],
    "it does not begin with a plain member",
  ],
  [
    "an extension header later",
    [a, { name: "b", text: "x", pax: { path: "c" } }, goodSums],
    'it is damaged behind "a"',
  ],
  ["a member behind the sums", [goodSums, a], '"SHA256SUMS" has 68 bytes, which is too many'],
  [
    "a member behind the sums that fit",
    [a, goodSums, { name: "b", text: "x" }],
    '"b" comes behind "SHA256SUMS"',
  ],
  ["another digest", [a, sums({ a: "y" })], '"a" is not what "SHA256SUMS" says of it'],
  ["a digest that is missing", [a, sums({})], '"a" is not what "SHA256SUMS" says of it'],
  [
    "sums that are too long",
    [a, { ...goodSums, text: goodSums.text + "x".repeat(100) }],
    '"SHA256SUMS" has 168 bytes, which is too many',
  ],
  [
    "sums that are not in canonical form",
    [a, { ...goodSums, text: `${goodSums.text}\n` }],
    '"SHA256SUMS" does not list what is in it',
  ],
  [
    "digests in another order",
    [a, { name: "b", text: "x" }, sums({ b: "x", a: "x" })],
    '"SHA256SUMS" does not list what is in it',
  ],
];

const OPTIONS = { isAllowed: (name: string) => name !== "secret", memberBytesMax: 1000 };

for (const [what, entries, message] of REFUSED) {
  test(`readArchive() refuses ${what}`, async () => {
    const path = fresh();
    fs.writeFileSync(path, await packRaw(entries));
    await assertFails(readAll(path, OPTIONS), "malformed", `cannot read "${path}": ${message}`);
  });
}

test("readArchive() takes what is just within its bounds", async () => {
  const path = fresh();
  const text = "x".repeat(1000);
  fs.writeFileSync(path, await packRaw([{ name: "a", text }, sums({ a: text })]));
  assert.deepEqual(await readAll(path, OPTIONS), { a: utf8(text) });
});

test("readArchive() refuses an archive that is cut off anywhere, and names the member", async () => {
  const path = fresh();
  await writeArchive(path, membersOf({ first: new Uint8Array(600), second: new Uint8Array(5) }));
  const whole = fs.readFileSync(path);
  const cuts: readonly [number, string][] = [
    [0, "it is empty"],
    [100, "it is cut off"],
    [512 + 100, 'it is cut off in "first"'],
    [512 + 599, 'it is cut off in "first"'],
    [512 + 600, 'it is cut off behind "first"'],
    [512 + 1024, 'it is cut off behind "first"'],
    [512 + 1024 + 100, 'it is cut off behind "first"'],
    [512 + 1024 + 512 + 3, 'it is cut off in "second"'],
    [whole.length - 1, 'it is cut off behind "SHA256SUMS"'],
    [whole.length - 1024, 'it is cut off behind "SHA256SUMS"'],
  ];
  for (const [length, message] of cuts) {
    fs.writeFileSync(path, whole.subarray(0, length));
    const error: unknown = await readAll(path).catch((thrown) => thrown);
    assert.ok(error instanceof PkiError && error.kind === "malformed", `${length}: ${error}`);
    const said = error.message.replace(`cannot read "${path}": `, "");
    assert.equal(said, message, `cut to ${length} bytes`);
  }
  for (let length = 0; length < whole.length; length += 37) {
    fs.writeFileSync(path, whole.subarray(0, length));
    await assertFails(readAll(path), "malformed", /^cannot read ".*": it is /);
  }
});

test("readArchive() notices every flipped bit that a name or a content has", async () => {
  const path = fresh();
  await writeArchive(path, membersOf({ first: utf8("content"), second: utf8("more") }));
  const whole = fs.readFileSync(path);
  const sumsAt = 2 * 1024;
  const isContent = (at: number) =>
    (at >= 512 && at < 519) || (at >= 1024 + 512 && at < 1024 + 516) ||
    (at >= sumsAt + 512 && at < sumsAt + 512 + 145);
  const isName = (at: number) => at < sumsAt + 512 && at % 1024 < 7;
  for (let at = 0; at < whole.length; at++) {
    if (!isContent(at) && !isName(at)) continue;
    const damaged = new Uint8Array(whole);
    damaged[at] = (damaged[at] ?? 0) ^ 1 << (at % 8);
    fs.writeFileSync(path, damaged);
    await assertFails(readAll(path), "malformed", /^cannot read ".*": /);
  }
});

test("readArchive() refuses bytes of any kind without failing otherwise", async () => {
  const path = fresh();
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 3000 }), async (bytes) => {
      fs.writeFileSync(path, bytes);
      await assertFails(readAll(path), "malformed", /^cannot read "/);
    }),
    { numRuns: 100 },
  );
});

test("readArchive() passes over what is not read, and checks it all the same", async () => {
  const path = fresh();
  await writeArchive(path, membersOf(FILES));
  const names: string[] = [];
  await readArchive(path, (name) => {
    names.push(name);
    return Promise.resolve();
  }, { isAllowed: () => true });
  assert.deepEqual(names, Object.keys(FILES));
  const damaged = fs.readFileSync(path);
  damaged[1024 + 512 + 60_000] = 0xff;
  fs.writeFileSync(path, damaged);
  const skip = async (_name: string, _bytes: number, content: AsyncIterable<Uint8Array>) => {
    for await (const _ of content) break;
  };
  await assertFails(
    readArchive(path, skip, { isAllowed: () => true }),
    "malformed",
    `cannot read "${path}": "log/000000000000.log" is not what "SHA256SUMS" says of it`,
  );
});

test("readArchive() ends with what its caller throws", async () => {
  const path = fresh();
  await writeArchive(path, membersOf(FILES));
  const own = new Error("no space where it should go");
  const error = await readArchive(path, () => Promise.reject(own), { isAllowed: () => true })
    .catch((thrown) => thrown);
  assert.equal(error, own);
});
