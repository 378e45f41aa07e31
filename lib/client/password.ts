/**
 * How a password that was typed, pasted or read from a file becomes the string that OPAQUE and PBKDF2
 * get: a PRECIS OpaqueString (RFC 8265, section 4.2), so that it is the same from every keyboard and
 * every system. Whether a password is a good one is asked where it is chosen: `new_password.ts`.
 *
 * No message says anything of a password but where it cannot be used, and for what reason.
 */

import { PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { enforceOpaqueString } from "../base/opaque_string.ts";

/** How long a password is: in code points, which is what a person types. */
export function countCharacters(password: string): number {
  return [...password].length;
}

/**
 * Prepares a password for use. Line breaks are no part of one: of a file it is the first line, whatever
 * ends that, and at a terminal a pasted line break is the end of the answer; any other is refused.
 * @param given of any length
 * @throws {PkiError} `usage` for one that is empty, too long, or has a character that may not be in it
 */
export function preparePassword(given: string): string {
  // Normal form C may be shorter than what was given: the limit is on what is used.
  if (countCharacters(given.normalize("NFC")) > LIMITS.passwordCharactersMax) {
    throw new PkiError(
      "usage",
      `cannot use the password: more than ${LIMITS.passwordCharactersMax} characters`,
      { hint: "see whether the right file was named; the password is its first line" },
    );
  }
  const prepared = enforceOpaqueString(given);
  if (typeof prepared === "string") return prepared;
  const { what, position } = prepared;
  if (position === 0) {
    throw new PkiError("usage", "cannot use the password: it is empty", {
      hint: "see whether the right file was named; the password is its first line",
    });
  }
  throw new PkiError("usage", `cannot use the password: character ${position} is ${what}`, {
    hint: "letters, digits, signs and spaces of every script can be in it, on one line",
  });
}

/**
 * Whether a password that was asked for twice was given twice (RFC 8265, section 4.2.3).
 * @param again as given
 * @param password prepared
 */
export function isSamePassword(again: string, password: string): boolean {
  try {
    return preparePassword(again) === password;
  } catch (error) {
    if (error instanceof PkiError) return false; // it cannot be what was prepared
    throw error;
  }
}
