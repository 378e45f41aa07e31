/**
 * `deno task fuzz [target …]`: every target in turn with ever new seeds, for $PKI_FUZZ_SECONDS (600).
 * What breaks one is made as small as possible and kept in testdata/fuzz, where every later test
 * run tries it again.
 */

import { randomInt } from "node:crypto";
import process from "node:process";
import { fuzz, keepInput, TARGETS } from "./fuzz.ts";

const RUNS = 2000;
const seconds = Number(process.env["PKI_FUZZ_SECONDS"] ?? "600");
const wanted = process.argv.slice(2);
const targets = TARGETS.filter(({ name }) => wanted.length === 0 || wanted.includes(name));
if (targets.length === 0 || !(seconds > 0)) {
  console.error(`there are the targets ${TARGETS.map(({ name }) => `"${name}"`).join(", ")}`);
  process.exit(2);
}

const endMs = performance.now() + seconds * 1000;
const counts = new Map<string, { readonly taken: number; readonly refused: number }>();
const broken = new Set<string>();
while (performance.now() < endMs && broken.size < targets.length) {
  for (const target of targets.filter(({ name }) => !broken.has(name))) {
    const { broken: found, taken, refused } = fuzz(target, {
      seed: randomInt(2 ** 31),
      runs: RUNS,
    });
    const before = counts.get(target.name) ?? { taken: 0, refused: 0 };
    counts.set(target.name, { taken: before.taken + taken, refused: before.refused + refused });
    if (!found) continue;
    broken.add(target.name);
    console.log(`${target.name}: seed ${found.seed} breaks it, ${keepInput(target, found.input)}`);
    console.log(found.error);
  }
}
for (const [name, { taken, refused }] of counts) {
  const end = broken.has(name) ? ", broken" : "";
  console.log(`${name.padEnd(16)} ${taken} inputs were taken, ${refused} refused${end}`);
}
process.exitCode = broken.size > 0 ? 1 : 0;
