/** What a person at a terminal, and a program without one, is told of a peer who was, or was not, there before. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { ContactCheck } from "../../commands/contact_check.ts";
import type { PkiContext } from "../../commands/context.ts";
import { Surroundings } from "../../commands/globals.ts";
import { copyBytes } from "../../lib/base/bytes.ts";
import { PkiError, reportError } from "../../lib/base/errors.ts";
import { type Contact, keyFingerprintOf } from "../../lib/client/contacts.ts";
import type { Home } from "../../lib/client/home.ts";
import type { Line, LineHandlers } from "../../lib/peer/line.ts";
import type { Peer } from "../../lib/peer/ports.ts";
import { endorse, type Endorsement } from "../../lib/protocol/endorsement.ts";
import { fingerprintOf } from "../../lib/x509/certificate.ts";
import { HOUR_MS, makeTestCa, makeUser, NOW_MS } from "../fakes/ca.ts";
import { inHome } from "../client/temporary_home.ts";

const CA = await makeTestCa();
const BOB = await makeUser(CA, { id: "bob" });
/** Another key in bob's name: his, or somebody else's. */
const OTHER = await makeUser(CA, { id: "bob" });
const ANCHOR = CA.judging.anchor;
const ROOT = ANCHOR.root.der;
const WORDS = ["use", "plastic", "journey", "surface", "tell"];
const VOUCHER = endorse({ root: ROOT, id: "bob" }, {
  by: BOB.key,
  key: copyBytes(OTHER.certificate.spki),
  timeMs: NOW_MS,
});
const NO_REASON = { code: "REFUSED", message: "no reason is given" };

function peerOf(
  { certificate }: typeof BOB,
  endorsements: readonly Endorsement[] = [],
): Peer {
  return {
    id: "bob",
    fingerprint: fingerprintOf(certificate.der),
    certificate: certificate.der,
    issuing: CA.issuing.certificate.der,
    notAfterMs: certificate.notAfterMs,
    status: "stapled",
    mode: "talk",
    silenceMs: 60_000,
    wait: false,
    transcript: false,
    words: WORDS,
    session: new Uint8Array(32),
    nonces: { caller: new Uint8Array(32), listener: new Uint8Array(32) },
    endorsements,
  };
}

const KNOWN: Contact = {
  id: "bob",
  leaf: BOB.certificate,
  issuing: CA.issuing.certificate.der,
  root: ROOT,
  firstSeenMs: NOW_MS - 3 * HOUR_MS,
  pinnedMs: NOW_MS - 2 * HOUR_MS,
  lastSeenMs: NOW_MS - HOUR_MS,
};

/** A command in a home, of somebody who gives this answer, or of nobody. */
class Scene {
  readonly home: Home;
  readonly check: ContactCheck;
  readonly told: Readonly<Record<string, unknown>>[] = [];
  readonly said: string[] = [];
  readonly waits: string[] = [];
  readonly questions: string[] = [];
  readonly over = Promise.withResolvers<void>();
  readonly #stderr = new PassThrough();

  constructor(home: Home, answer?: string | ((signal: AbortSignal) => Promise<string>)) {
    this.home = home;
    const unasked = () => assert.fail("asked for something else");
    const context: PkiContext = {
      process: {
        stdin: new PassThrough(),
        stdout: new PassThrough(),
        stderr: this.#stderr,
        env: { NO_COLOR: "1" },
      },
      homeFolder: "/nonexistent",
      terminal: answer === undefined ? undefined : {
        askPassword: unasked,
        confirm: unasked,
        askText: (question, _placeholder, signal) => {
          this.questions.push(question);
          assert.ok(signal, "the question can be ended");
          return typeof answer === "string" ? Promise.resolve(answer) : answer(signal);
        },
      },
      signal: new AbortController().signal,
      now: () => NOW_MS,
    };
    this.check = new ContactCheck({
      surroundings: new Surroundings(context, { home: home.folder, yes: true }),
      identity: { anchor: ANCHOR },
      tell: (event, text) => {
        this.told.push(event);
        this.said.push(text);
      },
    });
  }

  get line(): Pick<Line, "sayWait" | "over"> {
    return this.#line;
  }

  readonly #line = {
    sayWait: (reason: string) => void this.waits.push(reason),
    over: this.over.promise,
  };

  get stderr(): string {
    return String(this.#stderr.read() ?? "");
  }

  /** As the line does it: asks whether the peer is welcome, and begins. */
  async talk(peer: Peer): Promise<void> {
    await this.check.admit(peer, this.line);
    this.check.remember(peer);
    this.check.tellNews(peer);
  }

  get pinned(): string | undefined {
    const contact = this.home.contacts.load("bob");
    return contact && keyFingerprintOf(contact.leaf);
  }
}

const BOBS_KEY = keyFingerprintOf(BOB.certificate);
const OTHER_KEY = keyFingerprintOf(OTHER.certificate);

async function inScene(
  work: (scene: Scene) => Promise<void>,
  { known = KNOWN, answer }: {
    readonly known?: Contact | null;
    readonly answer?: ConstructorParameters<typeof Scene>[1];
  } = {},
): Promise<void> {
  await inHome(async (home) => {
    if (known) home.contacts.save(known, undefined);
    await work(new Scene(home, answer));
  });
}

/** What admitting a peer comes to, as a refusal. */
async function refusalOf(scene: Scene, peer: Peer): Promise<PkiError> {
  try {
    await scene.talk(peer);
  } catch (error) {
    assert.ok(error instanceof PkiError, String(error));
    return error;
  }
  assert.fail("the peer was let in");
}

test("ContactCheck remembers somebody new when the conversation has begun, and says the words", async () => {
  await inScene(async (scene) => {
    const peer = peerOf(BOB);
    await scene.check.admit(peer, scene.line);
    assert.equal(scene.pinned, undefined, "nobody is remembered who was never talked to");
    scene.check.remember(peer);
    scene.check.tellNews(peer);
    assert.equal(scene.pinned, BOBS_KEY);
    assert.deepEqual(scene.told, [
      { event: "contact", peer: "bob", contact: "new", key: BOBS_KEY, words: WORDS },
    ]);
    assert.deepEqual(scene.said, [
      `first talk with bob, remembered by the key ${BOBS_KEY.slice(0, 16)}…\n` +
      "compare these words by another way, by telephone say: use plastic journey surface tell",
    ]);
    const contact = scene.home.contacts.load("bob");
    assert.deepEqual([contact?.firstSeenMs, contact?.pinnedMs, contact?.lastSeenMs], [
      NOW_MS,
      NOW_MS,
      NOW_MS,
    ]);
    assert.deepEqual(scene.waits, [], "nobody had to wait");
  }, { known: null });
});

test("ContactCheck says nothing of somebody with the same key, and remembers the day", async () => {
  await inScene(async (scene) => {
    await scene.talk(peerOf(BOB));
    assert.deepEqual(scene.told, []);
    assert.deepEqual(scene.home.contacts.load("bob"), { ...KNOWN, lastSeenMs: NOW_MS });
  });
});

test("ContactCheck takes a key that the one before vouches for, and says so", async () => {
  await inScene(async (scene) => {
    await scene.talk(peerOf(OTHER, [VOUCHER]));
    assert.deepEqual(scene.said, [
      `bob has a new key since 2026-11-01, ${OTHER_KEY.slice(0, 16)}…, and the one before ` +
      "vouches for it",
    ]);
    assert.equal(scene.told[0]?.["contact"], "endorsed");
    const contact = scene.home.contacts.load("bob");
    assert.deepEqual([contact?.firstSeenMs, contact?.pinnedMs], [KNOWN.firstSeenMs, NOW_MS]);
    assert.equal(scene.pinned, OTHER_KEY);
    assert.deepEqual(scene.waits, []);
  });
});

test("ContactCheck refuses another key where nobody can be asked, and tells the peer nothing", async () => {
  await inScene(async (scene) => {
    const error = await refusalOf(scene, peerOf(OTHER));
    assert.equal(error.kind, "untrusted");
    assert.equal(
      error.message,
      '"bob" has another key than before, and the one before does not vouch for it',
    );
    assert.equal(
      error.hint,
      "ask bob by another way; if the key is new, say so: pki contacts forget bob",
    );
    assert.deepEqual(reportError(error), NO_REASON);
    assert.equal(scene.pinned, BOBS_KEY);
    assert.deepEqual(scene.waits, []);
  });
});

for (const answer of ["y", "yes", "Bob", "bo", "", "carol"]) {
  test(`ContactCheck does not take ${JSON.stringify(answer)} for a yes`, async () => {
    await inScene(async (scene) => {
      const error = await refusalOf(scene, peerOf(OTHER));
      assert.equal(error.kind, "untrusted");
      assert.equal(error.message, '"bob" has another key than before, which was not confirmed');
      assert.deepEqual(reportError(error), NO_REASON);
      assert.equal(scene.pinned, BOBS_KEY);
    }, { answer });
  });
}

test("ContactCheck takes the name, typed in full, after it has shown keys and words", async () => {
  await inScene(async (scene) => {
    await scene.talk(peerOf(OTHER));
    assert.deepEqual(scene.waits, ["asked"]);
    const alarm = scene.stderr;
    for (
      const shown of [
        "pki: warning: bob HAS ANOTHER KEY THAN BEFORE, and the one before does not vouch for it",
        `before  ${BOBS_KEY.slice(0, 16)}…  since 2026-11-01\n`,
        `now     ${OTHER_KEY.slice(0, 16)}…  certified until 2026-12-01\n`,
        "  use  plastic  journey  surface  tell\n",
      ]
    ) assert.ok(alarm.includes(shown), alarm);
    assert.deepEqual(scene.questions, [
      "If bob has told you that the key is new, type the name in full; all else refuses it",
    ]);
    assert.deepEqual(scene.said, [
      `the new key of bob, ${OTHER_KEY.slice(0, 16)}…, is remembered in place of ${
        BOBS_KEY.slice(0, 16)
      }…`,
    ]);
    assert.equal(scene.pinned, OTHER_KEY);
  }, { answer: " bob " });
});

test("ContactCheck says that the key before was known under another root", async () => {
  const otherRoot = (await makeTestCa()).root.certificate.der;
  await inScene(async (scene) => {
    await scene.talk(peerOf(OTHER));
    assert.match(scene.stderr, /since 2026-11-01, under another root\n/);
    assert.deepEqual(scene.home.contacts.load("bob")?.root, ROOT);
  }, { known: { ...KNOWN, root: otherRoot }, answer: "bob" });
});

test("ContactCheck stops asking when the peer has gone, and says why that is", async () => {
  const asked = Promise.withResolvers<void>();
  const answer = (signal: AbortSignal) =>
    new Promise<string>((_, reject) => {
      signal.addEventListener("abort", () => reject(new PkiError("interrupted", "interrupted")));
      asked.resolve();
    });
  await inScene(async (scene) => {
    const refusal = refusalOf(scene, peerOf(OTHER));
    await asked.promise;
    scene.over.reject(new PkiError("truncated", "the line was cut"));
    assert.equal((await refusal).message, "the line was cut");
    assert.equal(scene.pinned, BOBS_KEY);
  }, { answer });
});

test("ContactCheck refuses where what is remembered is damaged, and tells the peer nothing", async () => {
  await inScene(async (scene) => {
    fs.writeFileSync(scene.home.contacts.pathOf("bob"), "damaged");
    const error = await refusalOf(scene, peerOf(BOB));
    assert.equal(error.kind, "malformed");
    assert.match(error.hint ?? "", /pki contacts forget bob$/);
    assert.deepEqual(reportError(error), NO_REASON);
  }, { answer: "bob" });
});

test("ContactCheck warns where another command has pinned another key meanwhile", async () => {
  await inScene(async (scene) => {
    const peer = peerOf(BOB);
    await scene.check.admit(peer, scene.line);
    scene.home.contacts.save({ ...KNOWN, leaf: OTHER.certificate }, undefined);
    scene.check.remember(peer);
    assert.match(scene.stderr, /^pki: warning: "bob" is not remembered: another command has /);
    assert.equal(scene.pinned, OTHER_KEY);
  }, { known: null });
});

test("ContactCheck goes on where nobody can be remembered, with a warning", async () => {
  await inScene(async (scene) => {
    const peer = peerOf(BOB);
    await scene.check.admit(peer, scene.line);
    fs.mkdirSync(scene.home.folder, { recursive: true });
    fs.writeFileSync(`${scene.home.folder}/contacts`, "a file where the folder should be");
    scene.check.remember(peer);
    assert.match(scene.stderr, /^pki: warning: "bob" is not remembered: cannot /);
  }, { known: null });
});

test("ContactCheck shows the words while the peer asks about us, whoever knows first", async () => {
  const asked = [{ event: "asked", peer: "bob", words: WORDS }];
  await inScene(async (scene) => {
    scene.check.peerAsks(scene.line);
    assert.deepEqual(scene.told, [], "who it is, is not known yet");
    await scene.check.admit(peerOf(BOB), scene.line);
    scene.check.peerAsks(scene.line);
    assert.deepEqual(scene.told, asked);
    assert.deepEqual(scene.said, [
      "if bob asks you for them, the safety words of this call are: " + WORDS.join(" "),
    ]);
  });
  await inScene(async (scene) => {
    await scene.check.admit(peerOf(BOB), scene.line);
    scene.check.peerAsks(scene.line);
    assert.deepEqual(scene.told, asked);
  });
});

test("ContactCheck.guard() comes after what the command itself decides", async () => {
  await inScene(async (scene) => {
    const order: string[] = [];
    const handlers = scene.check.guard(() => scene.line, {
      admit: () => {
        order.push("admit");
        return { signs: true };
      },
      onOpen: () => void order.push("open"),
      onWait: (reason: string) => void order.push(reason),
    } as unknown as LineHandlers);
    const peer = peerOf(BOB);
    assert.deepEqual(await handlers.admit(peer), { signs: true });
    handlers.onWait?.("busy");
    assert.deepEqual(scene.told, []);
    handlers.onWait?.("asked");
    handlers.onOpen(peer, { signs: true });
    assert.deepEqual(order, ["admit", "busy", "asked", "open"]);
    assert.deepEqual(scene.told.map(({ event }) => event), ["asked"]);
    const refusing = scene.check.guard(() => scene.line, {
      admit: () => Promise.reject(new PkiError("busy", "busy")),
    } as unknown as LineHandlers);
    await assert.rejects(async () => await refusing.admit(peerOf(OTHER)), { kind: "busy" });
  });
});
