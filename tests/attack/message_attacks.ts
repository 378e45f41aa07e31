/** Attacks inside a good TLS connection: frames, JSON, and what is asked out of order or for others. */

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { concatAll, concatBytes, encodeBase64, utf8 } from "../../lib/base/bytes.ts";
import { REQUEST_TYPES } from "../../lib/protocol/requests.ts";
import { makeCsr } from "../../lib/x509/make_csr.ts";
import { prove } from "../e2e/publish.ts";
import { frame, header, type Message, requestFrame } from "../e2e/raw_client.ts";
import type { Attack, Scene } from "./scene.ts";
import { Speaker, speaking } from "./speaker.ts";

/** Makes the server close at once, where it has read everything before. */
const BAD_LENGTH = header(0);
const LAST = concatBytes(requestFrame(1_000_000, "HELLO"), BAD_LENGTH);

/** What is answered to bytes behind a HELLO, to another HELLO, and to a frame without a length. */
const greeted = (
  name: string,
  sent: Uint8Array | string,
  hears: Attack["hears"],
): Attack => ({
  name,
  run: (scene) =>
    speaking(
      scene,
      { from: scene.nextAddress() },
      (speaker) => speaker.hearAfter(typeof sent === "string" ? frame(sent) : sent, LAST),
    ),
  hears,
});

/** The connection goes on behind it. */
const GOES_ON = "OK, PROTOCOL, closed";
const MALFORMED = `MALFORMED, ${GOES_ON}`;
/** It does not. */
const BROKEN = "PROTOCOL, closed";

const FRAMES: readonly Attack[] = [0, 65_537, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff].map((length) =>
  greeted(`a frame of ${length} bytes`, header(length), BROKEN)
);

const request = (fields: string) => `{"seq":2,${fields}}`;
const deep = (depth: number, open = "[", close = "]") => open.repeat(depth) + close.repeat(depth);

/** Wrong for two reasons; the name that stands twice is the first to be seen. */
const twiceDeep = (depth: number) =>
  `"type":"HELLO","x":${'{"y":'.repeat(depth)}{"z":1,"z":1}${"}".repeat(depth)}`;

const JSON_BOMBS: readonly Attack[] = [
  greeted("nothing wrong", request('"type":"HELLO"'), `OK, ${GOES_ON}`),
  greeted("arrays 10,000 deep", request(`"type":"HELLO","x":${deep(10_000)}`), MALFORMED),
  greeted("arrays 30,000 deep", request(`"type":"HELLO","x":${deep(30_000)}`), MALFORMED),
  greeted(
    "objects 10,000 deep",
    request(`"type":"HELLO","x":${'{"":'.repeat(10_000)}1${"}".repeat(10_000)}`),
    MALFORMED,
  ),
  greeted("arrays that do not end", request(`"type":"HELLO","x":${"[".repeat(60_000)}`), BROKEN),
  greeted(
    "6,000 names",
    request(`"type":"HELLO",${Array.from({ length: 6000 }, (_, at) => `"${at}":0`)}`),
    MALFORMED,
  ),
  greeted("10,000 times one name", request(`"type":"HELLO"${',"x":0'.repeat(10_000)}`), BROKEN),
  greeted(
    "5,000 names that hold colons",
    request(`"type":"HELLO",${Array.from({ length: 5000 }, (_, at) => `"${at}:":":"`)}`),
    MALFORMED,
  ),
  greeted("two types", request('"type":"NONSENSE","type":"HELLO"'), BROKEN),
  greeted("two types, one escaped", request('"type":"HELLO","\\u0074ype":"HELLO"'), BROKEN),
  greeted("two seqs", '{"seq":2,"type":"HELLO","seq":3}', BROKEN),
  greeted("a name twice, 5,000 deep", request(twiceDeep(5000)), BROKEN),
  greeted("__proto__ with a type", request('"__proto__":{"type":"HELLO"}'), MALFORMED),
  greeted("__proto__ beside a type", request('"type":"HELLO","__proto__":{"x":1}'), MALFORMED),
  greeted("constructor as a type", request('"type":"constructor"'), MALFORMED),
  greeted("__proto__ as a type", request('"type":"__proto__"'), MALFORMED),
  greeted("toJSON as a field", request('"type":"HELLO","toJSON":1'), MALFORMED),
  greeted("seq 1e400", '{"seq":1e400,"type":"HELLO"}', BROKEN),
  greeted("seq -1e400", '{"seq":-1e400,"type":"HELLO"}', BROKEN),
  greeted("seq 2e-400", '{"seq":2e-400,"type":"HELLO"}', BROKEN),
  greeted("a seq of 400 digits", `{"seq":${"9".repeat(400)},"type":"HELLO"}`, BROKEN),
  greeted("a seq of 60,000 digits", `{"seq":${"1".repeat(60_000)},"type":"HELLO"}`, BROKEN),
  greeted("a seq of 60,000 decimals", `{"seq":2.${"1".repeat(60_000)},"type":"HELLO"}`, BROKEN),
  greeted("seq 2.0", '{"seq":2.0,"type":"HELLO"}', `OK, ${GOES_ON}`),
  greeted("seq 2e0", '{"seq":2e0,"type":"HELLO"}', `OK, ${GOES_ON}`),
  greeted("a seq that goes back", requestFrame(1, "HELLO"), BROKEN),
  greeted("seq -0", '{"seq":-0,"type":"HELLO"}', BROKEN),
  greeted("a lone surrogate as a type", request('"type":"\\ud800"'), MALFORMED),
  greeted("NUL in a type", request('"type":"HELLO\\u0000"'), MALFORMED),
  greeted("a bare NUL", request('"type":"HELLO"\0'), BROKEN),
  greeted("a byte order mark", `\ufeff${request('"type":"HELLO"')}`, BROKEN),
  greeted("UTF-8 that breaks off", concatBytes(header(2), Uint8Array.of(0x22, 0xc3)), BROKEN),
  greeted(
    "UTF-8 beyond Unicode",
    frame(concatBytes(utf8('"'), Uint8Array.of(0xf4, 0x90, 0x80, 0x80), utf8('"'))),
    BROKEN,
  ),
  greeted("NaN", '{"seq":NaN,"type":"HELLO"}', BROKEN),
  greeted("a comment", `/**/${request('"type":"HELLO"')}`, BROKEN),
];

/** Fields of every request, as they should be in form. */
const BYTES32 = encodeBase64(new Uint8Array(32));
const FIELDS: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  HELLO: {},
  REGISTER: { id: "x", request: "AAAA", invitation: encodeBase64(new Uint8Array(16)) },
  REGISTER_FINISH: { record: "AAAA" },
  LOGIN: { id: "x", request: "AAAA" },
  LOGIN_FINISH: { finish: "AAAA", binding: BYTES32, checkpoint: "x" },
  LOGIN_CERTIFICATE: { checkpoint: "x" },
  PASSWD: { request: "AAAA" },
  PASSWD_FINISH: { record: "AAAA" },
  CSR: { csr: "AAAA" },
  CERTUP: { certificate: "AAAA" },
  CERTUP_FINISH: { nonce: BYTES32, clientNonce: BYTES32, signature: "AAAA" },
  CERTREQ: { id: "x" },
  PROOF: { from: 0, index: 0 },
  STATUS: { request: "AAAA" },
  CRL: { issuer: "0".repeat(64), number: "1", offset: 0 },
  REVOKE: { serial: "01", reason: "superseded" },
  ANNOUNCE: { addresses: [], seconds: 60 },
  LOCATE: { id: "x" },
};

/** What stands in a field in place of what should, as JSON. */
const WRONG: readonly string[] = [
  deep(10_000),
  deep(5000, '{"a":', "}").replace("}", "0}"),
  `[${"0,".repeat(10_000)}0]`,
  `"${"A".repeat(60_000)}"`,
  "1e400",
  "9".repeat(400),
  "-0.5",
  "true",
  "null",
  '"\\ud800"',
  '"\\u0000"',
  '"../x"',
  '{"__proto__":[]}',
  '{"length":1,"0":"x"}',
];

const FREE_TEXT = /^".{1,2048}"$/;

/** Every wrong value in every field of every request is `MALFORMED`, and the connection goes on. */
const WRONG_FIELDS: Attack = {
  name: "wrong values in all fields of all requests",
  run: (scene) =>
    speaking(scene, {}, async (speaker) => {
      assert.deepEqual(Object.keys(FIELDS), [...REQUEST_TYPES], "every request is here");
      let seq = 1;
      for (const [type, good] of Object.entries(FIELDS)) {
        for (const name of Object.keys(good)) {
          for (const wrong of WRONG) {
            if (name === "checkpoint" && FREE_TEXT.test(wrong)) continue; // any note will do
            const text = JSON.stringify({ ...good, [name]: "?" }).replace('"?"', () => wrong);
            speaker.write(frame(`{"seq":${++seq},"type":"${type}",${text.slice(1)}`));
            const answer = await speaker.next();
            const heard = `${answer?.seq} ${answer?.code}`;
            if (heard !== `${seq} MALFORMED`) {
              return `${type} ${name} ${wrong.slice(0, 40)}: ${heard}`;
            }
          }
        }
      }
      return "MALFORMED";
    }),
  hears: "MALFORMED",
};

/** A user that no other attack has. */
let users = 0;
async function newUser(speaker: Speaker): Promise<string> {
  const id = `mallory${++users}`;
  await speaker.register(id);
  return id;
}

const isRefused = ({ code = "OK" }: Message) => code;

/** Publishing: a certificate of the session's user, and the proof for it. */
async function startPublishing(speaker: Speaker, id: string) {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const csr = encodeBase64(await makeCsr(privateKey, id));
  const { certificate } = await speaker.ok("CSR", { csr });
  const { nonce } = await speaker.ok("CERTUP", { certificate });
  return prove(speaker, {
    key: privateKey,
    certificate: String(certificate),
    nonce: String(nonce),
  });
}

const both = (scene: Scene, work: (one: Speaker, other: Speaker) => Promise<string>) => {
  const from = scene.nextAddress();
  return speaking(scene, { from }, (one) => speaking(scene, { from }, (other) => work(one, other)));
};

/** What belongs to one connection, on another. */
const REPLAYS: readonly Attack[] = [
  {
    name: "LOGIN_FINISH of another connection",
    run: (scene) =>
      both(scene, async (one, other) => {
        const id = await newUser(one);
        const { request, finish } = one.login(id);
        const proof = finish(await one.ok("LOGIN", request));
        await other.ok("LOGIN", request); // the same first message, on both
        const replayed = await other.ask("LOGIN_FINISH", proof);
        const honest = await one.ask("LOGIN_FINISH", proof);
        const again = await one.ask("LOGIN_FINISH", proof);
        return [replayed, honest, again].map(isRefused).join(", ");
      }),
    hears: "REFUSED, OK, REFUSED",
  },
  {
    name: "LOGIN_FINISH without LOGIN, and REGISTER_FINISH without REGISTER",
    run: (scene) =>
      both(scene, async (one, other) => {
        const id = await newUser(one);
        const login = one.login(id);
        const proof = login.finish(await one.ok("LOGIN", login.request));
        const registration = one.registration(`${id}.x`);
        const record = registration.finish(await one.ok("REGISTER", registration.request));
        const answers = [
          await other.ask("LOGIN_FINISH", proof),
          await other.ask("REGISTER_FINISH", record),
          await one.ask("LOGIN_FINISH", proof), // REGISTER has come between
          await one.ask("REGISTER_FINISH", record),
        ];
        return answers.map(isRefused).join(", ");
      }),
    hears: "REFUSED, REFUSED, REFUSED, OK",
  },
  {
    name: "CERTUP_FINISH of another session of the same user",
    run: (scene) =>
      both(scene, async (one, other) => {
        const id = await newUser(one);
        await one.logIn(id);
        await other.logIn(id);
        const proof = await startPublishing(one, id);
        const answers = [
          await other.ask("CERTUP_FINISH", proof),
          await one.ask("CERTUP_FINISH", proof),
          await one.ask("CERTUP_FINISH", proof), // the nonce is spent
        ];
        return answers.map(isRefused).join(", ");
      }),
    hears: "REFUSED, OK, REFUSED",
  },
  {
    name: "another user's certificate, and a nonce that was made for another certificate",
    run: (scene) =>
      both(scene, async (one, other) => {
        const [id, otherId] = [await newUser(one), await newUser(other)];
        await one.logIn(id);
        await other.logIn(otherId);
        const first = await startPublishing(one, id);
        const second = await startPublishing(one, id);
        const { certificate } = await one.ok("CSR", {
          csr: encodeBase64(
            await makeCsr(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey, id),
          ),
        });
        const answers = [
          await other.ask("CERTUP", { certificate }),
          await one.ask("CERTUP_FINISH", { ...first, nonce: second.nonce }),
          await one.ask("CERTUP_FINISH", first),
        ];
        return answers.map(isRefused).join(", ");
      }),
    hears: "REFUSED, REFUSED, OK",
  },
  {
    name: "requests of an open session before the login, and of a login behind it",
    run: (scene) =>
      speaking(scene, { from: scene.nextAddress() }, async (speaker) => {
        const before = await speaker.ask("CERTREQ", { id: "bob" });
        await speaker.logIn(await newUser(speaker));
        const { request } = speaker.login("alice");
        const behind = await speaker.ask("LOGIN", request);
        const hello = await speaker.ask("HELLO");
        return [before, behind, hello].map(isRefused).join(", ");
      }),
    hears: "REFUSED, REFUSED, REFUSED",
  },
  {
    name: "a session that goes on behind a broken frame",
    run: async (scene) => {
      const speaker = await Speaker.open(scene);
      await speaker.ok("HELLO");
      const heard = await speaker.hearAfter(BAD_LENGTH, requestFrame(9, "HELLO"));
      speaker.close();
      return heard;
    },
    hears: "PROTOCOL, closed",
  },
];

export const MESSAGE_ATTACKS: readonly Attack[] = [
  ...FRAMES,
  ...JSON_BOMBS,
  WRONG_FIELDS,
  ...REPLAYS,
];

/** Requests that are sent without an answer being read. */
const PIPELINED = 10_000;
/** A request is filled up with spaces to so many bytes, so that no buffer of the system takes all. */
const PADDED_BYTES = 4000;

const pipelining = (name: string, padded: boolean): Attack => ({
  name,
  run: (scene) =>
    speaking(scene, { from: scene.nextAddress() }, async (speaker) => {
      await speaker.logIn(await newUser(speaker));
      speaker.client.wire.deafen();
      const frames: Uint8Array[] = [];
      for (let sent = 0; sent < PIPELINED; sent++) {
        const text = `{"seq":${100 + sent},"type":"CERTREQ","id":"bob"`;
        const spaces = padded ? " ".repeat(PADDED_BYTES - text.length - 1) : "";
        frames.push(frame(`${text}${spaces}}`));
      }
      speaker.write(concatAll(frames));
      await scene.visits(3); // others are served meanwhile
      const isHeldBack = speaker.client.wire.socket.writableLength > 0;
      speaker.client.wire.listenAgain();
      const seqs = new Set<number>();
      for (let count = 0; count < PIPELINED; count++) {
        const answer = await speaker.next();
        if (answer?.type !== "OK") return `${count} answers, then ${answer?.code}`;
        seqs.add(answer.seq);
      }
      if (padded && !isHeldBack) return "everything was taken";
      return `${seqs.size} answers`;
    }),
  hears: `${PIPELINED} answers`,
});

/** Whoever does not read its answers is not worked for, until it reads. */
export const DEAF_ATTACKS: readonly Attack[] = [
  pipelining("10,000 requests whose answers nobody reads", false),
  pipelining("10,000 long requests whose answers nobody reads", true),
];
