/**
 * What `bun:sqlite` has and this adapter has not, for want of a function in sql.js. Each use throws
 * one of these; `docs/sqlite.md` repeats the table, a test compares them.
 */

export const UNSUPPORTED = {
  "new Database(file)":
    "this database lives in memory, files are written by the journal and snapshots",
  "Database.aggregate({ inverse })": "sql.js does not export sqlite3_create_window_function",
  "Database.fileControl": "sql.js does not export sqlite3_file_control",
  "Database.loadExtension": "SQLite is WebAssembly here, which loads no shared libraries",
  "Database.serialize(name)": 'sql.js exports the database "main" only',
  "Statement.declaredTypes":
    "sql.js does not export sqlite3_column_decltype; PRAGMA table_info names the types of a table",
  "Statement.native": "there is no native statement",
} as const;

/** @param action what was wanted, for the message: `load an extension` */
export function unsupported(member: keyof typeof UNSUPPORTED, action: string): Error {
  return new Error(`cannot ${action}: ${UNSUPPORTED[member]}`);
}
