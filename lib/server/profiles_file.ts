/** Reads `profiles.json` of a data folder, and says which file it is that cannot be used. */

import { PkiError } from "../base/errors.ts";
import { readTextIfThere } from "../base/files.ts";
import type { Profiles } from "../ca/profile.ts";
import { parseProfiles, PROFILES_REFUSED } from "../ca/profile_config.ts";
import { DEFAULT_DOMAIN } from "../x509/names.ts";

/** @throws {PkiError} `malformed`, naming file, field and rule; `storage` */
export function loadProfiles(path: string, domain: string): Profiles {
  try {
    return parseProfiles(readTextIfThere(path), domain);
  } catch (error) {
    if (!(error instanceof PkiError)) throw error;
    const { kind, message, hint } = error;
    throw new PkiError(kind, message.replace(PROFILES_REFUSED, `cannot use "${path}"`), {
      cause: error,
      ...(hint === undefined ? {} : { hint }),
    });
  }
}

/**
 * Before anything is opened, whose errors are others: what a person has written is mended, and not
 * brought back from a backup.
 * @throws {PkiError} as {@link loadProfiles}
 */
export function checkProfiles(path: string): void {
  loadProfiles(path, DEFAULT_DOMAIN); // which domain it is has no part in it
}
