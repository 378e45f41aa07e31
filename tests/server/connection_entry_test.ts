/** What a connection's worker loads: it is started for each connection, so that all of it counts. */

import { build } from "esbuild";
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { WORKER_ENTRIES } from "../../lib/base/worker.ts";

test("connection worker loads no module of the engine when it starts", async () => {
  const entry = join(
    import.meta.dirname ?? ".",
    "..",
    "..",
    "lib",
    "base",
    WORKER_ENTRIES.connection,
  );
  const { metafile, outputFiles } = await build({
    ...{ entryPoints: [entry], bundle: true, format: "esm", platform: "node", target: "es2024" },
    ...{ define: { PKI_FAULTS: "false" }, write: false, metafile: true, logLevel: "error" },
  });
  const [output] = Object.values(metafile.outputs);
  assert.deepEqual(output?.imports, []);
  // Nothing for which the executable's build would put imports in front of it.
  assert.doesNotMatch(outputFiles[0]?.text ?? "", /\b(?:require|__filename|__dirname)\b/);
});
