/**
 * sql.js, and the part of SQLite's C interface that it exports. The only file that knows how the
 * two hang together; the rest of the adapter calls {@link Sqlite} and never sees the module.
 *
 * sql.js's own statements cost several times what SQLite does, for each call builds argument lists
 * and each text and blob is allocated; and its functions take and give doubles only. So rows are
 * read and parameters bound by the exported C functions, and three of them are replaced while
 * sql.js starts, before it takes hold of them. Its memory is not exported: a blob is read by sql.js.
 * A test holds each of these undocumented habits.
 */

// @ts-types="@types/sql.js"
import initSqlJs from "sql.js/dist/sql-wasm-inline.js";

/** An address in SQLite's memory. */
type Pointer = number;

/** A column's value as it is read; `bigint` only with `safeIntegers`. */
export type SQLColumn = string | number | bigint | Uint8Array | null;

/** The part of sql.js's statement that we use. */
export interface RawStatement {
  getColumnNames(): string[];
  getSQL(): string;
  /** Of the current row; reads a text as its bytes. */
  getBlob(column: number): Uint8Array;
  free(): void;
}

export interface RawAggregate {
  readonly init: () => unknown;
  readonly step: (state: never, ...args: RawArgument[]) => unknown;
  readonly finalize: (state: never) => null;
}

/** The part of sql.js's database that we use. */
export interface RawDatabase {
  prepare(sql: string): RawStatement;
  /** Frees each statement when it is asked for the next one. */
  iterateStatements(sql: string): Iterable<RawStatement>;
  run(sql: string): unknown;
  export(): Uint8Array<ArrayBuffer>;
  create_function(name: string, fn: (...args: RawArgument[]) => null): unknown;
  create_aggregate(name: string, functions: RawAggregate): unknown;
  close(): void;
  /** Called with every result code that is not a success; undocumented, so a test holds it. */
  handleError: (resultCode: number) => null;
}

/** What an SQL function is given; an `INTEGER` is always a `bigint`. */
export type RawArgument = string | number | bigint | Uint8Array | null;

/** What an SQL function gives: a `bigint` is an `INTEGER`, a `number` a `REAL`. */
export type RawResult = string | number | bigint | Uint8Array | null;

type UpdateCallback = (
  data: Pointer,
  operation: number,
  schema: Pointer,
  table: Pointer,
  rowid: bigint,
) => void;

interface Module {
  preRun: (() => void)[];
  useOldExtensionFunctions: boolean;
  Database: new (bytes: Uint8Array | undefined) => RawDatabase;
  _malloc(byteCount: number): Pointer;
  _free(at: Pointer): void;
  writeArrayToMemory(bytes: Uint8Array, at: Pointer): void;
  UTF8ToString(at: Pointer, bytesMax?: number, withNul?: boolean): string;
  lengthBytesUTF8(text: string): number;
  stringToNewUTF8(text: string): Pointer;
  addFunction(callback: UpdateCallback, signature: string): Pointer;
  removeFunction(at: Pointer): void;
  _sqlite3_sql(statement: Pointer): Pointer;
  _sqlite3_errmsg(database: Pointer): Pointer;
  _sqlite3_changes(database: Pointer): number;
  _sqlite3_update_hook(database: Pointer, callback: Pointer, data: Pointer): Pointer;
  _sqlite3_step(statement: Pointer): number;
  _sqlite3_reset(statement: Pointer): number;
  _sqlite3_data_count(statement: Pointer): number;
  _sqlite3_bind_int(statement: Pointer, index: number, value: number): number;
  _sqlite3_bind_double(statement: Pointer, index: number, value: number): number;
  _sqlite3_bind_text: Bind;
  _sqlite3_bind_blob: Bind;
  _sqlite3_column_type(statement: Pointer, column: number): number;
  _sqlite3_column_double(statement: Pointer, column: number): number;
  _sqlite3_column_text(statement: Pointer, column: number): Pointer;
  _sqlite3_column_bytes(statement: Pointer, column: number): number;
  _sqlite3_value_type(value: Pointer): number;
  _sqlite3_value_text(value: Pointer): Pointer;
  _sqlite3_value_double(value: Pointer): RawArgument;
  _sqlite3_result_null(context: Pointer): void;
  _sqlite3_result_int64(context: Pointer, value: bigint): void;
  _sqlite3_result_double(context: Pointer, value: number): void;
  _sqlite3_result_text(context: Pointer, at: Pointer, byteCount: number, free: number): void;
  _sqlite3_result_blob(context: Pointer, at: Pointer, byteCount: number, free: number): void;
  _sqlite3_create_function_v2(
    database: Pointer,
    name: Pointer,
    argumentCount: number,
    flags: number,
    ...callbacks: Pointer[]
  ): number;
}

type Bind = (
  statement: Pointer,
  index: number,
  at: Pointer,
  byteCount: number,
  free: number,
) => number;

export const ROW = 100;
export const DONE = 101;

/** Types of values (sqlite.org/c3ref/c_blob.html). */
const INTEGER = 1;
const FLOAT = 2;
const TEXT = 3;
const BLOB = 4;
const TYPE_NAMES = ["NULL", "INTEGER", "FLOAT", "TEXT", "BLOB", "NULL"] as const;

/** SQLite copies the bytes before the call returns. */
const TRANSIENT = -1;

/** SQLite's functions, under our names. */
export class Sqlite {
  readonly step: (statement: Pointer) => number;
  readonly reset: (statement: Pointer) => number;
  readonly bindInt: (statement: Pointer, index: number, value: number) => number;
  readonly bindDouble: (statement: Pointer, index: number, value: number) => number;
  /** The bytes must stay where they are for as long as they are bound. */
  readonly bindText: Bind;
  readonly bindBlob: Bind;
  /** Rows that the last INSERT, UPDATE or DELETE changed. */
  readonly changes: (database: Pointer) => number;
  readonly allocate: (byteCount: number) => Pointer;
  readonly free: (at: Pointer) => void;
  readonly write: (bytes: Uint8Array, at: Pointer) => void;
  /** What the SQL function that returns next gives; sql.js itself is always given a null. */
  result: RawResult = null;
  readonly #module: Module;
  #pointer: Pointer = 0;
  #flags = 0;

  private constructor(module: Module) {
    this.#module = module;
    this.#observe();
    this.step = module._sqlite3_step;
    this.reset = module._sqlite3_reset;
    this.bindInt = module._sqlite3_bind_int;
    this.bindDouble = module._sqlite3_bind_double;
    this.bindText = module._sqlite3_bind_text;
    this.bindBlob = module._sqlite3_bind_blob;
    this.changes = module._sqlite3_changes;
    this.allocate = module._malloc;
    this.free = module._free;
    this.write = module.writeArrayToMemory;
  }

  static async load(): Promise<Sqlite> {
    let sqlite: Sqlite | undefined;
    const config: Partial<Module> = {
      // Otherwise sql.js replaces SQLite's mathematical functions by older ones of its own.
      useOldExtensionFunctions: false,
      preRun: [() => sqlite = new Sqlite(config as Module)],
    };
    await initSqlJs(config as Parameters<typeof initSqlJs>[0]);
    if (sqlite === undefined) throw new Error("cannot load SQLite: sql.js did not call preRun");
    return sqlite;
  }

  open(bytes: Uint8Array | undefined): { raw: RawDatabase; pointer: Pointer } {
    const raw = new this.#module.Database(bytes);
    try {
      raw.handleError(1);
    } catch {
      // Only asked for to see which database it asks the message of.
    }
    return { raw, pointer: this.#pointer };
  }

  pointerOf(statement: RawStatement): Pointer {
    statement.getSQL();
    return this.#pointer;
  }

  bindNull(statement: Pointer, index: number): number {
    return this.bindBlob(statement, index, 0, 0, 0);
  }

  /** The current row of a statement. */
  row(raw: RawStatement, statement: Pointer, useBigInt: boolean): SQLColumn[] {
    const row: SQLColumn[] = [];
    const count = this.#module._sqlite3_data_count(statement);
    for (let column = 0; column < count; column += 1) {
      row.push(this.column(raw, statement, column, useBigInt));
    }
    return row;
  }

  column(raw: RawStatement, statement: Pointer, column: number, useBigInt: boolean): SQLColumn {
    const module = this.#module;
    switch (module._sqlite3_column_type(statement, column)) {
      case INTEGER:
        return useBigInt
          ? BigInt(this.#text(statement, column))
          : module._sqlite3_column_double(statement, column);
      case FLOAT:
        return module._sqlite3_column_double(statement, column);
      case TEXT:
        return this.#text(statement, column);
      case BLOB:
        return raw.getBlob(column);
      default:
        return null;
    }
  }

  columnType(statement: Pointer, column: number): (typeof TYPE_NAMES)[number] {
    return TYPE_NAMES[this.#module._sqlite3_column_type(statement, column)] ?? "NULL";
  }

  defineFunction(work: () => void, options: { deterministic: boolean; directOnly: boolean }): void {
    this.#flags = (options.deterministic ? 0x800 : 0) | (options.directOnly ? 0x80000 : 0);
    try {
      work();
    } finally {
      this.#flags = 0;
    }
  }

  /** @returns how to take the hook away again */
  hookUpdates(
    database: Pointer,
    hook: (operation: number, schema: string, table: string, rowid: bigint) => void,
  ): () => void {
    const module = this.#module;
    const callback = module.addFunction((_data, operation, schema, table, rowid) => {
      hook(operation, module.UTF8ToString(schema), module.UTF8ToString(table), rowid);
    }, "viiiij");
    module._sqlite3_update_hook(database, callback, 0);
    return () => {
      module._sqlite3_update_hook(database, 0, 0);
      module.removeFunction(callback);
    };
  }

  #text(statement: Pointer, column: number): string {
    const module = this.#module;
    const at = module._sqlite3_column_text(statement, column);
    return module.UTF8ToString(at, module._sqlite3_column_bytes(statement, column), true);
  }

  /** Before sql.js takes hold of these functions: it keeps some of them, looks up others. */
  #observe(): void {
    const module = this.#module;
    // sql.js keeps pointers under names that change with every build of it, but passes them on.
    const { _sqlite3_sql: sql, _sqlite3_errmsg: message } = module;
    module._sqlite3_sql = (statement) => sql(this.#pointer = statement);
    module._sqlite3_errmsg = (database) => message(this.#pointer = database);
    const { _sqlite3_value_double: read, _sqlite3_create_function_v2: create } = module;
    module._sqlite3_value_double = (value) =>
      module._sqlite3_value_type(value) === INTEGER
        ? BigInt(module.UTF8ToString(module._sqlite3_value_text(value)))
        : read(value);
    module._sqlite3_create_function_v2 = (database, name, count, flags, ...callbacks) =>
      create(database, name, count, flags | this.#flags, ...callbacks);
    const nothing = module._sqlite3_result_null;
    module._sqlite3_result_null = (context) => {
      if (!this.#answer(context)) nothing(context);
    };
  }

  #answer(context: Pointer): boolean {
    const { result } = this;
    const module = this.#module;
    this.result = null;
    if (result === null) return false;
    if (typeof result === "bigint") {
      module._sqlite3_result_int64(context, result);
    } else if (typeof result === "number") {
      module._sqlite3_result_double(context, result);
    } else if (typeof result === "string") {
      const at = module.stringToNewUTF8(result);
      module._sqlite3_result_text(context, at, module.lengthBytesUTF8(result), TRANSIENT);
      module._free(at);
    } else {
      const at = module._malloc(Math.max(result.length, 1));
      module.writeArrayToMemory(result, at);
      module._sqlite3_result_blob(context, at, result.length, TRANSIENT);
      module._free(at);
    }
    return true;
  }
}

let loading: Promise<Sqlite> | undefined;
let loaded: Sqlite | undefined;

/** Compiles SQLite; to be awaited once before the first `new Database()`, more often does no harm. */
export async function loadSqlite(): Promise<void> {
  loading ??= Sqlite.load();
  loaded = await loading;
}

/** @throws {Error} before {@link loadSqlite} */
export function sqliteModule(): Sqlite {
  if (loaded !== undefined) return loaded;
  throw new Error("cannot open a database: SQLite is not loaded, await loadSqlite() first");
}
