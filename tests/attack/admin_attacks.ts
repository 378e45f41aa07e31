/** Garbage and slow clients at `admin.sock`, whose owner may make mistakes. */

import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { concatBytes, utf8 } from "../../lib/base/bytes.ts";
import { FrameReader } from "../../lib/protocol/frame.ts";
import { ADMIN_SOCKET_NAME } from "../../lib/protocol/admin_messages.ts";
import { ADMIN_CONNECTIONS_MAX } from "../../lib/server/admin.ts";
import { folderOf } from "../e2e/administrator.ts";
import { frame, header, requestFrame } from "../e2e/raw_client.ts";
import type { Attack, Scene } from "./scene.ts";
import { Wire } from "./wire.ts";

const open = ({ world }: Scene) => Wire.open({ path: join(folderOf(world), ADMIN_SOCKET_NAME) });

/** The codes of all frames until the end. */
async function hear(wire: Wire): Promise<string> {
  const frames = new FrameReader();
  frames.push(await wire.rest());
  const words: string[] = [];
  for (let body = frames.read(); body; body = frames.read()) {
    const { type, code } = JSON.parse(new TextDecoder().decode(body)) as Record<string, string>;
    words.push(code ?? type ?? "");
  }
  return [...words, "closed"].join(", ");
}

/** Makes the server close, where it has read everything before. */
const BAD_LENGTH = header(0);

const sent = (name: string, bytes: Uint8Array, hears: Attack["hears"]): Attack => ({
  name: `at the admin socket ${name}`,
  run: async (scene) => {
    const wire = await open(scene);
    wire.write(concatBytes(bytes, BAD_LENGTH));
    const heard = await hear(wire);
    wire.close();
    return heard;
  },
  hears,
});

const BROKEN = "PROTOCOL, closed";
const bomb = `{"seq":1,"type":"STATUS","x":${"[".repeat(10_000)}${"]".repeat(10_000)}}`;

export const ADMIN_ATTACKS: readonly Attack[] = ([
  sent("a good request", requestFrame(1, "STATUS"), "OK, PROTOCOL, closed"),
  sent("noise", concatBytes(Uint8Array.of(0xff), randomBytes(100_000)), BROKEN),
  sent("HTTP", utf8("GET / HTTP/1.1\r\n\r\n"), BROKEN),
  ...[0, 65_537, 0x8000_0000, 0xffff_ffff].map((length) =>
    sent(`a frame of ${length} bytes`, header(length), BROKEN)
  ),
  sent("arrays 10,000 deep", frame(bomb), /^(OK|MALFORMED), PROTOCOL, closed$/),
  sent("arrays that do not end", frame("[".repeat(60_000)), BROKEN),
  sent("no object", frame("[]"), BROKEN),
  sent("two types", frame('{"seq":1,"type":"BACKUP","type":"STATUS"}'), BROKEN),
  sent("a seq of 400 digits", frame(`{"seq":${"9".repeat(400)},"type":"STATUS"}`), BROKEN),
  sent("constructor as a type", requestFrame(1, "constructor"), "MALFORMED, PROTOCOL, closed"),
  sent("__proto__ as a type", requestFrame(1, "__proto__"), "MALFORMED, PROTOCOL, closed"),
  sent("a request of users", requestFrame(1, "HELLO"), "MALFORMED, PROTOCOL, closed"),
  {
    name: "at the admin socket a request in single bytes",
    run: async (scene) => {
      const wire = await open(scene);
      for (const byte of concatBytes(requestFrame(1, "STATUS"), BAD_LENGTH)) {
        wire.write(Uint8Array.of(byte));
        await wire.flushed();
      }
      const heard = await hear(wire);
      wire.close();
      return heard;
    },
    hears: "OK, PROTOCOL, closed",
  },
  {
    name: "at the admin socket 1,000 requests whose answers nobody reads, left alone",
    run: async (scene) => {
      const wire = await open(scene);
      wire.deafen();
      const requests = Array.from({ length: 1000 }, (_, at) => requestFrame(at + 1, "STATUS"));
      wire.write(concatBytes(...requests));
      await scene.visits(1);
      wire.reset();
      return "nothing";
    },
    hears: "nothing",
  },
  {
    name: "at the admin socket half a request, left alone",
    run: async (scene) => {
      for (let count = 0; count < 50; count++) {
        const wire = await open(scene);
        wire.write(requestFrame(1, "STATUS").subarray(0, 10));
        await wire.flushed();
        wire.close();
      }
      return "nothing";
    },
    hears: "nothing",
  },
] satisfies readonly Attack[]).map((row) => ({ ...row, isElsewhere: true }));

/** All places at the admin socket taken by clients that say nothing. For a moment when nobody asks. */
export const ADMIN_CROWD: Attack = {
  name: "at the admin socket more clients than there are places",
  run: async (scene) => {
    const crowd: Wire[] = [];
    while (crowd.length < ADMIN_CONNECTIONS_MAX) {
      const wire = await open(scene);
      wire.write(requestFrame(1, "STATUS"));
      const length = await wire.take(4); // of an answer, or of a refusal: earlier ones are leaving yet
      const body = length && await wire.take(new DataView(length.buffer).getUint32(0));
      if (new TextDecoder().decode(body).includes('"OK"')) crowd.push(wire);
      else wire.close();
    }
    const late = await open(scene);
    const heard = await hear(late);
    late.close();
    for (const wire of crowd) wire.close();
    return heard;
  },
  hears: "BUSY, closed",
  isElsewhere: true,
};
