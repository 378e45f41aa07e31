/** What is fuzzed: inputs, and what must hold of each. */

import assert from "node:assert/strict";
import type fc from "fast-check";
import type { Bytes } from "../../lib/base/bytes.ts";
import { type ErrorKind, PkiError } from "../../lib/base/errors.ts";

export interface Target {
  /** Also the folder of its kept inputs, with `_` for spaces. */
  readonly name: string;
  readonly inputs: fc.Arbitrary<Bytes>;
  /** What inputs are made of by changing it, as it should be: each must be taken. */
  readonly good: readonly Bytes[];
  /**
   * Whether the input is taken: not refused.
   * @throws {Error} where something does not hold; a refusal that should be is none
   */
  readonly run: (input: Bytes) => boolean;
}

/** Whether it ends well, or else with an error of ours of one of these kinds; others go through. */
export function onlyFails(kinds: readonly ErrorKind[], use: () => void): boolean {
  try {
    use();
    return true;
  } catch (error) {
    if (error instanceof PkiError && kinds.includes(error.kind)) {
      // deno-lint-ignore no-control-regex
      assert.ok(!/[\u0000-\u001f\u007f-\u009f]/.test(error.message), JSON.stringify(error.message));
      return false;
    }
    throw error;
  }
}
