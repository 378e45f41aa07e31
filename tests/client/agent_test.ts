/** An agent and those who ask it, over a real socket in a folder of its own. */

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import * as fs from "node:fs";
import { createServer, type Socket } from "node:net";
import { dirname, join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { LIMITS } from "../../lib/base/limits.ts";
import { connectUnix } from "../../lib/base/unix_socket.ts";
import { askAgent, describeKept, fetchKey, isKeyCurrent } from "../../lib/client/agent.ts";
import { runAgent } from "../../lib/client/agent_server.ts";
import type { Home } from "../../lib/client/home.ts";
import { KeptKeys } from "../../lib/client/kept_keys.ts";
import { encodeAgentRequest, parseAgentAnswer } from "../../lib/protocol/agent_messages.ts";
import { FrameReader } from "../../lib/protocol/frame.ts";
import { KEY_TYPES, type KeyType } from "../../lib/x509/algorithms.ts";
import { generatePrivateKey } from "../../lib/x509/keys.ts";
import { inHome, putKey } from "./temporary_home.ts";

const { privateKey: KEY } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const PEM = "what the key's file says";
const FOR_MS = 3_600_000;
const KEPT = describeKey();

function describeKey(id = "alice", pem = PEM) {
  return describeKept(KEY, { id, pem, forMs: FOR_MS });
}

interface Running {
  readonly home: Home;
  readonly keys: KeptKeys;
  readonly end: AbortController;
  /** Whether it was the one. */
  readonly over: Promise<boolean>;
}

function makeKeys(home: Home): KeptKeys {
  const keys = new KeptKeys({
    now: Date.now,
    elapsed: () => performance.now(),
    isCurrent: (id, pemHash) => isKeyCurrent(home, id, pemHash),
  });
  keys.add(KEPT);
  return keys;
}

/** Starts an agent in a home that has alice's key; resolves when it can be asked or is over. */
async function startAgent(home: Home, silenceMs?: number): Promise<Running> {
  if (!home.hasKey("alice")) putKey(home, "alice", PEM);
  const keys = makeKeys(home);
  const end = new AbortController();
  const ready = Promise.withResolvers<void>();
  const over = runAgent({
    folder: home.folder,
    keys,
    onReady: ready.resolve,
    signal: end.signal,
    ...(silenceMs === undefined ? {} : { silenceMs }),
  });
  await Promise.race([ready.promise, over]);
  return { home, keys, end, over };
}

async function withAgent(
  work: (agent: Running) => Promise<void>,
  silenceMs?: number,
): Promise<void> {
  await inHome(async (home) => {
    const agent = await startAgent(home, silenceMs);
    try {
      await work(agent);
    } finally {
      agent.end.abort();
      await agent.over;
    }
  });
}

const socketOf = (home: Home) => join(home.folder, "agent.sock");

test("fetchKey() gets the key from the agent, only for the file that it is of", () =>
  withAgent(async ({ home, keys }) => {
    assert.equal(fs.lstatSync(socketOf(home)).mode & 0o777, 0o600);
    const key = await fetchKey(home, { id: "alice", pem: PEM });
    assert.ok(key?.equals(KEY));
    assert.equal(await fetchKey(home, { id: "alice", pem: "another file" }), undefined);
    assert.equal(await fetchKey(home, { id: "bob", pem: PEM }), undefined);
    putKey(home, "alice", "another file");
    assert.equal(await fetchKey(home, { id: "alice", pem: PEM }), undefined);
    assert.equal(keys.isEmpty, true, "it has forgotten what does not count any more");
  }));

test("fetchKey() gets keys of every type as they were", () =>
  withAgent(async ({ home }) => {
    for (const type of Object.keys(KEY_TYPES) as KeyType[]) {
      const key = await generatePrivateKey(type);
      const kept = describeKept(key, { id: "alice", pem: PEM, forMs: FOR_MS });
      assert.ok(await askAgent(home.folder, "ADD", kept), type);
      assert.ok((await fetchKey(home, { id: "alice", pem: PEM }))?.equals(key), type);
    }
  }));

test("runAgent() ends, and takes its socket away, when it keeps nothing", () =>
  withAgent(async ({ home, over }) => {
    const { kept } = await askAgent(home.folder, "LIST", {}) ?? {};
    assert.deepEqual(kept?.map(({ id }) => id), ["alice"]);
    putKey(home, "bob", PEM);
    await askAgent(home.folder, "ADD", describeKey("bob"));
    assert.deepEqual(await askAgent(home.folder, "LOCK", { id: "alice" }), {
      forgotten: ["alice"],
    });
    assert.deepEqual(await askAgent(home.folder, "LOCK", {}), { forgotten: ["bob"] });
    assert.equal(await over, true);
    assert.equal(fs.existsSync(socketOf(home)), false);
    assert.equal(await askAgent(home.folder, "LIST", {}), undefined);
  }));

test("runAgent() ends when it is told to, and when its socket or its folder is gone", async () => {
  await withAgent(async ({ home, end, over }) => {
    end.abort();
    assert.equal(await over, true);
    assert.equal(fs.existsSync(socketOf(home)), false);
  });
  await Promise.all([
    withAgent(async ({ home, keys, over }) => {
      fs.rmSync(socketOf(home));
      assert.equal(await over, true);
      assert.equal(keys.isEmpty, true);
    }),
    withAgent(async ({ home, over }) => {
      fs.rmSync(home.folder, { recursive: true });
      assert.equal(await over, true);
    }),
    withAgent(async ({ home, over }) => {
      // Another one in its place: that stays.
      fs.rmSync(socketOf(home));
      fs.writeFileSync(socketOf(home), "");
      assert.equal(await over, true);
      assert.equal(fs.existsSync(socketOf(home)), true);
    }),
  ]);
});

test("runAgent() leaves a living agent alone, and replaces what a dead one has left", () =>
  withAgent(async (first) => {
    const { home } = first;
    assert.equal(await (await startAgent(home)).over, false);
    assert.ok(await fetchKey(home, { id: "alice", pem: PEM }));
    const moved = join(home.folder, "moved");
    fs.renameSync(socketOf(home), moved);
    assert.equal(await first.over, true);
    fs.renameSync(moved, socketOf(home)); // dead by now, as after a kill
    const starts = await Promise.all([1, 2, 3].map(() => startAgent(home)));
    assert.ok(await fetchKey(home, { id: "alice", pem: PEM }));
    for (const { end } of starts) end.abort();
    const wereFirst = await Promise.all(starts.map(({ over }) => over));
    assert.equal(wereFirst.filter((isFirst) => isFirst).length, 1, `${wereFirst}`);
    assert.deepEqual(fs.readdirSync(home.folder), ["ids"], "nothing is left over");
  }));

/** What an agent answers to bytes, and how it ends. */
async function tell(home: Home, ...chunks: readonly Uint8Array[]): Promise<Uint8Array | undefined> {
  const socket = await connectUnix({ folder: home.folder, name: "agent.sock" });
  const frames = new FrameReader();
  let answer: Uint8Array | undefined;
  socket.on("data", (chunk: Uint8Array) => {
    frames.push(new Uint8Array(chunk));
    answer ??= frames.read();
  });
  for (const chunk of chunks) socket.write(chunk);
  await new Promise<void>((resolve) => socket.once("close", () => resolve()));
  return answer;
}

test("runAgent() answers what is none with an error, hangs up, and goes on", () =>
  withAgent(async ({ home }) => {
    const list = encodeAgentRequest({ type: "LIST", body: {} });
    const bytes = [...list].map((byte) => Uint8Array.of(byte));
    assert.ok(parseAgentAnswer(await tell(home, ...bytes) ?? list, "LIST"));
    const frames: readonly (readonly [string, Uint8Array])[] = [
      ["a length of 4 GB", Uint8Array.of(255, 255, 255, 255)],
      ["no length", new Uint8Array(4)],
      ["no JSON", Uint8Array.of(0, 0, 0, 1, 0x7b)],
    ];
    for (const [what, frame] of frames) {
      const answer = await tell(home, frame, list);
      assert.ok(answer, what);
      assert.throws(() => parseAgentAnswer(answer, "LIST"), { kind: "protocol" }, what);
    }
    assert.ok(await fetchKey(home, { id: "alice", pem: PEM }));
  }));

test("runAgent() hangs up on who says nothing, or not all of it", () =>
  withAgent(async ({ home }) => {
    assert.equal(await tell(home), undefined);
    const list = encodeAgentRequest({ type: "LIST", body: {} });
    assert.equal(await tell(home, list.subarray(0, list.length - 1)), undefined);
  }, 1));

test("runAgent() has so many connections and no more", () =>
  withAgent(async ({ home }) => {
    const place = { folder: home.folder, name: "agent.sock" };
    const silent: Socket[] = [];
    for (let n = 0; n < LIMITS.agentConnectionsMax; n++) silent.push(await connectUnix(place));
    await assert.rejects(askAgent(home.folder, "LIST", {}));
    const gone = new Promise((resolve) => silent[0]?.once("close", resolve));
    silent[0]?.destroy();
    await gone;
    // The agent hears of it a moment later.
    for (let n = 0;; n++) {
      const answer = await askAgent(home.folder, "LIST", {}).catch(() => undefined);
      if (answer) break;
      assert.ok(n < 1000, "there is no room again");
    }
    for (const socket of silent) socket.destroy();
  }));

/** Ways in which a socket is not, or not surely, the user's own. */
const FOREIGN: readonly (readonly [string, (home: Home) => void, RegExp])[] = [
  [
    "a socket that others can connect to",
    (home) => fs.chmodSync(socketOf(home), 0o666),
    /^cannot use the agent of ".*agent\.sock": others can connect to it$/,
  ],
  [
    "a folder that the group can write in",
    (home) => fs.chmodSync(home.folder, 0o770),
    /: others can write in its folder$/,
  ],
  [
    "a folder that everybody can write in",
    (home) => fs.chmodSync(home.folder, 0o777),
    /: others can write in its folder$/,
  ],
  [
    "a link to a socket",
    (home) => {
      fs.renameSync(socketOf(home), join(dirname(home.folder), "elsewhere"));
      fs.symlinkSync(join(dirname(home.folder), "elsewhere"), socketOf(home));
    },
    /: it is no socket$/,
  ],
  ...(process.getuid?.() === 0
    ? [
      [
        "a socket of another user",
        (home: Home) => fs.chownSync(socketOf(home), 65_534, 65_534),
        /: it belongs to another user$/,
      ] as const,
    ]
    : []),
];

for (const [what, change, message] of FOREIGN) {
  test(`askAgent() says nothing to ${what}`, () =>
    inHome(async (home) => {
      fs.mkdirSync(home.folder, { mode: 0o700 });
      let connections = 0;
      const server = createServer(() => connections++);
      await new Promise<void>((resolve) => server.listen(socketOf(home), resolve));
      try {
        fs.chmodSync(socketOf(home), 0o600);
        change(home);
        await assert.rejects(askAgent(home.folder, "ADD", KEPT), { kind: "untrusted", message });
        assert.equal(connections, 0);
      } finally {
        await new Promise<void>((resolve) => server.close(() => resolve()));
      }
    }));
}

test("askAgent() finds none where there is none, and where none listens", () =>
  inHome(async (home) => {
    assert.equal(await askAgent(home.folder, "LIST", {}), undefined);
    fs.mkdirSync(home.folder, { mode: 0o700 });
    assert.equal(await askAgent(home.folder, "LIST", {}), undefined);
  }));
