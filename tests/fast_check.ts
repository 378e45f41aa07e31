/**
 * `fast-check` as all tests import it (see `imports` in `deno.json`): where $PKI_TEST_SEED is set, every
 * property begins with that seed. `tests/run.ts` sets it, so that what CI runs is the same each time; a
 * single test that is run by hand tries other inputs each time.
 */

import process from "node:process";
import fc from "npm/fast-check";

const seed = process.env["PKI_TEST_SEED"];
if (seed !== undefined) fc.configureGlobal({ seed: Number(seed) });

export * from "npm/fast-check";
export default fc;
