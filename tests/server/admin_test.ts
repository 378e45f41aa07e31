import assert from "node:assert/strict";
import * as fs from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { concatBytes, utf8 } from "../../lib/base/bytes.ts";
import { PkiError } from "../../lib/base/errors.ts";
import { LIMITS } from "../../lib/base/limits.ts";
import { connectUnix } from "../../lib/base/unix_socket.ts";
import { encodeFrame, FrameReader } from "../../lib/protocol/frame.ts";
import {
  ADMIN_CONNECTIONS_MAX,
  ADMIN_SOCKETS_MAX,
  type AdminHandler,
  type AdminListener,
  listenAdmin,
} from "../../lib/server/admin.ts";

interface World {
  readonly folder: string;
  readonly path: string;
  readonly listener: AdminListener;
  connect(): Promise<Caller>;
}

/** A connection to the socket, as bytes. */
class Caller {
  readonly socket: Socket;
  readonly #frames = new FrameReader();
  readonly #arrived: unknown[] = [];
  #wake = () => {};
  #isClosed = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Uint8Array) => {
      this.#frames.push(new Uint8Array(chunk));
      for (let frame = this.#frames.read(); frame; frame = this.#frames.read()) {
        this.#arrived.push(JSON.parse(new TextDecoder().decode(frame)));
      }
      this.#wake();
    });
    socket.once("close", () => {
      this.#isClosed = true;
      this.#wake();
    });
  }

  send(...messages: readonly unknown[]): void {
    const frames = messages.map((message) => encodeFrame(utf8(JSON.stringify(message))));
    this.socket.write(concatBytes(...frames));
  }

  /** The next message; `undefined` once the connection has ended. */
  async next(): Promise<unknown> {
    while (this.#arrived.length === 0 && !this.#isClosed) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    return this.#arrived.shift();
  }
}

async function withAdmin(
  handle: AdminHandler,
  work: (world: World) => Promise<void>,
  { idleMs }: { readonly idleMs?: number } = {},
): Promise<void> {
  const folder = fs.mkdtempSync(join(tmpdir(), "pki-admin-"));
  const path = join(folder, "admin.sock");
  const callers: Caller[] = [];
  const listener = await listenAdmin(path, handle, idleMs === undefined ? {} : { idleMs });
  try {
    await work({
      folder,
      path,
      listener,
      connect: async () => {
        const caller = new Caller(await connectUnix({ folder, name: "admin.sock" }));
        callers.push(caller);
        return caller;
      },
    });
  } finally {
    for (const { socket } of callers) socket.destroy();
    await listener.close();
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

const echo: AdminHandler = (request) => Promise.resolve({ did: request.type });

test("listenAdmin() answers requests on a socket for its owner alone", async () => {
  await withAdmin(echo, async ({ path, folder, connect }) => {
    assert.equal(fs.statSync(path).mode & 0o777, 0o600);
    assert.deepEqual(fs.readdirSync(folder), ["admin.sock"]);
    const caller = await connect();
    caller.send({ seq: 1, type: "STATUS" });
    assert.deepEqual(await caller.next(), { did: "STATUS", seq: 1, type: "OK" });
    caller.send({ seq: 9, type: "BACKUP" });
    assert.deepEqual(await caller.next(), { did: "BACKUP", seq: 9, type: "OK" });
  });
});

test("listenAdmin() takes the place of what a killed server left", async () => {
  const folder = fs.mkdtempSync(join(tmpdir(), "pki-admin-"));
  const path = join(folder, "admin.sock");
  fs.writeFileSync(path, "left");
  const listener = await listenAdmin(path, echo);
  assert.ok(fs.lstatSync(path).isSocket());
  await listener.close();
  assert.deepEqual(fs.readdirSync(folder), []);
  fs.rmSync(folder, { recursive: true });
});

test("listenAdmin() says why it cannot listen", async () => {
  const error: unknown = await listenAdmin("/nowhere/at/all/admin.sock", echo).catch((e) => e);
  assert.ok(error instanceof PkiError);
  assert.equal(error.kind, "storage");
  assert.match(error.message, /^cannot listen on "\/nowhere\/at\/all\/admin.sock": ENOENT/);
});

test("listenAdmin() does the requests of a connection one after the other, those of two at once", async () => {
  const running: (() => void)[] = [];
  const handle: AdminHandler = ({ seq }) =>
    new Promise((resolve) => running.push(() => resolve({ did: seq })));
  const until = async (count: number) => {
    while (running.length < count) await new Promise((resolve) => setImmediate(resolve));
  };
  await withAdmin(handle, async ({ connect }) => {
    const [one, other] = [await connect(), await connect()];
    one.send({ seq: 1, type: "STATUS" }, { seq: 2, type: "STATUS" }, { seq: 3, type: "STATUS" });
    await until(1);
    other.send({ seq: 7, type: "STATUS" });
    await until(2);
    running[1]?.();
    assert.deepEqual(await other.next(), { did: 7, seq: 7, type: "OK" });
    assert.equal(running.length, 2, "a request was begun before the one before it was answered");
    for (const seq of [1, 2, 3]) {
      const index = seq === 1 ? 0 : seq;
      await until(index + 1);
      running[index]?.();
      assert.deepEqual(await one.next(), { did: seq, seq, type: "OK" });
    }
  });
});

test("listenAdmin() tells faults in full, and goes on", async () => {
  const handle: AdminHandler = ({ type }) =>
    type === "STATUS"
      ? Promise.reject(new PkiError("storage", "cannot write: ENOSPC", { hint: "free some space" }))
      : Promise.reject(new TypeError("x is not a function"));
  await withAdmin(handle, async ({ connect }) => {
    const caller = await connect();
    caller.send({ seq: 1, type: "STATUS" }, { seq: 2, type: "BACKUP" });
    assert.deepEqual(await caller.next(), {
      seq: 1,
      type: "ERROR",
      code: "STORAGE",
      message: "cannot write: ENOSPC",
      hint: "free some space",
    });
    assert.deepEqual(await caller.next(), {
      seq: 2,
      type: "ERROR",
      code: "INTERNAL",
      message: "x is not a function",
    });
  });
});

test("listenAdmin() refuses what is malformed and an answer that is too long, and goes on", async () => {
  const handle: AdminHandler = () => Promise.resolve({ text: "x".repeat(LIMITS.frameBytesMax) });
  await withAdmin(handle, async ({ connect }) => {
    const caller = await connect();
    caller.send({ seq: 1, type: "X" }, { seq: 2, type: "STATUS", id: "a" }, {
      seq: 3,
      type: "STATUS",
    });
    const error = { type: "ERROR", code: "MALFORMED" };
    assert.deepEqual(await caller.next(), {
      ...error,
      seq: 1,
      message: "cannot read message: its type is unknown",
    });
    assert.deepEqual(await caller.next(), {
      ...error,
      seq: 2,
      message: 'cannot read STATUS: "id" is not as it should be',
    });
    const { code, message } = await caller.next() as { code: string; message: string };
    assert.equal(code, "INTERNAL");
    assert.match(message, /^cannot send a frame of \d+ bytes$/);
  });
});

const FATAL: readonly [string, Uint8Array, string][] = [
  ["a frame that is too long", Uint8Array.of(0, 1, 0, 1), "its length is 65537"],
  ["an empty frame", Uint8Array.of(0, 0, 0, 0), "its length is 0"],
  ["what is not JSON", encodeFrame(utf8("x")), "it is not JSON in UTF-8"],
  ["a message without seq", encodeFrame(utf8('{"type":"STATUS"}')), '"seq" is not'],
];

for (const [what, bytes, expected] of FATAL) {
  test(`listenAdmin() hangs up on ${what}`, async () => {
    let asked = 0;
    const handle: AdminHandler = () => Promise.resolve({ asked: ++asked });
    await withAdmin(handle, async ({ connect }) => {
      const caller = await connect();
      const request = encodeFrame(utf8('{"seq":1,"type":"STATUS"}'));
      caller.socket.write(concatBytes(bytes, request));
      const { seq, code, message } = await caller.next() as Record<string, unknown>;
      assert.deepEqual({ seq, code }, { seq: 0, code: "PROTOCOL" });
      assert.ok(String(message).includes(expected), String(message));
      assert.equal(await caller.next(), undefined);
      assert.equal(asked, 0);
      const another = await connect();
      another.socket.write(request);
      assert.deepEqual(await another.next(), { asked: 1, seq: 1, type: "OK" });
    });
  });
}

test("listenAdmin() hangs up on who keeps silent, also in the middle of a frame", async () => {
  await withAdmin(echo, async ({ connect }) => {
    const [silent, halting] = [await connect(), await connect()];
    halting.socket.write(Uint8Array.of(0, 0));
    for (const caller of [silent, halting]) {
      assert.deepEqual(await caller.next(), {
        seq: 0,
        type: "ERROR",
        code: "TIMEOUT",
        message: "the connection was idle for too long",
      });
      assert.equal(await caller.next(), undefined);
    }
  }, { idleMs: 20 });
});

test("listenAdmin() turns away one connection too many, and takes it when there is room", async () => {
  await withAdmin(echo, async ({ connect }) => {
    const callers: Caller[] = [];
    for (let number = 0; number < ADMIN_CONNECTIONS_MAX; number++) {
      const caller = await connect();
      caller.send({ seq: 1, type: "STATUS" });
      await caller.next(); // it is in
      callers.push(caller);
    }
    const late = await connect();
    assert.deepEqual(await late.next(), {
      seq: 0,
      type: "ERROR",
      code: "BUSY",
      message: "too many administrators at once, try again later",
    });
    assert.equal(await late.next(), undefined);
    callers[0]?.socket.destroy();
    for (let isIn = false; !isIn;) {
      const again = await connect();
      again.send({ seq: 1, type: "STATUS" });
      isIn = (await again.next() as { type: string }).type === "OK";
    }
  });
});

test("listenAdmin() drops without a word what comes beyond those who are being turned away", async () => {
  await withAdmin(echo, async ({ connect }) => {
    for (let number = 0; number < ADMIN_SOCKETS_MAX; number++) {
      const { socket } = await connect();
      socket.pause(); // and does not take what it is told
    }
    const dropped = await connect();
    assert.equal(await dropped.next(), undefined);
  });
});

test("listenAdmin() cuts who does not read the answers, and does nothing more for them", async () => {
  let asked = 0;
  const cut = Promise.withResolvers<void>();
  const handle: AdminHandler = (request, { signal }) => {
    if (asked === 0) signal.addEventListener("abort", () => cut.resolve());
    asked++;
    return echo(request, { signal, progress: () => {} });
  };
  await withAdmin(async (request, exchange) => ({
    ...await handle(request, exchange),
    much: "x".repeat(60_000),
  }), async ({ connect }) => {
    const { socket } = await connect();
    socket.pause();
    const count = 1000; // 60 MB of answers: no socket holds so much
    const status = (seq: number) => encodeFrame(utf8(JSON.stringify({ seq, type: "STATUS" })));
    socket.write(concatBytes(...Array.from({ length: count }, (_, at) => status(at + 1))));
    await cut.promise;
    assert.ok(asked < count, `${asked} of ${count}`);
  }, { idleMs: 1000 });
});

test("listenAdmin() tells a handler when nobody waits any more, and when it closes", async () => {
  const signals: AbortSignal[] = [];
  const begun: (() => void)[] = [];
  const handle: AdminHandler = (_request, { signal }) => {
    signals.push(signal);
    begun.shift()?.();
    return new Promise((_, reject) =>
      signal.addEventListener("abort", () => reject(signal.reason))
    );
  };
  await withAdmin(handle, async ({ connect, listener, folder }) => {
    for (const end of [(caller: Caller) => caller.socket.destroy(), () => listener.close()]) {
      const caller = await connect();
      const hasBegun = new Promise<void>((resolve) => begun.push(resolve));
      caller.send({ seq: 1, type: "BACKUP" });
      await hasBegun;
      const signal = signals.at(-1);
      assert.equal(signal?.aborted, false);
      const aborted = new Promise((resolve) => signal?.addEventListener("abort", resolve));
      await end(caller);
      await aborted;
      assert.equal(await caller.next(), undefined);
    }
    assert.deepEqual(fs.readdirSync(folder), []);
  });
});
