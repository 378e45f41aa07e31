/** A conversation is a talk where stdin is a terminal, and a pipe where it is not. */

import type { ConverseOptions, Conversing } from "./converse.ts";
import type { Surroundings } from "./globals.ts";
import { startPiping } from "./piping.ts";
import { startTalking } from "./talking.ts";

export function startConversing(surroundings: Surroundings, options: ConverseOptions): Conversing {
  const { stdin, stderr } = surroundings.context.process;
  return stdin.isTTY && stderr.isTTY
    ? startTalking(surroundings, options)
    : startPiping(surroundings, options);
}
