/** A connection of a load, whose server says anything: what counts as an answer, and what each lie is called. */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { TLSSocket } from "node:tls";
import { test } from "node:test";
import { concatBytes, utf8 } from "../../lib/base/bytes.ts";
import { PkiError } from "../../lib/base/errors.ts";
import { encodeFrame } from "../../lib/protocol/frame.ts";
import { encodeAnswer, encodeError } from "../../lib/protocol/answers.ts";
import { codeOf, FAULTS, FIELDS_AT, prepareRequest, Wire } from "../../lib/load/wire.ts";
import { FakeSocket } from "../client/fake_socket.ts";

const LOOKUP = prepareRequest("CERTREQ", { id: "alice" });

/** Says it as sockets do: in buffers. */
class BufferSocket extends FakeSocket {
  override say(...chunks: readonly Uint8Array[]): void {
    super.say(...chunks.map((chunk) => Buffer.from(chunk)));
  }
}

function open(): { readonly socket: FakeSocket; readonly wire: Wire } {
  const socket = new BufferSocket();
  return { socket, wire: new Wire(socket as unknown as TLSSocket) };
}

test("Wire sends one frame again and again, in which nothing but the number differs", async () => {
  const { socket, wire } = open();
  socket.onRequest = ({ seq }) => socket.say(encodeAnswer(seq, { a: 1 }));
  for (let i = 0; i < 3; i++) {
    const body = await wire.ask(LOOKUP);
    assert.equal(body.subarray(FIELDS_AT).toString(), ',"a":1}');
  }
  const [first, second, third] = socket.requests;
  assert.deepEqual(first, { seq: first?.seq, type: "CERTREQ", id: "alice" });
  assert.equal(second?.seq, (first?.seq ?? 0) + 1);
  assert.equal(third?.seq, (first?.seq ?? 0) + 2);
  wire.leave();
  assert.ok(socket.isEnded && !wire.isOpen, "it says goodbye");
});

test("Wire puts an answer together from any pieces", async () => {
  const { socket, wire } = open();
  socket.onRequest = ({ seq }) => {
    for (const byte of encodeAnswer(seq, { text: "ä" })) socket.say(Buffer.of(byte));
  };
  assert.equal((await wire.ask(LOOKUP)).subarray(FIELDS_AT).toString(), ',"text":"ä"}');
  wire.close();
});

test("Wire does not ask a second time before it is answered", async () => {
  const { wire } = open();
  const asking = wire.ask(LOOKUP);
  await assert.rejects(wire.ask(LOOKUP), /one request at a time/);
  wire.close();
  await assert.rejects(asking, (error: PkiError) => error.kind === "interrupted");
  await assert.rejects(wire.ask(LOOKUP), (error: PkiError) => error.kind === "interrupted");
});

/** What a server may say to one request, what that is called, and whether the connection goes on. */
const SAID: readonly (readonly [
  what: string,
  say: (seq: number) => Uint8Array,
  code: string,
  goesOn: boolean,
])[] = [
  [
    "an error",
    (seq) => encodeError(seq, { code: "NOT_FOUND", message: "\x1b[2J" }),
    "NOT_FOUND",
    true,
  ],
  ["an error of later", (seq) => encodeError(seq, { code: "TIRED", message: "" }), "REFUSED", true],
  ["a last word", () => encodeError(0, { code: "BUSY", message: "\x1b[2J" }), "BUSY", false],
  ["another's answer", (seq) => encodeAnswer(seq + 1, {}), "PROTOCOL", false],
  [
    "another's error",
    (seq) => encodeError(seq + 1, { code: "BUSY", message: "" }),
    "PROTOCOL",
    false,
  ],
  [
    "two answers",
    (seq) => concatBytes(encodeAnswer(seq, {}), encodeAnswer(seq, {})),
    "PROTOCOL",
    false,
  ],
  ["no JSON", () => encodeFrame(utf8("{")), "PROTOCOL", false],
  ["a frame that is too long", () => Uint8Array.of(0, 2, 0, 0), "PROTOCOL", false],
  ["an empty frame", () => new Uint8Array(4), "PROTOCOL", false],
];

for (const [what, say, code, goesOn] of SAID) {
  test(`Wire.ask() tells ${what} as ${code}`, async () => {
    const { socket, wire } = open();
    socket.onRequest = ({ seq }) => socket.say(say(seq));
    const error: unknown = await wire.ask(LOOKUP).then(() => assert.fail("it was taken"), (e) => e);
    assert.ok(error instanceof PkiError);
    assert.equal(codeOf(error), code);
    assert.equal(wire.isOpen, goesOn);
    assert.ok(!error.message.includes("\x1b"), "nothing of it steers a terminal");
    assert.equal(FAULTS.includes(code), code === "PROTOCOL");
    wire.close();
  });
}

test("Wire.ask() tells a connection that is cut, and a last word that comes unasked", async () => {
  const cut = open();
  cut.socket.onRequest = () => cut.socket.destroy();
  await assert.rejects(cut.wire.ask(LOOKUP), (error) => codeOf(error) === "TRUNCATED");
  const told = open();
  told.socket.say(encodeError(0, { code: "TIMEOUT", message: "too long silent" }));
  await assert.rejects(told.wire.ask(LOOKUP), (error) => codeOf(error) === "TIMEOUT");
});
