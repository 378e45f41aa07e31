/** What tests of both sides of a transfer share: files, and tables of every state times everything. */

import assert from "node:assert/strict";
import { SMALL_FILE_BYTES_MAX } from "../../lib/protocol/outgoing_files.ts";

export const HASH = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
/** The smallest file of which the receiver says what it has. */
export const LARGE = SMALL_FILE_BYTES_MAX + 1;

export function described(size: number, kind: "file" | "folder" = "file") {
  return { path: ["a"], kind, size, permissions: 0o644, modified: 0 } as const;
}

/** One side, as far as a table tells its states apart. */
interface Side {
  readonly state: string;
  readonly unanswered: number;
}

/** How a side gets into each state, in the order of a table's columns. */
export type States<S> = Readonly<Record<string, () => S>>;

export function madeIn<S>(states: States<S>, state: string): S {
  const make = states[state];
  assert.ok(make, state);
  return make();
}

/**
 * Checks a row of a table: for each state the one that follows, `.` for the same one, `skip` if nothing
 * is made of what comes, `-` if it breaks the protocol, and then nothing has changed.
 * @param take has the side take what the row is about; whether it made anything of it
 */
export function checkRow<S extends Side>(
  row: string,
  { states, take }: { readonly states: States<S>; readonly take: (files: S) => boolean },
): void {
  const outcomes = row.split(" ");
  const names = Object.keys(states);
  assert.equal(outcomes.length, names.length);
  for (const [at, name] of names.entries()) {
    const files = madeIn(states, name);
    const { state: before, unanswered } = files;
    const wanted = outcomes[at];
    if (wanted === "-") {
      assert.throws(() => take(files), { kind: "protocol" }, name);
      assert.equal(files.state, before, name);
      assert.equal(files.unanswered, unanswered, name);
      continue;
    }
    assert.equal(take(files), wanted !== "skip", name);
    assert.equal(files.state, wanted === "." || wanted === "skip" ? before : wanted, name);
  }
}

/**
 * Checks that in each state the program may do these things and no others, which are faults of ours.
 * @param allowed by the side's own word for its state
 */
export function checkDemands<S extends Side>(
  demands: Readonly<Record<string, (files: S) => unknown>>,
  { states, allowed }: {
    readonly states: States<S>;
    readonly allowed: Readonly<Record<string, readonly string[]>>;
  },
): void {
  for (const state of Object.keys(states)) {
    for (const [name, act] of Object.entries(demands)) {
      const files = madeIn(states, state);
      if (allowed[files.state]?.includes(name)) act(files);
      else assert.throws(() => act(files), { kind: "internal" }, `${name} in ${state}`);
    }
  }
}
