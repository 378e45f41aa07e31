import assert from "node:assert/strict";
import { test } from "node:test";
import { Supervisor } from "../../lib/server/supervisor.ts";

type Env = Readonly<Record<string, string>>;

function makeSupervisor(
  env: Env,
  { program = "/notify", fails = false }: { program?: string | undefined; fails?: boolean } = {},
) {
  const said: (readonly string[])[] = [];
  const warnings: string[] = [];
  const supervisor = new Supervisor({
    env,
    pid: 42,
    warn: (text) => void warnings.push(text),
    findProgram: () => program,
    say: async (path, assignments, socket) => {
      await Promise.resolve();
      said.push([path, socket, ...assignments]);
      if (fails) throw new Error("no such socket");
    },
  });
  return { supervisor, said, warnings };
}

const SOCKET = { NOTIFY_SOCKET: "/run/notify" };

test("Supervisor says nothing where nobody asks", async () => {
  const { supervisor, said, warnings } = makeSupervisor({ WATCHDOG_USEC: "1000000" });
  supervisor.ready("serving");
  supervisor.stopping();
  await supervisor.close();
  assert.deepEqual([said, warnings, supervisor.watchdogMs], [[], [], undefined]);
});

test("Supervisor says how far the server is, one after the other", async () => {
  const { supervisor, said } = makeSupervisor(SOCKET);
  supervisor.ready(`serving ${"x".repeat(500)}`);
  supervisor.reloading();
  supervisor.alive();
  supervisor.stopping();
  await supervisor.close();
  assert.deepEqual(said, [
    ["/notify", "/run/notify", "READY=1", `STATUS=serving ${"x".repeat(192)}`],
    ["/notify", "/run/notify", "RELOADING=1", "STATUS=reloading"],
    ["/notify", "/run/notify", "WATCHDOG=1"],
    ["/notify", "/run/notify", "STOPPING=1", "STATUS=stopping: running requests finish"],
  ]);
});

test("Supervisor warns once where nothing can be said, and goes on", async () => {
  const without = new Supervisor({
    env: SOCKET,
    pid: 42,
    warn: (text) => assert.match(text, /there is no \/usr\/bin\/systemd-notify/),
    findProgram: () => undefined,
    say: () => assert.fail(),
  });
  without.ready("serving");
  await without.close();
  const { supervisor, warnings } = makeSupervisor(SOCKET, { fails: true });
  supervisor.ready("serving");
  supervisor.stopping();
  await supervisor.close();
  assert.deepEqual(warnings, ["cannot talk to the supervisor: no such socket"]);
});

test("Supervisor.watchdogMs is half of what the watchdog of this process waits", () => {
  const rows: readonly (readonly [Env, number | undefined])[] = [
    [{ WATCHDOG_USEC: "60000000" }, 30_000],
    [{ WATCHDOG_USEC: "60000000", WATCHDOG_PID: "42" }, 30_000],
    [{ WATCHDOG_USEC: "60000000", WATCHDOG_PID: "41" }, undefined],
    [{ WATCHDOG_USEC: "0" }, undefined],
    [{ WATCHDOG_USEC: "soon" }, undefined],
    [{}, undefined],
  ];
  for (const [env, wanted] of rows) {
    assert.equal(makeSupervisor({ ...SOCKET, ...env }).supervisor.watchdogMs, wanted);
  }
});
