/** The settings `limits`: an object of numbers, each held against its row in `server_limits.ts`. */

import { PkiError } from "../lib/base/errors.ts";
import { printable, printableJson } from "../lib/base/printable.ts";
import {
  type GivenLimits,
  SERVER_LIMIT_NAMES,
  SERVER_LIMITS,
  type ServerLimitName,
} from "../lib/base/server_limits.ts";
import { suggestName } from "../lib/base/suggestion.ts";

/** A name or a value in a message is cut after so many characters. */
const SHOWN_CHARACTERS_MAX = 80;

/** @throws {PkiError} `usage`, naming the limit */
function checkLimit(name: ServerLimitName, value: unknown): number {
  const { min, max } = SERVER_LIMITS[name];
  if (typeof value === "number" && Number.isInteger(value) && value >= min && value <= max) {
    return value;
  }
  const shown = printableJson(value ?? null).slice(0, SHOWN_CHARACTERS_MAX);
  throw new PkiError("usage", `${name}: ${shown} is not a whole number from ${min} to ${max}`, {
    hint: "docs/limits.md says what each limit is",
  });
}

/**
 * Checks `limits` as `pki.json` has it.
 * @returns in the order of the table
 * @throws {PkiError} `usage`, naming the limit
 */
export function checkLimits(value: unknown): GivenLimits {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new PkiError("usage", 'not an object of numbers, like {"idleSeconds":60}');
  }
  const entries = new Map(Object.entries(value));
  for (const key of entries.keys()) {
    if (SERVER_LIMIT_NAMES.some((name) => name === key)) continue;
    const meant = suggestName(key, SERVER_LIMIT_NAMES);
    const suggestion = meant === undefined ? "" : `: did you mean ${meant}?`;
    const shown = printable(key).slice(0, SHOWN_CHARACTERS_MAX);
    throw new PkiError("usage", `${shown}: no such limit${suggestion}`, {
      hint: `there are ${SERVER_LIMIT_NAMES.join(", ")}: see docs/limits.md`,
    });
  }
  return Object.fromEntries(
    SERVER_LIMIT_NAMES.flatMap((name) =>
      entries.has(name) ? [[name, checkLimit(name, entries.get(name))]] : []
    ),
  );
}
