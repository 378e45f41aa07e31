/** A home and a server with a log, for tests of what the one remembers of the other. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { PkiError } from "../../lib/base/errors.ts";
import type { Home } from "../../lib/client/home.ts";
import { LogMemory } from "../../lib/client/log_memory.ts";
import { makeTestCa, NOW_MS } from "../fakes/ca.ts";
import { FakeLog, type FakeServer, makeLogKey, makeServer } from "./fake_log.ts";
import { inHome } from "./temporary_home.ts";

export const CA = await makeTestCa();
const ADDRESS = { host: "192.0.2.1", port: 7443 };

export interface World {
  readonly home: Home;
  readonly server: FakeServer;
  readonly log: FakeLog;
  readonly warnings: string[];
  /** A visit of the server, as one command makes it. */
  visit(): Promise<LogMemory>;
  /** What is remembered: the size of the newest checkpoint. */
  remembered(): number | undefined;
  evidence(): readonly string[];
}

/** A server with a log of five entries, and a home that has never seen it. */
export async function inWorld(work: (world: World) => Promise<void>): Promise<void> {
  await inHome(async (home) => {
    const log = new FakeLog({ root: CA.root });
    log.grow(5);
    const server = makeServer(log, CA.issuing);
    const warnings: string[] = [];
    await work({
      home,
      server,
      log,
      warnings,
      visit: async () => {
        const connection = await server.connect();
        return new LogMemory({
          home,
          connection,
          anchor: connection.anchor,
          address: ADDRESS,
          now: () => NOW_MS,
          warn: (text) => warnings.push(text),
        });
      },
      remembered: () => {
        const line = home.loadCheckpoint()?.split("\n")[1];
        return line === undefined ? undefined : Number(line);
      },
      evidence: () => fs.existsSync(home.evidenceFolder) ? fs.readdirSync(home.evidenceFolder) : [],
    });
  });
}

export async function errorOf(work: () => unknown): Promise<PkiError> {
  const error: unknown = await Promise.resolve().then(work).then(
    () => undefined,
    (thrown) => thrown,
  );
  assert.ok(error instanceof PkiError, `failed with ${error}`);
  return error;
}

/** Checks a distrust, and that the evidence for it is in the file that the hint names. */
export async function assertDistrusts(
  { home, evidence }: World,
  work: () => unknown,
  why: string,
): Promise<Record<string, unknown>> {
  const before = evidence();
  const error = await errorOf(work);
  assert.equal(error.kind, "untrusted", error.message);
  assert.equal(error.exitCode, 6);
  assert.equal(error.message, `cannot trust the server's log: ${why}`);
  const [file = "", ...more] = evidence().filter((name) => !before.includes(name));
  assert.equal(more.length, 0);
  assert.match(file, /^2026-11-01T120000\.000Z-[0-9a-f]{8}\.json$/);
  const path = join(home.evidenceFolder, file);
  assert.equal(error.hint, `show whoever runs the server the evidence in "${path}"`);
  assert.equal(fs.statSync(path).mode & 0o777, 0o600);
  assert.equal(fs.statSync(home.evidenceFolder).mode & 0o777, 0o700);
  const kept = JSON.parse(fs.readFileSync(path, "utf8"));
  assert.equal(kept.what, error.message);
  return kept;
}

/** A log of three entries under another origin or key than the server's. */
export function startAnew(generation: number, key = makeLogKey()): FakeLog {
  const log = new FakeLog({ root: CA.root, generation, key });
  log.grow(3);
  return log;
}
