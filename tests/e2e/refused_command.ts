/** Command lines that are refused: how a row says so, and how it is checked, to the letter. */

import assert from "node:assert/strict";
import type { World } from "./harness.ts";

/** A command line that is refused. `{folder}`, `{home}` and `{port}` stand for the world's. */
export interface RefusedRow {
  readonly does: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly code: number;
  readonly error: string;
  readonly hint?: string;
}

export const LIST_HINT = "pki --help lists the commands, pki COMMAND --help their options";
export const ID_HINT =
  "an id has lower-case letters and digits, with single dots or hyphens between them, at most 63";
export const PASSWORD_HINT = "give it with --password-file, $PKI_PASSWORD_FILE or $PKI_PASSWORD";
export const PASSWORD = ["--password-file", "{folder}/alice.pass"];
export const ALICE = ["--id", "alice", ...PASSWORD];

function fill(text: string, world: World, port = 0): string {
  return text.replaceAll("{folder}", world.folder).replaceAll("{home}", world.home)
    .replaceAll("{port}", String(port));
}

export async function checkRefused(world: World, row: RefusedRow, port?: number): Promise<void> {
  const { does, args, env, code, error, hint } = row;
  const filled = args.map((arg) => fill(arg, world, port));
  const found = await world.run(filled, env ? { env } : {});
  const expected = `pki: error: ${error}\n${hint === undefined ? "" : `pki: hint: ${hint}\n`}`;
  assert.deepEqual(
    { code: found.code, stdout: found.stdout, stderr: found.stderr },
    { code, stdout: "", stderr: fill(expected, world, port) },
    does,
  );
}
