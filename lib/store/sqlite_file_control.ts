/** `Database.fileControl`, as far as its answers are known without asking SQLite. */

import { constants } from "./sqlite_constants.ts";
import { unsupported } from "./sqlite_unsupported.ts";

const OK = 0;
const NOTFOUND = 12;

/** SQLite itself answers these, whatever the file: with addresses, or with what only it knows. */
const UNKNOWN: ReadonlySet<number> = new Set([
  constants.SQLITE_FCNTL_FILE_POINTER,
  constants.SQLITE_FCNTL_VFS_POINTER,
  constants.SQLITE_FCNTL_JOURNAL_POINTER,
  constants.SQLITE_FCNTL_DATA_VERSION,
  constants.SQLITE_FCNTL_RESERVE_BYTES,
]);

/** Answered for a database that came from bytes. */
const UNKNOWN_OF_BYTES: ReadonlySet<number> = new Set([
  constants.SQLITE_FCNTL_VFSNAME,
  constants.SQLITE_FCNTL_SIZE_LIMIT,
]);

/**
 * @param args of `Database.fileControl`: an operation and its argument, a schema's name before them
 * @returns a result code, for nearly every operation `SQLITE_NOTFOUND`: there is no file
 */
export function fileControl(
  args: readonly unknown[],
  { isOfBytes }: { readonly isOfBytes: boolean },
): number {
  const [schema, operation, argument] = typeof args[0] === "string" ? args : ["main", ...args];
  if (typeof operation !== "number") throw new Error("Expected number");
  if (ArrayBuffer.isView(argument)) {
    if (argument.byteLength < 8) throw new Error("TypedArray must be at least 8 bytes");
  } else if (typeof argument !== "number" && argument !== undefined && argument !== null) {
    throw new Error("Expected result to be a number, null or a TypedArray");
  }
  const op = Math.trunc(operation);
  if (schema !== "main" || UNKNOWN.has(op) || (isOfBytes && UNKNOWN_OF_BYTES.has(op))) {
    throw unsupported("Database.fileControl", `pass operation ${op} to the file`);
  }
  return op === constants.SQLITE_FCNTL_RESET_CACHE ? OK : NOTFOUND;
}
