/** Fields of the log's entries, read strictly: what lacks one was not written by this program. */

import { PkiError } from "../base/errors.ts";
import type { StoredEntry } from "../log/entry.ts";

type Part = Readonly<Record<string, unknown>> | null;

export function damaged(what: string): PkiError {
  return new PkiError("storage", `cannot read the log: ${what}`);
}

/** The private part of an entry that was not redacted. */
export function privateOf({ private: hidden }: StoredEntry): Part {
  if (hidden === "redacted") throw damaged("an entry was redacted that nothing stands for");
  return hidden;
}

/** @throws {PkiError} `storage` */
export function textField(part: Part, key: string): string {
  const value = part?.[key];
  if (typeof value !== "string") throw damaged(`an entry lacks "${key}"`);
  return value;
}

/** A count or a time. @throws {PkiError} `storage` */
export function numberField(part: Part, key: string): number {
  const value = part?.[key];
  if (!Number.isSafeInteger(value)) throw damaged(`an entry lacks "${key}"`);
  return value as number;
}

/** A text that an entry may lack. */
export function optionalText(part: Part, key: string): string | null {
  return part?.[key] === undefined ? null : textField(part, key);
}
