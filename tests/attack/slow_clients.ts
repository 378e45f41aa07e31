/**
 * Slow loris: clients that hold on to a connection and say next to nothing, in every phase. What ends
 * them are the limits of {@link SLOW_LIMITS}, which leave a well-behaved client on a slow machine the
 * time that it needs.
 */

import { concatBytes, encodeBase64, utf8 } from "../../lib/base/bytes.ts";
import { frame, header, requestFrame } from "../e2e/raw_client.ts";
import type { Attack, Scene } from "./scene.ts";
import { Speaker, speaking } from "./speaker.ts";
import { TlsClient } from "./tls_client.ts";
import { shownBy } from "./users.ts";
import { Wire } from "./wire.ts";

/** Under `limits` in `pki.json`, in seconds. */
export const SLOW_LIMITS = {
  handshakeSeconds: 15,
  helloSeconds: 15,
  loginSeconds: 40,
  frameSeconds: 10,
  idleSeconds: 15,
} as const;

/** Between two bytes, or two requests that lead nowhere: often enough to look alive. */
const DRIP_MS = 100;

/** Sends one portion after the other, for as long as the other side listens. */
async function drip(wire: Wire, next: () => Uint8Array | undefined): Promise<void> {
  for (let portion = next(); portion && !wire.isOver; portion = next()) {
    wire.write(portion);
    await wire.overOr(DRIP_MS);
  }
}

function bytesOf(whole: Uint8Array): () => Uint8Array | undefined {
  let at = 0;
  return () => at < whole.length ? whole.subarray(at, ++at) : undefined;
}

/** Bytes of a frame that never ends within a test, each in a record of its own. */
async function dripFrame(speaker: Speaker): Promise<string> {
  const whole = concatBytes(header(65_536), utf8('{"seq":99,"type":"HELLO","x":"'));
  const portions = bytesOf(concatBytes(whole, new Uint8Array(65_000).fill(0x61)));
  const heard = speaker.hear();
  await drip(speaker.client.wire, () => {
    const portion = portions();
    return portion && speaker.client.sealData(portion);
  });
  return await heard;
}

const tcp = (name: string, send: (wire: Wire, client: TlsClient) => Promise<void>): Attack => ({
  name,
  run: async ({ port, nextAddress }) => {
    const client = await TlsClient.connect({ port, from: nextAddress() });
    await send(client.wire, client);
    await client.wire.rest();
    client.wire.close();
    return "closed";
  },
  hears: "closed",
});

const asAlice = async <T>(scene: Scene, work: (speaker: Speaker) => Promise<T>) =>
  await speaking(
    scene,
    { shown: await shownBy(scene, "alice"), from: scene.nextAddress() },
    async (speaker) => {
      await speaker.ok("LOGIN_CERTIFICATE");
      return await work(speaker);
    },
  );

const TIMEOUT = "TIMEOUT, closed";

export const SLOW_CLIENTS: readonly Attack[] = [
  tcp("TCP and nothing else", () => Promise.resolve()),
  tcp("half a ClientHello", (wire, client) => {
    wire.write(client.helloRecord().subarray(0, 100));
    return Promise.resolve();
  }),
  tcp("a ClientHello byte by byte", (wire, client) => drip(wire, bytesOf(client.helloRecord()))),
  tcp("a ClientHello and nothing else", (_, client) => Promise.resolve(client.hello())),
  {
    name: "a handshake and nothing else",
    run: async (scene) => {
      const speaker = await Speaker.open(scene, { from: scene.nextAddress() });
      return await speaker.hear();
    },
    hears: TIMEOUT,
  },
  {
    name: "half the length of a first frame",
    run: async (scene) => {
      const speaker = await Speaker.open(scene, { from: scene.nextAddress() });
      speaker.write(Uint8Array.of(0, 0));
      return await speaker.hear();
    },
    hears: TIMEOUT,
  },
  {
    name: "a first frame byte by byte",
    run: async (scene) => await dripFrame(await Speaker.open(scene, { from: scene.nextAddress() })),
    hears: TIMEOUT,
  },
  {
    name: "a second frame byte by byte",
    run: (scene) => speaking(scene, { from: scene.nextAddress() }, dripFrame),
    hears: TIMEOUT,
  },
  {
    name: "HELLO and nothing else",
    run: (scene) => speaking(scene, { from: scene.nextAddress() }, (speaker) => speaker.hear()),
    hears: TIMEOUT,
  },
  {
    name: "HELLO again and again",
    run: (scene) =>
      speaking(scene, { from: scene.nextAddress() }, async (speaker) => {
        let seq = 1;
        const heard = speaker.hear();
        await drip(
          speaker.client.wire,
          () => speaker.client.sealData(requestFrame(++seq, "HELLO")),
        );
        return (await heard).replace(/^(OK, )+/, "OK, ");
      }),
    hears: `OK, ${TIMEOUT}`,
  },
  {
    name: "a login that is never finished",
    run: (scene) =>
      speaking(scene, { from: scene.nextAddress() }, async (speaker) => {
        await speaker.ok("LOGIN", speaker.login("nobody").request);
        return await speaker.hear();
      }),
    hears: TIMEOUT,
  },
  {
    name: "a session in which nothing is asked",
    run: (scene) => asAlice(scene, (speaker) => speaker.hear()),
    hears: TIMEOUT,
  },
  {
    name: "a session with a frame byte by byte",
    run: (scene) => asAlice(scene, dripFrame),
    hears: TIMEOUT,
  },
  {
    name: "a session whose answers nobody reads",
    run: (scene) =>
      asAlice(scene, async (speaker) => {
        const { wire } = speaker.client;
        wire.deafen();
        const csr = encodeBase64(new Uint8Array(16_000));
        for (let seq = 10; !wire.isOver; seq++) {
          const body = seq % 8 === 0 ? { type: "CSR", csr } : { type: "CERTREQ", id: "bob" };
          speaker.write(frame(JSON.stringify({ seq, ...body })));
          if (wire.socket.writableLength > 1_000_000) await wire.overOr(DRIP_MS);
        }
        return "closed";
      }),
    hears: "closed",
  },
];
