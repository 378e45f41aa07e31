/** The `openssl` program as a second opinion. */

import { inFolder, runTool, without } from "../tool.ts";

/** What the option `skip` of a test takes: a reason where there is no `openssl`. */
export const WITHOUT_OPENSSL: string | false = without("openssl");

/** Runs it in a folder of its own that holds these files; stdout and stderr in one. */
export function runOpenssl(
  args: readonly string[],
  files: Readonly<Record<string, string | Uint8Array>> = {},
): { readonly status: number | null; readonly output: string } {
  return inFolder(files, (cwd) => runTool("openssl", args, { cwd }));
}
