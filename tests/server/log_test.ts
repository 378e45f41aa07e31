/** Lines of the server's log, and what becomes of them when nobody reads. */

import assert from "node:assert/strict";
import { Writable } from "node:stream";
import { test } from "node:test";
import fc from "fast-check";
import {
  formatLine,
  includesLevel,
  Log,
  LOG_FORMATS,
  LOG_LEVELS,
  type LogEvent,
  type LogLevel,
} from "../../lib/server/log.ts";

const NOW_MS = Date.UTC(2026, 6, 31, 12, 0, 0, 7);
const TIME = "2026-07-31T12:00:00.007Z";

const LINES: readonly (readonly [LogEvent, text: string, json: string])[] = [
  [
    { level: "warning", event: "warning", message: "the disk is full" },
    "pki: warning: the disk is full",
    `{"time":"${TIME}","level":"warning","event":"warning","message":"the disk is full"}`,
  ],
  [
    { level: "error", event: "request.failed", message: "a\nb\u001b[31m", fields: { code: "X" } },
    "pki: error: a b\ufffd[31m",
    `{"time":"${TIME}","level":"error","event":"request.failed","message":"a\\nb\\u001b[31m","code":"X"}`,
  ],
  [
    {
      level: "notice",
      event: "server.renewed",
      message: "it was renewed",
      fields: { serial: "01" },
    },
    "pki: it was renewed",
    `{"time":"${TIME}","level":"notice","event":"server.renewed","message":"it was renewed","serial":"01"}`,
  ],
  [
    {
      level: "info",
      event: "connection.closed",
      fields: { connection: 7, address: "::1", seconds: 0.5, id: undefined, isOdd: true },
    },
    `pki: ${TIME} connection.closed connection=7 address=::1 seconds=0.5 isOdd=true`,
    `{"time":"${TIME}","level":"info","event":"connection.closed","connection":7,"address":"::1","seconds":0.5,"isOdd":true}`,
  ],
  [
    { level: "info", event: "login.refused", message: "no: \u202e", fields: { id: 'a" b=\u0085' } },
    `pki: ${TIME} login.refused id="a\\" b=\ufffd": no: \ufffd`,
    `{"time":"${TIME}","level":"info","event":"login.refused","message":"no: \\u202e","id":"a\\" b=\\u0085"}`,
  ],
];

for (const [event, text, json] of LINES) {
  test(`formatLine() of ${event.event} at ${event.level}`, () => {
    assert.equal(formatLine(event, "text", NOW_MS), `${text}\n`);
    assert.equal(formatLine(event, "json", NOW_MS), `${json}\n`);
  });
}

test("formatLine() makes one line without control characters of anything", () => {
  fc.assert(fc.property(
    fc.string({ unit: "binary", maxLength: 3000 }),
    fc.constantFrom(...LOG_LEVELS),
    fc.constantFrom(...LOG_FORMATS),
    (text, level, format) => {
      const line = formatLine({ level, event: "e", message: text, fields: { text } }, format, 0);
      // deno-lint-ignore no-control-regex -- none of them is what is wanted
      assert.match(line, /^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*\n$/);
      if (format === "json") {
        assert.equal(JSON.parse(line).text, text.slice(0, 2000));
        assert.equal(JSON.parse(line).message, text.slice(0, 2000));
      }
    },
  ));
});

test("includesLevel() has each level include those before it", () => {
  for (const [at, threshold] of LOG_LEVELS.entries()) {
    const included = LOG_LEVELS.filter((level) => includesLevel(threshold, level));
    assert.deepEqual(included, LOG_LEVELS.slice(0, at + 1));
  }
});

/** A stream that takes a line when it is told to. */
class SlowStream extends Writable {
  readonly taken: string[] = [];
  #take: (() => void) | undefined;

  override _write(chunk: Uint8Array, _encoding: string, done: (error?: Error) => void): void {
    this.#take = () => {
      this.taken.push(new TextDecoder().decode(chunk));
      done();
    };
  }

  get isWaiting(): boolean {
    return this.#take !== undefined;
  }

  async take(): Promise<void> {
    const take = this.#take;
    this.#take = undefined;
    take?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function makeLog(stream: Writable, level: LogLevel = "info"): Log {
  return new Log({ stream, format: "json", level, now: () => NOW_MS });
}

const line = (event: string) => `{"time":"${TIME}","level":"info","event":"${event}"}\n`;

test("Log writes what its level includes, in order, and as much as waits at once", async () => {
  const stream = new SlowStream();
  const log = makeLog(stream);
  log.log({ level: "info", event: "a" });
  log.log({ level: "debug", event: "never" });
  log.log({ level: "info", event: "b" });
  log.log({ level: "info", event: "c" });
  await stream.take();
  await stream.take();
  assert.deepEqual(stream.taken, [line("a"), line("b") + line("c")]);
  log.configure({ format: "text", level: "debug" });
  log.log({ level: "debug", event: "d" });
  await stream.take();
  assert.equal(stream.taken[2], `pki: ${TIME} d\n`);
  await log.close();
});

test("Log drops what nobody takes, and says how much", async () => {
  const stream = new SlowStream();
  const log = makeLog(stream);
  const text = "x".repeat(1900);
  for (let count = 0; count < 1000; count++) {
    log.log({ level: "info", event: "e", fields: { text } });
  }
  while (stream.isWaiting) await stream.take();
  const lines = stream.taken.join("").trimEnd().split("\n").map((one) => JSON.parse(one));
  const last = lines.pop();
  assert.equal(last.event, "log.dropped");
  assert.equal(lines.length + last.lines, 1000);
  assert.ok(lines.length > 500, "a megabyte may wait");
});

test("Log does nothing more once its stream is gone", async () => {
  let writes = 0;
  const stream = new Writable({
    write: (_chunk, _encoding, done) => {
      writes++;
      done(new Error("EPIPE"));
    },
  });
  stream.on("error", () => {}); // as main.ts does
  const log = makeLog(stream);
  log.log({ level: "info", event: "a" });
  await new Promise((resolve) => setImmediate(resolve));
  log.log({ level: "info", event: "b" });
  await log.close();
  assert.equal(writes, 1);
});
