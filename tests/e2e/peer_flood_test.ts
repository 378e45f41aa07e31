/**
 * A peer with a good certificate that wants to use us up: floods of frames, messages without an end,
 * callers that never go on. Memory stays bounded, and a good caller is served all the same.
 */

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectTcp } from "node:net";
import { test } from "node:test";
import { concatBytes } from "../../lib/base/bytes.ts";
import { Forge } from "./forge.ts";
import { inWorld, type Running } from "./harness.ts";
import { callAs, control, frame, RawListener, type RawPeer, textBody, TYPE } from "./raw_peer.ts";

/** What a flood may add to the memory of the program, in MiB; many of these send more than that. */
const GROWTH_MIB_MAX = 160;

const BIGGEST = 65_536;

interface Flood {
  readonly name: string;
  /** What is sent again and again. */
  readonly drop: Uint8Array;
  readonly times: number;
  /** Bytes of text and data in all of it, where the conversation goes on. */
  readonly bytes?: number;
  /** Why it does not. */
  readonly says?: RegExp;
}

const FLOODS: readonly Flood[] = [
  {
    name: "data frames with nothing in them",
    drop: frame(TYPE.data, new Uint8Array()),
    times: 100_000,
    bytes: 0,
  },
  { name: "ALIVE", drop: control({ type: "ALIVE" }), times: 100_000, bytes: 0 },
  {
    name: "DELIVERED, of nothing new",
    drop: control({ type: "DELIVERED", messages: 0 }),
    times: 50_000,
    bytes: 0,
  },
  {
    name: "control frames of a later version",
    drop: control({ type: "mood", text: "x".repeat(60_000) }),
    times: 500,
    bytes: 0,
  },
  {
    name: "frames of a later version",
    drop: frame(200, new Uint8Array(BIGGEST - 1)),
    times: 1000,
    bytes: 0,
  },
  {
    name: "messages with nothing in them",
    drop: frame(TYPE.text, textBody(new Uint8Array())),
    times: 30_000,
    bytes: 30_000 * 17,
  },
  {
    name: "a message that never ends, byte by byte",
    drop: frame(TYPE.text, Uint8Array.of(1, 0x61)),
    times: 300_000,
    says: /a message that is too long/,
  },
  {
    name: "a message that never ends, in large parts",
    drop: frame(TYPE.text, concatBytes(Uint8Array.of(1), new Uint8Array(BIGGEST - 2))),
    times: 200,
    says: /a message that is too long/,
  },
];

/** Sends a flood, then a good end if it was one that does no harm. */
async function flood(
  peer: RawPeer,
  { drop, times, bytes, says }: Flood,
  onSent: () => void = () => {},
): Promise<void> {
  await peer.open();
  const atOnce = Math.ceil(BIGGEST / drop.length);
  const bucket = concatBytes(...Array.from({ length: atOnce }, () => drop));
  for (let sent = 0; sent < times; sent += atOnce) {
    await peer.sendAll(bucket.subarray(0, Math.min(atOnce, times - sent) * drop.length));
  }
  onSent();
  if (says) await peer.typesToClose();
  else await peer.finish(bytes ?? 0);
  peer.hangUp();
}

test("a flood of any kind takes no memory, and is no reason to stop listening", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    const forge = await Forge.ofServer(world);
    const mallory = await forge.user("mallory");
    const { running, port } = await world.listen("alice");
    const good = async () => {
      const peer = await callAs(mallory, port);
      await peer.open();
      await peer.finish(0);
      await running.waitFor(/"event":"ended"[^]*"event":"listening"/);
    };
    await good();
    const before = running.peakMiB;
    for (const row of FLOODS) {
      const told = running.stderr.length;
      await flood(await callAs(mallory, port), row).catch((e) => {
        throw e;
      });
      const { groups: { over } = { over: "" } } = await running.waitFor(
        new RegExp(`^[^]{${told}}[^]*"event":"(?<over>ended|failed)"[^]*"event":"listening"`),
      );
      assert.equal(over, row.says ? "failed" : "ended", row.name);
      if (row.says) assert.match(running.stderr.slice(told), row.says, row.name);
      assert.ok(running.peakMiB - before < GROWTH_MIB_MAX, `${row.name}: ${running.peakMiB} MiB`);
    }
    await good();
  }));

/** Says a greeting, one byte a second, until the other side has had enough. */
async function drip(peer: RawPeer): Promise<void> {
  const hello = control(peer.hello);
  let said = 0;
  const timer = setInterval(() => peer.send(hello.subarray(said, ++said)), 1000);
  await peer.typesToClose();
  clearInterval(timer);
  assert.ok(said < hello.length);
}

test("a flood takes no memory of a caller either", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    const mallory = await (await Forge.ofServer(world)).user("mallory");
    for (const row of FLOODS.filter(({ drop }) => drop[4] === TYPE.text)) {
      const peaks: number[] = [];
      const flooded = Promise.withResolvers<void>();
      const listener = await RawListener.start(mallory, (peer) => {
        const look = () => peaks.push(caller.peakMiB);
        flood(peer, row, look).then(flooded.resolve, flooded.reject);
      });
      const caller: Running = world.startAs("alice", ["connect", listener.where]);
      const called = await caller.finished;
      await flooded.promise;
      listener.close();
      assert.equal(called.code, row.says ? 7 : 0, `${row.name}: ${called.stderr}`);
      if (row.says) assert.match(called.stderr, row.says, row.name);
      // Of one that has ended by itself nobody knows any more how much it had.
      const [peak = Infinity] = peaks;
      if (!row.says) assert.ok(peak < 60 + GROWTH_MIB_MAX, `${row.name}: ${peak} MiB`);
    }
  }));

test("callers who never go on keep nobody out, and are not waited for without end", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const forge = await Forge.ofServer(world);
    const mallory = await forge.user("mallory");
    const { running, port } = await world.listen("alice");
    // Neither TLS nor a greeting comes to an end.
    const silent = connectTcp(port, "127.0.0.1");
    const silenced = once(silent.resume(), "close");
    const dripping = drip(await callAs(mallory, port));

    // Everybody who was certified, again and again, and strangers, each with another certificate.
    const foreign = await Forge.foreign(world);
    const parked: RawPeer[] = [];
    for (let at = 0; at < 80; at++) {
      const isStranger = at % 2 === 1;
      const peer = await callAs(isStranger ? await foreign.user("bob") : mallory, port);
      if (!isStranger) peer.send(control(peer.hello));
      parked.push(peer);
    }
    const called = await world.as("bob", ["connect", `127.0.0.1:${port}`], { input: "from bob" });
    assert.equal(called.code, 0, called.stderr);
    await running.waitFor(/from bob/);
    assert.ok(running.peakMiB < 400, `${running.peakMiB} MiB`);
    // Who was known and came last heard why.
    const last = parked[78];
    await last?.control("HELLO");
    assert.equal((await last?.refusal())?.["code"], "BUSY");
    for (const peer of parked) peer.hangUp();
    await silenced;
    await dripping;
  }));
