import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import { test } from "node:test";
import type { TLSSocket } from "node:tls";
import { LIMITS } from "../../lib/base/limits.ts";
import { Outlet } from "../../lib/peer/outlet.ts";

/** A socket whose other end takes nothing until it is told to. */
function start() {
  const taken: (() => void)[] = [];
  const socket = new Duplex({
    read: () => {},
    write: (_bytes, _encoding, done) => void taken.push(done),
  });
  const outlet = new Outlet(socket as TLSSocket);
  socket.on("drain", () => outlet.look());
  return { socket, outlet, take: () => taken.shift()?.() };
}

const FULL = new Uint8Array(LIMITS.unreadBytesMax);

test("Outlet.room() waits until the other end has taken enough", async () => {
  const { socket, outlet, take } = start();
  await outlet.room();
  socket.write(FULL);
  assert.equal(outlet.hasRoom, false);
  const events: string[] = [];
  const room = outlet.room().then(() => events.push("room"));
  outlet.look();
  await Promise.resolve();
  assert.deepEqual(events, []);
  take();
  await room;
  assert.equal(outlet.hasRoom, true);
});

test("Outlet.release() lets everybody go on, room or not", async () => {
  const { socket, outlet } = start();
  socket.write(FULL);
  const rooms = [outlet.room(), outlet.room()];
  outlet.release();
  await Promise.all(rooms);
  assert.equal(outlet.hasRoom, false);
});

test("Outlet.close() reads on until the other end closes, though reading was paused", async () => {
  const { socket, outlet } = start();
  socket.pause();
  outlet.close();
  assert.equal(socket.isPaused(), false);
  assert.equal(socket.writableEnded, true);
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.push(null);
  await closed;
});

test("Outlet.room() ends with a connection that is closed, though nothing was taken", async () => {
  const { socket, outlet } = start();
  socket.write(FULL);
  outlet.close();
  const room = outlet.room();
  socket.destroy();
  await room;
});
