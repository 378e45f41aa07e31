/** Reloading: what is applied when, and what a mistake changes. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { after, test } from "node:test";
import { resolveConfiguration } from "../../commands/server_configuration.ts";
import { Reloader } from "../../commands/server_reload.ts";
import type { LiveOptions } from "../../lib/server/core.ts";
import { Log } from "../../lib/server/log.ts";
import { PkiError } from "../../lib/base/errors.ts";

const FOLDER = fs.mkdtempSync(join(tmpdir(), "pki-reload-"));
after(() => fs.rmSync(FOLDER, { recursive: true }));

function makeReloader(before: unknown, apply: (changes: LiveOptions) => Promise<void>) {
  const folder = fs.mkdtempSync(join(FOLDER, "data-"));
  const write = (value: unknown) =>
    fs.writeFileSync(join(folder, "pki.json"), JSON.stringify(value));
  write(before);
  const input = { folder, options: {}, env: {}, hostName: "box" };
  const configuration = resolveConfiguration(input);
  let lines = "";
  const stream = new Writable({
    write: (chunk, _encoding, done) => {
      lines += chunk;
      done();
    },
  });
  const { logFormat: format, logLevel: level } = configuration.settings;
  const log = new Log({ stream, format, level, now: () => 0 });
  const port = configuration.settings.port || 4711;
  const reloader = new Reloader({ input, configuration, port, log, apply });
  /** All that was told; lines are on their way for a moment. */
  const told = async () => {
    await log.close();
    return lines;
  };
  return { reloader, write, log, told };
}

test("Reloader applies what can change, and says what changed and what waits", async () => {
  const applied: LiveOptions[] = [];
  const { reloader, write, log, told } = makeReloader(
    { port: 0, maxConnections: 5, limits: { idleSeconds: 60 } },
    (changes) => {
      applied.push(changes);
      return Promise.resolve();
    },
  );
  await reloader.reload();
  write({ port: 1, maxConnections: 6, logFormat: "json", limits: { idleSeconds: 70 } });
  await reloader.reload();
  assert.equal(log.format, "json");
  const common = { registration: "open", publicAddress: "127.0.0.1:4711" } as const;
  assert.deepEqual(applied, [
    { ...common, connectionsMax: 5, logLevel: "notice", limits: { idleSeconds: 60 } },
    { ...common, connectionsMax: 6, logLevel: "info", limits: { idleSeconds: 70 } },
  ]);
  const [first, ...rest] = (await told()).trimEnd().split("\n");
  assert.equal(first, "pki: reloaded CAs, profiles and configuration: no setting has changed");
  assert.match(rest[1] ?? "", /limits is \{\\"idleSeconds\\":70\}/);
  const [fixed, reloaded] = rest.map((line) => JSON.parse(line));
  assert.deepEqual([fixed.event, fixed.name], ["configuration.fixed", "port"]);
  assert.deepEqual(
    [reloaded.event, reloaded.changed],
    ["configuration.reloaded", "maxConnections,logFormat,logLevel,limits"],
  );
});

test("Reloader leaves all as it was when the file or the folder has a mistake", async () => {
  let isBroken = true;
  const applied: LiveOptions[] = [];
  const { reloader, write, log, told } = makeReloader({ maxConnections: 5 }, (changes) => {
    if (isBroken) throw new PkiError("malformed", "cannot use the profiles: not JSON");
    applied.push(changes);
    return Promise.resolve();
  });
  write({ maxConnections: 6, logFormat: "json" });
  await reloader.reload();
  assert.equal(log.format, "text");
  write({ maxConnections: "6" });
  isBroken = false;
  await reloader.reload();
  assert.deepEqual(applied, []);
  const lines = (await told()).trimEnd().split("\n");
  assert.equal(lines.length, 2);
  for (const line of lines) {
    assert.match(line, /^pki: warning: nothing was reloaded, all stays as it was: cannot use /);
  }
  write({ maxConnections: 6 });
  await reloader.reload();
  assert.match(await told(), /: maxConnections is 6\n$/, "against what it was before both");
});

test("Reloader does once more what it is asked for meanwhile, and never two at once", async () => {
  const gates: PromiseWithResolvers<void>[] = [];
  const { reloader } = makeReloader({}, () => {
    const gate = Promise.withResolvers<void>();
    gates.push(gate);
    return gate.promise;
  });
  const all = [1, 2, 3, 4].map(() => reloader.reload());
  assert.equal(gates.length, 1);
  gates[0]?.resolve();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(gates.length, 2);
  gates[1]?.resolve();
  await Promise.all(all);
  assert.equal(gates.length, 2);
});
