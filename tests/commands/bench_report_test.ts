/** What `pki bench` says of measurements that are known, and when that is no good end. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { formatMs, formatRate, type Report } from "../../commands/bench_figures.ts";
import { describe, toJson } from "../../commands/bench_report.ts";
import { checkMeasured, summarize } from "../../commands/bench_verdict.ts";
import { type ErrorKind, PkiError } from "../../lib/base/errors.ts";
import type { Measurement } from "../../lib/load/measure.ts";
import type { OperationSummary } from "../../lib/load/tally.ts";

const ROW: OperationSummary = {
  operation: "lookup",
  count: 12_340,
  perSecond: 1234,
  latency: { p50Ms: 1.5, p90Ms: 3, p99Ms: 12.34, maxMs: 50 },
  errors: {},
};

function report(
  measured: Partial<Measurement> = {},
  asked: Partial<Report> = {},
): Report {
  return {
    ...{ load: "lookup", server: "localhost:7443", isTemporary: true, clients: 8, rate: undefined },
    ...{ warmUpSeconds: 3, isInterrupted: false, registered: [], isDeleted: false },
    ...asked,
    measured: {
      ...{ seconds: 10, operations: [ROW], behind: 0, isGivenUp: false, judged: 1, proven: 1 },
      ownCpuSeconds: 1,
      ...measured,
    },
  };
}

const login: OperationSummary = {
  ...ROW,
  operation: "login",
  perSecond: 66,
  latency: { p50Ms: 40, p90Ms: 50, p99Ms: 123.4, maxMs: 200 },
};

const SENTENCES: readonly (readonly [what: string, report: Report, sentence: string])[] = [
  [
    "a closed loop",
    report(),
    "with 8 clients that ask again as soon as they are answered, this server does 1,234 lookups a " +
    "second; 99 of 100 end within 12.3 ms",
  ],
  [
    "one client",
    report({}, { clients: 1, load: "visit" }),
    "with one client that asks again as soon as it is answered, this server does 1,234 visits " +
    "a second; 99 of 100 end within 12.3 ms",
  ],
  [
    "an open loop",
    report({}, { rate: 1234 }),
    "this server keeps up with 1,234 lookups a second; 99 of 100 end within 12.3 ms",
  ],
  [
    "an open loop that is lost",
    report({ behind: 500 }, { rate: 1500 }),
    "this server does not keep up with 1,500 lookups a second: it does 1,234; 99 of 100 end " +
    "within 12.3 ms",
  ],
  [
    "a mix",
    report({ operations: [ROW, login] }, { load: "mixed", rate: 1300 }),
    "this server keeps up with 1,300 operations a second; 99 of 100 even of the slowest kind " +
    "(login) end within 123 ms",
  ],
  [
    "errors, and an early end",
    report(
      { seconds: 4.24, operations: [{ ...ROW, errors: { BUSY: 2, TIMEOUT: 1 } }] },
      { isInterrupted: true, rate: 1234 },
    ),
    "interrupted after 4.2 s: this server keeps up with 1,234 lookups a second; 99 of 100 end " +
    "within 12.3 ms, and 3 failed",
  ],
  [
    "nothing",
    report({ operations: [], isGivenUp: true, seconds: 3 }),
    "given up after 3.0 s: no lookups ended well",
  ],
  [
    "nothing, not even in the warm-up,",
    report({ operations: [], isGivenUp: true, seconds: 0 }),
    "given up before anything counted: no lookups ended well",
  ],
  [
    "a load that was given up",
    report({ isGivenUp: true, operations: [{ ...ROW, errors: { UNREACHABLE: 40 } }] }),
    "given up after 10.0 s: these figures are not what this server can do: in the end nothing " +
    "ended well any more",
  ],
  [
    "a load that mostly failed",
    report({ operations: [{ ...ROW, count: 40, errors: { BUSY: 40, TIMEOUT: 1 } }] }),
    "these figures are not what this server can do: 41 of 81 lookups failed",
  ],
  [
    "a mix of which one kind mostly failed",
    report({ operations: [ROW, { ...login, count: 1, errors: { BUSY: 6 } }] }, { load: "mixed" }),
    "these figures are not what this server can do: 6 of 7 logins failed",
  ],
  [
    "a load of which no more than half failed",
    report({ operations: [{ ...ROW, count: 40, errors: { BUSY: 40 } }] }),
    "with 8 clients that ask again as soon as they are answered, this server does 1,234 lookups a " +
    "second; 99 of 100 end within 12.3 ms, and 40 failed",
  ],
];

for (const [what, given, sentence] of SENTENCES) {
  test(`summarize() says in one sentence what ${what} comes to`, () => {
    assert.equal(summarize(given), sentence);
  });
}

const { latency: _, ...NONE } = { ...ROW, count: 0, perSecond: 0 };
const busy = new PkiError("busy", "later");

test("checkMeasured() lets pass what was measured, and fails as its rows say", () => {
  const gone = new PkiError("unreachable", "nobody there");
  const mostly = (errors: Record<string, number>, firstError: PkiError): OperationSummary => {
    return { ...ROW, count: 2, errors, firstError };
  };
  const rows: readonly (readonly [report: Report, kind?: ErrorKind, message?: RegExp])[] = [
    [report({ operations: [{ ...ROW, errors: { WRONG: 1 } }] }), "protocol"],
    [
      report({ operations: [{ ...ROW, errors: { TRUNCATED: 1 } }] }, { isInterrupted: true }),
      "protocol",
    ],
    [
      report({ operations: [ROW, { ...NONE, operation: "proof", errors: { WRONG: 1 } }] }),
      "protocol",
    ],
    [report({}, { isInterrupted: true }), "interrupted"],
    [report({ operations: [{ ...NONE, errors: { BUSY: 3 } }], firstError: busy }), "busy"],
    [report({ operations: [] }), "timeout", /^nothing ended in time$/],
    [
      report({ operations: [], isGivenUp: true, firstError: gone }),
      "unreachable",
      /^cannot say what this server can do: nothing ended well; the first: nobody there$/,
    ],
    [
      report({ operations: [mostly({ TIMEOUT: 1, BUSY: 2 }, busy)] }),
      "busy",
      /^cannot say what this server can do: 3 of 5 lookups failed; the first: later$/,
    ],
    [
      report({ operations: [ROW, { ...mostly({ REFUSED: 3 }, busy), operation: "login" }] }),
      "refused",
      /^cannot say what this server can do: 3 of 5 logins failed; /,
    ],
    [
      report({
        operations: [ROW, { ...ROW, errors: { UNREACHABLE: 40 }, firstError: gone }],
        isGivenUp: true,
      }),
      "unreachable",
      /: in the end nothing ended well any more; the first: nobody there$/,
    ],
    [
      report({ operations: [ROW], isGivenUp: true }),
      "timeout",
      /: in the end nothing ended well any more$/,
    ],
    [
      report({
        operations: [ROW, { ...NONE, operation: "proof", errors: { BUSY: 1 }, firstError: busy }],
      }),
      "busy",
      /^cannot have the log prove what was looked up and issued: later$/,
    ],
    [report({ operations: [mostly({ BUSY: 2 }, busy)], firstError: busy })],
    [report({ operations: [{ ...ROW, errors: { BUSY: 3 } }], firstError: busy })],
    [report()],
  ];
  for (const [given, kind, message = /./] of rows) {
    if (kind === undefined) checkMeasured(given);
    else {
      assert.throws(() => checkMeasured(given), (error: PkiError) => {
        assert.equal(error.kind, kind, error.message);
        assert.match(error.message, message);
        return true;
      });
    }
  }
});

test("toJson() has the first error of each operation, with its code", () => {
  const operations = [ROW, { ...login, errors: { BUSY: 3 }, firstError: busy }];
  const { operations: told } = toJson(report({ operations })) as {
    operations: readonly Record<string, unknown>[];
  };
  assert.deepEqual(told.map(({ firstError }) => firstError), [
    ...[undefined, { code: "BUSY", message: "later" }],
  ]);
});

test("formatRate() and formatMs() keep the digits that say something", () => {
  assert.deepEqual([0.04, 9.94, 10.4, 999.5, 4812, 1e6].map(formatRate), [
    ...["0.0", "9.9", "10", "1,000", "4,812", "1,000,000"],
  ]);
  assert.deepEqual([0.0123, 1.234, 12.34, 123.4, 4567].map(formatMs), [
    ...["0.012", "1.23", "12.3", "123", "4567"],
  ]);
});

test("describe() tells errors by operation and code, and nothing where there are none", () => {
  const firstError = new PkiError("busy", "the server says: too many\x1b[2J entries");
  const operations = [ROW, { ...login, errors: { TRUNCATED: 2, UNREACHABLE: 18 }, firstError }];
  assert.match(
    describe(report({ operations })),
    /^ {2}errors {5}login: TRUNCATED 2, UNREACHABLE 18\n {13}the first: the server says: too many\S+ entries\n {2}load /,
  );
  assert.ok(!describe(report({ operations })).includes("\x1b"));
  const both = describe(
    report({ operations: [{ ...ROW, errors: { BUSY: 1 }, firstError }, ...operations] }),
  );
  assert.equal(both.split("the first: ").length, 2, "the same is said once");
  assert.match(describe(report()), /^ {2}load /);
});
