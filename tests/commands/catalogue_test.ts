import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { build } from "esbuild";
import { CATALOGUE, loadCommand } from "../../commands/catalogue.ts";
import { ROOT } from "../e2e/harness.ts";

/** What the program loads before it knows what is wanted. */
async function loadedAtStart(): Promise<ReadonlySet<string>> {
  const { metafile: { inputs } } = await build({
    entryPoints: [join(ROOT, "main.ts")],
    absWorkingDir: ROOT,
    bundle: true,
    write: false,
    metafile: true,
    format: "esm",
    platform: "node",
    logLevel: "silent",
    define: { PKI_BUNDLED: "true", PKI_FAULTS: "false" },
  });
  const loaded = new Set<string>();
  const visit = (path: string) => {
    if (loaded.has(path)) return;
    loaded.add(path);
    for (const { path: next, kind } of inputs[path]?.imports ?? []) {
      if (kind === "import-statement") visit(next);
    }
  };
  visit("main.ts");
  return loaded;
}

test("the program loads no command before one is wanted, and nothing that is slow", async () => {
  const loaded = await loadedAtStart();
  assert.ok(loaded.has("commands/catalogue.ts"));
  for (const path of loaded) {
    assert.doesNotMatch(
      path,
      /^lib\/(?:server|store|ca|peer)\/|@serenity-kit|clack|sql\.js|webcrypto/,
    );
  }
  // Each command's own file.
  for (const name of ["csr", "serve", "session", "completion", "listen", "users", "join"]) {
    assert.equal(loaded.has(`commands/${name}.ts`), false, `${name} is loaded at the start`);
  }
});

test("loadCommand() knows each command of the catalogue, and no other word", async () => {
  for (const name of Object.keys(CATALOGUE)) assert.ok(await loadCommand(name), name);
  for (const word of ["", "constructor", "__proto__", "toString", "hasOwnProperty", "CSR"]) {
    assert.equal(await loadCommand(word), undefined, word);
  }
});
