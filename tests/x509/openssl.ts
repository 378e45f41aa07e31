/** The `openssl` program as a second opinion. */

import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What the option `skip` of a test takes: a reason where there is no `openssl`. */
export const WITHOUT_OPENSSL: string | false = spawnSync("openssl", ["version"]).status === 0
  ? false
  : "there is no openssl";

/** Runs it in a folder of its own that holds these files; stdout and stderr in one. */
export function runOpenssl(
  args: readonly string[],
  files: Readonly<Record<string, string | Uint8Array>> = {},
): { readonly status: number | null; readonly output: string } {
  const folder = fs.mkdtempSync(join(tmpdir(), "pki-openssl-"));
  try {
    for (const [name, content] of Object.entries(files)) {
      fs.writeFileSync(join(folder, name), content);
    }
    const { status, stdout, stderr } = spawnSync("openssl", args, {
      cwd: folder,
      encoding: "utf8",
      timeout: 20_000,
    });
    return { status, output: stdout + stderr };
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}
