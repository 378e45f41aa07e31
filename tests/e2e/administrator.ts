/** The administrator's commands, as tests give them: what succeeds, what it says, what is refused. */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { join } from "node:path";
import type { GivenLimits } from "../../lib/base/server_limits.ts";
import { parseInvitation } from "../../lib/protocol/invitation.ts";
import type { Finished, RunOptions, World } from "./harness.ts";

export const folderOf = (world: World): string => join(world.home, "server");

/** Limits in `pki.json`, for a server's start or its next reload; nothing else stays in it. */
export function writeLimits(
  world: World,
  limits: GivenLimits,
  settings: { readonly maxConnections?: number } = {},
): void {
  fs.mkdirSync(folderOf(world), { recursive: true });
  fs.writeFileSync(join(folderOf(world), "pki.json"), JSON.stringify({ ...settings, limits }));
}

/** Expects success, and says what went wrong. */
export async function ok(
  world: World,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Finished> {
  const finished = await world.run(args, options);
  assert.equal(finished.code, 0, `pki ${args.join(" ")}: ${finished.stderr}`);
  return finished;
}

/** What a command says of its success in one line of JSON. */
export async function json(
  world: World,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Record<string, unknown>> {
  return JSON.parse((await ok(world, [...args, "--json"], options)).stdout);
}

/** Expects a failure with this exit code, told without a stack trace. */
export async function fails(
  world: World,
  args: readonly string[],
  { code, says, ...options }: RunOptions & { readonly code: number; readonly says: RegExp },
): Promise<Finished> {
  const finished = await world.run(args, options);
  assert.equal(finished.code, code, `pki ${args.join(" ")}: ${finished.stdout}${finished.stderr}`);
  assert.match(finished.stderr, says);
  assert.doesNotMatch(finished.stderr, /^\s+at /m, "no stack trace");
  return finished;
}

/** A certificate as `pki ls --json` tells it. */
export interface Row {
  readonly serial: string;
  readonly id?: string;
  readonly subject?: string;
  readonly profile: string;
  readonly state: string;
  readonly issued: string;
  readonly notAfter: string;
  readonly revoked?: string;
  readonly reason?: string;
  readonly index: number;
}

export async function list(world: World, ...args: readonly string[]): Promise<readonly Row[]> {
  const { stdout } = await ok(world, ["ls", "--json", ...args]);
  return stdout.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line) as Row);
}

/** What tells an invitation: the end of its text, and its token as the wire has it, and as logs would. */
export function formsOf(invitation: string): readonly string[] {
  const token = Buffer.from(parseInvitation(invitation).token);
  const forms = ["base64", "base64url", "hex", "latin1"] as const;
  return [invitation.slice(-22), ...forms.map((form) => token.toString(form))];
}
