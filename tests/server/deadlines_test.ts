/** Every bound on a connection's time: on both sides of each, by a clock of the test's own. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { resolveLimits } from "../../lib/base/server_limits.ts";
import type { SessionState } from "../../lib/protocol/session.ts";
import { Deadlines } from "../../lib/server/deadlines.ts";

const LIMITS = resolveLimits({
  helloSeconds: 10,
  frameSeconds: 30,
  loginSeconds: 60,
  requestSeconds: 20,
  idleSeconds: 300,
  sessionSeconds: 1000,
});

/** What happens to a connection, in seconds from its start on. */
type Happening =
  | readonly [atS: number, "state", SessionState]
  | readonly [atS: number, "frame", number | undefined]
  | readonly [atS: number, "asked" | "answered", seq: number];

/** Lets things happen, and returns when and with which words the connection ends. */
function run(happenings: readonly Happening[]): readonly [number, string] {
  const startMs = 5_000_000;
  const deadlines = new Deadlines(LIMITS, startMs);
  let state: SessionState = "new";
  let frameUnderWay: number | undefined;
  const waiting = [...happenings];
  for (;;) {
    const nextMs = waiting[0] === undefined ? Infinity : startMs + waiting[0][0] * 1000;
    while (deadlines.wakeMs <= nextMs) {
      const atMs = deadlines.wakeMs;
      assert.ok(Number.isFinite(atMs), "nobody would ever look");
      assert.equal(deadlines.overdue(atMs - 1), undefined, "too early");
      const error = deadlines.overdue(atMs);
      if (error) {
        assert.equal(error.kind, "timeout");
        assert.equal(
          deadlines.isRequestOverdue(atMs),
          error.message.includes("a request took"),
        );
        return [(atMs - startMs) / 1000, error.message.replace("connection closed: ", "")];
      }
      assert.ok(deadlines.wakeMs > atMs, "it would look for ever");
    }
    const [, what, value] = waiting.shift() ?? assert.fail();
    if (what === "asked") deadlines.requested(value, nextMs);
    if (what === "answered") deadlines.settled(value, nextMs);
    if (what === "state") state = value;
    if (what === "frame") frameUnderWay = value;
    deadlines.follow({ state, frameUnderWay }, nextMs);
  }
}

const HELLO = "there was no HELLO for 10 s";
const LOGIN = "the login took longer than 60 s";
const FRAME = "a message took longer than 30 s to come";
const REQUEST = "a request took longer than 20 s, and may still be carried out";
const IDLE = "nothing was asked for 300 s";
const SESSION = "it was open for 1000 s; connect again";

const OPEN: Happening = [5, "state", "open"];

const ROWS: readonly (readonly [string, readonly Happening[], number, string])[] = [
  ["nothing comes", [], 10, HELLO],
  ["HELLO comes byte by byte", [[1, "frame", 0]], 10, HELLO],
  ["HELLO is refused again and again", [[9, "asked", 1], [9.5, "answered", 1]], 10, HELLO],
  ["nobody logs in", [[9.9, "state", "greeted"]], 60, LOGIN],
  [
    "a login is begun again and again",
    [[5, "state", "greeted"], [50, "state", "proving"], [59, "state", "greeted"]],
    60,
    LOGIN,
  ],
  ["a login in the last moment", [[5, "state", "greeted"], [59.9, "state", "open"]], 359.9, IDLE],
  ["nothing is asked after the login", [OPEN], 305, IDLE],
  ["the last request was answered", [OPEN, [100, "asked", 3], [110, "answered", 3]], 410, IDLE],
  ["a frame does not end", [OPEN, [7, "frame", 3]], 37, FRAME],
  ["a frame ends, and the next begins", [OPEN, [7, "frame", 3], [36, "frame", 4]], 66, FRAME],
  ["a frame ends in time", [OPEN, [7, "frame", 3], [36.9, "frame", undefined]], 305, IDLE],
  ["a frame does not end before the login", [[1, "state", "greeted"], [2, "frame", 1]], 32, FRAME],
  ["a request is not answered", [OPEN, [50, "asked", 3]], 70, REQUEST],
  [
    "one of two is not",
    [OPEN, [50, "asked", 3], [55, "asked", 4], [60, "answered", 3]],
    75,
    REQUEST,
  ],
  [
    "a busy session",
    [
      OPEN,
      ...Array.from({ length: 500 }, (_, seq): readonly Happening[] => [
        [10 + 2 * seq, "asked", seq],
        [11 + 2 * seq, "answered", seq],
      ]).flat(),
    ],
    1000,
    SESSION,
  ],
];

for (const [name, happenings, wantedS, words] of ROWS) {
  test(`Deadlines ends a connection in time: ${name}`, () => {
    assert.deepEqual(run(happenings), [wantedS, words]);
  });
}

test("Deadlines.wakeMs is never later than a timer can wait, and no bound is passed over by that", () => {
  const year = 365 * 24 * 60 * 60;
  const limits = resolveLimits({ idleSeconds: year, sessionSeconds: year });
  const deadlines = new Deadlines(limits, 0);
  deadlines.follow({ state: "open", frameUnderWay: undefined }, 0);
  const waits: number[] = [];
  let nowMs = 0;
  do {
    waits.push(deadlines.wakeMs - nowMs);
    nowMs = deadlines.wakeMs;
  } while (!deadlines.overdue(nowMs) && waits.length < 100);
  assert.equal(nowMs, year * 1000);
  assert.ok(waits.every((ms) => ms > 0 && ms < 2 ** 31), waits.join(" "));
});
