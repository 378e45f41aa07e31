/** How an error reads: `pki: error: what happened: why`, and `pki: hint: what to do`. */

import { PkiError } from "../lib/base/errors.ts";
import { type Paint, PLAIN } from "./paint.ts";

/** Text of any error, without a stack trace: a fault that nobody foresaw says how to report it. */
export function formatError(error: unknown, paint: Paint = PLAIN): string {
  const lines = (message: string, hint: string | undefined) =>
    `${paint.bad("pki: error:")} ${message}` +
    (hint ? `\n${paint.mark("pki: hint:")} ${hint}` : "");
  if (error instanceof PkiError) return lines(error.message, error.hint);
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return lines(
    `something unforeseen happened: ${message}`,
    "this is a fault in pki: please report it, with the command that shows it",
  );
}

/** Something that a person should know of although the command goes on. */
export function formatWarning(text: string, paint: Paint = PLAIN): string {
  return `${paint.warn("pki: warning:")} ${text}`;
}

export function exitCodeOf(error: unknown): number {
  return error instanceof PkiError ? error.exitCode : 1;
}
