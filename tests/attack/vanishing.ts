/** Clients that vanish at each point of each dialogue: with an end or a reset, within a request and behind it. */

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { encodeBase64, parseBase64, sha256 } from "../../lib/base/bytes.ts";
import { REQUEST_TYPES } from "../../lib/protocol/requests.ts";
import { parseCertificate } from "../../lib/x509/certificate.ts";
import { signLabelled } from "../../lib/x509/keys.ts";
import { makeCsr } from "../../lib/x509/make_csr.ts";
import { encodeOcspRequest } from "../../lib/x509/ocsp.ts";
import type { Message } from "../e2e/raw_client.ts";
import type { Attack, Scene } from "./scene.ts";
import { LEAVINGS, Speaker } from "./speaker.ts";
import { shownBy } from "./users.ts";

/** One request of a dialogue: what is asked, given the answers before. */
interface Step {
  readonly type: string;
  readonly body: (before: Message, speaker: Speaker) => object | Promise<object>;
}

const step = (type: string, body: Step["body"] = () => ({})): Step => ({ type, body });

let users = 0;
const { privateKey: key } = generateKeyPairSync("ec", { namedCurve: "P-256" });

/** Registers, logs in and changes the password. */
function byPassword(): readonly Step[] {
  const id = `vanishing${++users}`;
  let finish: (answer: Message) => object = () => ({});
  const begin = (kind: "registration" | "login") => (_: Message, speaker: Speaker) => {
    const dialogue = speaker[kind](id);
    finish = dialogue.finish;
    return dialogue.request;
  };
  return [
    step("HELLO"),
    step("REGISTER", begin("registration")),
    step("REGISTER_FINISH", (answer) => finish(answer)),
    step("LOGIN", begin("login")),
    step("LOGIN_FINISH", (answer) => finish(answer)),
    step("PASSWD", (_, speaker) => {
      const { request: { request }, finish: finishRegistration } = speaker.registration(id);
      finish = finishRegistration;
      return { request };
    }),
    step("PASSWD_FINISH", (answer) => finish(answer)),
  ];
}

/** Logs in as alice with her certificate, and asks for everything. */
function byCertificate(certificate: Uint8Array, issuing: Uint8Array): readonly Step[] {
  let mine = "";
  return [
    step("HELLO"),
    step("LOGIN_CERTIFICATE"),
    step("CSR", async () => ({ csr: encodeBase64(await makeCsr(key, "alice")) })),
    step("CERTUP", ({ certificate }) => {
      mine = String(certificate);
      return { certificate: mine };
    }),
    step("CERTUP_FINISH", ({ nonce }, { leafHash }) => {
      const clientNonce = new Uint8Array(32);
      const signature = signLabelled(
        ...[key, "pki/1 CERTUP"] as const,
        ...[parseBase64(String(nonce)), clientNonce, sha256(parseBase64(mine)), leafHash],
      );
      return { nonce, clientNonce: encodeBase64(clientNonce), signature: encodeBase64(signature) };
    }),
    step("CERTREQ", () => ({ id: "bob" })),
    step("REVOKE", () => ({ serial: parseCertificate(parseBase64(mine)).serial })),
    step("CRL"),
    step("STATUS", () => ({
      request: encodeBase64(encodeOcspRequest({
        issuer: parseCertificate(issuing),
        serials: [parseCertificate(certificate).serial],
      })),
    })),
    step("PROOF", () => ({ from: 1, index: 0 })),
    step("ANNOUNCE", () => ({ addresses: ["localhost:7450"], seconds: 60 })),
    step("LOCATE", () => ({ id: "alice" })),
  ];
}

const MOMENTS = ["within", "behind"] as const;
const NOTHING: Message = { seq: 0, type: "OK" };

/** Carries out so many steps of a dialogue, begins the next, and is gone. */
async function vanish(
  speaker: Speaker,
  steps: readonly Step[],
  { after, moment }: { readonly after: number; readonly moment: typeof MOMENTS[number] },
): Promise<void> {
  let answer = NOTHING;
  for (const [at, { type, body }] of steps.entries()) {
    const asked = await body(answer, speaker);
    if (at < after) {
      answer = await speaker.ok(type, asked);
      continue;
    }
    if (moment === "within") speaker.sayHalf(type, asked);
    else speaker.say(type, asked);
    return;
  }
}

/** A row for each way to leave, at each moment of each step, and behind the last answer. */
export async function vanishings(scene: Scene): Promise<readonly Attack[]> {
  const shown = await shownBy(scene, "alice");
  const [leaf = new Uint8Array(), issuing = new Uint8Array()] = shown.certificates;
  const dialogues = [
    { name: "by password", steps: byPassword, options: {} },
    {
      name: "by certificate",
      steps: () => byCertificate(leaf, issuing),
      options: { shown },
    },
  ];
  const types = dialogues.flatMap(({ steps }) => steps().map(({ type }) => type));
  assert.deepEqual([...new Set(types)].sort(), [...REQUEST_TYPES].sort(), "every request is here");
  return dialogues.flatMap(({ name, steps, options }) =>
    [...Array(steps().length + 1).keys()].flatMap((after) =>
      MOMENTS.flatMap((moment) =>
        LEAVINGS.map((how): Attack => ({
          name: `${name}, ${moment} step ${after}, ${how}`,
          run: async () => {
            const from = scene.nextAddress();
            const speaker = await Speaker.open(scene, { ...options, from });
            try {
              await vanish(speaker, steps(), { after, moment });
              await speaker.client.wire.flushed();
            } finally {
              speaker.leave(how);
            }
            return "nothing";
          },
          hears: "nothing",
        }))
      )
    )
  );
}
