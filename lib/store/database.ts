/**
 * SQLite with the interface of `bun:sqlite`, over sql.js, so that code written for one runs on the
 * other. A database lives in memory: it comes from bytes and goes to bytes (`serialize`); making
 * them last is the journal's and the snapshot's business. `await loadSqlite()` comes first.
 *
 * What differs from `bun:sqlite` is in `docs/sqlite.md`.
 *
 * Start reading at {@link Database}; statements are in `statement.ts`, what both do it with in the
 * files `sqlite_*.ts`.
 */

import { Buffer } from "node:buffer";
import { Connection } from "./sqlite_connection.ts";
import { type Changes, Cursor } from "./sqlite_cursor.ts";
import { fileControl } from "./sqlite_file_control.ts";
import {
  type AggregateOptions,
  type FunctionOptions,
  Functions,
  type SQLFunction,
} from "./sqlite_functions.ts";
import { checkAnonymous, type DatabaseOptions, flagsOf } from "./sqlite_options.ts";
import { makeTransaction, type Transaction } from "./sqlite_transaction.ts";
import { unsupported } from "./sqlite_unsupported.ts";
import { type SQLQueryBindings, Statement } from "./statement.ts";

export { constants } from "./sqlite_constants.ts";
export { SQLiteError } from "./sqlite_error.ts";
export type { AggregateOptions, FunctionOptions, SQLFunctionResult } from "./sqlite_functions.ts";
export { loadSqlite } from "./sqlite_module.ts";
export type { DatabaseOptions } from "./sqlite_options.ts";
export type { Transaction } from "./sqlite_transaction.ts";
export {
  type Changes,
  type SQLBindable,
  type SQLColumn,
  type SQLQueryBindings,
  Statement,
} from "./statement.ts";
export { Database as default };

/** What is called after a row has changed; `this` is the database too. */
export type UpdateHook = (
  this: Database,
  database: Database,
  tableName: string,
  rowid: number | bigint,
  schemaName: string,
) => void;

type Hooks = Partial<Record<"insert" | "update" | "delete", UpdateHook>>;

const unreachable = new FinalizationRegistry<Connection>((connection) => connection.abandon());

let handles = 0;

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
  /** Last in the cache. */
  #newest: { readonly sql: string; readonly statement: Statement } | undefined;
  readonly #handle = handles++;
  readonly #isOfBytes: boolean;
  readonly #functions: Functions;
  readonly #hooks: Hooks = {};

  /**
   * @param source `":memory:"`, `""` or nothing for an empty database, or what `serialize` made
   * @throws {SQLiteError} `SQLITE_CANTOPEN` for the name of a file
   */
  constructor(source?: string | ArrayBufferView, options?: DatabaseOptions | number) {
    const wanted = typeof options === "object" && options !== null ? options : {};
    const { strict, safeIntegers } = wanted;
    const modes = { strict: Boolean(strict), safeIntegers: Boolean(safeIntegers) };
    this.#isOfBytes = ArrayBuffer.isView(source);
    if (ArrayBuffer.isView(source)) {
      if (source.byteLength === 0) throw new Error("ArrayBuffer must not be empty");
      const bytes = new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
      this.filename = ":memory:";
      this.#connection = new Connection(bytes, { ...modes, readonly: Boolean(wanted.readonly) });
    } else {
      if (source !== undefined && typeof source !== "string") {
        throw new TypeError(`Expected 'filename' to be a string, got '${typeof source}'`);
      }
      this.filename = (source ?? ":memory:").trim();
      const flags = typeof options === "number" ? options : flagsOf(wanted);
      checkAnonymous(this.filename, flags);
      this.#connection = new Connection(undefined, { ...modes, readonly: false });
    }
    this.#functions = new Functions(this.#connection);
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

  /**
   * There is one SQLite, the one that sql.js brought.
   * @returns false: nothing was loaded
   */
  static setCustomSQLite(path: string): boolean {
    if (typeof path !== "string") throw new Error("Expected SQLite path");
    return false;
  }

  /** A number that no other database of this process has. */
  get handle(): number {
    this.#connection.checkIdle();
    return this.#handle;
  }

  get inTransaction(): boolean {
    this.#connection.checkOpen();
    return this.#connection.inTransaction;
  }

  /**
   * The whole database as bytes that the `sqlite3` program can read. Statements go on working.
   * @throws {SQLiteError} `SQLITE_BUSY` in a transaction that has written
   */
  serialize(name = "main"): Buffer {
    this.#connection.checkIdle();
    if (this.#connection.isClosed) throw new Error("Can't do this on a closed database");
    if (name !== "main") throw unsupported("Database.serialize(name)", `serialize "${name}"`);
    const bytes = this.#connection.export();
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Runs every statement in the text; the first one gets the parameters. */
  run(sql: string, ...params: SQLQueryBindings[]): Changes {
    this.#connection.checkOpen();
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
    const statement = this.#cached(sql);
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
    return makeTransaction(fn, { database: this, connection: this.#connection });
  }

  /**
   * Defines an SQL function. Its number of parameters is the number of arguments; one with the same
   * name and number is replaced. What it throws ends the query and is thrown by it. While it runs,
   * this database and its statements throw.
   * @param options may be left out
   */
  function(name: string, fn: SQLFunction): this;
  function(name: string, options: FunctionOptions, fn: SQLFunction): this;
  function(name: string, optionsOrFn: FunctionOptions | SQLFunction, fn?: SQLFunction): this {
    this.#connection.checkIdle();
    this.#functions.define(name, optionsOrFn, fn);
    return this;
  }

  /** Defines an SQL aggregate, called for each row of a group; else as `function`. */
  aggregate<T = unknown>(name: string, options: AggregateOptions<T>): this {
    this.#connection.checkIdle();
    this.#functions.aggregate(name, options);
    return this;
  }

  /**
   * Called for each row inserted, while the statement runs: this database and its statements throw
   * meanwhile. SQLite tells neither of tables without row ids nor of rows that `REPLACE` removes.
   */
  get onInsert(): UpdateHook | null {
    return this.#hook("insert");
  }

  set onInsert(hook: UpdateHook | null | undefined) {
    this.#setHook("insert", hook);
  }

  /** With the row id after the update; else as `onInsert`. */
  get onUpdate(): UpdateHook | null {
    return this.#hook("update");
  }

  set onUpdate(hook: UpdateHook | null | undefined) {
    this.#setHook("update", hook);
  }

  /** Not called by a `DELETE` without `WHERE` and triggers; else as `onInsert`. */
  get onDelete(): UpdateHook | null {
    return this.#hook("delete");
  }

  set onDelete(hook: UpdateHook | null | undefined) {
    this.#setHook("delete", hook);
  }

  /** Result codes of `sqlite3_file_control` for a database without a file. */
  fileControl(op: number, arg?: ArrayBufferView | number | null): number;
  fileControl(schema: string, op: number, arg?: ArrayBufferView | number | null): number;
  fileControl(...args: unknown[]): number {
    this.#connection.checkOpen();
    return fileControl(args, { isOfBytes: this.#isOfBytes });
  }

  /** Not to be had; here so that code written for `bun:sqlite` is told. */
  loadExtension(extension: string, _entryPoint?: string): void {
    if (typeof extension !== "string") throw new TypeError("Expected string");
    throw unsupported("Database.loadExtension", `load the extension "${extension}"`);
  }

  clearQueryCache(): void {
    this.#connection.checkIdle();
    this.#newest = undefined;
    for (const statement of this.#cache.values()) statement.finalize();
    this.#cache.clear();
  }

  /**
   * Statements of `query` end at once; those of `prepare` when they are finalized, or at once too.
   * @param force whether those of `prepare` end now
   */
  close(force = false): void {
    this.#connection.checkIdle();
    this.#newest = undefined;
    this.#cache.clear();
    this.#connection.close(force);
  }

  [Symbol.dispose](): void {
    this.close(true);
  }

  /** How many statements `query` keeps at present, under the name that the interface has for it. */
  get [Symbol.for("Bun.Database.cache.count")](): number {
    return this.#cache.size;
  }

  /** By this, libraries tell the interfaces of several runtimes apart. */
  get [Symbol.for("sqlite-type")](): string {
    return "bun:sqlite";
  }

  #cached(sql: string): Statement {
    if (this.#newest?.sql === sql && !this.#newest.statement.isFinalized) {
      return this.#newest.statement;
    }
    let statement = this.#cache.get(sql);
    this.#cache.delete(sql);
    if (statement === undefined || statement.isFinalized) {
      statement = this.#compile(sql, { isCached: true });
    }
    const sizeMax = Database.MAX_QUERY_CACHE_SIZE;
    if (sizeMax <= 0 || sql.length > Database.#cachedTextMax) return statement;
    if (this.#cache.size >= sizeMax) {
      for (const oldest of this.#cache.keys()) {
        this.#cache.delete(oldest);
        break;
      }
    }
    this.#cache.set(sql, statement);
    this.#newest = { sql, statement };
    return statement;
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

  #hook(kind: keyof Hooks): UpdateHook | null {
    this.#connection.checkIdle();
    return this.#hooks[kind] ?? null;
  }

  #setHook(kind: keyof Hooks, hook: UpdateHook | null | undefined): void {
    if (typeof hook !== "function" && hook !== null && hook !== undefined) {
      throw new TypeError("Expected a function or null");
    }
    this.#connection.checkOpen();
    if (hook) this.#hooks[kind] = hook;
    else delete this.#hooks[kind];
    // Not the database itself: SQLite would keep it from being collected.
    const weak = new WeakRef(this);
    const isWanted = Object.keys(this.#hooks).length > 0;
    this.#connection.listen(
      isWanted
        ? (kind, { table, rowid, schema }) => {
          const database = weak.deref();
          if (database === undefined) return;
          database.#hooks[kind]?.call(database, database, table, rowid, schema);
        }
        : undefined,
    );
  }

  #checkUsable(): void {
    this.#connection.checkIdle();
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
