/** A short run with the same seeds each time, and every input that was kept. `deno task fuzz` goes on. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { fuzz, keptInputs, TARGETS } from "./fuzz.ts";

/** Kept: whoever finds a fault with another one adds the input to testdata/fuzz. */
const SEEDS = [20_261_126, 7];
const RUNS = 400;

for (const target of TARGETS) {
  test(`${target.name}: whatever comes, it is read as it should be or refused`, () => {
    for (const [at, input] of target.good.entries()) {
      assert.ok(target.run(input), `what is good is refused: ${at}`);
    }
    for (const [name, input] of keptInputs(target)) {
      try {
        target.run(input);
      } catch (error) {
        throw new Error(`testdata/fuzz/${target.name}/${name}`, { cause: error });
      }
    }
    for (const seed of SEEDS) {
      const { broken, taken, refused } = fuzz(target, { seed, runs: RUNS });
      if (!broken) {
        assert.ok(taken > 0 && refused > 0, `${taken} inputs were taken, ${refused} refused`);
        continue;
      }
      const hex = Array.from(broken.input, (byte) => byte.toString(16).padStart(2, "0")).join("");
      throw new Error(`seed ${seed}, input ${hex.slice(0, 4000)}`, { cause: broken.error });
    }
  });
}
