import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SERVER_LIMITS } from "../../lib/base/server_limits.ts";
import { PkiError } from "../../lib/base/errors.ts";
import type { Answer } from "../../lib/protocol/answers.ts";
import type { Request } from "../../lib/protocol/requests.ts";
import { serveSession } from "../../lib/server/session_port.ts";
import { FakePort, settled } from "../fakes/session_port.ts";

const ENDED = {
  end: {
    code: "INTERNAL",
    message: "something failed inside; whoever runs the " +
      "program can read what",
  },
};

/** A session that answers with what it was asked, once it may. */
function makeWorld({ held = false } = {}) {
  const port = new FakePort();
  const handled: Request[] = [];
  const broken: string[] = [];
  const free: (() => void)[] = [];
  const session = {
    handle: async (request: Request): Promise<Answer> => {
      handled.push(request);
      if (held) await new Promise<void>((resolve) => free.push(resolve));
      if (request.type === "LOCATE") throw new PkiError("busy", "cannot announce: try again");
      return { type: request.type };
    },
    end: (end: typeof ENDED) => {
      port.postMessage(end);
      return Promise.resolve();
    },
  };
  serveSession(port, session, { onBroken: (why) => broken.push(why) });
  return { port, handled, broken, free };
}

test("serveSession() answers requests, each under its number, with answers and errors", async () => {
  const { port, handled, broken } = makeWorld();
  port.say({ seq: 1, type: "HELLO" });
  port.say({ seq: 7, type: "LOCATE", id: "alice" });
  port.say({ seq: 8, type: "CERTREQ", id: "alice" });
  await settled();
  assert.deepEqual(port.said, [
    { seq: 1, fields: '{"type":"HELLO"}' },
    { seq: 7, code: "BUSY", message: "cannot announce: try again" },
    { seq: 8, fields: '{"type":"CERTREQ"}' },
  ]);
  assert.deepEqual(handled.map(({ type }) => type), ["HELLO", "LOCATE", "CERTREQ"]);
  assert.deepEqual(broken, []);
});

const HELLO = { type: "HELLO" };
const NOT_OBJECT = "what it posted is not an object";
const NO_SEQ = 'cannot read message: "seq" is not a positive integer';
const TYPE_UNKNOWN = "cannot read message: its type is unknown";
const BAD_ID = 'cannot read CERTREQ: "id" is missing or not as it should be';

/** What no connection worker of ours posts, and what the operator hears. */
const BROKEN: readonly (readonly [unknown, string])[] = [
  [undefined, NOT_OBJECT],
  [null, NOT_OBJECT],
  [0, NOT_OBJECT],
  [1n, NOT_OBJECT],
  ["HELLO", NOT_OBJECT],
  [[], NO_SEQ],
  [{}, NO_SEQ],
  [new Map([["seq", 1]]), NO_SEQ],
  [new Uint8Array(8), NO_SEQ],
  [{ ...HELLO, seq: "1" }, NO_SEQ],
  [{ ...HELLO, seq: 1n }, NO_SEQ],
  [{ ...HELLO, seq: 0 }, NO_SEQ],
  [{ ...HELLO, seq: NaN }, NO_SEQ],
  [{ ...HELLO, seq: 2 ** 53 }, NO_SEQ],
  [{ ...HELLO, seq: { valueOf: 1 } }, NO_SEQ],
  [{ seq: 1 }, TYPE_UNKNOWN],
  [{ seq: 1, type: "STOP" }, TYPE_UNKNOWN],
  [{ seq: 1, type: "__proto__" }, TYPE_UNKNOWN],
  [{ seq: 1, type: ["HELLO"] }, TYPE_UNKNOWN],
  [{ seq: 1, type: "HELLO", user: "alice" }, "cannot read HELLO: it has a field too many"],
  [{ seq: 1, type: "CERTREQ" }, BAD_ID],
  [{ seq: 1, type: "CERTREQ", id: ["alice"] }, BAD_ID],
  [{ seq: 1, type: "CERTREQ", id: new Date(0) }, BAD_ID],
  [{ seq: 1, type: "CERTREQ", id: "../alice" }, BAD_ID],
  [{ seq: 1, type: "CERTREQ", id: "invitation:1" }, BAD_ID],
  [
    { seq: 1, type: "LOGIN_FINISH", finish: "AA", binding: new ArrayBuffer(32) },
    'cannot read LOGIN_FINISH: "binding" is missing or not as it should be',
  ],
];

for (const [message, why] of BROKEN) {
  test(`serveSession() ends the session for ${describe(message)}`, async () => {
    const { port, handled, broken } = makeWorld();
    port.say(message);
    port.say({ seq: 1, type: "HELLO" });
    port.say(message);
    await settled();
    assert.deepEqual(broken, [why]);
    assert.deepEqual(port.said, [ENDED]);
    assert.deepEqual(handled, []);
  });
}

function describe(message: unknown): string {
  return JSON.stringify(message, (_, value) => typeof value === "bigint" ? `${value}n` : value) ??
    "nothing";
}

test("serveSession() carries nothing out twice", async () => {
  for (const seq of [5, 4]) {
    const { port, handled, broken } = makeWorld();
    port.say({ seq: 5, type: "HELLO" });
    port.say({ seq, type: "HELLO" });
    await settled();
    assert.deepEqual(broken, ['"seq" does not grow']);
    assert.deepEqual(port.said, [ENDED, { seq: 5, fields: '{"type":"HELLO"}' }]);
    assert.equal(handled.length, 1);
  }
});

test("serveSession() has only so many requests at once, and goes on when they are done", async () => {
  const { port, handled, broken, free } = makeWorld({ held: true });
  const max = SERVER_LIMITS.requestsInFlight.max;
  for (let seq = 1; seq <= max; seq++) port.say({ seq, type: "HELLO" });
  free.shift()?.();
  await settled();
  port.say({ seq: max + 1, type: "HELLO" });
  assert.deepEqual(broken, []);
  port.say({ seq: max + 2, type: "HELLO" });
  assert.deepEqual(broken, [`more than ${max} requests at once`]);
  assert.equal(handled.length, max + 1);
  for (const go of free) go();
  await settled();
  assert.equal(port.said.length, max + 2, "what ran is answered, and the end was said");
});

test("serveSession() ends the session for what cannot even be cloned", async () => {
  const { port, broken } = makeWorld();
  port.garble();
  await settled();
  assert.deepEqual(broken, ["what it posted cannot be read"]);
  assert.deepEqual(port.said, [ENDED]);
});

test("serveSession() never fails, whatever is posted", async () => {
  const anything = fc.anything({
    withBigInt: true,
    withDate: true,
    withMap: true,
    withSet: true,
    withSparseArray: true,
    withTypedArray: true,
    withNullPrototype: true,
  });
  const almost = fc.record(
    {
      seq: fc.oneof(fc.nat(3), anything),
      type: fc.oneof(fc.constant("CERTREQ"), anything),
      id: anything,
    },
    { requiredKeys: [] },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(anything, almost), { maxLength: 6 }), async (messages) => {
      const { port, handled } = makeWorld();
      for (const message of messages) port.say(message);
      await settled();
      for (const request of handled) assert.ok(["HELLO", "CERTREQ"].includes(request.type));
      assert.ok(port.said.filter((said) => "end" in said).length <= 1);
    }),
    { numRuns: 300 },
  );
});
