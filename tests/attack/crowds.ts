/** One address that wants everything: what it may have is bounded, so that others find room. */

import { until } from "../e2e/harness.ts";
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
      // At once: nobody is ended for being slow before the last one is there.
      const speakers = await Promise.all(
        Array.from({ length: 2 * most }, () => Speaker.open(scene, { from })),
      );
      try {
        const heard = await Promise.all(speakers.map(async (speaker) => {
          speaker.say("HELLO");
          const { type, code = type } = await speaker.next() ?? { type: "nothing" };
          return code;
        }));
        const count = (word: string) => heard.filter((one) => one === word).length;
        return `${count("OK")} times OK, ${count("BUSY")} times BUSY`;
      } finally {
        for (const speaker of speakers) speaker.close();
      }
    },
    hears: `${CROWD_LIMITS.connectionsPerAddress} times OK, ` +
      `${CROWD_LIMITS.connectionsPerAddress} times BUSY`,
  },
  {
    name: "more handshakes of one address than it may have under way",
    run: async (scene) => {
      const from = scene.nextAddress();
      const { handshakesPerAddress: most } = CROWD_LIMITS;
      const wires = await Promise.all(
        Array.from({ length: 2 * most }, () => Wire.open({ port: scene.port, from })),
      );
      const over = () => wires.filter(({ isOver }) => isOver).length;
      await until(() => over() >= most, "half of them are dropped");
      await scene.told(({ event }) => event === "connections.dropped");
      const dropped = over();
      for (const wire of wires) wire.close();
      return `${dropped} are dropped`;
    },
    hears: `${CROWD_LIMITS.handshakesPerAddress} are dropped`,
  },
];
