/** Which identity one of the commands of `pki id` is about. */

import { PkiError } from "../lib/base/errors.ts";
import { checkId } from "../lib/x509/names.ts";
import type { Surroundings } from "./globals.ts";

export const ID_PARAMETER = {
  brief: "The identity's name",
  parse: String,
  placeholder: "NAME",
} as const;

export const OPTIONAL_ID_PARAMETER = {
  brief: "The identity's name [who you are]",
  parse: String,
  placeholder: "NAME",
  optional: true,
} as const;

/**
 * The identity that is named behind the command, else who the user is.
 * @throws {PkiError} `usage` if two are named, or it is not clear
 */
export function whoIsMeant(surroundings: Surroundings, name: string | undefined): string {
  if (name === undefined) return surroundings.identity();
  checkId(name);
  const { id } = surroundings.flags;
  if (id === undefined || id === name) return name;
  throw new PkiError("usage", `cannot tell who is meant: "${name}" or "${id}"`, {
    hint: "name one, with or without --id",
  });
}
