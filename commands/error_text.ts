/** How an error reads: `pki: error: what happened: why`, and `pki: hint: what to do`. */

import { PkiError } from "../lib/base/errors.ts";

/** Text of any error, without a stack trace: a fault that nobody foresaw says how to report it. */
export function formatError(error: unknown): string {
  if (error instanceof PkiError) {
    return `pki: error: ${error.message}${error.hint ? `\npki: hint: ${error.hint}` : ""}`;
  }
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return `pki: error: something unforeseen happened: ${message}\n` +
    "pki: hint: this is a fault in pki: please report it, with the command that shows it";
}

export function exitCodeOf(error: unknown): number {
  return error instanceof PkiError ? error.exitCode : 1;
}
