/**
 * The directory's end of two connections whose workers have been taken over. They post whatever they
 * like, in any order, without waiting, and share all that either has ever been told. Each knows one
 * user's password, and nothing may be done, for whatever they post, that is not that user's to do.
 */

import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import * as opaque from "@serenity-kit/opaque";
import fc from "fast-check";
import { encodeBase64, parseBase64, sha256 } from "../../lib/base/bytes.ts";
import type { Entry } from "../../lib/log/entry.ts";
import { bindLogin } from "../../lib/protocol/opaque.ts";
import { type Request, REQUEST_TYPES, type RequestType } from "../../lib/protocol/requests.ts";
import type { DirectorySession } from "../../lib/server/directory_session.ts";
import { serveSession } from "../../lib/server/session_port.ts";
import { State } from "../../lib/store/state.ts";
import { parseCertificate } from "../../lib/x509/certificate.ts";
import { judgeUser } from "../../lib/x509/chain.ts";
import { generatePrivateKey, signLabelled } from "../../lib/x509/keys.ts";
import { makeCsr } from "../../lib/x509/make_csr.ts";
import { fingerprintOf } from "../../lib/x509/certificate.ts";
import {
  ask,
  DOMAIN,
  LEAF_HASH,
  makeCa,
  makeDirectory,
  NOW_MS,
  openAs,
  OTHER_LEAF_HASH,
  type TestDirectory,
} from "../fakes/directory.ts";
import { FakePort, settled } from "../fakes/session_port.ts";

const CA = await makeCa();
const IDS = ["alice", "bob", "carol"] as const;
type Id = (typeof IDS)[number];
const KEYS = {
  alice: await generatePrivateKey("p256"),
  bob: await generatePrivateKey("p256"),
  carol: await generatePrivateKey("ed25519"),
};
/** Requests to certify, with somebody's name in it or with none. */
const CSRS: readonly { readonly key: Id; readonly named: Id; readonly csr: string }[] =
  await Promise.all(
    IDS.flatMap((key) => IDS.map((named) => ({ key, named }))).map(async ({ key, named }) => ({
      key,
      named,
      csr: encodeBase64(await makeCsr(KEYS[key], named)),
    })),
  );
const PASSWORD: Readonly<Record<Id, string>> = {
  alice: "correct horse",
  bob: "correct horse of bob",
  carol: "correct horse of carol",
};
/** Whom each of the two workers may act for: its own user, and an id that is free. */
const KNOWS: readonly (readonly Id[])[] = [["alice", "carol"], ["bob", "carol"]];
const LEAF_HASHES = [LEAF_HASH, OTHER_LEAF_HASH] as const;
const CHEAP = { "argon2id-custom": { iterations: 1, memory: 8, parallelism: 1 } } as const;

const NEEDS_LOGIN: ReadonlySet<RequestType> = new Set<RequestType>([
  "PASSWD",
  "PASSWD_FINISH",
  "CSR",
  "CERTUP",
  "CERTUP_FINISH",
  "CERTREQ",
  "REVOKE",
  "ANNOUNCE",
  "LOCATE",
]);

/** What a worker does next; numbers choose among what both have seen. */
type Step = {
  readonly by: 0 | 1;
  readonly id: Id;
  readonly pick: number;
  readonly isHonest: boolean;
  /** Whether it waits for what is under way. */
  readonly waits: boolean;
  readonly what:
    | RequestType
    | "garbage"
    | "altered"
    | "replay"
    | "close";
  readonly garbage: unknown;
};

/** Something that was posted, and what was so at that moment. */
interface Posted {
  readonly by: 0 | 1;
  readonly request: Request;
  readonly user: string | undefined;
}

/** A login or a choice of password that was begun, with what came back. */
interface Dialogue {
  readonly by: 0 | 1;
  readonly id: Id;
  readonly seq: number;
  readonly state: string;
  response?: string;
}

interface Worker {
  readonly port: FakePort;
  readonly session: DirectorySession;
  seq: number;
  /** The model of what its channel may do; see {@link Hostile.explain}. */
  user: string | undefined;
  login: Dialogue | undefined;
  registration: Id | undefined;
  change: string | undefined;
  readonly nonces: Map<string, string>;
  read: number;
}

/** How often each type of entry was made by hostile workers in their own right, over all runs. */
const made = new Map<string, number>();

class Hostile {
  readonly world: TestDirectory;
  readonly workers: readonly Worker[];
  readonly posted: Posted[] = [];
  readonly logins: Dialogue[] = [];
  readonly choices: Dialogue[] = [];
  readonly certificates: string[] = [];
  readonly nonces: string[] = [];
  /** Entries that what was posted may have led to. */
  readonly allowed: string[] = [];
  /** What a user's own channel may have announced. */
  readonly announced = new Set<string>();
  readonly broken: string[] = [];
  readonly firstEntry: number;

  constructor(world: TestDirectory, bobs: Uint8Array) {
    this.world = world;
    this.firstEntry = world.entries.length;
    this.workers = LEAF_HASHES.map((leafHash, by) => {
      const port = new FakePort();
      const shown = by === 1 ? [bobs] : [];
      const session: DirectorySession = world.directory.openSession(
        { address: `192.0.2.${by + 1}`, leafHash, shown },
        (end) => port.postMessage(end),
      );
      serveSession(port, session, { onBroken: (why) => this.broken.push(why) });
      const model = { user: undefined, login: undefined, registration: undefined };
      return { port, session, seq: 0, ...model, change: undefined, nonces: new Map(), read: 0 };
    });
  }

  #worker(by: number): Worker {
    const worker = this.workers[by];
    assert.ok(worker);
    return worker;
  }

  /** Takes in what the directory has said to either. */
  listen(): void {
    for (const [by, worker] of this.workers.entries()) {
      for (const said of worker.port.said.slice(worker.read)) {
        if (!("fields" in said)) continue;
        const answer = JSON.parse(said.fields) as Record<string, string>;
        const posted = this.posted.find((one) => one.by === by && one.request.seq === said.seq);
        assert.ok(posted, "an answer to nothing that was asked");
        this.#learn(worker, posted, answer);
      }
      worker.read = worker.port.said.length;
    }
  }

  #learn(worker: Worker, { by, request, user }: Posted, answer: Record<string, string>): void {
    const { seq, type } = request;
    if (NEEDS_LOGIN.has(type)) assert.ok(user, `${type} was answered without a login`);
    const begun = [...this.logins, ...this.choices].find((one) => one.by === by && one.seq === seq);
    if (begun && answer["response"] !== undefined) begun.response = answer["response"];
    if (type === "CERTUP") {
      const nonce = answer["nonce"] ?? "";
      assert.ok(!this.nonces.includes(nonce), "a nonce was given twice");
      this.nonces.push(nonce);
      worker.nonces.set(nonce, request.certificate);
    }
    const { certificate = "", issuing = "" } = answer;
    if (type === "CSR") {
      const anchor = { root: CA.root, domain: DOMAIN };
      const chain = [parseBase64(certificate), parseBase64(issuing)];
      assert.equal(judgeUser(chain, { anchor, nowMs: NOW_MS }).id, user);
    }
    if (type === "CSR" || type === "CERTREQ") this.certificates.push(certificate);
  }

  post(by: 0 | 1, request: Request): void {
    const worker = this.#worker(by);
    const user = worker.session.user;
    assert.equal(user, worker.user, "whom a channel belongs to");
    this.posted.push({ by, request, user });
    if (!this.#isEnded(worker)) this.#explain(worker, request);
    worker.port.say(request);
    // A login that the model allows may fail all the same; one that it does not may not succeed.
    if (worker.session.user === undefined) worker.user = undefined;
    assert.equal(worker.session.user, worker.user, `after ${request.type}`);
  }

  #isEnded({ port }: Worker): boolean {
    return port.said.some((said) => "end" in said);
  }

  /** What a request may lead to, by rules of this test's own. */
  #explain(worker: Worker, request: Request): void {
    const { user } = worker;
    switch (request.type) {
      case "LOGIN":
      case "REGISTER":
        if (user !== undefined) return;
        worker.login = this.logins.find(({ seq, by }) =>
          seq === request.seq && this.workers[by] === worker
        );
        worker.registration = request.type === "REGISTER" ? request.id as Id : undefined;
        return;
      case "LOGIN_FINISH": {
        if (user !== undefined) return;
        const { login } = worker;
        worker.login = undefined;
        const by = this.workers.indexOf(worker);
        if (login && KNOWS[by]?.includes(login.id) && login.response !== undefined) {
          worker.user = login.id;
        }
        return;
      }
      case "LOGIN_CERTIFICATE":
        if (user === undefined && worker === this.workers[1]) worker.user = "bob";
        return;
      case "REGISTER_FINISH":
        if (user === undefined && worker.registration) {
          this.allowed.push(`registered ${worker.registration}`);
          worker.registration = undefined;
        }
        return;
    }
    if (user === undefined) return;
    switch (request.type) {
      case "PASSWD":
        worker.change = user;
        return;
      case "PASSWD_FINISH":
        if (worker.change !== undefined) this.allowed.push(`credentials ${user}`);
        worker.change = undefined;
        return;
      case "CSR":
        if (CSRS.some(({ named, csr }) => named === user && csr === request.csr)) {
          this.allowed.push(`issued ${user}`);
        }
        return;
      case "CERTUP_FINISH": {
        const certificate = worker.nonces.get(request.nonce);
        worker.nonces.delete(request.nonce);
        if (certificate === undefined) return;
        const { serial } = parseCertificate(parseBase64(certificate));
        if (this.#ownerOf(serial) === user) this.allowed.push(`published ${serial}`);
        return;
      }
      case "ANNOUNCE":
        for (const address of request.addresses) this.announced.add(`${user} ${address}`);
        return;
      case "REVOKE":
        if (this.#ownerOf(request.serial) === user) this.allowed.push(`revoked ${request.serial}`);
        return;
    }
  }

  /** To whom a certificate was issued, by the entries. */
  #ownerOf(serial: string): unknown {
    return this.world.entries.find(({ type, public: { certificate } }) =>
      type === "issued" && typeof certificate === "string" &&
      parseCertificate(parseBase64(certificate)).serial === serial
    )?.public["id"];
  }

  #choose<T>(from: readonly T[], pick: number): T | undefined {
    return from.length === 0 ? undefined : from[pick % from.length];
  }

  /** A request as a worker makes it up, or `undefined` where it has nothing to make it of. */
  make({ by, id, pick, isHonest, what }: Step, seq: number): Request | undefined {
    const guess = KNOWS[by]?.includes(id) ? PASSWORD[id] : "a guess";
    const identifiers = { client: id, server: fingerprintOf(CA.root.der) };
    switch (what) {
      case "HELLO":
      case "LOGIN_CERTIFICATE":
        return { seq, type: what };
      case "LOGIN": {
        const { clientLoginState: state, startLoginRequest: request } = opaque.client.startLogin({
          password: guess,
        });
        this.logins.push({ by, id, seq, state });
        return { seq, type: what, id, request };
      }
      case "LOGIN_FINISH": {
        const login = isHonest
          ? this.logins.findLast((one) => one.by === by)
          : this.#choose(this.logins, pick);
        if (login?.response === undefined) return undefined;
        const result = opaque.client.finishLogin({
          password: KNOWS[login.by]?.includes(login.id) ? PASSWORD[login.id] : "a guess",
          loginResponse: login.response,
          clientLoginState: login.state,
          identifiers: { client: login.id, server: identifiers.server },
          keyStretching: CHEAP,
        });
        const leafHash = LEAF_HASHES[isHonest || pick % 4 > 0 ? by : 1 - by];
        return {
          ...{ seq, type: what, finish: result?.finishLoginRequest ?? "AAAA" },
          binding: encodeBase64(
            bindLogin(result?.sessionKey ?? "AAAA", leafHash ?? new Uint8Array(32)),
          ),
        };
      }
      case "REGISTER":
      case "PASSWD": {
        const { clientRegistrationState: state, registrationRequest: request } = opaque.client
          .startRegistration({ password: guess });
        this.choices.push({ by, id, seq, state });
        return what === "PASSWD" ? { seq, type: what, request } : { seq, type: what, id, request };
      }
      case "REGISTER_FINISH":
      case "PASSWD_FINISH": {
        const choice = isHonest
          ? this.choices.findLast((one) => one.by === by)
          : this.#choose(this.choices, pick);
        if (choice?.response === undefined) return undefined;
        const { registrationRecord: record } = opaque.client.finishRegistration({
          password: PASSWORD[choice.id],
          registrationResponse: choice.response,
          clientRegistrationState: choice.state,
          identifiers: { client: choice.id, server: identifiers.server },
          keyStretching: CHEAP,
        });
        return { seq, type: what, record };
      }
      case "CSR": {
        const { csr = "" } = isHonest
          ? CSRS.find(({ named }) => named === this.#worker(by).user) ?? {}
          : this.#choose(CSRS, pick) ?? {};
        return csr === "" ? undefined : { seq, type: what, csr };
      }
      case "CERTUP": {
        const certificate = this.#choose(this.certificates, pick);
        return certificate === undefined ? undefined : { seq, type: what, certificate };
      }
      case "CERTUP_FINISH":
        return this.#signPublication(by, { seq, pick, isHonest });
      case "CERTREQ":
      case "LOCATE":
        return { seq, type: what, id };
      case "PROOF":
        return { seq, type: what, ...(isHonest ? {} : { index: pick }) };
      case "STATUS":
        return { seq, type: what, request: "MAA=" };
      case "CRL":
        return { seq, type: what };
      case "REVOKE": {
        const certificate = this.#choose(this.certificates, pick);
        if (certificate === undefined) return undefined;
        const { serial } = parseCertificate(parseBase64(certificate));
        return { seq, type: what, serial };
      }
      case "ANNOUNCE": {
        const addresses = [`worker-${by}.test:7450`];
        return { seq, type: what, addresses, seconds: 600 };
      }
    }
    return undefined;
  }

  /** The best that a worker can do with a nonce: a signature by the one key that fits or by another. */
  #signPublication(
    by: 0 | 1,
    { seq, pick, isHonest }: {
      readonly seq: number;
      readonly pick: number;
      readonly isHonest: boolean;
    },
  ): Request | undefined {
    const nonce = this.#choose(isHonest ? [...this.#worker(by).nonces.keys()] : this.nonces, pick);
    if (nonce === undefined) return undefined;
    const certificate = this.workers.map((one) => one.nonces.get(nonce)).find((one) => one) ??
      this.#choose(this.certificates, pick) ?? "";
    const der = parseBase64(certificate);
    const spki = encodeBase64(parseCertificate(der).spki);
    const key = CSRS.find(({ csr }) => parseBase64(csr).length > 0 && isKeyOf(csr, spki))?.key;
    const clientNonce = new Uint8Array(32).fill(pick % 256);
    const leafHash = LEAF_HASHES[by] ?? new Uint8Array(32);
    const parts = [parseBase64(nonce), clientNonce, sha256(der), leafHash];
    return {
      ...{ seq, type: "CERTUP_FINISH", nonce, clientNonce: encodeBase64(clientNonce) },
      signature: encodeBase64(signLabelled(KEYS[key ?? "alice"], "pki/1 CERTUP", ...parts)),
    };
  }

  async do(step: Step): Promise<void> {
    this.listen();
    const { by, what, garbage, pick } = step;
    const worker = this.#worker(by);
    switch (what) {
      case "garbage":
        worker.port.say(garbage);
        break;
      case "altered": {
        // A request of before under a new number, with a field that it should not have, or has no more.
        const before = this.#choose(this.posted, pick)?.request;
        if (!before) break;
        const [field = "id"] = Object.keys(before).filter((name) =>
          name !== "seq" && name !== "type"
        );
        worker.port.say({ ...before, seq: ++worker.seq, [field]: garbage, user: "bob" });
        break;
      }
      case "replay": {
        const again = this.#choose(this.posted, pick)?.request;
        if (!again) break;
        // A number that was used ends the session; under a new one it is a request like others.
        if (step.isHonest) this.post(by, { ...again, seq: ++worker.seq });
        else worker.port.say(again.seq > worker.seq ? { ...again, seq: worker.seq } : again);
        break;
      }
      case "close":
        this.world.directory.closeSession(worker.session);
        break;
      default: {
        const request = this.make(step, worker.seq + 1);
        if (!request) break;
        worker.seq++;
        this.post(by, request);
      }
    }
    if (step.waits) await settled();
  }

  /** Everything in the log is something that somebody had the right to, and nothing is there twice. */
  check(): void {
    const left = [...this.allowed];
    for (const entry of this.world.entries.slice(this.firstEntry)) {
      const name = nameOf(entry);
      const at = left.indexOf(name);
      assert.ok(at >= 0, `nothing explains the entry "${name}"`);
      left.splice(at, 1);
      made.set(entry.type, (made.get(entry.type) ?? 0) + 1);
      if (entry.type === "revoked" || entry.type === "registered") {
        assert.ok(!left.includes(name) || this.#countOf(name) === 1, `"${name}" happened twice`);
      }
    }
    const state = State.empty();
    this.world.entries.forEach((entry, index) => state.apply(entry, index));
    for (const id of IDS) {
      assert.deepEqual(this.world.state.account(id), state.account(id));
      assert.deepEqual(this.world.state.published(id), state.published(id));
      assert.deepEqual(this.world.state.newestOf(id), state.newestOf(id));
      const published = state.published(id);
      if (published) assert.equal(published.id, id);
      const { addresses = [] } = this.world.directory.announcements.find(id) ?? {};
      for (const address of addresses) assert.ok(this.announced.has(`${id} ${address}`), address);
    }
  }

  #countOf(name: string): number {
    return this.world.entries.filter((entry) => nameOf(entry) === name).length;
  }
}

/** Whether a request to certify carries this key. */
function isKeyOf(csr: string, spki: string): boolean {
  const [text, wanted] = [parseBase64(csr), parseBase64(spki)].map((bytes) =>
    [...bytes].map((byte) => String.fromCharCode(byte)).join("")
  );
  return text?.includes(wanted ?? "") ?? false;
}

function nameOf({ type, public: open, private: hidden }: Entry): string {
  const secret: Readonly<Record<string, unknown>> = hidden ?? {};
  const what = open["serial"] ?? open["id"] ?? secret["id"];
  return `${type} ${what}`;
}

const by = fc.constantFrom<(0 | 1)[]>(0, 1);
const stepOf = (what: fc.Arbitrary<Step["what"]>) =>
  fc.record<Step>({
    by,
    id: fc.constantFrom(...IDS),
    pick: fc.nat(40),
    isHonest: fc.boolean(),
    waits: fc.boolean(),
    what,
    garbage: fc.anything({ withBigInt: true, withMap: true, withTypedArray: true }),
  });
const anyStep = fc.oneof(
  { weight: 20, arbitrary: stepOf(fc.constantFrom(...REQUEST_TYPES)) },
  { weight: 3, arbitrary: stepOf(fc.constant("replay")) },
  { weight: 1, arbitrary: stepOf(fc.constantFrom("garbage", "altered", "close")) },
);

/** Dialogues as they should be, of which others come in between. */
const dialogue = (of: 0 | 1, id: Id, ...all: readonly Step["what"][]): readonly Step[] =>
  all.map((what) => ({ by: of, id, pick: 0, isHonest: true, waits: true, what, garbage: 0 }));
const replays = (...picks: readonly number[]) =>
  picks.flatMap((pick) => dialogue(0, "alice", "replay").map((one) => ({ ...one, pick })));
const BEGINNINGS: readonly (readonly Step[])[] = [
  [],
  // All that can be used once, and each of it once more.
  [
    ...dialogue(0, "alice", "LOGIN", "LOGIN_FINISH", "CSR", "CERTUP", "CERTUP_FINISH"),
    ...replays(4, 1),
    ...dialogue(0, "alice", "PASSWD", "PASSWD_FINISH"),
    ...replays(8),
    ...dialogue(0, "alice", "REVOKE"),
    ...replays(10),
  ],
  dialogue(0, "alice", "LOGIN", "LOGIN_FINISH"),
  [
    ...dialogue(0, "alice", "LOGIN", "LOGIN_FINISH", "CSR"),
    ...dialogue(1, "bob", "LOGIN", "LOGIN_FINISH"),
  ],
  dialogue(1, "carol", "REGISTER", "REGISTER_FINISH", "LOGIN", "LOGIN_FINISH", "CSR"),
  [
    ...dialogue(1, "bob", "HELLO", "LOGIN_CERTIFICATE", "CSR", "CERTUP"),
    ...dialogue(0, "alice", "LOGIN", "LOGIN_FINISH", "CSR", "CERTUP"),
  ],
  [...dialogue(0, "alice", "LOGIN", "LOGIN_FINISH", "PASSWD"), ...dialogue(1, "bob", "LOGIN")],
];

/** Alice and bob are registered, and have a certificate each. */
async function makeWorld(): Promise<Hostile> {
  const world = await makeDirectory(CA);
  const certificates: string[] = [];
  for (const id of ["alice", "bob"] as const) {
    const session = await openAs(world, id, { password: PASSWORD[id] });
    const { csr = "" } = CSRS.find(({ key, named }) => key === id && named === id) ?? {};
    const { certificate } = await ask(session, "CSR", { csr });
    certificates.push(String(certificate));
    world.directory.closeSession(session);
  }
  world.log.before = () => settled(); // what is logged takes a moment, in which others go on
  const hostile = new Hostile(world, parseBase64(certificates[1] ?? ""));
  hostile.certificates.push(...certificates);
  return hostile;
}

test("no sequence of messages on a channel acts for anybody but its user, or twice", async () => {
  const steps = fc.tuple(
    fc.constantFrom(...BEGINNINGS),
    fc.array(anyStep, { minLength: 5, maxLength: 40, size: "max" }),
  );
  await fc.assert(
    fc.asyncProperty(steps, async ([beginning, rest]) => {
      const hostile = await makeWorld();
      for (const step of [...beginning, ...rest]) await hostile.do(step);
      for (let i = 0; i < 4; i++) await settled();
      hostile.listen();
      hostile.check();
      // The directory goes on, for others.
      const session = hostile.world.open({ address: "198.51.100.1" });
      assert.equal((await ask(session, "HELLO", {}))["domain"], DOMAIN);
    }),
    { numRuns: Number(process.env["PKI_HOSTILE_RUNS"] ?? 60), endOnFailure: true },
  );
  // It was worth the while: what they had the right to, they did.
  for (const type of ["registered", "credentials", "issued", "published", "revoked"]) {
    assert.ok((made.get(type) ?? 0) > 0, `no run has made an entry "${type}"`);
  }
});
