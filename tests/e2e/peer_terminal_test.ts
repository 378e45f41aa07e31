/**
 * A hostile peer, and a person at a terminal: megabytes of what terminals obey, floods of messages and
 * letters that never end, signatures and offers that do not fit. The terminal stays the person's.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeBase64, utf8 } from "../../lib/base/bytes.ts";
import { encodeMessage, splitMessage } from "../../lib/protocol/peer_text.ts";
import { Forge } from "./forge.ts";
import { inWorld, needs, peakMiBOf } from "./harness.ts";
import { callAs, control, endFrame, TYPE } from "./raw_peer.ts";
import { listenAt } from "./talkers.ts";

/** What terminals obey, each with what would be seen if this one did. */
const ORDERS = [
  "\x1b[2J\x1b[H",
  "\x1b]0;owned\x07",
  "\x1b]52;c;b3duZWQ=\x07",
  "\x1b]8;;http://owned\x1b\\",
  "\x1bP+q6f776e6564\x1b\\",
  "\x1b[31mRED\x1b[5n\x1b[6n\x1b[c",
  "\x9b31mRED\x9d0;owned\x9c",
  "\x1bc\x1b[?1049h\x1b[?2004l",
  "\r\x08\x7f\x00\x0e\x0f\x85\x0b\x0c",
  "\u202eowned\u2066\u2069\u200e\u061c",
  "\u200b\u200d\ufeff\u2028\u2029\u{e0041}",
];

/** What of it must not have reached the terminal, whatever we send to it ourselves. */
const OBEYED = new RegExp(
  [
    "\\x1b(?:\\](?:0;owned|52|8;;http)|P|c|\\[(?:31mRED|[56]n|c))",
    "[\\u0080-\\u009f\\u202a-\\u202e\\u2066-\\u2069\\u200b\\u200e\\u061c\\ufeff\\u2028\\u2029]",
    "[\\x00\\x07\\x0e\\x0f]",
  ].join("|"),
  "u",
);

/** Almost the most that a message may have. */
const MESSAGE_BYTES = 250_000;

/** A message of the peer's, as frames. */
function message(text: string): Uint8Array {
  return splitMessage(encodeMessage({ timeMs: Date.now(), seen: 0, text }));
}

/** What all of this may add to the program's memory, in MiB: rows of the largest message, and no more. */
const GROWTH_MIB_MAX = 800;

test(
  "whatever a peer says, the terminal is of who sits there",
  needs("tmux"),
  (t) =>
    inWorld(async (world) => {
      await world.withUsers("alice");
      const mallory = await (await Forge.ofServer(world)).user("mallory");
      const transcript = world.path("alice.jsonl");
      const { terminal, port } = await listenAt(world, "alice", ["--transcript", transcript]);
      const onTheLine = () => terminal.waitFor(/^mallory is on the line:[^]*^alice> *$/m);
      try {
        await t.test("megabytes of what terminals obey, and floods of words", async () => {
          const peer = await callAs(mallory, port);
          await peer.open({ mode: "talk" });
          await onTheLine();
          await terminal.type("what I was about to say");
          const before = peakMiBOf(await terminal.pid());
          const floods = [ORDERS.join("owned "), "\n", "\u0301", "👩‍👩‍👧‍👦", "x"];
          for (const one of floods) {
            await peer.sendAll(message(one.repeat(Math.floor(MESSAGE_BYTES / utf8(one).length))));
          }
          for (let number = 0; number < 3000; number++) peer.send(message(`word ${number}`));
          await peer.sendAll(message("that was all"));
          await terminal.waitFor(/mallory: that was all\nalice> what I was about to say$/m);
          assert.doesNotMatch(terminal.raw(), OBEYED);
          assert.match(terminal.raw(), /owned/, "it was shown, harmless");
          assert.ok(peakMiBOf(await terminal.pid()) - before < GROWTH_MIB_MAX);
          await terminal.press("Enter");
          await terminal.waitFor(/alice> what I was about to say$/m);
          peer.hangUp();
          await terminal.waitFor(/^listening again$/m);
        });

        await t.test("a signature that does not fit what was said", async () => {
          const peer = await callAs(mallory, port);
          await peer.open({ mode: "talk", transcript: true });
          await onTheLine();
          peer.send(message("I owe you nothing"), endFrame(16 + 1 + 17));
          for (;;) {
            const heard = await peer.next();
            assert.ok("body" in heard, "the line was cut before it was signed");
            if (heard.type !== TYPE.control) continue;
            const { type } = JSON.parse(new TextDecoder().decode(heard.body)) as { type: string };
            if (type === "SIGNATURE") break;
          }
          peer.send(control({ type: "SIGNATURE", signature: encodeBase64(new Uint8Array(64)) }));
          await terminal.waitFor(/a signature that does not fit what\s+was\s+said/);
          peer.hangUp();
        });

        await t.test("offers of files with names from hell, taken back and made again", async () => {
          const peer = await callAs(mallory, port);
          await peer.open({ mode: "talk" });
          await onTheLine();
          const name = `../${ORDERS.join("owned/")}`.slice(0, 255);
          for (let transfer = 1; transfer <= 30; transfer++) {
            const cancel = { type: "CANCEL", transfer, side: "sender", message: name };
            peer.send(
              control({ type: "OFFER", transfer, name, files: 1, bytes: 1 }),
              control(cancel),
            );
          }
          await peer.sendAll(message("that was the last"));
          await terminal.waitForRaw(
            (raw) => raw.includes("mallory: that was the last") && raw.includes("mallory offers"),
            "offers, and a message behind them",
          );
          assert.doesNotMatch(terminal.raw(), OBEYED);
          const offerOf = (transfer: number, name: string) =>
            control({ type: "OFFER", transfer, name, files: 1, bytes: 1 });
          peer.send(offerOf(31, "photo.jpg"));
          await terminal.waitFor(/mallory offers "photo\.jpg"/);
          const never = { type: "CANCEL", transfer: 31, side: "sender", message: "never mind" };
          peer.send(control(never), offerOf(32, "evil.sh"));
          await terminal.waitFor(/mallory offers "evil\.sh"/);
          await terminal.type("/accept");
          await terminal.press("Enter");
          await terminal.waitFor(/another offer was taken back before/); // it was meant for that
          peer.hangUp();
        });
      } finally {
        await terminal.close();
      }
    }),
);
