/** Whose files are accepted: asked, or said beforehand. */

import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { Consent, type ConsentFlags, describeOffer } from "../../commands/consent.ts";
import type { PkiContext } from "../../commands/context.ts";
import { Surroundings } from "../../commands/globals.ts";
import { PkiError } from "../../lib/base/errors.ts";
import type { Peer } from "../../lib/peer/ports.ts";
import type { Offer } from "../../lib/protocol/incoming_files.ts";

const HOUR_MS = 3_600_000;
const alice = { id: "alice", words: ["use", "plastic", "journey", "surface", "tell"] } as
  & Partial<Peer>
  & Pick<Peer, "id" | "words"> as Peer;
const OFFER: Offer = { transfer: 1, name: "report.pdf", files: 3, bytes: 5000 };
const NEVER = new AbortController().signal;

/** A receiver, at a terminal where somebody gives these answers, or without one. */
function receiver(
  flags: ConsentFlags & { readonly yes?: boolean },
  answers?: (boolean | Error)[],
) {
  const asked: string[] = [];
  const events: Readonly<Record<string, unknown>>[] = [];
  const clock = { nowMs: 0 };
  const unasked = () => assert.fail("asked for something else");
  const stream = new PassThrough();
  const context: PkiContext = {
    process: { stdin: stream, stdout: stream, stderr: stream, env: {} },
    homeFolder: "/nonexistent",
    terminal: answers && {
      askPassword: unasked,
      askText: unasked,
      confirm: (question) => {
        asked.push(question);
        const answer = answers.shift();
        assert.ok(answer !== undefined, question);
        return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
      },
    },
    signal: NEVER,
    now: () => clock.nowMs,
  };
  const surroundings = new Surroundings(context, flags.yes ? { yes: true } : {});
  const tell = (event: Readonly<Record<string, unknown>>) => void events.push(event);
  return { consent: new Consent(surroundings, { flags, tell }), asked, events, clock };
}

const refused = (message: string) => ({ kind: "refused", message });

test("at a terminal each offer is a question, with what, who and the words", async () => {
  const { consent, asked, events } = receiver({}, [true, false]);
  await consent.decide(alice, OFFER, NEVER);
  await assert.rejects(consent.decide(alice, OFFER, NEVER), refused("not accepted"));
  assert.deepEqual(
    asked,
    Array(2).fill(
      'Accept "report.pdf" and 2 more (4.88 KiB) from alice (words: use plastic journey surface tell)?',
    ),
  );
  assert.deepEqual(events[0], {
    event: "offered",
    peer: "alice",
    name: "report.pdf",
    files: 3,
    bytes: 5000,
    resumes: false,
  });
});

test("a question that is left, by Ctrl-C say, is answered with no", async () => {
  const { consent } = receiver({}, [new PkiError("interrupted", "interrupted")]);
  await assert.rejects(consent.decide(alice, OFFER, NEVER), refused("not accepted"));
});

test("without a terminal, and with --yes, those who are named are accepted unasked", async () => {
  await receiver({ allow: "alice" }).consent.decide(alice, OFFER, NEVER);
  const { consent, asked } = receiver({ allow: "alice", yes: true }, []);
  await consent.decide(alice, OFFER, NEVER);
  assert.deepEqual(asked, []);
  const careful = receiver({ allow: "alice" }, [false]);
  await assert.rejects(careful.consent.decide(alice, OFFER, NEVER), refused("not accepted"));
});

test("where nobody is asked and nobody is named nothing can be received", () => {
  assert.throws(() => receiver({}), {
    kind: "usage",
    message: "cannot ask whether to accept files: there is no terminal",
  });
  assert.throws(() => receiver({ yes: true }, []), {
    kind: "usage",
    message: "cannot accept files from anybody: --yes says nothing about whom to trust",
  });
});

test("--max-bytes is asked before anybody is", async () => {
  const { consent, asked } = receiver({ maxBytes: 4999 }, []);
  await assert.rejects(
    consent.decide(alice, OFFER, NEVER),
    refused("more than 4.88 KiB are not accepted"),
  );
  assert.deepEqual(asked, []);
  await receiver({ maxBytes: 5000, allow: "alice" }).consent.decide(alice, OFFER, NEVER);
});

/** What comes after a transfer was cut of which 2 files and 3000 bytes are left. */
const RESTS: readonly (readonly [
  name: string,
  offer: Partial<Offer>,
  more: { readonly id?: string; readonly afterMs?: number },
  isAsked: boolean,
])[] = [
  ["what was left", { files: 2, bytes: 3000 }, {}, false],
  ["less than that, under another name", { files: 1, bytes: 10, name: "b" }, {}, false],
  ["a file more", { files: 3, bytes: 3000 }, {}, true],
  ["a byte more", { files: 2, bytes: 3001 }, {}, true],
  ["the same by somebody else", { files: 2, bytes: 3000 }, { id: "mallory" }, true],
  ["the same an hour later", { files: 2, bytes: 3000 }, { afterMs: HOUR_MS }, true],
];

for (const [name, offer, { id = "alice", afterMs = 0 }, isAsked] of RESTS) {
  test(`after a cut ${name} is ${isAsked ? "a question" : "accepted without another one"}`, async () => {
    const { consent, asked, events, clock } = receiver({}, [true, true]);
    consent.wasCut(alice, { files: 2, bytes: 3000 });
    clock.nowMs += afterMs;
    await consent.decide({ ...alice, id }, { ...OFFER, ...offer }, NEVER);
    assert.equal(asked.length, isAsked ? 1 : 0);
    assert.equal(events[0]?.["resumes"], !isAsked);
    if (isAsked) return;
    await consent.decide(alice, { ...OFFER, ...offer }, NEVER);
    assert.equal(asked.length, 1, "once");
  });
}

test("after a cut of a single file another one is a question", async () => {
  const { consent, asked } = receiver({}, [true]);
  const left = { name: "report.pdf", files: 1, bytes: 3000 };
  consent.wasCut(alice, left);
  await consent.decide(alice, { ...OFFER, ...left }, NEVER);
  assert.equal(asked.length, 0);
  consent.wasCut(alice, left);
  await consent.decide(alice, { ...OFFER, ...left, name: "evil.sh" }, NEVER);
  assert.equal(asked.length, 1);
});

test("describeOffer() shows a hostile name as it is, and harmless", () => {
  assert.equal(
    describeOffer({ ...OFFER, files: 1, name: '\u001b[2J\u202e"x' }),
    '"\ufffd[2J\ufffd\\"x" (4.88 KiB)',
  );
});
