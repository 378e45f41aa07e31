/** The words of every command of the program, hidden ones included. */

import assert from "node:assert/strict";
import { CATALOGUE, loadCommand, SESSION, type Target } from "../../commands/catalogue.ts";

function* listPaths(path: string, target: Target): Generator<string> {
  if (!("getAllEntries" in target)) return yield path;
  for (const { name, target: below } of target.getAllEntries()) {
    yield* listPaths(`${path} ${name["convert-camel-to-kebab"]}`, below);
  }
}

/** `csr`, `issuer add`, …; last `session`. */
export async function listCommands(): Promise<readonly string[]> {
  const paths: string[] = [];
  for (const name of [...Object.keys(CATALOGUE), SESSION]) {
    const target = await loadCommand(name);
    assert.ok(target);
    paths.push(...listPaths(name, target));
  }
  return paths;
}
