import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import type { ReadStream, WriteStream } from "node:tty";
import { test } from "node:test";
import { PkiError } from "../../lib/base/errors.ts";
import { BATCH_BOUNDS, SECONDS_BOUNDS } from "../../lib/base/histogram.ts";
import type { Measured } from "../../lib/protocol/measured.ts";
import { parseInterval } from "../../commands/status.ts";
import { reportStatus } from "../../commands/status_report.ts";
import {
  problemLines,
  screenLines,
  statusFacts,
  statusLine,
  statusLines,
} from "../../commands/status_view.ts";
import { frameOf, watchOnScreen } from "../../commands/status_watch.ts";
import { histogramOf, SAMPLE_MS, sampleMeasured } from "../server/measured_sample.ts";

const SECOND_MS = 1000;
const DAY_MS = 86_400_000;

/** The sample some seconds later, after so much more was done. */
function later(change: (measured: Measured) => void): Measured {
  return sampleMeasured((measured) => {
    measured.nowMs += 10 * SECOND_MS;
    change(measured);
  });
}

test("reportStatus() counts since the start without an earlier reading", () => {
  const { requests, requestsPerSecond, intervalSeconds, isSinceStart, cpuPercent } = reportStatus(
    sampleMeasured(),
  );
  assert.equal(intervalSeconds, 3 * 86_400);
  assert.equal(isSinceStart, true);
  assert.deepEqual(requests.map(({ type }) => type), [
    ...["CERTREQ", "HELLO", "LOGIN_CERTIFICATE", "LOGIN", "LOGIN_FINISH"],
  ], "the most frequent first, and none that nobody has sent");
  assert.equal(requests[0]?.failed, 7);
  assert.ok(Math.abs(requestsPerSecond * 3 * 86_400 - 8) < 1e-9);
  assert.ok(Math.abs(cpuPercent - 100 * 11.75 / (3 * 86_400)) < 1e-9);
});

test("reportStatus() tells what an interval was about", () => {
  const now = later((measured) => {
    const { requests, log } = measured.directory;
    requests["CERTREQ"] = {
      results: { ok: 1003, NOT_FOUND: 9 },
      seconds: histogramOf(SECONDS_BOUNDS, [0.0001, 0.0003, 0.004, ...[
        0.015,
        0.015,
        0.015,
        0.015,
        7,
      ]]),
    };
    measured.process.cpuUserSeconds += 5;
    log.syncSeconds = histogramOf(SECONDS_BOUNDS, [0.0007, 0.02, 0.003]);
    log.syncEntries = histogramOf(BATCH_BOUNDS, [1, 12, 30]);
  });
  const report = reportStatus(now, sampleMeasured());
  assert.equal(report.intervalSeconds, 10);
  assert.equal(report.isSinceStart, false);
  assert.equal(report.requestsPerSecond, 0.5);
  assert.equal(report.cpuPercent, 50);
  const [lookups, hello] = report.requests;
  assert.deepEqual([lookups?.type, lookups?.count, lookups?.failed], ["CERTREQ", 5, 2]);
  assert.ok((lookups?.p50Ms ?? 0) > 10 && (lookups?.p50Ms ?? 0) <= 20);
  assert.ok((lookups?.p99Ms ?? 0) > 5000);
  assert.deepEqual(hello, {
    ...{ type: "HELLO", count: 0, failed: 0, perSecond: 0, p50Ms: null, p99Ms: null },
  });
  assert.equal(report.sync.perSecond, 0.1);
  assert.equal(report.sync.entriesEach, 30);
});

test("reportStatus() does not compare two runs of a server", () => {
  const before = sampleMeasured((measured) => void (measured.startedMs -= DAY_MS));
  const { isSinceStart, requests } = reportStatus(later(() => {}), before);
  assert.equal(isSinceStart, true);
  assert.equal(requests[0]?.count, 3);
});

/** What makes a good server one to look after, and what is said of it; on both sides of each limit. */
const WARNINGS: readonly (readonly [string, (measured: Measured) => void, RegExp | undefined])[] = [
  ["nothing", () => {}, undefined],
  [
    "a user's certificate in time",
    ({ directory: { census } }) => void (census!.publishedEndsMs = SAMPLE_MS + 3 * DAY_MS),
    undefined,
  ],
  [
    "a user's certificate soon",
    ({ directory: { census } }) => void (census!.publishedEndsMs = SAMPLE_MS + 3 * DAY_MS - 1),
    /^the first published certificate of a user ends in 2 d 23 h: pki ls --expiring 3d/,
  ],
  [
    "the server's certificate soon",
    (measured) => void (measured.serverEndsMs = SAMPLE_MS + 14 * DAY_MS - 1),
    /^the server's certificate ends in 13 d 23 h/,
  ],
  [
    "the issuing CA soon",
    ({ directory: { ends } }) => void (ends.issuingMs = SAMPLE_MS + 90 * DAY_MS - 1),
    /^the issuing CA ends in 89 d 23 h: pki rotate/,
  ],
  [
    "a revocation list that is over",
    ({ directory: { ends } }) => void (ends.revocationListMs = SAMPLE_MS),
    /^a revocation list has ended/,
  ],
  ["connections, many", ({ connections }) => void (connections.open = 800), undefined],
  [
    "connections, too many",
    ({ connections }) => void (connections.open = 801),
    /^801 connections are open of 1000/,
  ],
  [
    "connections that were refused",
    ({ connections }) => void (connections.refused["memory"] = 5),
    /^5 connections turned away since the start, as the server was busy: /,
  ],
  [
    "a worker that failed",
    ({ workers }) => void (workers.failed = 1),
    /^1 connection worker failed since the start/,
  ],
  [
    "faults",
    ({ directory: { requests } }) => void (requests["CSR"]!.results["STORAGE"] = 2),
    /^2 requests failed by a fault of the server since the start: request\.failed/,
  ],
  [
    "guessing",
    (measured) => {
      measured.startedMs = measured.nowMs - 60 * SECOND_MS;
      measured.directory.unfinishedLogins = 10;
    },
    /^10 logins came to nothing since the start: login\.refused/,
  ],
  [
    "mistyping",
    (measured) => {
      measured.startedMs = measured.nowMs - 60 * SECOND_MS;
      measured.directory.unfinishedLogins = 9;
    },
    undefined,
  ],
  [
    "a slow disk",
    ({ directory: { log } }) => {
      log.syncSeconds = histogramOf(SECONDS_BOUNDS, [0.3, 0.3, 0.3]);
    },
    /^the disk takes \d+ ms and more to make the log durable$/,
  ],
  [
    "no snapshot",
    ({ directory: { snapshot } }) => void (snapshot.behindBytes = 2 * snapshot.dueBytes + 1),
    /^a snapshot is overdue/,
  ],
  [
    "files",
    (measured) => void (measured.process.openFiles = 900),
    /^900 files are open of 1024 that may be$/,
  ],
  [
    "a thread that was held up",
    (measured) => void (measured.directory.delay = histogramOf(SECONDS_BOUNDS, [3])),
    /^the directory thread was held up for \d+ ms/,
  ],
];

for (const [what, change, warning] of WARNINGS) {
  test(`reportStatus() warns of ${what}: ${warning !== undefined}`, () => {
    const { warnings } = reportStatus(sampleMeasured((measured) => {
      // Else there would be something to say of the sample itself.
      measured.workers.failed = 0;
      measured.connections.refused = { connections: 0, stopping: 0, protocol: 2, address: 9 };
      measured.directory.census!.publishedEndsMs = SAMPLE_MS + 9 * DAY_MS;
      for (const type of ["LOGIN", "LOGIN_FINISH", "LOGIN_CERTIFICATE"]) {
        measured.directory.requests[type]!.results = { ok: 1 };
      }
      measured.directory.unfinishedLogins = 0;
      change(measured);
    }));
    if (warning === undefined) return assert.deepEqual(warnings, []);
    assert.equal(warnings.length, 1, warnings.join("\n"));
    assert.match(warnings[0] ?? "", warning);
  });
}

test("statusLines() breaks between words and stays within a terminal's width", () => {
  const report = reportStatus(sampleMeasured());
  for (const columns of [40, 60, 80, 120]) {
    for (const line of statusLines(report, { columns })) {
      assert.ok(line.length <= columns, `${columns}: ${line}`);
    }
  }
  const text = statusLines(report).join("\n");
  for (
    const part of [
      "  server        pki.example.org at 127.0.0.1:7443, pki 1.2.3\n",
      "12 open of 1000, 345 accepted, 6 refused (connections 3, protocol 2, sockets 1)",
      "4 handshakes under way, 6 failed",
      "  queue         3 in flight, 2 waiting, 1 at the authority\n",
      "  certificates  100 valid (90 published), 30 expired, 7 revoked\n",
      "24 h old, 64.0 KiB, taken in 0.4 s; the log has grown by 1000 bytes, the next is due at 16.0 MiB",
      "a user's in 2 d, the server's in 60 d, the issuing CA's in 2 years, the root's in 19 years",
      "warning       the first published certificate of a user ends in 2 d",
    ]
  ) {
    assert.ok(text.includes(part), `${part}\nin\n${text}`);
  }
  assert.match(text, /^ {2}CERTREQ +3 +<0\.01 +7 +<0\.5 ms +4\.9 ms$/m);
});

test("statusLines() leaves rows out of the table alone", () => {
  const report = reportStatus(sampleMeasured());
  const all = statusLines(report);
  const some = statusLines(report, { rowsMax: 2 });
  assert.equal(some.length, all.length - 2);
  assert.ok(some.includes("  and 3 more"));
  assert.deepEqual(some.slice(-3), all.slice(-3));
});

test("screenLines() leaves out of the table first, then of the facts, and never a warning", () => {
  const report = reportStatus(sampleMeasured());
  const all = ["head", "", ...statusLines(report)];
  const shown = (rows: number) => screenLines(["head"], report, { rows });
  assert.deepEqual(shown(all.length), all);
  assert.deepEqual(shown(all.length - 2).slice(-3), all.slice(-3));
  assert.ok(shown(all.length - 2).includes("  and 3 more"));
  const narrow = screenLines(["head"], report, { rows: 20, columns: 40 });
  assert.equal(narrow.length, 20);
  assert.deepEqual(narrow.slice(0, 2), ["head", ""]);
  assert.ok(narrow.some((line) => line.startsWith("  warning  ")), narrow.join("\n"));
  assert.deepEqual(
    narrow.slice(-3),
    statusLines(report, { columns: 40 }).slice(-3),
    "warnings as they are elsewhere",
  );
});

test("statusLines() lets nothing that a server says reach the terminal as it is", () => {
  const report = reportStatus(sampleMeasured((measured) => {
    measured.version = "1\x1b[31m";
    measured.domain = "a\x07b\nc";
  }));
  for (const line of [...statusLines(report), statusLine(report), ...problemLines("a\x1bb", {})]) {
    // deno-lint-ignore no-control-regex
    assert.ok(!/[\x00-\x1f\x7f-\x9f]/.test(line), JSON.stringify(line));
  }
});

test("statusLines() says what is not known yet", () => {
  const report = reportStatus(sampleMeasured((measured) => {
    measured.directory.census = null;
    measured.directory.snapshot.lastMs = null;
    measured.process.openFiles = null;
    delete measured.address;
    measured.directory.requests = {};
  }));
  const text = statusLines(report, { columns: 80 }).join("\n");
  assert.match(text, /certificates {2}being counted/);
  assert.match(text, /snapshot {6}none yet; the log has grown/);
  assert.ok(!/undefined|null|NaN/.test(text), text);
  assert.ok(!("certificates" in statusFacts(report)));
});

test("parseInterval() reads seconds and spans", () => {
  for (
    const [text, ms] of [
      ...[["", 2000], ["5", 5000], ["0.5", 500], ["1m", 60_000], ["10s", 10_000]] as const,
    ]
  ) {
    assert.equal(parseInterval(text), ms);
  }
  for (const text of ["0", "0.4", "-1", "x", "2d", "1e3", "5 s", "999999"]) {
    assert.throws(() => parseInterval(text), { kind: "usage" }, text);
  }
});

test("frameOf() clears behind each line and below the last", () => {
  assert.equal(
    frameOf(["a", "b"], 5),
    "\x1b[?2026h\x1b[Ha\x1b[K\r\nb\x1b[K\x1b[J\x1b[?2026l",
  );
  assert.ok(!frameOf(["a", "b", "c"], 2).includes("c"));
});

/** A terminal that is told which keys to press. */
function makeScreen() {
  const input = new PassThrough() as unknown as ReadStream & PassThrough;
  let isRaw = false;
  Object.assign(input, { isRaw: false, setRawMode: (to: boolean) => void (isRaw = to) });
  const stdout = Object.assign(new PassThrough(), { columns: 80, rows: 24 });
  const written: string[] = [];
  stdout.on("data", (chunk) => written.push(String(chunk)));
  let isClosed = false;
  const close = () => void (isClosed = true);
  return {
    input,
    stdout,
    open: () => ({ input, output: stdout as unknown as WriteStream, close }),
    get isClean() {
      return !isRaw && isClosed;
    },
    get text() {
      return written.join("");
    },
  };
}

for (
  const [key, isInterrupted] of [["q", false], ["\x1b", false], ["\x04", false], [
    "\x03",
    true,
  ]] as const
) {
  test(`watchOnScreen() ends with ${JSON.stringify(key)} and leaves the terminal as it was`, async () => {
    const screen = makeScreen();
    let updates = 0;
    const watched = watchOnScreen({
      ...screen,
      intervalMs: 60_000,
      signal: new AbortController().signal,
      draw: () => [`drawn ${updates}`],
      update: () => {
        updates++;
        screen.input.write(key);
        return Promise.resolve();
      },
      isFinal: () => true,
    });
    if (isInterrupted) await assert.rejects(watched, { kind: "interrupted" });
    else await watched;
    assert.ok(screen.isClean);
    assert.ok(screen.text.startsWith("\x1b[?1049h") && screen.text.includes("drawn 1"));
    assert.ok(screen.text.endsWith("\x1b[?25h\x1b[?1049l"), JSON.stringify(screen.text));
  });
}

test("watchOnScreen() ends with a key also while the server does not answer", async () => {
  const screen = makeScreen();
  const { promise: called, resolve: onCalled } = Promise.withResolvers<void>();
  const watched = watchOnScreen({
    ...screen,
    intervalMs: 60_000,
    signal: new AbortController().signal,
    draw: () => ["asking"],
    update: (ending) => {
      onCalled();
      return new Promise((_, reject) =>
        ending.addEventListener("abort", () => reject(new PkiError("interrupted", "interrupted")))
      );
    },
    isFinal: () => true,
  });
  await called;
  screen.input.write("q");
  await watched;
  assert.ok(screen.isClean);
  assert.ok(screen.text.includes("asking"), JSON.stringify(screen.text));
});

test("watchOnScreen() shows a failure that may pass, and ends with one that does not", async () => {
  const screen = makeScreen();
  const failures = [
    undefined,
    new PkiError("unreachable", "it is away"),
    new PkiError("refused", "no"),
  ];
  let at = 0;
  const problems: (string | undefined)[] = [];
  await assert.rejects(
    watchOnScreen({
      ...screen,
      intervalMs: 0,
      signal: new AbortController().signal,
      draw: (problem) => {
        problems.push(problem);
        return [];
      },
      update: () => {
        const failure = failures[at++];
        return failure === undefined ? Promise.resolve() : Promise.reject(failure);
      },
      isFinal: (error) => error === failures[2],
    }),
    { kind: "refused" },
  );
  assert.deepEqual(problems, [undefined, undefined, "it is away"]);
  assert.ok(screen.isClean);
});
