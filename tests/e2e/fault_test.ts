import assert from "node:assert/strict";
import { connect as connectTcp } from "node:net";
import { test } from "node:test";
import { inWords, inWorld, PKI_FAULTS } from "./harness.ts";

test("a fault in the directory stops the server loudly, and nothing that was acknowledged is lost", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    const { running } = world.server;
    const asked = await world.as("alice", ["request", "fault-directory"]);
    assert.notEqual(asked.code, 0);
    const stopped = await running.finished;
    assert.equal(stopped.code, 1);
    const stderr = inWords(stopped.stderr);
    assert.match(stderr, /^pki: error: the directory failed: a fault on purpose$/m);
    assert.match(stderr, /^pki: hint: everything that was acknowledged is in the log/m);
    await world.serve();
    await world.ok("alice", ["request", "alice"]);
  }, PKI_FAULTS));

test("a TCP connection that does not begin TLS is closed, by serve and by listen", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    const listener = await world.listen("alice", [], { keepStdin: true });
    await Promise.all([world.server.port, listener.port].map((port) => {
      const socket = connectTcp(port, "127.0.0.1");
      socket.on("error", () => {}); // "close" follows
      socket.resume();
      return new Promise((resolve) => socket.once("close", resolve));
    }));
  }));
