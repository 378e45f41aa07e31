/** Floods: many at once of what is harmless one by one. */

import type { Attack, Scene } from "./scene.ts";
import { Speaker, speaking } from "./speaker.ts";
import { TlsClient } from "./tls_client.ts";
import { BROKEN_OFF } from "./tls_attacks.ts";
import { Wire } from "./wire.ts";

/** Addresses that a flood comes from. */
const ADDRESSES = 8;

/** Opens so many things from some addresses, and waits for the end of each. */
async function flood(
  scene: Scene,
  count: number,
  open: (from: string) => Promise<() => Promise<unknown>>,
): Promise<void> {
  const addresses = Array.from({ length: ADDRESSES }, () => scene.nextAddress());
  const opened = await Promise.all(
    Array.from({ length: count }, (_, at) => open(addresses[at % ADDRESSES] ?? "")),
  );
  await scene.visits(2); // others are served while all of it is there
  await Promise.all(opened.map((end) => end()));
}

const endOf = (wire: Wire) => async () => {
  await wire.rest();
  wire.close();
};

export const FLOODS: readonly Attack[] = [
  {
    name: "400 connections of TCP that say nothing",
    run: async (scene) => {
      await flood(scene, 400, async (from) => endOf(await Wire.open({ port: scene.port, from })));
      return "closed";
    },
    hears: "closed",
  },
  {
    name: "400 handshakes that are left open",
    run: async (scene) => {
      await flood(scene, 400, async (from) => {
        const client = await TlsClient.connect({ port: scene.port, from });
        client.hello();
        return endOf(client.wire);
      });
      return "closed";
    },
    hears: "closed",
  },
  {
    name: "100 connections of TLS that say nothing",
    run: async (scene) => {
      const heard = new Set<string>();
      await flood(scene, 100, async (from) => {
        const speaker = await Speaker.open(scene, { from }).catch(() => undefined);
        return async () => heard.add(await speaker?.hear() ?? "closed");
      });
      return [...heard].sort().join(" or ");
    },
    // On a machine that is overloaded some handshakes may take longer than they may.
    hears: /^(TIMEOUT, closed|TIMEOUT, closed or closed)$/,
  },
  {
    name: "300 handshakes that are broken off",
    run: async (scene) => {
      for (let round = 0; round < 30; round++) {
        // Where the machine is overloaded the server may be first to break off.
        await Promise.all(BROKEN_OFF.map((attack) => attack.run(scene).catch(() => {})));
      }
      return "nothing";
    },
    hears: "nothing",
  },
];

/** What of an answer to LOGIN does not depend on who asks. */
const formOf = (answer: Record<string, unknown>) =>
  JSON.stringify(
    Object.entries(answer).map(([name, value]) =>
      name === "response" ? [name, String(value).length] : name === "seq" ? [name] : [name, value]
    ),
  );

/** Logins in the name of a user, or of nobody, from one address, all at once: the form of each answer. */
async function logIns(scene: Scene, ids: readonly string[]): Promise<readonly string[]> {
  return await speaking(scene, { from: scene.nextAddress() }, async (speaker) => {
    const { request } = speaker.login("alice"); // the id is no part of the message
    for (const id of ids) speaker.say("LOGIN", { ...request, id });
    const forms: string[] = [];
    while (forms.length < ids.length) {
      const answer = await speaker.next();
      if (!answer) throw new Error(`closed after ${forms.length} answers`);
      forms.push(formOf(answer).replaceAll(/\d+ s/g, "N s"));
    }
    return forms;
  });
}

/** More than are admitted for one account, and from one address: 100, and a few more meanwhile. */
const GUESSES = 150;
const REFUSED_MIN = 40;

export const LOGIN_FLOODS: readonly Attack[] = [
  {
    name: "logins for one who is there, and for one who is not, until there are too many",
    run: async (scene) => {
      const [there, nobody] = await Promise.all([
        logIns(scene, Array(30).fill("alice")),
        logIns(scene, Array(30).fill("nobody-of-this-name")),
      ]);
      const busy = nobody.filter((form) => form.includes("BUSY")).length;
      if (there.join() !== nobody.join()) return `${there.at(-1)} is not ${nobody.at(-1)}`;
      return `the same, ${30 - busy} times OK, then BUSY`;
    },
    // None or one, where these have been tried before: a longer run.
    hears: /^the same, (20|[01]) times OK, then BUSY$/,
  },
  {
    name: "logins for made-up names",
    run: async (scene) => {
      const forms = await logIns(scene, Array.from({ length: GUESSES }, (_, at) => `nobody${at}`));
      const busy = forms.filter((form) => form.includes("BUSY")).length;
      return `${new Set(forms).size} answers, ${busy >= REFUSED_MIN ? "many" : busy} times BUSY`;
    },
    // Those that are admitted take longer, and may be answered last; one kind where the address was used.
    hears: /^[12] answers, many times BUSY$/,
  },
];
