import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../../lib/base/bytes.ts";
import type { PkiError } from "../../lib/base/errors.ts";
import { Confirmation } from "../../lib/peer/confirmation.ts";
import { FrameReader } from "../../lib/protocol/frame.ts";
import { parseControl } from "../../lib/protocol/peer_messages.ts";
import { PeerSender } from "../../lib/protocol/peer_sender.ts";

const SIGNATURE = utf8("signed");

/** A line that both sides are ready on, and what it has sent and told. */
function make(sign: () => typeof SIGNATURE | undefined = () => SIGNATURE) {
  const sender = new PeerSender();
  sender.open();
  const said: string[] = [];
  const line = { isOver: false };
  const confirmation = new Confirmation({
    sender,
    sign,
    send: (frames) => {
      const reader = new FrameReader();
      reader.push(frames);
      for (let frame = reader.read(); frame; frame = reader.read()) {
        said.push(parseControl(frame.subarray(1))?.type ?? "");
      }
    },
    isOver: () => line.isOver,
    onConfirmed: () => void said.push("confirmed"),
    onFailed: ({ kind, message }: PkiError) => void said.push(`${kind}: ${message}`),
  });
  return { sender, said, line, confirmation };
}

test("Confirmation confirms once the peer has ended and all of it is delivered, once", async () => {
  const { said, confirmation } = make();
  await confirmation.look();
  assert.deepEqual(said, []);
  await confirmation.peerEnded(3);
  await confirmation.look();
  assert.deepEqual(said, ["RECEIVED", "confirmed"]);
});

test("Confirmation waits for our own end where both sign, and signs first", async () => {
  const { sender, said, confirmation } = make();
  confirmation.demandSignature();
  await confirmation.peerEnded(3);
  assert.deepEqual(said, []);
  sender.sendEnd();
  await confirmation.look();
  assert.deepEqual(said, ["SIGNATURE", "RECEIVED", "confirmed"]);
});

test("Confirmation says so when nobody signs, and confirms nothing", async () => {
  const { sender, said, confirmation } = make(() => undefined);
  confirmation.demandSignature();
  sender.sendEnd();
  await confirmation.peerEnded(3);
  assert.deepEqual(said, ["internal: cannot sign: nobody signs the transcript"]);
});

test("Confirmation says nothing when the line is over", async () => {
  const { said, line, confirmation } = make();
  line.isOver = true;
  await confirmation.peerEnded(3);
  assert.deepEqual(said, []);
});
