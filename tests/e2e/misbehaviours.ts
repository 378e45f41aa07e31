/** What a peer may do that none of ours does, at which point of a conversation, and what is said of it. */

import { concatBytes, encodeBase64, utf8 } from "../../lib/base/bytes.ts";
import {
  control,
  endFrame,
  frame,
  helloAs,
  rawFrame,
  READY,
  REVEAL,
  textBody,
  TYPE,
} from "./raw_peer.ts";

export interface Misbehaviour {
  readonly name: string;
  /**
   * `greeting`: instead of HELLO; `committed`: after HELLO, instead of NONCE; `greeted`: after both,
   * instead of READY; `open`: once both are ready.
   */
  readonly when: "greeting" | "committed" | "greeted" | "open";
  readonly send: Uint8Array;
  readonly says: RegExp;
}

const NOT_UTF8 = Uint8Array.of(0xc3, 0x28);
const BIGGEST = 65_536;

export const MISBEHAVIOURS: readonly Misbehaviour[] = [
  {
    name: "a frame of length 0",
    when: "greeting",
    send: rawFrame(new Uint8Array()),
    says: /its length is 0, 1 to 65536 allowed/,
  },
  {
    name: "a frame too long by one byte",
    when: "greeting",
    send: rawFrame(utf8("x"), BIGGEST + 1),
    says: /its length is 65537, 1 to 65536 allowed/,
  },
  {
    name: "the longest length that there is",
    when: "open",
    send: rawFrame(utf8("x"), 0xffff_ffff),
    says: /its length is 4294967295, 1 to 65536 allowed/,
  },
  {
    name: "an old system's pickle",
    when: "greeting",
    send: utf8("\x80\x04\x95cos\nsystem\n(S'true'\ntR."),
    says: /its length is \d+, 1 to 65536 allowed/,
  },
  {
    name: "data before HELLO",
    when: "greeting",
    send: frame(TYPE.data, utf8("secret")),
    says: /a message before both sides are ready/,
  },
  {
    name: "data before READY",
    when: "greeted",
    send: frame(TYPE.data, utf8("secret")),
    says: /a message before both sides are ready/,
  },
  {
    name: "text before READY",
    when: "greeted",
    send: frame(TYPE.text, utf8("secret")),
    says: /a message before both sides are ready/,
  },
  {
    name: "the end before READY",
    when: "greeted",
    send: endFrame(0),
    says: /a message before both sides are ready/,
  },
  {
    name: "READY before HELLO",
    when: "greeting",
    send: control(READY),
    says: /READY at the wrong time/,
  },
  {
    name: "REFUSED before HELLO",
    when: "greeting",
    send: control({ type: "REFUSED", code: "REFUSED", message: "no" }),
    says: /REFUSED at the wrong time/,
  },
  { name: "two HELLOs", when: "greeted", send: control(helloAs("caller")), says: /a second HELLO/ },
  { name: "a late HELLO", when: "open", send: control(helloAs("caller")), says: /a second HELLO/ },
  { name: "two READYs", when: "open", send: control(READY), says: /READY at the wrong time/ },
  {
    name: "REFUSED after READY",
    when: "open",
    send: control({ type: "REFUSED", code: "REFUSED", message: "no" }),
    says: /REFUSED at the wrong time/,
  },
  {
    name: "a mode that there is not",
    when: "greeting",
    send: control({ ...helloAs("caller"), mode: "shout" }),
    says: /an unknown control frame/,
  },
  {
    name: "control of an unknown type",
    when: "greeted",
    send: control({ type: "EXEC", command: "id" }),
    says: /an unknown control frame/,
  },
  {
    name: "control that is not an object",
    when: "greeting",
    send: frame(TYPE.control, utf8("[]")),
    says: /an unknown control frame/,
  },
  {
    name: "control that is not JSON",
    when: "greeting",
    send: frame(TYPE.control, utf8("HELLO")),
    says: /a control frame that is not JSON in UTF-8/,
  },
  {
    name: "control that is not UTF-8",
    when: "greeting",
    send: frame(TYPE.control, NOT_UTF8),
    says: /a control frame that is not JSON in UTF-8/,
  },
  {
    name: "control with a name twice",
    when: "greeting",
    send: frame(TYPE.control, utf8('{"type":"ALIVE","type":"ALIVE"}')),
    says: /a control frame with a name twice/,
  },
  {
    name: "control nested ten thousand deep",
    when: "greeting",
    send: frame(TYPE.control, utf8("[".repeat(10_000) + "]".repeat(10_000))),
    says: /broke the protocol/,
  },
  {
    name: "a frame with no body",
    when: "open",
    send: frame(TYPE.control, new Uint8Array()),
    says: /a control frame that is not JSON in UTF-8/,
  },
  {
    name: "frame type 0",
    when: "open",
    send: frame(0, utf8("x")),
    says: /a frame of the unknown type 0/,
  },
  {
    name: "frame type 127",
    when: "open",
    send: frame(127, utf8("x")),
    says: /a frame of the unknown type 127/,
  },
  {
    name: "a message that is not UTF-8",
    when: "open",
    send: frame(TYPE.text, textBody(NOT_UTF8)),
    says: /a message that is not UTF-8/,
  },
  {
    name: "a message that never ends",
    when: "open",
    send: concatBytes(
      ...Array.from(
        { length: 5 },
        () => frame(TYPE.text, textBody(new Uint8Array(60_000).fill(0x61), { isLast: false })),
      ),
    ),
    says: /a message that is too long/,
  },
  {
    name: "an end that counts too much",
    when: "open",
    send: concatBytes(frame(TYPE.data, utf8("four")), endFrame(5)),
    says: /an end that does not fit what came/,
  },
  {
    name: "an end that counts too little",
    when: "open",
    send: concatBytes(frame(TYPE.data, utf8("four")), endFrame(3)),
    says: /an end that does not fit what came/,
  },
  {
    name: "an end without a count",
    when: "open",
    send: frame(TYPE.end, new Uint8Array()),
    says: /an end that does not fit what came/,
  },
  {
    name: "an end with a count of 9 bytes",
    when: "open",
    send: frame(TYPE.end, new Uint8Array(9)),
    says: /an end that does not fit what came/,
  },
  {
    name: "data behind the end",
    when: "open",
    send: concatBytes(endFrame(0), frame(TYPE.data, utf8("more"))),
    says: /a message behind the end/,
  },
  {
    name: "two ends",
    when: "open",
    send: concatBytes(endFrame(0), endFrame(0)),
    says: /a message behind the end/,
  },
  {
    name: "RECEIVED that was not asked for",
    when: "open",
    send: control({ type: "RECEIVED", bytes: 0 }),
    says: /a confirmation that does not fit what was sent/,
  },
  {
    name: "RECEIVED of a fraction",
    when: "open",
    send: control({ type: "RECEIVED", bytes: 0.5 }),
    says: /an unknown control frame/,
  },
  {
    name: "RECEIVED of less than nothing",
    when: "open",
    send: control({ type: "RECEIVED", bytes: -1 }),
    says: /an unknown control frame/,
  },
  {
    name: "a nonce before its commitment",
    when: "greeting",
    send: control(REVEAL),
    says: /NONCE at the wrong time/,
  },
  {
    name: "a nonce that is not the one of the commitment",
    when: "committed",
    send: control({ type: "NONCE", nonce: encodeBase64(new Uint8Array(32)) }),
    says: /a nonce that does not fit its commitment/,
  },
  {
    name: "a nonce of 31 bytes",
    when: "committed",
    send: control({ type: "NONCE", nonce: encodeBase64(new Uint8Array(31)) }),
    says: /an unknown control frame/,
  },
  {
    name: "READY instead of a nonce",
    when: "committed",
    send: control(READY),
    says: /READY at the wrong time/,
  },
  {
    name: "WAIT instead of a nonce",
    when: "committed",
    send: control({ type: "WAIT", reason: "asked" }),
    says: /WAIT at the wrong time/,
  },
  { name: "two nonces", when: "greeted", send: control(REVEAL), says: /NONCE at the wrong time/ },
  {
    name: "a commitment of 31 bytes",
    when: "greeting",
    send: control({ ...helloAs("caller"), commitment: encodeBase64(new Uint8Array(31)) }),
    says: /an unknown control frame/,
  },
  {
    name: "a silence of almost a second",
    when: "greeting",
    send: control({ ...helloAs("caller"), silence: 999 }),
    says: /an unknown control frame/,
  },
  {
    name: "a silence of more than an hour",
    when: "greeting",
    send: control({ ...helloAs("caller"), silence: 3_600_001 }),
    says: /an unknown control frame/,
  },
  {
    name: "endorsements that never end",
    when: "greeting",
    send: control({
      ...helloAs("caller"),
      endorsements: Array.from(
        { length: 9 },
        () => ({ key: "AA==", timeMs: 1, signature: "AA==" }),
      ),
    }),
    says: /an unknown control frame/,
  },
  {
    name: "ALIVE before HELLO",
    when: "greeting",
    send: control({ type: "ALIVE" }),
    says: /ALIVE before HELLO/,
  },
  {
    name: "WAIT since it is busy, unasked",
    when: "greeted",
    send: control({ type: "WAIT", reason: "busy" }),
    says: /WAIT at the wrong time/,
  },
  {
    name: "WAIT for no reason",
    when: "greeted",
    send: control({ type: "WAIT", reason: "tea" }),
    says: /an unknown control frame/,
  },
  {
    name: "WAIT once it was ready",
    when: "open",
    send: control({ type: "WAIT", reason: "asked" }),
    says: /WAIT at the wrong time/,
  },
  {
    name: "DELIVERED before anything was said",
    when: "greeted",
    send: control({ type: "DELIVERED", messages: 0 }),
    says: /DELIVERED at the wrong time/,
  },
  {
    name: "DELIVERED of what was not sent",
    when: "open",
    send: control({ type: "DELIVERED", messages: 1 }),
    says: /a delivery of what was not sent/,
  },
  {
    name: "a signature that nobody asked for",
    when: "open",
    send: control({ type: "SIGNATURE", signature: "AAAA" }),
    says: /SIGNATURE at the wrong time/,
  },
  {
    name: "text that is no part of anything",
    when: "open",
    send: frame(TYPE.text, new Uint8Array()),
    says: /a text frame without a part/,
  },
  {
    name: "a part that is neither the last nor not",
    when: "open",
    send: frame(TYPE.text, Uint8Array.of(2, 0x61)),
    says: /a text frame without a part/,
  },
  {
    name: "a message shorter than its times",
    when: "open",
    send: frame(TYPE.text, new Uint8Array(16)),
    says: /a message without its times/,
  },
  {
    name: "a message of the year 292,277,026,596",
    when: "open",
    send: frame(TYPE.text, concatBytes(Uint8Array.of(0), new Uint8Array(16).fill(0x7f))),
    says: /a message with impossible times/,
  },
  {
    name: "a message that has seen what was not sent",
    when: "open",
    send: frame(TYPE.text, textBody(utf8("yes"), { seen: 1 })),
    says: /a message that has seen what was not sent/,
  },
  {
    name: "an end within a message",
    when: "open",
    send: concatBytes(
      frame(TYPE.text, textBody(utf8("half a "), { isLast: false })),
      endFrame(17 + 7),
    ),
    says: /an end that does not fit what came/,
  },
  {
    name: "a file in a pipe",
    when: "open",
    send: frame(TYPE.file, utf8("\0\0\0\x01secret")),
    says: /files where there are none/,
  },
  {
    name: "an offer of files in a pipe",
    when: "open",
    send: control({ type: "OFFER", transfer: 1, name: "secret", files: 1, bytes: 1 }),
    says: /files where there are none/,
  },
  {
    name: "an offer of files before READY",
    when: "greeted",
    send: control({ type: "OFFER", transfer: 1, name: "secret", files: 1, bytes: 1 }),
    says: /OFFER at the wrong time/,
  },
];
