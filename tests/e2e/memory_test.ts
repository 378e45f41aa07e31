/**
 * How much memory clients can make the server take. A worker cannot be given a limit of its own in the
 * engine, so what one connection costs at worst is measured, and so is what thousands leave behind.
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { ChurnOptions, ChurnReading } from "../../bench/churn_visitors.ts";
import { findBun } from "../../bench/engine.ts";
import { concatAll, encodeBase64 } from "../../lib/base/bytes.ts";
import { LIMITS } from "../../lib/base/limits.ts";
import { askServer } from "../../lib/client/admin.ts";
import { folderOf, writeLimits } from "./administrator.ts";
import { loggedInCheaply, registerCheaply } from "./cheap_account.ts";
import {
  inWorld,
  peakMiBOf,
  ROOT,
  type Running,
  runProgram,
  type Served,
  until,
  type World,
} from "./harness.ts";
import { frame, RawClient, requestFrame, withClient } from "./raw_client.ts";

/** What one connection may take at most, whatever it sends: docs/isolation.md states it. */
const CONNECTION_MIB_MAX = 128;
/** And each of many that do it at the same moment. */
const EACH_MIB_MAX = 32;
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

const pidOf = ({ child: { pid = 0 } }: Running): number => pid;

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

/** Requests whose answers nobody reads. */
const UNREAD = 20_000;
/** Answers to somebody else, one after the other, in which more is done for whoever waits. */
const OTHERS_ASK = 20;

/** Answers that nobody reads, to many small requests in few packets. */
async function leaveUnread(world: World): Promise<void> {
  await withClient(loggedInCheaply(world, "dora"), async (client) => {
    client.pause();
    const requests = Array.from({ length: UNREAD }, (_, i) => requestFrame(i + 100, "PROOF"));
    client.write(concatAll(requests));
    await withClient(RawClient.open(world), async (other) => {
      // Until no more is done for it, while others are answered again and again.
      let before = 0;
      for (let now = await proven(world); now === 0 || now > before; now = await proven(world)) {
        before = now;
        for (let asked = 0; asked < OTHERS_ASK; asked++) await other.ok("HELLO");
      }
    });
  });
}

/** How many requests for proofs the server has carried out so far, as it says. */
async function proven(world: World): Promise<number> {
  const said = await askServer(folderOf(world), "STATUS", {});
  return said?.measured?.directory.requests["PROOF"]?.results["ok"] ?? 0;
}

/** Sends frames of one kind, all at once, and reads the answers. */
async function send(client: RawClient, make: (seq: number) => Uint8Array): Promise<void> {
  for (let i = 0; i < FRAMES; i++) client.write(make(1000 + i));
  for (let i = 0; i < FRAMES; i++) {
    const { type, code } = await client.next();
    assert.deepEqual([type, code], ["ERROR", "MALFORMED"]);
  }
}

/**
 * A server that dora is registered with and that has had connections: what everything takes that is
 * done for the first time is no connection's.
 */
async function serveOrdinary(world: World): Promise<number> {
  await world.serve();
  await registerCheaply(world, "dora");
  for (let i = 0; i < ORDINARY; i++) {
    await withClient(loggedInCheaply(world, "dora"), async (client) => {
      await client.refused("NOT_FOUND", "CERTREQ", { id: "alice" });
    });
  }
  return pidOf(world.server.running);
}

test("no input makes a connection take more memory than is stated", () =>
  inWorld(async (world) => {
    const pid = await serveOrdinary(world);
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

/** Connections that at the same moment have as much in flight as they may, and as much again behind it. */
const WORST_CONNECTIONS = 16;

/** As long as a frame may be, with a CSR that is as long as one may be; it is refused, and costs little. */
function longCsr(seq: number): Uint8Array {
  const csr = encodeBase64(new Uint8Array(LIMITS.derBytesMax));
  const body = `{"seq":${seq},"type":"CSR","csr":"${csr}"`;
  return frame(`${body}${" ".repeat(BODY_BYTES - body.length - 1)}}`);
}

test("connections that all do their worst at the same moment take no more than is stated", () =>
  inWorld(async (world) => {
    writeLimits(world, { requestsAtWork: 1 }); // what is in flight waits
    const pid = await serveOrdinary(world);
    const before = residentMiB(pid);
    const clients = await Promise.all(
      Array.from({ length: WORST_CONNECTIONS }, () => loggedInCheaply(world, "dora")),
    );
    forgetPeak(pid);
    await Promise.all(clients.map((client) => send(client, longCsr)));
    const each = (peakMiBOf(pid) - before) / WORST_CONNECTIONS;
    assert.ok(each <= EACH_MIB_MAX, `${each.toFixed(1)} MiB a connection`);
    for (const client of clients) client.close();
  }));

const VISITS = 5000;
const WARM_UP = 1000;
const AT_ONCE = 8;
const LOOKS = 8;
const VISITS_BETWEEN_LOOKS = 200;

/** Visits, and how the server was after every so many; by the engine that does most of them a second. */
async function visitOften(
  { port, running }: Served,
  visits: number,
  every: number,
): Promise<readonly ChurnReading[]> {
  const options: ChurnOptions = { port, pid: pidOf(running), visits, every, atOnce: AT_ONCE };
  const script = join(ROOT, "bench", "churn_visitors.ts");
  const { code, stdout, stderr } = await runProgram(findBun(), [script, JSON.stringify(options)]);
  assert.equal(code, 0, stderr);
  return stdout.trim().split("\n").map((line) => JSON.parse(line) as ChurnReading);
}

test("thousands of short connections leave nothing behind", () =>
  inWorld(async (world) => {
    const server = await world.serve();
    const pid = pidOf(server.running);
    const [idle, before, ...more] = await visitOften(server, VISITS, WARM_UP);
    let after = more.at(-1);
    assert.ok(idle && before && after?.visits === VISITS);
    // Garbage comes and goes; what is left behind for good stays.
    const isBack = () => (after?.residentMiB ?? 0) <= before.residentMiB + LEFT_MIB_MAX;
    for (let look = 1; !isBack() && look < LOOKS; look++) {
      [, after] = await visitOften(server, VISITS_BETWEEN_LOOKS, VISITS_BETWEEN_LOOKS);
    }
    assert.ok(isBack(), `${after?.residentMiB} MiB after, ${before.residentMiB} MiB before`);
    // Spare workers that the rush has made necessary are given up one by one.
    await until(
      () =>
        statusOf(pid, "Threads") <= idle.threads + 8 &&
        fs.readdirSync(`/proc/${pid}/fd`).length <= idle.files + 16,
      `no more than ${idle.threads} threads and ${idle.files} files`,
    );
    const said = await askServer(folderOf(world), "STATUS", {});
    assert.equal(said?.measured?.directory.sessions, 0, "the directory keeps nobody's session");
    assert.equal((await server.running.end()).code, 0);
  }));
