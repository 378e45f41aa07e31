/** Asking the user something about a peer who waits for the answer, before both sides are ready. */

import type { Line } from "../lib/peer/line.ts";

/** What is needed of a line that is not open yet. */
export type WaitingLine = Pick<Line, "sayWait" | "over">;

/**
 * Asks, and tells the peer to be patient; a peer that leaves takes the question back.
 * @param ask ends the question, rejecting, when the signal says so
 * @throws {PkiError} why the line is over, if it is; and what `ask` throws
 */
export async function askAbout<T>(
  line: WaitingLine,
  ask: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  line.sayWait("asked");
  const gone = new AbortController();
  const stop = () => gone.abort();
  line.over.then(stop, stop);
  try {
    return await ask(gone.signal);
  } catch (error) {
    if (gone.signal.aborted) await line.over;
    throw error;
  }
}
