/** Attacks on TLS, slow clients and floods, on a server that serves others all the while. */

import { test } from "node:test";
import { CROWD_LIMITS, CROWDS } from "./crowds.ts";
import { FLOODS } from "./floods.ts";
import { SLOW_METRICS } from "./metrics_attacks.ts";
import { attack, underAttack } from "./scene.ts";
import { SLOW_CLIENTS, SLOW_LIMITS } from "./slow_clients.ts";
import { TLS_ATTACKS } from "./tls_attacks.ts";

test("slow clients, floods and broken TLS: each is ended, others are served, all is given back", () =>
  underAttack({
    settings: { limits: { ...SLOW_LIMITS, ...CROWD_LIMITS } },
    peakMiBMax: 800,
  }, async (scene) => {
    const slow = [...SLOW_CLIENTS, ...SLOW_METRICS];
    const one = async () => {
      await attack(scene, TLS_ATTACKS);
      await attack(scene, FLOODS, { atOnce: FLOODS.length });
      await attack(scene, CROWDS); // what they hear is counted, and nobody else is to be in the way
    };
    await Promise.all([attack(scene, slow, { atOnce: slow.length }), one()]);
  }));
