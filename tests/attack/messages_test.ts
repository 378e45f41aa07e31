/** Hostile messages and clients that vanish, on a server that serves others all the while. */

import { test } from "node:test";
import { ADMIN_ATTACKS, ADMIN_CROWD } from "./admin_attacks.ts";
import { LOGIN_FLOODS } from "./floods.ts";
import { DEAF_ATTACKS, MESSAGE_ATTACKS } from "./message_attacks.ts";
import { METRICS_ATTACKS, METRICS_CROWD } from "./metrics_attacks.ts";
import { attack, underAttack } from "./scene.ts";
import { vanishings } from "./vanishing.ts";

test("hostile messages: each is answered or cut, others are served, all is given back", () =>
  // At `debug` each of 20,000 requests is a line.
  underAttack({ peakMiBMax: 500, logLevel: "info" }, async (scene) => {
    const vanishing = await vanishings(scene);
    await Promise.all([
      attack(scene, [...MESSAGE_ATTACKS, ...ADMIN_ATTACKS, ...METRICS_ATTACKS]),
      // One after the other: all of them publish alice's newest certificate.
      attack(scene, vanishing, { atOnce: 1 }),
      attack(scene, LOGIN_FLOODS),
    ]);
    await attack(scene, [ADMIN_CROWD]);
    await attack(scene, METRICS_CROWD, { atOnce: 1 });
    await attack(scene, DEAF_ATTACKS);
  }));
