/** The engine of the executable, as a program. */

import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";

export function findBun(): string {
  const store = join(import.meta.dirname ?? ".", "..", "node_modules", ".deno");
  for (const name of fs.readdirSync(store).filter((name) => name.startsWith("@oven+bun-"))) {
    const folder = join(store, name, "node_modules", "@oven");
    const [variant = ""] = fs.readdirSync(folder);
    const path = join(folder, variant, "bin", "bun");
    if (spawnSync(path, ["--version"]).status === 0) return path;
  }
  throw new Error("the engine is not installed: deno install");
}
