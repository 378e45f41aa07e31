/** `docs/attacks.md` names every table of attacks, and no other. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT } from "../e2e/harness.ts";

const FOLDER = join(ROOT, "tests", "attack");

test("docs/attacks.md names each table of attacks that is carried out, and nothing else", () => {
  const text = fs.readFileSync(join(ROOT, "docs", "attacks.md"), "utf8");
  const named = [...text.matchAll(/\| `(\w+)` +\|$/gm)].map(([, name = ""]) => name);
  const sources = fs.readdirSync(FOLDER).map((name) => fs.readFileSync(join(FOLDER, name), "utf8"));
  const tables = sources.flatMap((source) =>
    [...source.matchAll(
      /^export (?:const (\w+): (?:readonly )?Attack|async function (vanishings))/gm,
    )]
      .map(([, constant, made]) => constant ?? made ?? "")
  );
  assert.ok(tables.length > 5);
  assert.deepEqual([...new Set(named)].sort(), tables.sort());
  // Its own file, and the one that carries it out.
  const users = (table: string) => sources.filter((source) => source.includes(table)).length;
  for (const table of tables) assert.ok(users(table) > 1, `${table} is carried out`);
});
