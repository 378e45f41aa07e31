import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import process from "node:process";
import { test } from "node:test";
import type { OutputStream } from "../../commands/context.ts";
import { type GlobalFlags, Surroundings } from "../../commands/globals.ts";
import { withProgress } from "../../commands/progress.ts";

/** Surroundings whose stderr remembers. */
function makeSurroundings({ isTTY, flags = {}, env = {} }: {
  readonly isTTY: boolean;
  readonly flags?: GlobalFlags;
  readonly env?: Readonly<Record<string, string>>;
}): { surroundings: Surroundings; shown: () => string } {
  let shown = "";
  const stream = () => {
    const through: OutputStream = Object.assign(new PassThrough(), { isTTY, columns: 80 });
    (through as PassThrough).on("data", (chunk) => shown += chunk);
    return through;
  };
  const context = {
    process: { stdin: new PassThrough(), stdout: stream(), stderr: stream(), env },
    homeFolder: "/nowhere",
    terminal: undefined,
    signal: new AbortController().signal,
    now: () => 0,
  };
  return { surroundings: new Surroundings(context, flags), shown: () => shown };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test("withProgress() shows how far the work is and takes the bar away", async () => {
  const { surroundings, shown } = makeSurroundings({ isTTY: true });
  const result = await withProgress(surroundings, "checking", 200, async (tick) => {
    await turn();
    assert.match(shown(), /checking \[-{30}\] 0%/);
    tick(50);
    return "done";
  });
  await turn();
  assert.equal(result, "done");
  assert.match(shown(), /checking \[#+-+\] 25%/);
  assert.ok(shown().endsWith("\x1b[2K"), "the line is not cleared"); // ECMA-48, erase in line
});

test("withProgress() of nothing at all shows nothing wrong", async () => {
  const { surroundings, shown } = makeSurroundings({ isTTY: true });
  await withProgress(surroundings, "checking", 0, () => Promise.resolve());
  await turn();
  assert.match(shown(), /checking \[-{30}\] 0%/);
});

test("withProgress() takes the bar away and listens to no signals when the work fails", async () => {
  const { surroundings, shown } = makeSurroundings({ isTTY: true });
  const own = new Error("broken");
  const before = ["SIGINT", "SIGTERM"].map((signal) => process.listenerCount(signal));
  const error = await withProgress(surroundings, "checking", 2, (tick) => {
    tick(1);
    const now = ["SIGINT", "SIGTERM"].map((signal) => process.listenerCount(signal));
    assert.deepEqual(now, before);
    return Promise.reject(own);
  }).catch((thrown) => thrown);
  await turn();
  assert.equal(error, own);
  assert.ok(shown().endsWith("\x1b[2K"), "the line is not cleared");
  assert.equal(shown().includes("\x1b[?"), false, "a mode of the terminal was changed"); // DECSET
});

const SILENT: readonly [string, Parameters<typeof makeSurroundings>[0]][] = [
  ["stderr is no terminal", { isTTY: false }],
  ["the terminal cannot draw a line anew", { isTTY: true, env: { TERM: "dumb" } }],
  ["--quiet is given", { isTTY: true, flags: { quiet: true } }],
  ["--json is given", { isTTY: true, flags: { json: true } }],
];

for (const [what, options] of SILENT) {
  test(`withProgress() shows nothing when ${what}`, async () => {
    const { surroundings, shown } = makeSurroundings(options);
    const result = await withProgress(surroundings, "checking", 2, (tick) => {
      tick(1);
      return Promise.resolve(7);
    });
    await turn();
    assert.equal(result, 7);
    assert.equal(shown(), "");
  });
}
