import assert from "node:assert/strict";
import { test } from "node:test";
import { concatBytes, encodeBase64, sha256, utf8 } from "../../lib/base/bytes.ts";
import { logIn, register } from "../../lib/client/login.ts";
import { makeNonce } from "../../lib/client/server_connection.ts";
import { encodeFrame } from "../../lib/protocol/frame.ts";
import { encodeAnswer, encodeError } from "../../lib/protocol/answers.ts";
import { OPAQUE_SUITE } from "../../lib/protocol/opaque.ts";
import { assertFails, makeCa, makeDirectory } from "../fakes/directory.ts";
import { connect, connectTo } from "./fake_socket.ts";

const LEAF = utf8("leaf");
const CA = await makeCa();

const answer = (seq: number, id: string) => encodeAnswer(seq, { id });
const loginFinish = { finish: "A", binding: encodeBase64(new Uint8Array(32)) };

test("ServerConnection gives each request its own answer, in any order and any portions", async () => {
  const { socket, connection } = connect(LEAF);
  const answers = Promise.all([1, 2, 3].map(() => connection.request("LOGIN_FINISH", loginFinish)));
  assert.deepEqual(socket.requests.map(({ seq }) => seq), [1, 2, 3]);
  const stream = concatBytes(answer(3, "c"), answer(1, "a"), answer(2, "b"));
  socket.say(...Array.from(stream, (byte) => Uint8Array.of(byte)));
  assert.deepEqual(await answers, [{ id: "a" }, { id: "b" }, { id: "c" }]);
  assert.deepEqual(connection.leafHash, sha256(LEAF));
  connection.close();
  assert.ok(socket.isEnded);
});

test("ServerConnection gives an error its kind, and shows nothing that harms a terminal", async () => {
  const { socket, connection } = connect(LEAF);
  const codes = [["NOT_FOUND", "not-found"], ["BUSY", "busy"], ["NEWER", "refused"]] as const;
  for (const [i, [code, kind]] of codes.entries()) {
    const asked = connection.request("CERTREQ", { id: "bob" });
    socket.say(encodeError(i + 1, { code, message: "no\x1b[2J\u202e" }));
    await assertFails(asked, kind, "the server says: no\ufffd[2J\ufffd");
  }
  assert.equal(socket.isDestroyed, false, "an error answer ended the connection");
});

test("ServerConnection ends with a server that breaks the protocol", async () => {
  const unasked = "the server answers what was not asked";
  const rows: readonly (readonly [Uint8Array, string | RegExp])[] = [
    [answer(2, "a"), unasked],
    [answer(0, "a"), unasked],
    [Uint8Array.of(0, 0, 0, 0), /^cannot read frame: its length is 0/],
    [Uint8Array.of(0xff, 0, 0, 0), /^cannot read frame: its length is 4278190080/],
    [encodeFrame(utf8("OK")), "cannot read message: it is not JSON in UTF-8"],
    [encodeFrame(utf8("[]")), "cannot read message: it is not an object"],
    [encodeFrame(utf8('{"seq":1}')), "cannot read answer: it is not an answer"],
  ];
  for (const [bytes, message] of rows) {
    const { socket, connection } = connect(LEAF);
    const asked = connection.request("LOGIN_FINISH", loginFinish);
    socket.say(concatBytes(bytes, answer(1, "a"))); // the good answer behind it comes too late
    await assertFails(asked, "protocol", message);
    assert.ok(socket.isDestroyed);
    await assertFails(connection.request("HELLO", {}), "protocol", message);
    assert.equal(socket.requests.length, 1, "something was sent after that");
  }
});

test("ServerConnection takes an answer once", async () => {
  const { socket, connection } = connect(LEAF);
  const first = connection.request("LOGIN_FINISH", loginFinish);
  const second = connection.request("LOGIN_FINISH", loginFinish);
  socket.say(answer(1, "a"), answer(1, "b"));
  assert.deepEqual(await first, { id: "a" });
  await assertFails(second, "protocol", "the server answers what was not asked");
});

test("ServerConnection refuses an answer whose fields are not as they should be", async () => {
  const { socket, connection } = connect(LEAF);
  const asked = connection.request("LOGIN_FINISH", loginFinish);
  socket.say(answer(1, "../x"));
  await assertFails(
    asked,
    "protocol",
    "cannot read the answer to LOGIN_FINISH: its fields are not as they should be",
  );
});

test("ServerConnection passes on what the server says of the whole connection", async () => {
  const { socket, connection } = connect(LEAF);
  const asked = [connection.request("HELLO", {}), connection.request("HELLO", {})];
  socket.say(encodeError(0, { code: "BUSY", message: "try later" }));
  for (const one of asked) await assertFails(one, "busy", "the server says: try later");
  assert.ok(socket.isDestroyed);
});

test("ServerConnection tells a cut connection from one that it closed", async () => {
  const cut = connect(LEAF);
  const asked = cut.connection.request("HELLO", {});
  cut.socket.emit("error", new Error("ECONNRESET"));
  cut.socket.emit("close");
  const message = "the server closed the connection before it answered";
  await assertFails(asked, "truncated", message);
  await assertFails(cut.connection.request("HELLO", {}), "truncated", message);
  const closed = connect(LEAF);
  const pending = closed.connection.request("HELLO", {});
  closed.connection.close();
  await assertFails(pending, "internal", "the connection was closed by us");
  await assertFails(closed.connection.request("HELLO", {}), "internal", /closed by us/);
});

test("ServerConnection does not wait for the answer to what cannot be sent", async () => {
  const { socket, connection } = connect(LEAF);
  await assertFails(
    connection.request("CSR", { csr: "A".repeat(65_536) }),
    "internal",
    /^cannot send a frame of \d+ bytes$/,
  );
  assert.equal(socket.requests.length, 0);
  const asked = connection.request("LOGIN_FINISH", loginFinish);
  socket.say(answer(2, "a"));
  assert.deepEqual(await asked, { id: "a" });
});

test("register() and logIn() with the real dialogue; a wrong password and a taken id", async () => {
  const world = await makeDirectory(CA);
  const leafHash = sha256(LEAF);
  const alice = { id: "alice", password: "correct horse", rootDer: CA.root.der };
  const connection = connectTo(world.open({ leafHash }), LEAF);
  await register(connection, alice);
  await assertFails(
    register(connection, alice),
    "conflict",
    'the server says: cannot register "alice": somebody has this id already',
  );
  await assertFails(
    logIn(connection, { ...alice, password: "wrong horse" }),
    "refused",
    "cannot log in: the id or the password is wrong",
  );
  await logIn(connection, alice);
  await assertFails(connection.request("CERTREQ", { id: "alice" }), "not-found", /./);
});

test("logIn() through somebody who relays it to the server is refused", async () => {
  const world = await makeDirectory(CA);
  const alice = { id: "alice", password: "correct horse", rootDer: CA.root.der };
  await register(connectTo(world.open({ leafHash: sha256(LEAF) }), LEAF), alice);
  // The client sees another leaf than the one that the server shows to whoever is in the middle.
  await assertFails(
    logIn(connectTo(world.open({ leafHash: sha256(LEAF) }), utf8("other leaf")), alice),
    "refused",
    "the server says: cannot log in: the id or the password is wrong",
  );
});

test("register() and logIn() refuse other password parameters, and send nothing more", async () => {
  for (const work of [register, logIn]) {
    const { socket, connection } = connect(LEAF);
    socket.onRequest = ({ seq }) => {
      socket.say(encodeAnswer(seq, { response: "AAAA", suite: `${OPAQUE_SUITE} ` }));
    };
    await assertFails(
      work(connection, { id: "alice", password: "correct horse", rootDer: CA.root.der }),
      "protocol",
      "the server asks for other password parameters than ours",
    );
    assert.equal(socket.requests.length, 1);
  }
});

test("register() and logIn() blame a server that answers without OPAQUE", async () => {
  for (const work of [register, logIn]) {
    const { socket, connection } = connect(LEAF);
    socket.onRequest = ({ seq }) => {
      socket.say(encodeAnswer(seq, { response: "AAAA", suite: OPAQUE_SUITE }));
    };
    await assertFails(
      work(connection, { id: "alice", password: "correct horse", rootDer: CA.root.der }),
      "protocol",
      "cannot read the server's answer: not an OPAQUE message",
    );
  }
});

test("makeNonce() makes another 32 bytes each time", () => {
  assert.equal(makeNonce().length, 32);
  assert.notDeepEqual(makeNonce(), makeNonce());
});
