/**
 * How an error reads: `pki: error: what happened: why`, and `pki: hint: what to do`; or, for programs,
 * one object on one line. See `docs/json.md`.
 */

import { PkiError } from "../lib/base/errors.ts";
import { printableJson } from "../lib/base/printable.ts";
import { type Paint, PLAIN } from "./paint.ts";

/** For whom something is said on stderr: painted so for people, or for a program. */
export type Style = Paint | "json";

/** Whether a program reads what a command line says: to be known before it is understood. */
export function wantsJson(words: readonly string[]): boolean {
  const end = words.indexOf("--");
  return (end === -1 ? words : words.slice(0, end)).includes("--json");
}

/** A fault that nobody foresaw says how to report it. */
function foresee(error: unknown): PkiError {
  if (error instanceof PkiError) return error;
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return new PkiError("internal", `something unforeseen happened: ${message}`, {
    hint: "this is a fault in pki: please report it, with the command that shows it",
  });
}

function formatHint(hint: string | undefined, { mark }: Paint): string {
  return hint ? `\n${mark("pki: hint:")} ${hint}` : "";
}

/** Text of any error, without a stack trace and without the end of its last line. */
export function formatError(error: unknown, style: Style = PLAIN): string {
  const { kind, message, hint, exitCode } = foresee(error);
  if (style === "json") {
    return printableJson({ error: { code: kind, message, ...(hint ? { hint } : {}), exitCode } });
  }
  return `${style.bad("pki: error:")} ${message}${formatHint(hint, style)}`;
}

/** Something to know of although the command goes on. */
export function formatWarning(message: string, hint?: string, style: Style = PLAIN): string {
  if (style === "json") return printableJson({ warning: { message, ...(hint ? { hint } : {}) } });
  return `${style.warn("pki: warning:")} ${message}${formatHint(hint, style)}`;
}

export function exitCodeOf(error: unknown): number {
  return error instanceof PkiError ? error.exitCode : 1;
}
