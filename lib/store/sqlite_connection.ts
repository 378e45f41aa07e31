/** One database of sql.js, and what its statements and functions share. */

import { SQLiteError, sqliteErrorOf } from "./sqlite_error.ts";
import { type Changes, Cursor, type CursorHost, isCounted } from "./sqlite_cursor.ts";
import {
  DONE,
  type RawDatabase,
  type RawStatement,
  ROW,
  type Sqlite,
  sqliteModule,
} from "./sqlite_module.ts";
import { touchesSchema, trimBlanks, withoutExplain } from "./sqlite_text.ts";

const BUSY = 5;

const PRIMARY_KEYS = `
  SELECT (SELECT group_concat(t.name || '.' || c.name, ', ')
    FROM (SELECT name FROM pragma_table_info(t.name) WHERE pk > 0 ORDER BY pk) AS c)
  FROM (SELECT type, name FROM sqlite_temp_schema UNION ALL SELECT type, name FROM sqlite_schema) AS t
  WHERE t.type = 'table'`;

/** Instructions that make `sqlite3_stmt_readonly` false; a transaction does when it writes. */
const WRITING = /^(?:Checkpoint|JournalMode|Vacuum)$/;

export interface ConnectionOptions {
  readonly readonly: boolean;
  readonly strict: boolean;
  readonly safeIntegers: boolean;
}

interface Compiled {
  readonly raw: RawStatement;
  readonly pointer: number;
}

export type UpdateListener = (
  kind: "insert" | "update" | "delete",
  change: { readonly schema: string; readonly table: string; readonly rowid: number | bigint },
) => void;

/** `SQLITE_DELETE` and its like. */
const UPDATE_KINDS: Readonly<Record<number, "insert" | "update" | "delete">> = {
  9: "delete",
  18: "insert",
  23: "update",
};

export class Connection implements CursorHost {
  readonly sqlite: Sqlite;
  readonly strict: boolean;
  readonly safeIntegers: boolean;
  readonly raw: RawDatabase;
  generation = 0;
  #isClosed = false;
  #isRawClosed = false;
  /** A function or hook of the user's runs, in the middle of a statement. */
  #isBusy = false;
  /** What a function of the user's has thrown; the statement is ending because of it. */
  #thrown: { readonly error: unknown } | undefined;
  #unhook: (() => void) | undefined;
  #lastRowid: Compiled | undefined;
  readonly #pointer: number;
  readonly #cursors = new Set<Cursor>();

  constructor(bytes: Uint8Array | undefined, options: ConnectionOptions) {
    this.sqlite = sqliteModule();
    this.strict = options.strict;
    this.safeIntegers = options.safeIntegers;
    const { raw, pointer } = this.sqlite.open(bytes);
    this.raw = raw;
    this.#pointer = pointer;
    const sayError = raw.handleError;
    raw.handleError = (resultCode) => {
      if (resultCode !== 0 && this.#thrown !== undefined) {
        const { error } = this.#thrown;
        this.#thrown = undefined;
        throw error;
      }
      try {
        return sayError.call(raw, resultCode);
      } catch (cause) {
        const message = cause instanceof Error ? cause.message : String(cause);
        throw sqliteErrorOf(resultCode, message, (columns) => this.#isPrimaryKey(columns));
      }
    };
    try {
      // The file that sql.js keeps is itself in memory and nobody else's: no journal file, no locks.
      raw.run(
        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF",
      );
    } catch {
      // Bytes that are no database: as in bun, the first statement says so.
    }
    if (options.readonly) raw.run("PRAGMA query_only = ON");
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Whether a statement is running, so that SQLite keeps functions as they are. */
  get isActive(): boolean {
    for (const cursor of this.#cursors) if (cursor.isActive) return true;
    return false;
  }

  checkIdle(): void {
    if (this.#isBusy) {
      throw new TypeError("This database connection is busy executing a query");
    }
  }

  checkOpen(): void {
    this.checkIdle();
    if (this.#isClosed) throw new Error("Database has closed");
  }

  prepare(sql: string): RawStatement {
    try {
      return this.raw.prepare(sql);
    } catch (cause) {
      // sql.js throws a string for text without a statement in it.
      if (typeof cause === "string") throw new RangeError("Invalid SQL statement", { cause });
      throw cause;
    }
  }

  check(resultCode: number): void {
    if (resultCode !== 0 && resultCode !== DONE) this.raw.handleError(resultCode);
  }

  /** Runs every statement of a script; only the first one gets the parameters, as in bun. */
  runScript(script: string, params: readonly unknown[]): Changes {
    let done: Changes = { changes: 0, lastInsertRowid: 0 };
    let rest = script.toWellFormed().replace(/\0[^]*/, "");
    if (trimBlanks(rest) === "") {
      throw new Error("Query contained no valid SQL statement; likely empty query.");
    }
    if (touchesSchema(rest)) this.noteSchemaChange();
    if (params.length > 0) {
      const cursor = new Cursor(this, rest, { isCached: true });
      try {
        cursor.bind(params);
        done = cursor.runToEnd();
      } finally {
        cursor.finalize();
      }
      rest = rest.slice(cursor.sql.length);
    }
    for (const raw of this.raw.iterateStatements(rest)) {
      const pointer = this.sqlite.pointerOf(raw);
      const counted = isCounted(this, raw.getSQL());
      this.#runToEnd(pointer);
      const { changes, lastInsertRowid } = this.changesOf(counted, this.safeIntegers);
      done = { changes: done.changes + changes, lastInsertRowid };
    }
    return done;
  }

  #runToEnd(pointer: number): void {
    let resultCode = this.sqlite.step(pointer);
    while (resultCode === ROW) resultCode = this.sqlite.step(pointer);
    this.check(resultCode);
  }

  changesOf(isCounted: boolean, safeIntegers: boolean): Changes {
    return {
      changes: isCounted ? this.sqlite.changes(this.#pointer) : 0,
      lastInsertRowid: this.#lastInsertRowid(safeIntegers),
    };
  }

  /** By a statement: sql.js does not export the function. */
  #lastInsertRowid(safeIntegers: boolean): number | bigint {
    this.#lastRowid ??= this.#compile("SELECT last_insert_rowid()");
    const { raw, pointer } = this.#lastRowid;
    const resultCode = this.sqlite.step(pointer);
    if (resultCode !== ROW) this.check(resultCode);
    const rowid = this.sqlite.column(raw, pointer, 0, safeIntegers);
    this.sqlite.reset(pointer);
    return rowid as number | bigint;
  }

  #compile(sql: string): Compiled {
    const raw = this.raw.prepare(sql);
    return { raw, pointer: this.sqlite.pointerOf(raw) };
  }

  noteEnd(): void {
    // Ending a statement early ends its aggregates too; there is nobody to throw at.
    this.#thrown = undefined;
  }

  noteSchemaChange(): void {
    this.generation += 1;
  }

  /** Without parameters and results; for statements of our own. */
  run(sql: string): void {
    if (touchesSchema(sql)) this.noteSchemaChange();
    this.raw.run(sql);
  }

  /** All rows; for statements of our own. */
  #rows(sql: string): unknown[][] {
    const { raw, pointer } = this.#compile(sql);
    const rows: unknown[][] = [];
    try {
      while (this.sqlite.step(pointer) === ROW) rows.push(this.sqlite.row(raw, pointer, false));
      return rows;
    } finally {
      raw.free();
    }
  }

  /** sql.js does not export `sqlite3_stmt_readonly`, but its verdict can be read off the program. */
  isReadonly(sql: string): boolean {
    return this.#rows(`EXPLAIN ${withoutExplain(sql)}`).every(([, opcode, , p2]) =>
      !WRITING.test(String(opcode)) && !(opcode === "Transaction" && p2 !== 0)
    );
  }

  /** Calls a function of the user's while a statement runs, which ends if the function throws. */
  callBack(work: () => void): void {
    if (this.#thrown !== undefined) return;
    this.#isBusy = true;
    try {
      work();
    } catch (error) {
      this.#thrown = { error };
      throw new Error("a user-defined function has thrown", { cause: error });
    } finally {
      this.#isBusy = false;
    }
  }

  /** Calls the listener for each row that changes; what it throws becomes an uncaught exception. */
  listen(listener: UpdateListener | undefined): void {
    this.#unhook?.();
    this.#unhook = undefined;
    if (listener === undefined) return;
    this.#unhook = this.sqlite.hookUpdates(this.#pointer, (operation, schema, table, rowid) => {
      const kind = UPDATE_KINDS[operation];
      if (kind === undefined) return;
      this.#isBusy = true;
      try {
        listener(kind, { schema, table, rowid: this.safeIntegers ? rowid : Number(rowid) });
      } catch (error) {
        // It must not unwind SQLite's own frames.
        queueMicrotask(() => {
          throw error;
        });
      } finally {
        this.#isBusy = false;
      }
    });
  }

  adopt(cursor: Cursor): void {
    this.#cursors.add(cursor);
  }

  release(cursor: Cursor): void {
    this.#cursors.delete(cursor);
    this.#closeRaw();
  }

  /**
   * SQLite can be asked for this only by a function that sql.js does not export. This pragma is
   * refused inside a transaction, while it is compiled, and does nothing outside of one.
   */
  get inTransaction(): boolean {
    try {
      this.raw.run("PRAGMA temp.synchronous = 2");
      return false;
    } catch (error) {
      return error instanceof SQLiteError && error.message.startsWith("Safety level");
    }
  }

  export(): Uint8Array<ArrayBuffer> {
    try {
      return this.raw.export();
    } catch (cause) {
      if (cause instanceof SQLiteError) throw cause;
      const message = cause instanceof Error ? cause.message : String(cause);
      throw new SQLiteError(message, BUSY);
    }
  }

  /** Statements of `prepare` keep working until they are finalized, unless `force` is given. */
  close(force: boolean): void {
    this.#isClosed = true;
    for (const cursor of this.#cursors) {
      if (force || cursor.isCached) cursor.finalize({ wasClosed: true });
    }
    this.#closeRaw();
  }

  /** The database is unreachable; statements that are not keep working. */
  abandon(): void {
    this.#isClosed = true;
    this.#closeRaw();
  }

  #closeRaw(): void {
    if (!this.#isClosed || this.#cursors.size > 0 || this.#isRawClosed) return;
    this.#isRawClosed = true;
    this.listen(undefined);
    this.raw.close();
  }

  #isPrimaryKey(columns: string): boolean {
    return this.#rows(PRIMARY_KEYS).some(([key]) => key === columns);
  }
}
