/**
 * SQLite with the interface of `bun:sqlite`, over sql.js, so that code written for one runs on the
 * other. A database lives in memory: it comes from bytes and goes to bytes (`serialize`); making
 * them last is the journal's and the snapshot's business. `await loadSqlite()` comes first.
 *
 * What differs from `bun:sqlite` is listed in `tests/store/database_test.ts`.
 *
 * Start reading at {@link Database}; statements are in `statement.ts`.
 */

import { Buffer } from "node:buffer";
// @ts-types="@types/sql.js"
import initSqlJs from "sql.js/dist/sql-wasm-inline.js";
import { SQLiteError, sqliteErrorOf } from "./sqlite_error.ts";
import {
  type Changes,
  Cursor,
  type RawStatement,
  type SQLQueryBindings,
  Statement,
  type StatementHost,
  touchesSchema,
} from "./statement.ts";

export { SQLiteError } from "./sqlite_error.ts";
export {
  type Changes,
  type SQLBindable,
  type SQLColumn,
  type SQLQueryBindings,
  Statement,
} from "./statement.ts";

/** Those of `sqlite3.h` that a database in memory has a use for. */
export const constants = {
  SQLITE_OPEN_READONLY: 0x1,
  SQLITE_OPEN_READWRITE: 0x2,
  SQLITE_OPEN_CREATE: 0x4,
  SQLITE_OPEN_MEMORY: 0x80,
  SQLITE_DESERIALIZE_READONLY: 0x4,
  SQLITE_PREPARE_PERSISTENT: 0x1,
  SQLITE_PREPARE_NORMALIZE: 0x2,
  SQLITE_PREPARE_NO_VTAB: 0x4,
} as const;

const CANNOT_OPEN = 14;
const BUSY = 5;

/** The part of sql.js's database that we use. */
interface RawDatabase {
  prepare(sql: string): RawStatement;
  iterateStatements(sql: string): Iterable<RawStatement>;
  run(sql: string): unknown;
  export(): Uint8Array<ArrayBuffer>;
  close(): void;
  /** Called with every result code that is not a success; undocumented, so a test holds it. */
  handleError: (resultCode: number) => null;
}

type RawDatabaseClass = new (bytes: Uint8Array | undefined) => RawDatabase;

let RawDatabase: RawDatabaseClass | undefined;

/** Compiles SQLite; to be awaited once before the first `new Database()`, more often does no harm. */
export async function loadSqlite(): Promise<void> {
  if (RawDatabase !== undefined) return;
  // Otherwise sql.js replaces SQLite's mathematical functions by older ones of its own, and warns.
  const config = { useOldExtensionFunctions: false };
  const { Database } = await initSqlJs(config as Parameters<typeof initSqlJs>[0]);
  RawDatabase = Database as unknown as RawDatabaseClass;
}

export interface DatabaseOptions {
  /** Only for a database that comes from bytes. */
  readonly?: boolean;
  readonly create?: boolean;
  readonly readwrite?: boolean;
  /** Named parameters need no prefix, and each must be given. */
  readonly strict?: boolean;
  /** Integers are read as `bigint`. */
  readonly safeIntegers?: boolean;
}

/** What `Database.transaction` makes: the function in a transaction of the default or a named kind. */
export interface Transaction<A extends unknown[], T> {
  (...args: A): T;
  readonly default: Transaction<A, T>;
  readonly deferred: Transaction<A, T>;
  readonly immediate: Transaction<A, T>;
  readonly exclusive: Transaction<A, T>;
  readonly database: Database;
}

const PRIMARY_KEYS = `
  SELECT (SELECT group_concat(t.name || '.' || c.name, ', ')
    FROM (SELECT name FROM pragma_table_info(t.name) WHERE pk > 0 ORDER BY pk) AS c)
  FROM (SELECT type, name FROM sqlite_temp_schema UNION ALL SELECT type, name FROM sqlite_schema) AS t
  WHERE t.type = 'table' AND substr(?1, 1, length(t.name) + 1) = t.name || '.'`;

const COUNTERS = "SELECT total_changes(), changes(), last_insert_rowid()";
type Counters = readonly [number | bigint, number | bigint, number | bigint];

/**
 * Leading white space as SQLite has it, comments and empty statements. Not anchored at its end:
 * it would try every way to divide a line of dashes into comments.
 */
const BLANKS = /^(?:[ \t\n\f\r\ufeff;]|--[^\n]*|\/\*[^]*?(?:\*\/|$))*/;
const SAVEPOINT = '"nested transaction"';

/** One database of sql.js and what its statements share. */
class Connection implements StatementHost {
  readonly strict: boolean;
  readonly safeIntegers: boolean;
  generation = 0;
  isClosed = false;
  #isRawClosed = false;
  readonly #raw: RawDatabase;
  readonly #cursors = new Set<Cursor>();
  #counters: RawStatement | undefined;
  /** All changes so far; known until a statement runs that nobody counts. */
  #totalChanges: number | undefined;

  constructor(bytes: Uint8Array | undefined, options: DatabaseOptions) {
    if (RawDatabase === undefined) {
      throw new Error("cannot open a database: SQLite is not loaded, await loadSqlite() first");
    }
    this.strict = Boolean(options.strict);
    this.safeIntegers = Boolean(options.safeIntegers);
    this.#raw = new RawDatabase(bytes);
    const sayError = this.#raw.handleError;
    this.#raw.handleError = (resultCode) => {
      try {
        return sayError.call(this.#raw, resultCode);
      } catch (cause) {
        const message = cause instanceof Error ? cause.message : String(cause);
        throw sqliteErrorOf(resultCode, message, (columns) => this.#isPrimaryKey(columns));
      }
    };
    try {
      // The file that sql.js keeps is itself in memory and nobody else's: no journal file, no locks.
      this.#raw.run(
        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF",
      );
    } catch {
      // Bytes that are no database: as in bun, the first statement says so.
    }
    if (options.readonly) this.#raw.run("PRAGMA query_only = ON");
  }

  prepare(sql: string): RawStatement {
    try {
      return this.#raw.prepare(sql);
    } catch (cause) {
      // sql.js throws a string for text without a statement in it.
      if (typeof cause === "string") throw new RangeError("Invalid SQL statement", { cause });
      throw cause;
    }
  }

  /** Runs every statement of a script; only the first one gets the parameters, as in bun. */
  runScript(script: string, params: readonly unknown[]): Changes {
    const done: Changes = { changes: 0, lastInsertRowid: 0 };
    const count = (work: () => void) => {
      const { changes, lastInsertRowid } = this.countChanges(this.safeIntegers, work);
      done.changes += changes;
      done.lastInsertRowid = lastInsertRowid;
    };
    let rest = script.toWellFormed().replace(/\0[^]*/, "");
    if (rest.replace(BLANKS, "") === "") {
      throw new Error("Query contained no valid SQL statement; likely empty query.");
    }
    if (touchesSchema(rest)) this.noteSchemaChange();
    if (params.length > 0) {
      const cursor = new Cursor(this, rest, { isCached: true });
      try {
        cursor.bind(params);
        count(() => cursor.runToEnd());
      } finally {
        cursor.finalize();
      }
      rest = rest.slice(cursor.sql.length);
    }
    for (const raw of this.#raw.iterateStatements(rest)) {
      count(() => {
        while (raw.step());
      });
    }
    return done;
  }

  countChanges(safeIntegers: boolean, work: () => void): Changes {
    const totalBefore = this.#totalChanges ?? this.#count(false)[0];
    this.#totalChanges = undefined;
    work();
    const [total, changes, lastInsertRowid] = this.#count(safeIntegers);
    this.#totalChanges = Number(total);
    return {
      // SQLite's own count stays what it was when a statement changes nothing.
      changes: this.#totalChanges === totalBefore ? 0 : Number(changes),
      lastInsertRowid,
    };
  }

  noteStart(): void {
    this.#totalChanges = undefined;
  }

  noteSchemaChange(): void {
    this.generation += 1;
  }

  #count(useBigInt: boolean): Counters {
    this.#counters ??= this.#raw.prepare(COUNTERS);
    const counters = this.#counters;
    try {
      counters.step();
      return counters.get(null, { useBigInt }) as unknown as Counters;
    } finally {
      counters.reset();
    }
  }

  /** Without counting; for statements of our own. */
  run(sql: string): void {
    if (touchesSchema(sql)) this.noteSchemaChange();
    this.noteStart();
    this.#raw.run(sql);
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
      this.#raw.run("PRAGMA temp.synchronous = 2");
      return false;
    } catch (error) {
      return error instanceof SQLiteError && error.message.startsWith("Safety level");
    }
  }

  export(): Uint8Array<ArrayBuffer> {
    try {
      return this.#raw.export();
    } catch (cause) {
      if (cause instanceof SQLiteError) throw cause;
      const message = cause instanceof Error ? cause.message : String(cause);
      throw new SQLiteError(message, BUSY);
    }
  }

  /** Statements of `prepare` keep working until they are finalized, unless `force` is given. */
  close(force: boolean): void {
    this.isClosed = true;
    for (const cursor of this.#cursors) {
      if (force || cursor.isCached) cursor.finalize({ wasClosed: true });
    }
    this.#closeRaw();
  }

  /** The database is unreachable; statements that are not keep working. */
  abandon(): void {
    this.isClosed = true;
    this.#closeRaw();
  }

  #closeRaw(): void {
    if (!this.isClosed || this.#cursors.size > 0 || this.#isRawClosed) return;
    this.#isRawClosed = true;
    this.#raw.close();
  }

  #isPrimaryKey(columns: string): boolean {
    const raw = this.#raw.prepare(PRIMARY_KEYS);
    try {
      raw.bind([columns]);
      while (raw.step()) {
        if (raw.get(null, { useBigInt: false })[0] === columns) return true;
      }
      return false;
    } finally {
      raw.free();
    }
  }
}

const unreachable = new FinalizationRegistry<Connection>((connection) => connection.abandon());

/** A SQLite database in memory. */
export class Database implements Disposable {
  /** How many statements `query` keeps; the one longest unused goes first. */
  static MAX_QUERY_CACHE_SIZE = 20;
  /** Longer texts are not kept. */
  static readonly #cachedTextMax = 65_536;

  /** What the constructor was given; names nothing on a disk. */
  readonly filename: string;
  readonly #connection: Connection;
  readonly #cache = new Map<string, Statement>();

  /**
   * @param source `":memory:"`, `""` or nothing for an empty database, or what `serialize` made
   * @throws {SQLiteError} `SQLITE_CANTOPEN` for the name of a file
   */
  constructor(source?: string | ArrayBufferView, options?: DatabaseOptions | number) {
    const wanted = typeof options === "object" && options !== null ? options : {};
    if (ArrayBuffer.isView(source)) {
      if (source.byteLength === 0) throw new Error("ArrayBuffer must not be empty");
      const bytes = new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
      this.filename = ":memory:";
      this.#connection = new Connection(bytes, wanted);
    } else {
      if (source !== undefined && typeof source !== "string") {
        throw new TypeError(`Expected 'filename' to be a string, got '${typeof source}'`);
      }
      this.filename = (source ?? ":memory:").trim();
      const flags = typeof options === "number" ? options : flagsOf(wanted);
      checkAnonymous(this.filename, flags);
      this.#connection = new Connection(undefined, { ...wanted, readonly: false });
    }
    unreachable.register(this, this.#connection);
  }

  static open(source?: string | ArrayBufferView, options?: DatabaseOptions | number): Database {
    return new Database(source, options);
  }

  /** @param options `true` for a database that can only be read */
  static deserialize(
    serialized: ArrayBufferView | ArrayBufferLike,
    options: boolean | DatabaseOptions = false,
  ): Database {
    const bytes = ArrayBuffer.isView(serialized) ? serialized : bytesOfBuffer(serialized);
    return new Database(bytes, typeof options === "boolean" ? { readonly: options } : options);
  }

  get inTransaction(): boolean {
    this.#checkOpen();
    return this.#connection.inTransaction;
  }

  /**
   * The whole database as bytes that the `sqlite3` program can read. Statements go on working.
   * @throws {SQLiteError} `SQLITE_BUSY` in a transaction that has written
   */
  serialize(name = "main"): Buffer {
    if (this.#connection.isClosed) throw new Error("Can't do this on a closed database");
    if (name !== "main") throw new Error(`cannot serialize "${name}": only "main" can be`);
    const bytes = this.#connection.export();
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Runs every statement in the text; the first one gets the parameters. */
  run(sql: string, ...params: SQLQueryBindings[]): Changes {
    this.#checkOpen();
    checkText(sql);
    if (sql === "") throw new Error("SQL string mustn't be blank");
    return this.#connection.runScript(sql, params);
  }

  /** The same as `run`. */
  exec(sql: string, ...params: SQLQueryBindings[]): Changes {
    return this.run(sql, ...params);
  }

  /** A statement that is compiled once and kept, by its text. */
  query<
    ReturnType = unknown,
    ParamsType extends SQLQueryBindings | SQLQueryBindings[] = SQLQueryBindings[],
  >(
    sql: string,
  ): Statement<ReturnType, ParamsType extends SQLQueryBindings[] ? ParamsType : [ParamsType]> {
    if (typeof sql !== "string") {
      throw new TypeError(`Expected 'query' to be a string, got '${typeof sql}'`);
    }
    if (sql === "") throw new Error("SQL query cannot be empty.");
    let statement = this.#cache.get(sql);
    this.#cache.delete(sql);
    if (statement === undefined || statement.isFinalized) {
      statement = this.#compile(sql, { isCached: true });
    }
    const sizeMax = Database.MAX_QUERY_CACHE_SIZE;
    if (sizeMax > 0 && sql.length <= Database.#cachedTextMax) {
      const [oldest] = this.#cache.keys();
      if (this.#cache.size >= sizeMax && oldest !== undefined) this.#cache.delete(oldest);
      this.#cache.set(sql, statement);
    }
    return statement as unknown as Statement<
      ReturnType,
      ParamsType extends SQLQueryBindings[] ? ParamsType : [ParamsType]
    >;
  }

  /** A statement of its own; the parameters stay bound until others are given. */
  prepare<
    ReturnType = unknown,
    ParamsType extends SQLQueryBindings | SQLQueryBindings[] = SQLQueryBindings[],
  >(
    sql: string,
    params?: ParamsType,
  ): Statement<ReturnType, ParamsType extends SQLQueryBindings[] ? ParamsType : [ParamsType]> {
    return this.#compile(sql, { isCached: false, params }) as unknown as Statement<
      ReturnType,
      ParamsType extends SQLQueryBindings[] ? ParamsType : [ParamsType]
    >;
  }

  /**
   * The function, run in a transaction: committed when it returns, undone when it throws. Inside
   * of another transaction it is a savepoint. A promise is not waited for.
   */
  transaction<A extends unknown[], T>(fn: (...args: A) => T): Transaction<A, T> {
    if (typeof fn !== "function") {
      throw new TypeError("Expected first argument to be a function");
    }
    this.#checkUsable();
    const kinds = {
      default: { value: this.#inTransaction("BEGIN", fn) },
      deferred: { value: this.#inTransaction("BEGIN DEFERRED", fn) },
      immediate: { value: this.#inTransaction("BEGIN IMMEDIATE", fn) },
      exclusive: { value: this.#inTransaction("BEGIN EXCLUSIVE", fn) },
    };
    for (const { value } of Object.values(kinds)) {
      Object.defineProperties(value, { ...kinds, database: { value: this, enumerable: true } });
    }
    return kinds.default.value as Transaction<A, T>;
  }

  clearQueryCache(): void {
    for (const statement of this.#cache.values()) statement.finalize();
    this.#cache.clear();
  }

  /**
   * Statements of `query` end at once; those of `prepare` when they are finalized, or at once too.
   * @param force whether those of `prepare` end now
   */
  close(force = false): void {
    this.#cache.clear();
    this.#connection.close(force);
  }

  [Symbol.dispose](): void {
    this.close(true);
  }

  #compile(
    sql: string,
    options: { readonly isCached: boolean; readonly params?: unknown },
  ): Statement {
    this.#checkUsable();
    checkText(sql);
    const cursor = new Cursor(this.#connection, sql, options);
    try {
      if (options.params !== undefined && options.params !== null) cursor.bind([options.params]);
    } catch (error) {
      cursor.finalize();
      throw error;
    }
    return new Statement(cursor);
  }

  #inTransaction<A extends unknown[], T>(begin: string, fn: (...args: A) => T) {
    const connection = this.#connection;
    const checkOpen = () => this.#checkOpen();
    return function transaction(this: unknown, ...args: A): T {
      checkOpen();
      const isNested = connection.inTransaction;
      try {
        connection.run(isNested ? `SAVEPOINT ${SAVEPOINT}` : begin);
        const result = fn.apply(this, args);
        connection.run(isNested ? `RELEASE ${SAVEPOINT}` : "COMMIT");
        return result;
      } catch (error) {
        // SQLite may have rolled back by itself.
        if (connection.inTransaction) {
          connection.run(
            isNested ? `ROLLBACK TO ${SAVEPOINT}; RELEASE ${SAVEPOINT}` : "ROLLBACK",
          );
        }
        throw error;
      }
    };
  }

  #checkOpen(): void {
    if (this.#connection.isClosed) throw new Error("Database has closed");
  }

  #checkUsable(): void {
    if (this.#connection.isClosed) throw new RangeError("Cannot use a closed database");
  }
}

function checkText(sql: unknown): void {
  if (typeof sql !== "string") throw new Error("Expected SQL string");
}

function bytesOfBuffer(serialized: unknown): Uint8Array {
  if (serialized instanceof ArrayBuffer || serialized instanceof SharedArrayBuffer) {
    return new Uint8Array(serialized);
  }
  throw new TypeError(
    `Expected 'serialized' to be a TypedArray or ArrayBuffer, got '${typeof serialized}'`,
  );
}

function flagsOf(options: DatabaseOptions): number {
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

function checkAnonymous(filename: string, flags: number): void {
  if (filename !== "" && filename !== ":memory:") {
    throw new SQLiteError(
      `cannot open "${filename}": this database lives in memory, ` +
        "files are written by the journal and the snapshot",
      CANNOT_OPEN,
    );
  }
  if ((flags & constants.SQLITE_OPEN_READONLY) !== 0) {
    throw new Error("Cannot open an anonymous database in read-only mode.");
  }
}
