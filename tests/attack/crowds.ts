/** One address that wants everything: what it may have is bounded, so that others find room. */

import type { Attack } from "./scene.ts";
import { Speaker } from "./speaker.ts";
import { Wire } from "./wire.ts";

/** Keys of `pki.json`. More is opened by one address than it may have, and less than all may have. */
export const CROWD_LIMITS = { connectionsPerAddress: 20, handshakesPerAddress: 60 } as const;

export const CROWDS: readonly Attack[] = [
  {
    name: "more connections of one address than it may have",
    run: async (scene) => {
      const from = scene.nextAddress();
      const { connectionsPerAddress: most } = CROWD_LIMITS;
      const inside: Speaker[] = [];
      try {
        for (let tried = 0; tried < 2 * most; tried++) {
          const speaker = await Speaker.open(scene, { from });
          speaker.say("HELLO");
          const answer = await speaker.next();
          if (answer?.code === "BUSY") {
            speaker.close();
            return inside.length <= most ? "BUSY" : `BUSY after ${inside.length}`;
          }
          inside.push(speaker);
        }
        return `${inside.length} are in`;
      } finally {
        for (const speaker of inside) speaker.close();
      }
    },
    hears: "BUSY",
  },
  {
    name: "more handshakes of one address than it may have under way",
    run: async (scene) => {
      const from = scene.nextAddress();
      const { handshakesPerAddress: most } = CROWD_LIMITS;
      const wires = await Promise.all(
        Array.from({ length: 2 * most }, () => Wire.open({ port: scene.port, from })),
      );
      await scene.told(({ event }) => event === "connections.dropped");
      for (const wire of wires) wire.close();
      return "dropped";
    },
    hears: "dropped",
  },
];
