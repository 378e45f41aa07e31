/** How a talk ended, in words and as an event: who left, why, and what did not arrive. */

import { messageOf, type PkiError } from "../lib/base/errors.ts";
import { formatDuration } from "./duration.ts";

export interface TalkEnd {
  readonly peer: string;
  /** Who said goodbye first, if anybody did. */
  readonly by: "us" | "peer" | undefined;
  readonly durationMs: number;
  readonly error: PkiError | undefined;
  /** What was sent and not confirmed. */
  readonly undelivered: readonly string[];
}

/** Lines that did not arrive and are named; of more only the number. */
const NAMED_MAX = 10;

/** For people. */
export function describeEnd(end: TalkEnd): string {
  const { peer, durationMs, error, undelivered } = end;
  const after = `after ${formatDuration(durationMs)}`;
  const lines = [
    error
      ? `the conversation with ${peer} broke off ${after}: ${describeBreak(error)}`
      : `the conversation with ${peer} has ended ${after}: ${describeGoodbye(end)}`,
  ];
  for (const text of undelivered.slice(0, NAMED_MAX)) {
    lines.push(`not delivered: ${text.replaceAll("\n", "\n  ")}`);
  }
  const more = undelivered.length - NAMED_MAX;
  if (more > 0) lines.push(`not delivered: ${more} more`);
  return lines.join("\n");
}

function describeGoodbye({ by, peer }: TalkEnd): string {
  return by === "peer" ? `${peer} said goodbye` : "you said goodbye";
}

function describeBreak(error: PkiError): string {
  return error.kind === "truncated" ? "the connection was lost" : messageOf(error);
}

/** For programs. */
export function endEventOf({ peer, by, durationMs, error, undelivered }: TalkEnd) {
  const common = { peer, durationMs: Math.round(durationMs) };
  if (!error) return { event: "ended", ...common, by: by ?? "us" };
  const { kind, message } = error;
  return {
    event: "failed",
    ...common,
    kind,
    message,
    ...(undelivered.length > 0 ? { undelivered } : {}),
  };
}
