/** What the server that runs on a data folder says of itself. */

import * as v from "valibot";
import { PkiError } from "../lib/base/errors.ts";
import { LIMITS } from "../lib/base/limits.ts";
import { askServer } from "../lib/client/admin.ts";
import type { DurableLog } from "../lib/server/ports.ts";

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const durableSchema = v.object({
  checkpoint: v.pipe(v.string(), v.maxLength(LIMITS.checkpointBytesMax)),
  size: count,
  segments: v.array(v.object({ first: count, bytes: count })),
  redactions: count,
});

/** How far the log is durable; `undefined` where no server runs. @throws {PkiError} as `askServer` */
export async function askDurable(
  folder: string,
  signal: AbortSignal,
): Promise<DurableLog | undefined> {
  const answer = await askServer(folder, "BACKUP", {}, { signal });
  if (answer === undefined) return undefined;
  const parsed = v.safeParse(durableSchema, answer);
  if (parsed.success) return parsed.output;
  throw new PkiError("protocol", "cannot read what the server says of its log", {
    hint: "use the version of pki that the server runs",
  });
}

/** Passes on how far something is, and ends it when the program is asked to end. */
export function untilInterrupted(
  tick: (done: number) => void,
  signal: AbortSignal,
): (done: number) => void {
  return (done) => {
    if (signal.aborted) throw new PkiError("interrupted", "interrupted");
    tick(done);
  };
}
