/**
 * What SQLite's failures are called. sql.js hands out only the primary result code and a message,
 * `bun:sqlite` the extended code; the difference is told from the message, in the one table below.
 *
 * A trigger that raises a message of its own in SQLite's words (`UNIQUE constraint failed: …`)
 * is taken for SQLite.
 */

/** Result codes by number (sqlite.org/rescode.html). The extended ones are those that we can tell. */
const CODE_NAMES: Readonly<Record<number, string>> = {
  1: "SQLITE_ERROR",
  2: "SQLITE_INTERNAL",
  3: "SQLITE_PERM",
  4: "SQLITE_ABORT",
  5: "SQLITE_BUSY",
  6: "SQLITE_LOCKED",
  7: "SQLITE_NOMEM",
  8: "SQLITE_READONLY",
  9: "SQLITE_INTERRUPT",
  10: "SQLITE_IOERR",
  11: "SQLITE_CORRUPT",
  12: "SQLITE_NOTFOUND",
  13: "SQLITE_FULL",
  14: "SQLITE_CANTOPEN",
  15: "SQLITE_PROTOCOL",
  16: "SQLITE_EMPTY",
  17: "SQLITE_SCHEMA",
  18: "SQLITE_TOOBIG",
  19: "SQLITE_CONSTRAINT",
  20: "SQLITE_MISMATCH",
  21: "SQLITE_MISUSE",
  22: "SQLITE_NOLFS",
  23: "SQLITE_AUTH",
  24: "SQLITE_FORMAT",
  25: "SQLITE_RANGE",
  26: "SQLITE_NOTADB",
  275: "SQLITE_CONSTRAINT_CHECK",
  787: "SQLITE_CONSTRAINT_FOREIGNKEY",
  1299: "SQLITE_CONSTRAINT_NOTNULL",
  1555: "SQLITE_CONSTRAINT_PRIMARYKEY",
  1811: "SQLITE_CONSTRAINT_TRIGGER",
  2067: "SQLITE_CONSTRAINT_UNIQUE",
  2579: "SQLITE_CONSTRAINT_ROWID",
  3091: "SQLITE_CONSTRAINT_DATATYPE",
};

const CONSTRAINT = 19;
const PRIMARY_KEY = 1555;
const TRIGGER = 1811;
const UNIQUE_MESSAGE = /^UNIQUE constraint failed: (.*)$/s;

/** Which constraint a message means; the first row that fits counts. */
const CONSTRAINT_MESSAGES: readonly (readonly [RegExp, number])[] = [
  [/^UNIQUE constraint failed: .*\.rowid$/s, 2579],
  [UNIQUE_MESSAGE, 2067],
  [/^NOT NULL constraint failed: /, 1299],
  [/^CHECK constraint failed: /, 275],
  [/^FOREIGN KEY constraint failed$/, 787],
  [/^cannot store \w+ value in \w+ column /, 3091],
  [/^constraint failed$/, CONSTRAINT],
];

/** A failure that SQLite reported. */
export class SQLiteError extends Error {
  override readonly name = "SQLiteError";
  /** The name of the extended result code: `SQLITE_CONSTRAINT_UNIQUE`, `SQLITE_BUSY`, … */
  readonly code: string;
  /** The extended result code. */
  readonly errno: number;
  /** Where in the SQL; sql.js does not say, so always -1. */
  readonly byteOffset = -1;

  constructor(message: string, errno: number) {
    super(message);
    this.errno = errno;
    this.code = CODE_NAMES[errno] ?? CODE_NAMES[errno & 0xff] ?? `SQLITE_UNKNOWN_${errno}`;
  }
}

/**
 * The error for a primary result code and SQLite's message.
 * @param isPrimaryKey whether columns, written like `t.a, t.b`, are the primary key of their table;
 *   SQLite's message is the same for any unique index
 */
export function sqliteErrorOf(
  resultCode: number,
  message: string,
  isPrimaryKey: (columns: string) => boolean,
): SQLiteError {
  if (resultCode !== CONSTRAINT) return new SQLiteError(message, resultCode);
  const columns = UNIQUE_MESSAGE.exec(message)?.[1];
  if (columns !== undefined && isPrimaryKey(columns)) return new SQLiteError(message, PRIMARY_KEY);
  const row = CONSTRAINT_MESSAGES.find(([pattern]) => pattern.test(message));
  return new SQLiteError(message, row?.[1] ?? TRIGGER);
}
