/**
 * `pki send` and `pki receive` as people use them: trees, large files whose transfer is cut in every
 * way, peers that send names and numbers from hell, and disks that are full.
 */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { concatBytes, utf8 } from "../../lib/base/bytes.ts";
import { CuttingRelay } from "./cutting_relay.ts";
import { Forge } from "./forge.ts";
import { type Finished, inWorld, type Running, type World } from "./harness.ts";
import {
  callAs,
  type Control,
  control,
  endFrame,
  frame,
  RawPeer,
  READY,
  REVEAL,
  TYPE,
} from "./raw_peer.ts";
import { inTerminal, sayYes } from "./terminal.ts";

const MIB = 1024 * 1024;

/** Starts `pki receive` for bob and waits until it listens. */
async function startReceiving(
  world: World,
  args: readonly string[],
  port = 0,
): Promise<{ readonly running: Running; readonly port: number }> {
  const running = world.startAs("bob", [
    ...["receive", "--host", "127.0.0.1", "--port", String(port), "--json"],
    ...args,
  ]);
  const [, bound] = await running.waitFor(/"event":"listening".*"port":(\d+)/);
  return { running, port: Number(bound) };
}

/** @param where a port of this machine, or `host:port` */
async function send(
  world: World,
  where: number | string,
  ...args: readonly string[]
): Promise<Finished> {
  const address = typeof where === "number" ? `127.0.0.1:${where}` : where;
  return await world.as("alice", ["send", address, ...args]);
}

/** Everything below a folder: content's hash, mode and time of files; folders with a slash. */
function listed(folder: string, prefix = ""): Readonly<Record<string, string>> {
  const all: Record<string, string> = {};
  for (const name of fs.readdirSync(folder).sort()) {
    const location = join(folder, name);
    const stats = fs.lstatSync(location);
    const mode = (stats.mode & 0o777).toString(8);
    const time = Math.round(stats.mtimeMs / 1000);
    if (stats.isDirectory()) {
      all[`${prefix}${name}/`] = `${mode} ${time}`;
      Object.assign(all, listed(location, `${prefix}${name}/`));
    } else {
      const hash = createHash("sha256").update(fs.readFileSync(location)).digest("hex");
      all[`${prefix}${name}`] = `${mode} ${time} ${hash}`;
    }
  }
  return all;
}

async function hashOf(location: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(location)) hash.update(chunk);
  return hash.digest("hex");
}

/** A tree with much of what a tree may have. */
function makeTree(tree: string): void {
  fs.mkdirSync(join(tree, "many"), { recursive: true });
  fs.mkdirSync(join(tree, "empty", "deeper"), { recursive: true });
  fs.mkdirSync(join(tree, "größe 日本"));
  fs.writeFileSync(join(tree, "größe 日本", "файл 🎈.txt"), "content");
  fs.writeFileSync(join(tree, "größe 日本", "-rf $(x) 'a\" b"), "quotes");
  fs.writeFileSync(join(tree, "nothing"), "");
  fs.writeFileSync(join(tree, "run"), "#!/bin/sh\n", { mode: 0o755 });
  fs.writeFileSync(join(tree, "large"), randomBytes(3 * MIB));
  for (let i = 0; i < 400; i++) fs.writeFileSync(join(tree, "many", `${i}`), `${i}`);
  for (const path of ["large", "nothing", "empty"]) {
    fs.utimesSync(join(tree, path), 1_400_000_000, 1_400_000_000);
  }
}

test("files and folders arrive whole, once, and from those alone who may send", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob", "carol");
    const tree = world.path("tree");
    makeTree(tree);
    const incoming = world.path("incoming");
    const { running, port } = await startReceiving(world, [
      ...["--dir", incoming, "--allow", "alice", "--max-bytes", "20M"],
    ]);
    const sent = await send(world, port, tree, "--json");
    assert.equal(sent.code, 0, sent.stderr);
    const result = JSON.parse(sent.stdout) as Record<string, unknown>;
    assert.deepEqual([result["peer"], result["files"], result["folders"]], ["bob", 405, 5]);
    // Names that no other system would take are others there.
    const rename = (path: string) => path.replace("'a\" b", "'a_ b");
    const wanted = Object.fromEntries(
      Object.entries(listed(tree)).map(([path, what]) => [rename(path), what]),
    );
    assert.deepEqual(listed(join(incoming, "tree")), wanted);

    fs.symlinkSync("/etc/passwd", join(tree, "link"));
    const again = await send(world, port, tree);
    assert.equal(again.code, 0, again.stderr);
    assert.match(again.stderr, /left out .*\/link: a symbolic link\n/);
    assert.match(again.stdout, /^sent 405 files and 5 folders \(3\.00 MiB\) to bob, 3\.00 MiB/);
    assert.deepEqual(fs.readdirSync(incoming), ["tree"]);
    assert.deepEqual(listed(join(incoming, "tree")), wanted, "nothing is there twice");

    const large = join(tree, "large");
    const hash = await hashOf(large);
    fs.writeFileSync(join(incoming, "large"), "mine");
    const single = await send(world, port, large);
    assert.equal(
      single.stdout,
      `sent "large" (3.00 MiB) to bob, SHA-256 ${hash}\n`,
    );
    assert.equal(fs.readFileSync(join(incoming, "large"), "utf8"), "mine");
    assert.equal(await hashOf(join(incoming, "large (1)")), hash);

    // Each refusal, with its exit code and its words.
    const carol = await world.as("carol", ["send", `127.0.0.1:${port}`, large]);
    assert.equal(carol.code, 4, carol.stderr);
    assert.match(carol.stderr, /"carol" is not among those who may send/);
    const wrong = await send(world, port, "--expect", "carol", large);
    assert.equal(wrong.code, 6, wrong.stderr);
    const huge = world.path("huge");
    fs.writeFileSync(huge, "");
    fs.truncateSync(huge, 21 * MIB);
    const refused = await send(world, port, huge);
    assert.equal(refused.code, 4, refused.stderr);
    assert.match(refused.stderr, /bob has declined: more than 20\.0 MiB are not accepted/);
    const missing = await send(world, port, world.path("nowhere"));
    assert.equal(missing.code, 5, missing.stderr);
    const pipe = await world.as("alice", ["connect", `127.0.0.1:${port}`], { input: "x" });
    assert.equal(pipe.code, 4, pipe.stderr);
    assert.match(pipe.stderr, /files are received here: send them with pki send/);
    const stopped = await running.end("SIGINT");
    assert.equal(stopped.code, 130, stopped.stderr);
    const nobody = await world.as("bob", ["receive", "--port", "0"]);
    assert.equal(nobody.code, 2, nobody.stderr);
    assert.match(nobody.stderr, /cannot ask whether to accept files: there is no terminal/);
    const yes = await world.as("bob", ["receive", "--port", "0", "--yes"]);
    assert.equal(yes.code, 2, "--yes trusts nobody");
    const events = running.stdout.trim().split("\n").map((line) =>
      JSON.parse(line) as Record<string, unknown>
    );
    assert.deepEqual(events.map(({ locations }) => locations), [
      [join(incoming, "tree")],
      [join(incoming, "tree")],
      [join(incoming, "large (1)")],
    ]);
    assert.equal(events[2]?.["sha256"], hash);
  }));

test("a large file goes on where it was, whoever or whatever was cut", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const size = 200 * MIB;
    const large = world.path("large.img");
    const descriptor = fs.openSync(large, "w");
    for (let at = 0; at < size; at += 20 * MIB) {
      fs.writeSync(descriptor, randomBytes(1000), 0, 1000, at);
    }
    fs.ftruncateSync(descriptor, size);
    fs.closeSync(descriptor);
    const incoming = world.path("incoming");
    const args = ["--dir", incoming, "--allow", "alice"];
    let receiving = await startReceiving(world, args);
    const relay = await CuttingRelay.start(receiving.port);
    try {
      // The receiver dies; the sender calls until there is another one.
      relay.at(40 * MIB, () => receiving.running.kill("SIGKILL"));
      // Then the network breaks, and then the sender dies.
      relay.at(90 * MIB, () => relay.cut());
      relay.at(140 * MIB, () => sending.kill("SIGKILL"));
      const sending = world.startAs("alice", ["send", relay.where, large, "--json"]);
      await receiving.running.finished;
      // One that ends after a transfer waits for one that is cut to go on.
      receiving = await startReceiving(world, [...args, "--once"], receiving.port);
      const killed = await sending.finished;
      assert.equal(killed.code, null, killed.stderr);
      const resumes = [...killed.stderr.matchAll(/"event":"resumed".*"bytes":(\d+)/g)];
      assert.equal(resumes.length, 2, killed.stderr);
      assert.ok((killed.stderr.match(/"event":"retry"/g)?.length ?? 0) >= 2, killed.stderr);
      assert.match(fs.readdirSync(incoming)[0] ?? "", /^\.large\.img\.[0-9a-f]{24}\.part$/);

      const last = await send(world, relay.where, large, "--json");
      assert.equal(last.code, 0, last.stderr);
      const result = JSON.parse(last.stdout) as Record<string, unknown>;
      assert.equal(result["sha256"], await hashOf(large));
      assert.equal(await hashOf(join(incoming, "large.img")), result["sha256"]);
      assert.deepEqual(fs.readdirSync(incoming), ["large.img"]);
      assert.equal(fs.statSync(join(incoming, "large.img")).size, size);
      // Only what was on its way when something was cut is sent again.
      assert.ok(relay.bytes < size + 3 * 12 * MIB, `${relay.bytes} bytes were sent`);
      const received = await receiving.running.finished;
      assert.equal(received.code, 0, received.stderr);
    } finally {
      relay.close();
    }
  }));

// Peers from hell

const SHA = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("base64");
const OFFER = { type: "OFFER", transfer: 1, name: "x", files: 9, bytes: 1000 };
const fileOf = (
  file: number,
  path: readonly string[],
  size: number,
  more: Control = {},
): Control => ({
  type: "FILE",
  file,
  path,
  kind: "file",
  size,
  permissions: 0o7777 & 0o777,
  modified: 0,
  ...more,
});
const FROM = (file: number) => control({ type: "FROM", file, offset: 0 });
function bytesOf(file: number, bytes: Uint8Array): Uint8Array {
  const number = new Uint8Array(4);
  new DataView(number.buffer).setUint32(0, file);
  return frame(TYPE.file, concatBytes(number, bytes));
}
/** A small file, whole. */
const whole = (file: number, path: readonly string[], content: Uint8Array) => [
  control(fileOf(file, path, content.length)),
  FROM(file),
  bytesOf(file, content),
  control({ type: "FILE_END", file, path, size: content.length, sha256: SHA(content) }),
];

async function openForFiles(peer: RawPeer): Promise<void> {
  peer.send(control({ ...peer.hello, mode: "files" }));
  await peer.control("HELLO");
  peer.send(control(REVEAL));
  await peer.control("NONCE");
  await peer.control("READY");
  peer.send(control(READY));
}

/** What breaks the protocol, once an offer was accepted. */
const BROKEN: readonly (readonly [name: string, sent: readonly Uint8Array[], says: RegExp])[] = [
  ["bytes of no file", [bytesOf(1, utf8("x"))], /bytes of file 1, which is not open/],
  [
    "a second offer",
    [control({ ...OFFER, transfer: 2 })],
    /OFFER before the last transfer was over/,
  ],
  ["DONE of another transfer", [control({ type: "DONE", transfer: 7 })], /DONE of transfer 7/],
  [
    "more bytes than were offered",
    [control(fileOf(1, ["a"], 1001))],
    /more bytes than were offered/,
  ],
  [
    "more bytes than the file has",
    [control(fileOf(1, ["a"], 3)), FROM(1), bytesOf(1, utf8("four"))],
    /more than the 3 bytes of file 1/,
  ],
  ["file 2 before file 1", [control(fileOf(2, ["a"], 1))], /file 2 follows file 0/],
  [
    "a beginning that nobody has",
    [control(fileOf(1, ["a"], 3)), control({ type: "FROM", file: 1, offset: 2 })],
    /file 1 begins at 2, where we have 0 bytes/,
  ],
  [
    "an end under another name",
    [
      control(fileOf(1, ["a"], 1)),
      FROM(1),
      bytesOf(1, utf8("x")),
      control({ type: "FILE_END", file: 1, path: ["b"], size: 1, sha256: SHA(utf8("x")) }),
    ],
    /file 1 ends under another name/,
  ],
  ["a path of no names", [control(fileOf(1, [], 1))], /an unknown control frame/],
  [
    "a path of 65 names",
    [control(fileOf(1, Array.from({ length: 65 }, () => "a"), 1))],
    /an unknown control frame/,
  ],
  ["a negative size", [control(fileOf(1, ["a"], -1))], /an unknown control frame/],
  ["setuid", [control(fileOf(1, ["a"], 1, { permissions: 0o4755 }))], /an unknown control frame/],
  ["an answer to no offer", [control({ type: "ACCEPT", transfer: 1 })], /ACCEPT/],
];

test("a peer from hell writes nothing but harmless names in the folder, and breaks only its line", () =>
  inWorld(async (world) => {
    await world.withUsers("bob");
    const mallory = await (await Forge.ofServer(world)).user("mallory");
    const incoming = world.path("incoming");
    fs.mkdirSync(incoming);
    fs.mkdirSync(world.path("outside"));
    fs.symlinkSync(world.path("outside"), join(incoming, "link"));
    const { running, port } = await startReceiving(world, [
      "--dir",
      incoming,
      "--allow",
      "mallory",
    ]);
    for (const [name, sent, says] of BROKEN) {
      const before = running.stderr.length;
      const peer = await callAs(mallory, port);
      await openForFiles(peer);
      peer.send(control(OFFER));
      await peer.control("ACCEPT");
      peer.send(...sent);
      await peer.typesToClose();
      await running.waitFor(new RegExp(`^[^]{${before}}[^]*"event":"failed".*\n[^]*"listening"`));
      assert.match(running.stderr.slice(before), says, name);
    }
    assert.deepEqual(fs.readdirSync(incoming), ["link"], "nothing is left of any of it");

    const peer = await callAs(mallory, port);
    await openForFiles(peer);
    // Ten million files, and more bytes than any disk has: declined, and the line goes on.
    peer.send(control({ ...OFFER, files: 10_000_000 }));
    assert.equal((await peer.control("DECLINE"))["code"], "REFUSED");
    peer.send(control({ ...OFFER, transfer: 2, bytes: Number.MAX_SAFE_INTEGER }));
    assert.equal((await peer.control("DECLINE"))["code"], "STORAGE");
    const paths: readonly (readonly string[])[] = [
      ["..", "..", "outside", "a"],
      ["/etc/passwd"],
      ["link", "b"],
      ["C:\\x\\nul"],
      ["a\u001b]0;title\u0007\u202etxt.exe"],
      [".bashrc"],
      ["CON"],
      ["d", ".."],
      ["d"],
      ["d", "x".repeat(255)],
      ["D", "y"],
    ];
    peer.send(control({ ...OFFER, transfer: 3, files: paths.length + 1 }));
    await peer.control("ACCEPT");
    paths.forEach((path, at) => peer.send(...whole(at + 1, path, utf8(`${at}`))));
    // Its hash is wrong: it is not stored, and nothing else suffers.
    const last = paths.length + 1;
    peer.send(
      control(fileOf(last, ["wrong"], 1)),
      FROM(last),
      bytesOf(last, utf8("x")),
      control({ type: "FILE_END", file: last, path: ["wrong"], size: 1, sha256: SHA(utf8("y")) }),
      control({ type: "DONE", transfer: 3 }),
    );
    const answers = new Map<number, string>();
    while (answers.size < last) {
      const heard = await peer.next();
      assert.ok("body" in heard, running.stderr);
      const { type, file } = JSON.parse(new TextDecoder().decode(heard.body)) as Control;
      answers.set(Number(file), String(type));
    }
    assert.deepEqual(
      [...answers].filter(([, type]) => type !== "STORED"),
      [[last, "FAILED"]],
      "in whatever order",
    );
    peer.send(endFrame(paths.length * 4 + paths.map((_, at) => `${at}`).join("").length + 5));
    // Its own end, and that it has all of ours, in either order.
    const ends = [await peer.next(), await peer.next()].map(({ type }) => type);
    assert.deepEqual(ends.sort(), [TYPE.control, TYPE.end]);
    assert.deepEqual(fs.readdirSync(world.path("outside")), []);
    assert.deepEqual(
      fs.readdirSync(incoming).sort(),
      [
        "C__x_nul",
        "D (2)",
        "_CON",
        "__",
        "_bashrc",
        "_etc_passwd",
        "a_]0;title__txt.exe",
        "d",
        "d (1)",
        "link",
        "link (1)",
      ].sort(),
    );
    assert.deepEqual(fs.readdirSync(join(incoming, "d")).sort(), ["__", "x".repeat(255)]);
    assert.equal(fs.readFileSync(join(incoming, "__", "__", "outside", "a"), "utf8"), "0");
    // deno-lint-ignore no-control-regex -- control characters are what it is about
    assert.doesNotMatch(running.stderr + running.stdout, /[\u0000-\u0009\u000b-\u001f\u202e]/);
    peer.hangUp();
    assert.equal(running.isOver, false);
  }));

// Disks

/** Whether we may mount: then disks can be full. */
function canMount(): boolean {
  if (process.getuid?.() !== 0) return false;
  const folder = fs.mkdtempSync(join(tmpdir(), "pki-mount-"));
  const isMounted =
    spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]).status === 0;
  if (isMounted) spawnSync("umount", [folder]);
  fs.rmdirSync(folder);
  return isMounted;
}

test("a disk that is full is told, exit 9, and what arrived is gone on with", {
  ...(canMount() ? {} : { skip: "needs to mount a small disk" }),
}, () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const disk = world.path("disk");
    fs.mkdirSync(disk);
    assert.equal(
      spawnSync("mount", ["-t", "tmpfs", "-o", "size=16m,nr_inodes=40", "tmpfs", disk]).status,
      0,
    );
    try {
      const { port } = await startReceiving(world, ["--dir", disk, "--allow", "alice"]);
      const file = (name: string, bytes: number) => {
        fs.writeFileSync(world.path(name), randomBytes(bytes));
        return world.path(name);
      };
      const tooLarge = await send(world, port, file("too-large", 17 * MIB));
      assert.equal(tooLarge.code, 9, tooLarge.stderr);
      assert.match(tooLarge.stderr, /bob has declined: there is not enough room/);
      assert.deepEqual(fs.readdirSync(disk), []);

      // It fits when it is offered, and then somebody else takes the room.
      const large = file("large", 12 * MIB);
      const relay = await CuttingRelay.start(port);
      relay.at(4 * MIB, () => fs.writeFileSync(join(disk, "filler"), randomBytes(7 * MIB)));
      const full = await send(world, relay.where, large, file("small", 1000));
      assert.equal(full.code, 9, full.stderr);
      assert.match(full.stderr, /bob cannot store "large": there is not enough room/);
      relay.close();
      fs.rmSync(join(disk, "filler"));
      const again = await send(world, port, large, world.path("small"), "--json");
      assert.equal(again.code, 0, again.stderr);
      assert.ok(Number((JSON.parse(again.stdout) as Control)["resumed"]) > 2 * MIB, again.stdout);
      assert.equal(await hashOf(join(disk, "large")), await hashOf(large));

      // A folder of which the first files fit: they are stored, and the others are told.
      const many = world.path("many");
      fs.mkdirSync(many);
      for (let i = 0; i < 60; i++) fs.writeFileSync(join(many, `${i}`), `${i}`);
      const some = await send(world, port, many, "--json");
      assert.equal(some.code, 9, some.stderr);
      const result = JSON.parse(some.stdout) as Record<string, unknown>;
      const stored = fs.readdirSync(join(disk, "many"));
      assert.equal(result["files"], stored.length);
      assert.equal((result["failed"] as unknown[]).length, 60 - stored.length);
      assert.ok(stored.length > 20 && stored.length < 40, `${stored.length} files`);
    } finally {
      spawnSync("umount", ["-l", disk]);
    }
  }));

test("at a terminal the receiver is asked, and a talk carries files both ways", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const incoming = world.path("incoming");
    const report = world.path("the report.pdf");
    fs.mkdirSync(incoming);
    fs.writeFileSync(report, randomBytes(100_000));
    const as = (id: string) => ["--id", id, "--password-file", world.passwordFile(id)];
    const env = { PKI_SERVER: `localhost:${world.server.port}` };
    const receive = ["receive", ...as("bob"), "--port", "0", "--dir", incoming, "--once"];
    await inTerminal(world, receive, async (terminal) => {
      const [, port] = await terminal.waitFor(/waits for files on port (\d+)/);
      const sending = world.startAs("alice", ["send", `127.0.0.1:${port}`, report]);
      await terminal.waitFor(
        /Accept "the report\.pdf" \(97\.7 KiB\) from alice \(words: \w+ \w+ \w+ \w+ \w+\)\?/,
      );
      await terminal.press("Enter"); // no is what Enter alone says
      const declined = await sending.finished;
      assert.equal(declined.code, 4, declined.stderr);
      assert.match(declined.stderr, /bob has declined: not accepted/);
      await terminal.waitFor(/waiting again/);
      const leaving = world.startAs("alice", ["send", `127.0.0.1:${port}`, report]);
      await terminal.waitFor(/Accept[^]*Accept/);
      await leaving.end("SIGKILL"); // nobody waits for an answer any more
      await terminal.waitFor(/alice offers it no more[^]*waiting again/);
      const again = world.startAs("alice", ["send", `127.0.0.1:${port}`, report]);
      await terminal.waitFor(/Accept[^]*Accept[^]*Accept/);
      await sayYes(terminal);
      assert.equal((await again.finished).code, 0);
      await terminal.waitFor(/received 1 file \(97\.7 KiB\) from alice, as .*report\.pdf, SHA-256/);
      assert.equal(await terminal.exitCode(), 0);
    }, { env });
    assert.deepEqual(fs.readdirSync(incoming), ["the report.pdf"]);

    const listen = ["listen", ...as("bob"), "--host", "127.0.0.1", "--port", "0"];
    const [bobs, alices] = [world.path("bobs"), world.path("alices")];
    for (const folder of [bobs, alices]) fs.mkdirSync(folder);
    await inTerminal(world, listen, async (bob) => {
      const [, port] = await bob.waitFor(/listening on port (\d+);/);
      const connect = ["connect", ...as("alice"), `127.0.0.1:${port}`];
      await inTerminal(world, connect, async (alice) => {
        await alice.waitFor(/bob is on the line/);
        await alice.enter(`/send "${report}"`);
        await bob.waitFor(/alice offers "the report\.pdf" \(97\.7 KiB\): \/accept/);
        await bob.enter("/accept");
        await alice.waitFor(/sent "the report\.pdf" \(97\.7 KiB\) to bob, SHA-256/);
        await bob.waitFor(/received 1 file \(97\.7 KiB\) from alice/);
        await bob.enter(`/send "${join(bobs, "the report.pdf")}"`);
        await alice.waitFor(/bob offers "the report\.pdf"/);
        await alice.enter("/decline");
        await bob.waitFor(/not sent: alice has declined: not accepted/);
        await bob.enter("/send nowhere");
        await bob.waitFor(/cannot send "nowhere": there is no such file/);
        await alice.enter("/quit");
        assert.equal(await alice.exitCode(), 0);
      }, { env, cwd: alices });
      // Who sends files to somebody at a terminal is answered there too.
      await bob.waitFor(/listening again/);
      const sending = world.startAs("alice", ["send", `127.0.0.1:${port}`, report]);
      await bob.waitFor(/alice offers[^]*alice offers/);
      await bob.enter("/accept");
      const sent = await sending.finished;
      assert.equal(sent.code, 0, sent.stderr);
      await bob.waitFor(/which was here already/);
    }, { env, cwd: bobs });
    assert.deepEqual(fs.readdirSync(bobs), ["the report.pdf"]);
    assert.deepEqual(fs.readFileSync(join(bobs, "the report.pdf")), fs.readFileSync(report));
    assert.deepEqual(fs.readdirSync(alices), []);
  }));
