/**
 * How far something is that takes long, as a bar on stderr: only for a person who looks at it, so
 * not without a terminal that can draw a line anew, and not with `--quiet` or `--json`. The package
 * that draws it is loaded when one is drawn.
 */

import type { OutputStream } from "./context.ts";
import type { Surroundings } from "./globals.ts";

/** Room for a title and figures beside it on 80 columns. */
const BAR_CHARACTERS = 30;

/** How every bar looks and behaves, but for what it says. */
export function barOptions(
  stream: OutputStream,
  { format, barsize }: { readonly format: string; readonly barsize: number },
) {
  return {
    stream,
    format,
    barsize,
    barCompleteChar: "#",
    barIncompleteChar: "-",
    clearOnComplete: true,
    emptyOnZero: true,
    hideCursor: false, // whatever ends the program, the terminal is as it was
    linewrap: true, // the same
    gracefulExit: false, // signals are the context's matter
  };
}

/**
 * Does some work and shows how far it is. Nothing else may be written to stderr meanwhile.
 * @param total what `tick` is told when all is done, in any unit
 * @throws what the work throws, after the bar was taken away
 */
export async function withProgress<T>(
  surroundings: Surroundings,
  title: string,
  total: number,
  work: (tick: (done: number) => void) => Promise<T>,
): Promise<T> {
  const { flags, context: { process: { stderr, env } } } = surroundings;
  const canRedraw = stderr.isTTY && env["TERM"] !== "dumb";
  if (!canRedraw || flags.quiet || flags.json) return await work(() => {});
  const { SingleBar } = await import("cli-progress");
  const bar = new SingleBar(
    barOptions(stderr, { format: `${title} [{bar}] {percentage}%`, barsize: BAR_CHARACTERS }),
  );
  bar.start(total, 0);
  try {
    return await work((done) => bar.update(done));
  } finally {
    bar.stop();
  }
}
