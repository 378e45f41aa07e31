/** How it is said that a conversation ended before both ends were confirmed, and why. */

import {
  type ErrorReport,
  messageOf,
  PkiError,
  reportError,
  systemCodeOf,
} from "../base/errors.ts";

/** The line is cut, for this reason. */
export function cutError(message: string): PkiError {
  return new PkiError("truncated", message, {
    hint: "what arrived may be incomplete: send it again",
  });
}

/** Nothing was heard from the other side for so long; before the conversation it only does not answer. */
export function deadError(silenceMs: number, { isOpen }: { readonly isOpen: boolean }): PkiError {
  const silence = `nothing was heard from the other side for ${silenceMs / 1000} s`;
  return isOpen ? cutError(`the line was cut: ${silence}`) : new PkiError("timeout", silence);
}

/** What arrived cannot be put where it belongs. */
export function deliveryError(error: unknown): PkiError {
  if (error instanceof PkiError) return error;
  if (isUnread(error)) {
    return new PkiError("storage", "cannot write what arrived: nobody reads it any more", {
      cause: error,
    });
  }
  return new PkiError("storage", `cannot write what arrived: ${messageOf(error)}`, {
    cause: error,
    hint: "free some space, or write to another file; then have it sent again",
  });
}

/** Whether the reader of a pipe has left. */
export function isUnread(error: unknown): boolean {
  return systemCodeOf(error) === "EPIPE";
}

/** What the peer hears of why we cannot go on. */
export function reportLeaving(error: PkiError): ErrorReport {
  const report = reportError(error);
  return isUnread(error.cause)
    ? { ...report, message: "nobody reads what arrives there any more" }
    : report;
}
