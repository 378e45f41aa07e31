/**
 * How much memory clients can make the server take. A worker cannot be given a limit of its own in the
 * engine, so what one connection costs at worst is measured, and so is what thousands leave behind.
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { test } from "node:test";
import { connect } from "node:tls";
import { TLS_OPTIONS } from "../../lib/base/tls.ts";
import { PROTOCOL } from "../../lib/protocol/messages.ts";
import { loggedInCheaply, registerCheaply } from "./cheap_account.ts";
import { inWorld, peakMiBOf, until, type World } from "./harness.ts";
import { frame, type RawClient, requestFrame, withClient } from "./raw_client.ts";

/** What one connection may take at most, whatever it sends: docs/isolation.md states it. */
const CONNECTION_MIB_MAX = 128;
/** And one of each kind at once, behind that. */
const ALL_MIB_MAX = 320;
/** What thousands of connections may leave behind, after as many before them. */
const LEFT_MIB_MAX = 64;

const BODY_BYTES = 65_536;
const ALL = "all kinds at once";
/** Connections as they usually are, before anything is measured. */
const ORDINARY = 32;
/** Frames of each kind: as many as are carried out at once, and as many again behind them. */
const FRAMES = 64;

const statusOf = (pid: number, field: string): number => {
  const status = fs.readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(status)?.[1]);
};
const residentMiB = (pid: number): number => statusOf(pid, "VmRSS") / 1024;

/** From now on `peakMiBOf` is of what comes. */
function forgetPeak(pid: number): void {
  fs.writeFileSync(`/proc/${pid}/clear_refs`, "5");
}

/** A request of exactly the longest body, whose field `id` is made of as many pieces as fit. */
function fill(seq: number, [open, piece, close]: readonly [string, string, string]): Uint8Array {
  const head = `{"seq":${seq},"type":"CERTREQ","id":${open}`;
  const room = BODY_BYTES - head.length - close.length - 1;
  const pieces = piece.repeat(Math.floor(room / piece.length));
  const body = `${head}${pieces}${close}`;
  return frame(`${body}${" ".repeat(BODY_BYTES - body.length - 1)}}`);
}

/** Nested as deep as fits; each level has to be closed. */
function nest(seq: number, open: string, close: string): Uint8Array {
  const head = `{"seq":${seq},"type":"CERTREQ","id":`;
  const depth = Math.floor((BODY_BYTES - head.length - 2) / (open.length + close.length));
  const body = `${head}${open.repeat(depth)}1${close.repeat(depth)}`;
  return frame(`${body}${" ".repeat(BODY_BYTES - body.length - 1)}}`);
}

const KEYS = Array.from({ length: 7000 }, (_, i) => `"k${i}":0`).join(",").slice(0, 60_000)
  .replace(/,[^,]*$/, "");

/** The worst of each kind of JSON, by what it makes most of. */
const KINDS: Readonly<Record<string, (seq: number) => Uint8Array>> = {
  "arrays in arrays": (seq) => nest(seq, "[", "]"),
  "objects in objects": (seq) => nest(seq, '{"":', "}"),
  "empty objects": (seq) => fill(seq, ["[{}", ",{}", "]"]),
  "empty arrays": (seq) => fill(seq, ["[[]", ",[]", "]"]),
  "numbers": (seq) => fill(seq, ["[0", ",.5".replace(".", "1."), "]"]),
  "texts": (seq) => fill(seq, ['["a"', ',"b"', "]"]),
  "one text of escapes": (seq) => fill(seq, ['"', "\\u2028", '"']),
  "one text": (seq) => fill(seq, ['"', "x", '"']),
  "keys": (seq) => frame(`{"seq":${seq},"type":"CERTREQ",${KEYS}}`),
  "a number of digits": (seq) => fill(seq, ["1", "9", ""]),
};

/** Answers that nobody reads, to many small requests in few packets. */
async function leaveUnread(world: World): Promise<void> {
  await withClient(loggedInCheaply(world, "dora"), async (client) => {
    client.pause();
    const requests = Array.from({ length: 20_000 }, (_, i) => requestFrame(i + 100, "PROOF"));
    for (const request of requests) client.write(request);
    await new Promise((resolve) => setTimeout(resolve, 1000)); // nothing tells what is not done
  });
}

/** Sends frames of one kind, all at once, and reads the answers. */
async function send(client: RawClient, make: (seq: number) => Uint8Array): Promise<void> {
  for (let i = 0; i < FRAMES; i++) client.write(make(1000 + i));
  for (let i = 0; i < FRAMES; i++) {
    const { type, code } = await client.next();
    assert.deepEqual([type, code], ["ERROR", "MALFORMED"]);
  }
}

test("no input makes a connection take more memory than is stated", () =>
  inWorld(async (world) => {
    await world.serve();
    await registerCheaply(world, "dora");
    const pid = world.server.running.child.pid ?? 0;
    // What everything takes that is done for the first time is no connection's.
    for (let i = 0; i < ORDINARY; i++) {
      await withClient(loggedInCheaply(world, "dora"), async (client) => {
        await client.refused("NOT_FOUND", "CERTREQ", { id: "alice" });
      });
    }
    const before = residentMiB(pid);
    const worst: Record<string, number> = {};
    const measure = async (kind: string, work: () => Promise<unknown>) => {
      forgetPeak(pid);
      await work();
      worst[kind] = Math.round(peakMiBOf(pid) - before);
    };
    const sendAll = (make: (seq: number) => Uint8Array) =>
      withClient(loggedInCheaply(world, "dora"), (client) => send(client, make));
    for (const [kind, make] of Object.entries(KINDS)) await measure(kind, () => sendAll(make));
    await measure("answers left unread", () => leaveUnread(world));
    await measure(ALL, () => Promise.all(Object.values(KINDS).map((make) => sendAll(make))));
    for (const [kind, mib] of Object.entries(worst)) {
      const max = kind === ALL ? ALL_MIB_MAX : CONNECTION_MIB_MAX;
      assert.ok(mib <= max, `${kind}: ${mib} MiB`);
    }
  }));

const WARM_UP = 1000;
const VISITS = 4000;
const AT_ONCE = 8;

/** Connects, says HELLO, hears the answer, and leaves. */
function visit(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ ...TLS_OPTIONS, host: "127.0.0.1", port, ALPNProtocols: [PROTOCOL] });
    socket.once("secureConnect", () => socket.write(requestFrame(1, "HELLO")));
    let isAnswered = false;
    socket.once("data", () => {
      isAnswered = true;
      socket.destroy();
    });
    socket.on("error", reject);
    socket.once("close", () => isAnswered ? resolve() : reject(new Error("closed unanswered")));
  });
}

async function visitOften(port: number, count: number): Promise<void> {
  let left = count;
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (left-- > 0) await visit(port);
  }));
}

test("thousands of short connections leave nothing behind", () =>
  inWorld(async (world) => {
    const { port, running } = await world.serve();
    const pid = running.child.pid ?? 0;
    const descriptors = () => fs.readdirSync(`/proc/${pid}/fd`).length;
    const idle = { threads: statusOf(pid, "Threads"), descriptors: descriptors() };
    await visitOften(port, WARM_UP);
    const before = residentMiB(pid);
    await visitOften(port, VISITS);
    // Spare workers that the rush has made necessary are given up one by one.
    const isBack = () =>
      statusOf(pid, "Threads") <= idle.threads + 16 && descriptors() <= idle.descriptors + 32;
    await until(isBack, `${idle.threads} threads, ${idle.descriptors} descriptors`);
    const after = residentMiB(pid);
    assert.ok(after <= before + LEFT_MIB_MAX, `${after} MiB after, ${before} MiB before`);
    assert.equal((await running.end()).code, 0);
  }));
