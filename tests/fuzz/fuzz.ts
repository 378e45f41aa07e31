/** Runs a target on inputs from a seed, and on those that were kept because they once broke it. */

import fc from "fast-check";
import * as fs from "node:fs";
import { createHash } from "node:crypto";
import { join } from "node:path";
import type { Bytes } from "../../lib/base/bytes.ts";
import { MESSAGE_TARGETS } from "./message_targets.ts";
import type { Target } from "./target.ts";
import { X509_TARGETS } from "./x509_targets.ts";

export const TARGETS: readonly Target[] = [...MESSAGE_TARGETS, ...X509_TARGETS];

const KEPT = join(import.meta.dirname ?? ".", "..", "..", "testdata", "fuzz");

function folderOf({ name }: Target): string {
  return join(KEPT, name.replaceAll(" ", "_"));
}

export interface Broken {
  readonly seed: number;
  readonly input: Bytes;
  readonly error: unknown;
}

export interface Fuzzed {
  /** The smallest input that was found to break the target, if any. */
  readonly broken?: Broken;
  /** Inputs that were taken, and refused: of both there must be some, or nothing is shown. */
  readonly taken: number;
  readonly refused: number;
}

export function fuzz(
  target: Target,
  { seed, runs }: { readonly seed: number; readonly runs: number },
): Fuzzed {
  let taken = 0;
  let refused = 0;
  const { failed, counterexample, errorInstance } = fc.check(
    fc.property(target.inputs, (input) => {
      if (target.run(input)) taken++;
      else refused++;
    }),
    { seed, numRuns: runs },
  );
  const [input] = counterexample ?? [];
  if (failed && !input) throw errorInstance ?? new Error("the runs came to no end");
  return {
    taken,
    refused,
    ...(failed && input ? { broken: { seed, input, error: errorInstance } } : {}),
  };
}

/** Inputs that broke something once, by their file's names. */
export function keptInputs(target: Target): ReadonlyMap<string, Bytes> {
  const folder = folderOf(target);
  const names = fs.existsSync(folder) ? fs.readdirSync(folder).toSorted() : [];
  return new Map(names.map((name) => [name, new Uint8Array(fs.readFileSync(join(folder, name)))]));
}

/** Keeps an input for all later runs; returns where. */
export function keepInput(target: Target, input: Bytes): string {
  const folder = folderOf(target);
  fs.mkdirSync(folder, { recursive: true });
  const name = createHash("sha256").update(input).digest("hex").slice(0, 16);
  const path = join(folder, name);
  fs.writeFileSync(path, input);
  return path;
}
