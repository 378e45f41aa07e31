/** Other people's programs as a second opinion: openssl, GnuTLS, NSS, Java. */

import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

function isInstalled(program: string): boolean {
  return (process.env["PATH"] ?? "").split(":").some((folder) =>
    fs.existsSync(join(folder, program))
  );
}

/** What the option `skip` of a test takes: a reason where one of these programs is missing. */
export function without(...programs: readonly string[]): string | false {
  const missing = programs.filter((program) => !isInstalled(program));
  return missing.length > 0 && `there is no ${missing.join(", no ")}`;
}

/** A folder with these files that is gone after `use`. */
export function inFolder<T>(
  files: Readonly<Record<string, string | Uint8Array>>,
  use: (folder: string) => T,
): T {
  const folder = fs.mkdtempSync(join(tmpdir(), "pki-tool-"));
  try {
    for (const [name, content] of Object.entries(files)) {
      fs.writeFileSync(join(folder, name), content);
    }
    return use(folder);
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

/** Runs a program in that folder, without input; its arguments are UTF-8; stdout and stderr in one. */
export function runTool(
  program: string,
  args: readonly string[],
  { cwd }: { readonly cwd: string },
): { readonly status: number | null; readonly output: string } {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd,
    env: { ...process.env, LC_ALL: "C.UTF-8" },
    stdio: ["ignore", "pipe", "pipe"],
    encoding: "utf8",
    timeout: 20_000,
  });
  if (error) throw error;
  return { status, output: stdout + stderr };
}
