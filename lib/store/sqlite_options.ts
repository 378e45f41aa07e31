/** How a database is opened, and what `bun:sqlite` would refuse to open. */

import { constants } from "./sqlite_constants.ts";
import { SQLiteError } from "./sqlite_error.ts";
import { UNSUPPORTED } from "./sqlite_unsupported.ts";

const CANNOT_OPEN = 14;

export interface DatabaseOptions {
  /** Only for a database that comes from bytes. */
  readonly readonly?: boolean | undefined;
  readonly create?: boolean | undefined;
  readonly readwrite?: boolean | undefined;
  /** Named parameters need no prefix, and each must be given. */
  readonly strict?: boolean | undefined;
  /** Integers are read as `bigint`. */
  readonly safeIntegers?: boolean | undefined;
}

/** The mode in which a file would be opened. */
export function flagsOf(options: DatabaseOptions): number {
  if ("readOnly" in options) {
    throw new TypeError('Misspelled option "readOnly" should be "readonly"');
  }
  const { readonly, create, readwrite } = options;
  if (!readonly && readwrite !== false) return constants.SQLITE_OPEN_READWRITE;
  if (create || readwrite) {
    throw new TypeError(
      'A read-only database ("readonly: true" or "readwrite: false") ' +
        'cannot have "create: true" or "readwrite: true"',
    );
  }
  return constants.SQLITE_OPEN_READONLY;
}

/** There are no files. @throws {SQLiteError} `SQLITE_CANTOPEN` for the name of one */
export function checkAnonymous(filename: string, flags: number): void {
  if (filename !== "" && filename !== ":memory:") {
    throw new SQLiteError(
      `cannot open "${filename}": ${UNSUPPORTED["new Database(file)"]}`,
      CANNOT_OPEN,
    );
  }
  if ((flags & constants.SQLITE_OPEN_READONLY) !== 0) {
    throw new Error("Cannot open an anonymous database in read-only mode.");
  }
}
