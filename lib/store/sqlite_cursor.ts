/**
 * A compiled statement and its place in the results. Knows nothing of the `Statement` around it,
 * so that an unreachable one can be collected and its cursor finalized.
 */

import { type RawStatement, ROW, type SQLColumn, type Sqlite } from "./sqlite_module.ts";
import { Parameters } from "./sqlite_parameters.ts";
import { firstWord, touchesSchema } from "./sqlite_text.ts";

/** What a statement did. */
export interface Changes {
  /** Rows inserted, updated or deleted; those of triggers do not count. */
  changes: number;
  /** A `bigint` with `safeIntegers`. */
  lastInsertRowid: number | bigint;
}

/** What a cursor needs of its database. */
export interface CursorHost {
  readonly sqlite: Sqlite;
  readonly strict: boolean;
  readonly safeIntegers: boolean;
  /** Counts up whenever the schema may have changed. */
  readonly generation: number;
  /** @throws {TypeError} in the middle of a statement, when a function or hook of the user's runs */
  checkIdle(): void;
  prepare(sql: string): RawStatement;
  /** @throws what the result code means, if it is not a success */
  check(resultCode: number): void;
  /** A statement was ended. */
  noteEnd(): void;
  noteSchemaChange(): void;
  /** Whether a statement changes nothing itself, as `sqlite3_stmt_readonly` has it. */
  isReadonly(sql: string): boolean;
  /** What a statement that has just run to its end did. */
  changesOf(isCounted: boolean, safeIntegers: boolean): Changes;
  adopt(cursor: Cursor): void;
  release(cursor: Cursor): void;
}

interface Form {
  /** The wide parameters, as `Parameters.form` names them. */
  readonly name: string;
  readonly raw: RawStatement;
  readonly pointer: number;
}

/** Forms of one statement that are kept compiled; one for each set of wide parameters seen. */
const FORMS_MAX = 16;

const COUNTED = /^(?:insert|update|delete|replace)$/;

/** Whether SQLite counts the rows that this changes; of others the count of an earlier one stays. */
export function isCounted(host: CursorHost, sql: string): boolean {
  const word = firstWord(sql);
  return COUNTED.test(word) || (word === "with" && !host.isReadonly(sql));
}

export class Cursor {
  readonly host: CursorHost;
  /** Whether closing the database finalizes it at once, as with those of `query`. */
  readonly isCached: boolean;
  /** The text of this statement alone, without what followed it. */
  readonly sql: string;
  readonly paramsCount: number;
  safeIntegers: boolean;
  readonly #parameters: Parameters;
  readonly #touchesSchema: boolean;
  readonly #isCounted: boolean;
  /** Compiled forms by name; the plain one, under "", is always there. */
  readonly #forms = new Map<string, Form>();
  #newest: Form;
  /** The form that has the present values. */
  #bound: Form | undefined;
  #generation: number;
  #columnNames: string[];
  #active: Form | undefined;
  #prototype: object | undefined;
  #isPlain = true;
  #isReadonly: boolean | undefined;
  #isFinalized = false;
  #wasClosed = false;
  #runs = 0;

  constructor(host: CursorHost, sql: string, options: { readonly isCached: boolean }) {
    const raw = host.prepare(sql);
    this.host = host;
    this.isCached = options.isCached;
    this.safeIntegers = host.safeIntegers;
    this.sql = raw.getSQL();
    this.#newest = this.#keep("", raw);
    this.#generation = host.generation;
    this.#columnNames = raw.getColumnNames();
    this.prototype = undefined;
    this.#touchesSchema = touchesSchema(this.sql);
    this.#isCounted = isCounted(host, this.sql);
    this.#parameters = new Parameters(this.sql);
    this.paramsCount = this.#parameters.count;
    // Some pragmas act when they are compiled: later, asking would do it again.
    if (this.#touchesSchema) this.#isReadonly = host.isReadonly(this.sql);
    host.adopt(this);
  }

  get isFinalized(): boolean {
    return this.#isFinalized;
  }

  /** Whether it is running. */
  get isActive(): boolean {
    return this.#active !== undefined;
  }

  get columnNames(): readonly string[] {
    return this.#columnNames;
  }

  get isReadonly(): boolean {
    return this.#isReadonly ??= this.host.isReadonly(this.sql);
  }

  /** Rows become objects with this prototype; `undefined` for plain ones. */
  set prototype(prototype: object | undefined) {
    this.#prototype = prototype;
    this.#isPlain = prototype === undefined && !this.#columnNames.includes("__proto__");
  }

  checkLive(): void {
    this.host.checkIdle();
    if (!this.#isFinalized) return;
    throw new Error(this.#wasClosed ? "Database has closed" : "Statement has finalized");
  }

  /** Keeps what the arguments say for this and later runs; without arguments nothing changes. */
  bind(args: readonly unknown[]): void {
    if (args.length === 0) return;
    this.#bound = undefined;
    const { strict } = this.host;
    this.#parameters.set(args, { strict, safeIntegers: this.safeIntegers });
  }

  /** Begins a run and answers its number; whoever still reads an earlier one is told so. */
  start(): number {
    this.checkLive();
    this.#stop();
    this.#runs += 1;
    const form = this.#form();
    if (this.#bound !== form && this.paramsCount > 0) {
      this.#bound = undefined;
      this.host.check(this.#parameters.bindTo(this.host.sqlite, form.pointer));
      this.#bound = form;
    }
    if (this.#touchesSchema) this.host.noteSchemaChange();
    this.#active = form;
    return this.#runs;
  }

  /** Moves to the next row of the run; false after the last. */
  step(run: number): boolean {
    this.checkLive();
    const active = this.#active;
    if (run !== this.#runs || active === undefined) {
      throw new Error(
        "This iterator was invalidated: its statement was run again. " +
          "Use db.prepare() to get a statement with a cursor of its own.",
      );
    }
    return this.#advance(active);
  }

  #advance(form: Form): boolean {
    const resultCode = this.host.sqlite.step(form.pointer);
    if (resultCode === ROW) return true;
    this.host.check(resultCode);
    return false;
  }

  /** Ends the run, unless another has begun since. */
  finish(run: number): void {
    if (run === this.#runs) this.#stop();
  }

  #stop(): void {
    if (this.#active === undefined) return;
    this.host.sqlite.reset(this.#active.pointer);
    this.host.noteEnd();
    this.#active = undefined;
    if (this.#parameters.release(this.host.sqlite)) this.#bound = undefined;
  }

  /** Runs without reading a row. */
  runToEnd(): Changes {
    this.start();
    try {
      while (this.#active !== undefined && this.#advance(this.#active));
    } finally {
      this.#stop();
    }
    return this.host.changesOf(this.#isCounted, this.safeIntegers);
  }

  /** The current row's values, in the order of the columns. */
  values(): SQLColumn[] {
    const form = this.#active;
    if (form === undefined) return [];
    return this.host.sqlite.row(form.raw, form.pointer, this.safeIntegers);
  }

  /** The current row's values as the bytes that SQLite keeps: numbers have eight. */
  bytes(): (Uint8Array | null)[] {
    const form = this.#active;
    if (form === undefined) return [];
    return this.host.sqlite.row(form.raw, form.pointer, true).map((value, column) => {
      if (value === null) return null;
      if (typeof value === "object") return value;
      if (typeof value === "string") return form.raw.getBlob(column);
      const view = new DataView(new ArrayBuffer(8));
      if (typeof value === "bigint") view.setBigInt64(0, value, true);
      else view.setFloat64(0, value, true);
      return new Uint8Array(view.buffer);
    });
  }

  /** Types of the current row's values; all "NULL" after the last row. */
  columnTypes(): ReturnType<Sqlite["columnType"]>[] {
    const form = this.#active;
    if (form === undefined) return [];
    return this.#columnNames.map((_, at) => this.host.sqlite.columnType(form.pointer, at));
  }

  /** The current row as an object; of columns with the same name the last one counts. */
  row(): object {
    const form = this.#active;
    const names = this.#columnNames;
    const { sqlite } = this.host;
    const row: Record<string, unknown> = this.#prototype === undefined
      ? {}
      : Object.create(this.#prototype);
    for (let at = 0; at < names.length && form !== undefined; at += 1) {
      const name = names[at] ?? "";
      const value = sqlite.column(form.raw, form.pointer, at, this.safeIntegers);
      if (this.#isPlain) {
        row[name] = value;
      } else {
        // Not an assignment: neither a setter of the class nor that of `__proto__` may run.
        Object.defineProperty(row, name, {
          value,
          writable: true,
          enumerable: true,
          configurable: true,
        });
      }
    }
    return row;
  }

  /** The SQL with the bound values in it. */
  expand(): string {
    return this.#isFinalized ? "" : this.#parameters.expand();
  }

  finalize(options: { readonly wasClosed?: boolean } = {}): void {
    if (this.#isFinalized) return;
    this.#isFinalized = true;
    this.#wasClosed = options.wasClosed ?? false;
    this.#active = undefined;
    this.#freeForms();
    this.#parameters.free(this.host.sqlite);
    this.host.release(this);
  }

  #freeForms(): void {
    for (const { raw } of this.#forms.values()) raw.free();
    this.host.noteEnd();
    this.#forms.clear();
    this.#bound = undefined;
  }

  #keep(name: string, raw: RawStatement): Form {
    const form = { name, raw, pointer: this.host.sqlite.pointerOf(raw) };
    this.#forms.set(name, form);
    return form;
  }

  #form(): Form {
    if (this.#generation !== this.host.generation) this.#recompile();
    if (this.#bound !== undefined) return this.#bound;
    const name = this.#parameters.form;
    if (this.#newest.name === name) return this.#newest;
    let form = this.#forms.get(name);
    if (form === undefined) {
      if (this.#forms.size >= FORMS_MAX) this.#recompile();
      form = this.#keep(name, this.host.prepare(this.#parameters.formSql));
    }
    this.#newest = form;
    return form;
  }

  /** SQLite compiles again by itself, but then names and number of columns may be others. */
  #recompile(): void {
    const raw = this.host.prepare(this.sql);
    this.#freeForms();
    this.#newest = this.#keep("", raw);
    this.#generation = this.host.generation;
    this.#columnNames = raw.getColumnNames();
    this.prototype = this.#prototype;
  }
}
