/** What workers can see that are started from source; those of the executable: server_isolation_test.ts. */

import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { leanOptions, LeanWorker } from "../../lib/base/lean_worker.ts";

test("leanOptions() leaves a worker nothing of the environment, of files and of programs", async () => {
  assert.ok(process.env["PATH"] !== undefined);
  const url = new URL("environment_worker.ts", import.meta.url);
  const worker = new Worker(url, leanOptions("connection"));
  try {
    const seen = await new Promise<Record<string, unknown>>((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = (event) => {
        event.preventDefault();
        reject(new Error(event.message));
      };
    });
    const denied = "NotCapable";
    assert.deepEqual(seen, { path: denied, all: denied, file: denied, program: denied });
  } finally {
    worker.terminate();
  }
});

test("LeanWorker starts a connection worker, which needs nothing of that", async () => {
  const worker = new LeanWorker<unknown, { readonly type: string }>("connection");
  try {
    const first = await new Promise<{ readonly type: string }>((resolve, reject) =>
      worker.listen({
        onMessage: resolve,
        onThrown: (message) => reject(new Error(message)),
        onEnded: () => reject(new Error("it ended")),
      })
    );
    assert.deepEqual(first, { type: "ready" });
  } finally {
    worker.end();
  }
});

test("LeanWorker.end() ends a worker once, however often it is called", (t) => {
  let ended = 0;
  class FakeWorker extends EventTarget {
    terminate(): void {
      ended++;
    }
  }
  const engine = globalThis.Worker;
  t.after(() => globalThis.Worker = engine);
  globalThis.Worker = FakeWorker as unknown as typeof Worker;
  let closed = 0;
  const worker = new LeanWorker("connection", () => closed++);
  worker.end();
  worker.end();
  assert.deepEqual({ ended, closed }, { ended: 1, closed: 0 });
});
