/** How this very program is started once more, for work of its own. */

import { dirname, join } from "node:path";
import process from "node:process";
import { IS_BUNDLED } from "./worker.ts";

/** Of our environment an engine needs no more; what else is in it is nothing to another process. */
const ENVIRONMENT = ["PATH", "HOME", "TMPDIR", "DENO_DIR", "XDG_CACHE_HOME"] as const;

/** The executable, or the engine with the source; a command's words follow. */
export function programWords(): readonly [string, ...string[]] {
  const { execPath, argv: [, main = ""] } = process;
  if (IS_BUNDLED) return [execPath];
  const config = join(dirname(main), "deno.json");
  return [execPath, "run", "--quiet", "--allow-all", "--config", config, main];
}

/**
 * Set to 1 for a server that shall not outlive whoever has started it: it ends when its stdin does,
 * which the system sees to whatever that one dies of.
 */
export const ENDS_WITH_STDIN = "PKI_ENDS_WITH_STDIN";

/** An environment that has no secrets, and says nothing of a home or a server. */
export function ownEnvironment(): Record<string, string> {
  const env: Record<string, string> = {};
  for (const name of ENVIRONMENT) {
    const value = process.env[name];
    if (value !== undefined) env[name] = value;
  }
  return env;
}
