/**
 * Prepared statements with the interface of `bun:sqlite`, over the statements of sql.js.
 *
 * sql.js has no 64-bit binding: numbers beyond 32 bits become doubles, bigints text. Where such a
 * value is bound, a second form of the statement is compiled in which its parameter reads
 * `(+CAST(? AS INTEGER))`; the plus takes away the affinity that the cast gives, so that comparisons
 * and stored types are those of a bound integer.
 *
 * Start reading at {@link Statement}; {@link Cursor} does the work.
 */

type SqlValue = number | string | Uint8Array | null;

/** What a single parameter may be. */
export type SQLBindable =
  | string
  | number
  | bigint
  | boolean
  | ArrayBufferView
  | ArrayBufferLike
  | null
  | undefined;

/** What `get`, `all`, `run`, … take: values one by one, an array of them, or an object of named ones. */
export type SQLQueryBindings =
  | SQLBindable
  | readonly SQLBindable[]
  | { readonly [name: string]: SQLBindable };

/** A column's value as it is read; `bigint` only with `safeIntegers`. */
export type SQLColumn = string | number | bigint | Uint8Array | null;

/** What a statement did. */
export interface Changes {
  /** Rows inserted, updated or deleted; those of triggers do not count. */
  changes: number;
  /** A `bigint` with `safeIntegers`. */
  lastInsertRowid: number | bigint;
}

/** The part of sql.js's statement that we use. */
export interface RawStatement {
  bind(values: SqlValue[]): boolean;
  step(): boolean;
  get(params: null, config: { useBigInt: boolean }): SQLColumn[];
  getColumnNames(): string[];
  getSQL(): string;
  reset(): void;
  free(): void;
}

/** What a statement needs of its database. */
export interface StatementHost {
  readonly strict: boolean;
  readonly safeIntegers: boolean;
  /** Counts up whenever the schema may have changed. */
  readonly generation: number;
  prepare(sql: string): RawStatement;
  /** Runs `work` and tells what it changed. */
  countChanges(safeIntegers: boolean, work: () => void): Changes;
  /** A statement begins to run. */
  noteStart(): void;
  noteSchemaChange(): void;
  adopt(cursor: Cursor): void;
  release(cursor: Cursor): void;
}

type Cast = "" | "INTEGER" | "REAL";

interface Parameter {
  readonly start: number;
  readonly end: number;
  /** From 1. */
  readonly index: number;
  /** With its prefix; empty for a plain `?`. */
  readonly name: string;
}

/** SQLite's tokens, as far as is needed to tell parameters from text, names and comments. */
const TOKENS = new RegExp(
  [
    /'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]/,
    /--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)/,
    /(?<parameter>\?\d*|[$@:](?:[\w$\u0080-\uffff]|::)+(?:\([^\s)]*\))?)/,
    /[\w$\u0080-\uffff]+/,
  ].map((pattern) => pattern.source).join("|"),
  "g",
);

function parseParameters(sql: string): Parameter[] {
  const parameters: Parameter[] = [];
  const indexOf = new Map<string, number>();
  let last = 0;
  for (const match of sql.matchAll(TOKENS)) {
    const name = match.groups?.parameter;
    if (name === undefined) continue;
    const numbered = name.startsWith("?") && name.length > 1;
    const index = numbered ? Number(name.slice(1)) : indexOf.get(name) ?? last + 1;
    if (name !== "?") indexOf.set(name, index);
    last = Math.max(last, index);
    const end = match.index + name.length;
    parameters.push({ start: match.index, end, index, name: name === "?" ? "" : name });
  }
  return parameters;
}

function replaceParameters(
  sql: string,
  parameters: readonly Parameter[],
  replace: (parameter: Parameter, text: string) => string,
): string {
  let whole = "";
  let at = 0;
  for (const parameter of parameters) {
    whole += sql.slice(at, parameter.start);
    whole += replace(parameter, sql.slice(parameter.start, parameter.end));
    at = parameter.end;
  }
  return whole + sql.slice(at);
}

/** Whether running this may change what other statements mean; rather too often than too rarely. */
export function touchesSchema(sql: string): boolean {
  return /\b(?:create|alter|drop|attach|detach|rollback|pragma|vacuum|reindex|analyze)\b/i.test(
    sql,
  );
}

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;

/** The value as sql.js takes it, and the cast that makes it what it was. */
function encodeValue(value: unknown, safeIntegers: boolean): readonly [SqlValue, Cast] {
  switch (typeof value) {
    case "string":
      return [value.toWellFormed(), ""];
    case "boolean":
      return [value ? 1 : 0, ""];
    case "number":
      if (Object.is(value, -0)) return ["-0.0", "REAL"];
      return [value, Number.isSafeInteger(value) && (value | 0) !== value ? "INTEGER" : ""];
    case "bigint": {
      if (safeIntegers && (value < INT64_MIN || value > INT64_MAX)) {
        throw new RangeError(`BigInt value '${value}' is out of range`);
      }
      const wrapped = BigInt.asIntN(64, value);
      const isShort = BigInt.asIntN(32, wrapped) === wrapped;
      return isShort ? [Number(wrapped), ""] : [String(wrapped), "INTEGER"];
    }
    case "undefined":
      return [null, ""];
    case "object": {
      const bytes = value === null ? null : bytesOf(value);
      if (bytes !== undefined) return [bytes, ""];
    }
  }
  throw new TypeError(
    "Binding expected string, TypedArray, boolean, number, bigint or null",
  );
}

function bytesOf(value: object): Uint8Array | undefined {
  if (ArrayBuffer.isView(value)) {
    return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  }
  const isBuffer = value instanceof ArrayBuffer || value instanceof SharedArrayBuffer;
  return isBuffer ? new Uint8Array(value) : undefined;
}

/** Whether an argument names parameters: a plain object or an instance of an ordinary class. */
function isNamed(argument: unknown): argument is object {
  const tag = Object.prototype.toString.call(argument);
  return tag === "[object Object]" || tag === "[object Arguments]";
}

/** The value as SQL, in the words of `sqlite3_expanded_sql`. */
function literalOf(value: SqlValue, cast: Cast): string {
  if (value === null) return "NULL";
  if (typeof value === "number") {
    return Number.isSafeInteger(value) ? String(value) : realLiteralOf(value);
  }
  if (cast !== "") return cast === "REAL" ? "0.0" : String(value);
  if (typeof value === "string") {
    return `'${value.replace(/\0[^]*/, "").replaceAll("'", "''")}'`;
  }
  return `x'${value.reduce((hex, byte) => hex + byte.toString(16).padStart(2, "0"), "")}'`;
}

/** C's `%!.15g`. */
function realLiteralOf(value: number): string {
  if (Number.isNaN(value)) return "NULL";
  if (!Number.isFinite(value)) return value > 0 ? "Inf" : "-Inf";
  const [mantissa = "", exponent = ""] = value.toExponential(14).split("e");
  const power = Number(exponent);
  const isFixed = power >= -4 && power < 15;
  const text = isFixed ? value.toPrecision(15) : mantissa;
  const short = text.includes(".") ? text.replace(/\.?0+$/, "") : text;
  const decimal = short.includes(".") ? short : `${short}.0`;
  if (isFixed) return decimal;
  return `${decimal}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
}

/** Forms of one statement that are kept compiled; one for each set of wide parameters seen. */
const FORMS_MAX = 16;

/**
 * A compiled statement and its place in the results. Knows nothing of the {@link Statement} around
 * it, so that an unreachable one can be collected and its cursor finalized.
 */
export class Cursor {
  readonly host: StatementHost;
  /** Whether closing the database finalizes it at once, as with those of `query`. */
  readonly isCached: boolean;
  readonly paramsCount: number;
  safeIntegers: boolean;
  readonly #parameters: readonly Parameter[];
  readonly #sql: string;
  readonly #touchesSchema: boolean;
  /** Compiled forms, by the casts in them; the plain one, under "", is always there. */
  readonly #forms = new Map<string, RawStatement>();
  #generation: number;
  #columnNames: string[];
  #values: SqlValue[];
  #casts: Cast[];
  #active: RawStatement | undefined;
  #prototype: object | undefined;
  #isFinalized = false;
  #wasClosed = false;
  #runs = 0;

  constructor(host: StatementHost, sql: string, options: { readonly isCached: boolean }) {
    const raw = host.prepare(sql);
    this.host = host;
    this.isCached = options.isCached;
    this.safeIntegers = host.safeIntegers;
    this.#sql = raw.getSQL();
    this.#forms.set("", raw);
    this.#generation = host.generation;
    this.#columnNames = raw.getColumnNames();
    this.#touchesSchema = touchesSchema(this.#sql);
    this.#parameters = parseParameters(this.#sql);
    this.paramsCount = this.#parameters.reduce((most, { index }) => Math.max(most, index), 0);
    this.#values = new Array<SqlValue>(this.paramsCount).fill(null);
    this.#casts = new Array<Cast>(this.paramsCount).fill("");
    host.adopt(this);
  }

  /** The text of this statement alone, without what followed it. */
  get sql(): string {
    return this.#sql;
  }

  get isFinalized(): boolean {
    return this.#isFinalized;
  }

  get columnNames(): string[] {
    return [...this.#columnNames];
  }

  /** Rows become objects with this prototype; `undefined` for plain ones. */
  set prototype(prototype: object | undefined) {
    this.#prototype = prototype;
  }

  checkLive(): void {
    if (!this.#isFinalized) return;
    throw new Error(this.#wasClosed ? "Database has closed" : "Statement has finalized");
  }

  /** Keeps what the arguments say for this and later runs; without arguments nothing changes. */
  bind(args: readonly unknown[]): void {
    if (args.length === 0) return;
    this.#values.fill(null);
    this.#casts.fill("");
    const first = args[0];
    if (isNamed(first)) return this.#bindNamed(first);
    const list: readonly unknown[] = Array.isArray(first) ? first : args;
    if (list.length === 0) return;
    if (list.length !== this.paramsCount) {
      throw new Error(
        `SQLite query expected ${this.paramsCount} values, received ${list.length}`,
      );
    }
    for (let at = 0; at < list.length; at += 1) this.#bindValue(at + 1, list[at]);
  }

  #bindNamed(named: object): void {
    const byName = named as Readonly<Record<string, unknown>>;
    for (const { index, name } of this.#parameters) {
      const bare = name === "" || name.startsWith("?") ? String(index - 1) : name.slice(1);
      const keys = this.host.strict ? [bare, name] : [name, bare];
      const key = keys.find((key) => key !== "" && Object.hasOwn(named, key));
      if (key !== undefined) {
        this.#bindValue(index, byName[key]);
      } else if (this.host.strict) {
        const shown = name === "" || name.startsWith("?") ? `?${index}` : bare;
        throw new Error(`Missing parameter "${shown}"`);
      }
    }
  }

  #bindValue(index: number, value: unknown): void {
    const [encoded, cast] = encodeValue(value, this.safeIntegers);
    this.#values[index - 1] = encoded;
    this.#casts[index - 1] = cast;
  }

  /** Begins a run and answers its number; whoever still reads an earlier one is told so. */
  start(): number {
    this.checkLive();
    this.#active?.reset();
    this.#active = undefined;
    this.#runs += 1;
    const raw = this.#form();
    raw.bind(this.#values);
    this.host.noteStart();
    if (this.#touchesSchema) this.host.noteSchemaChange();
    this.#active = raw;
    return this.#runs;
  }

  /** Moves to the next row of the run; false after the last. */
  step(run: number): boolean {
    this.checkLive();
    if (run !== this.#runs || this.#active === undefined) {
      throw new Error(
        "This iterator was invalidated: its statement was run again. " +
          "Use db.prepare() to get a statement with a cursor of its own.",
      );
    }
    return this.#active.step();
  }

  /** Ends the run, unless another has begun since. */
  finish(run: number): void {
    if (run !== this.#runs || this.#active === undefined) return;
    this.#active.reset();
    this.#active = undefined;
  }

  runToEnd(): void {
    const run = this.start();
    try {
      while (this.step(run));
    } finally {
      this.finish(run);
    }
  }

  /** The current row's values, in the order of the columns. */
  values(): SQLColumn[] {
    return this.#active?.get(null, { useBigInt: this.safeIntegers }) ?? [];
  }

  /** The current row as an object; of columns with the same name the last one counts. */
  row(): object {
    const values = this.values();
    const row: Record<string, unknown> = Object.create(this.#prototype ?? Object.prototype);
    for (const [at, name] of this.#columnNames.entries()) {
      if (this.#prototype === undefined && name !== "__proto__") {
        row[name] = values[at];
      } else {
        // Not an assignment: neither a setter of the class nor that of `__proto__` may run.
        Object.defineProperty(row, name, {
          value: values[at],
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
    if (this.#isFinalized) return "";
    return replaceParameters(
      this.#sql,
      this.#parameters,
      ({ index }) => literalOf(this.#values[index - 1] ?? null, this.#casts[index - 1] ?? ""),
    );
  }

  finalize(options: { readonly wasClosed?: boolean } = {}): void {
    if (this.#isFinalized) return;
    this.#isFinalized = true;
    this.#wasClosed = options.wasClosed ?? false;
    this.#active = undefined;
    this.#freeForms();
    this.host.release(this);
  }

  #freeForms(): void {
    for (const raw of this.#forms.values()) raw.free();
    this.#forms.clear();
  }

  #form(): RawStatement {
    if (this.#generation !== this.host.generation) this.#recompile();
    const key = this.#casts.some((cast) => cast !== "") ? this.#casts.join() : "";
    const known = this.#forms.get(key);
    if (known !== undefined) return known;
    if (this.#forms.size >= FORMS_MAX) this.#recompile();
    const casts = this.#casts;
    const sql = replaceParameters(this.#sql, this.#parameters, ({ index }, text) => {
      const cast = casts[index - 1] ?? "";
      return cast === "" ? text : `(+CAST(${text} AS ${cast}))`;
    });
    const raw = this.host.prepare(sql);
    this.#forms.set(key, raw);
    return raw;
  }

  /** SQLite compiles again by itself, but then names and number of columns may be others. */
  #recompile(): void {
    const raw = this.host.prepare(this.#sql);
    this.#freeForms();
    this.#forms.set("", raw);
    this.#generation = this.host.generation;
    this.#columnNames = raw.getColumnNames();
  }
}

const unreachable = new FinalizationRegistry<Cursor>((cursor) => cursor.finalize());

/** A prepared statement; made by `Database.query` and `Database.prepare`. */
export class Statement<
  ReturnType = unknown,
  ParamsType extends readonly SQLQueryBindings[] = SQLQueryBindings[],
> implements Disposable {
  readonly #cursor: Cursor;

  constructor(cursor: Cursor) {
    this.#cursor = cursor;
    unreachable.register(this, cursor);
  }

  /** The first row, or null. */
  get(...params: ParamsType): ReturnType | null {
    return this.#run(params, (run) => this.#cursor.step(run) ? this.#row() : null);
  }

  all(...params: ParamsType): ReturnType[] {
    return this.#collect(params, () => this.#row());
  }

  /** All rows as arrays, in the order of the columns. */
  values(...params: ParamsType): SQLColumn[][] {
    return this.#collect(params, () => this.#cursor.values());
  }

  run(...params: ParamsType): Changes {
    const cursor = this.#cursor;
    cursor.checkLive();
    return cursor.host.countChanges(cursor.safeIntegers, () => {
      this.#collect(params, () => undefined);
    });
  }

  /** Reads row by row. Running the statement again before the end makes the iterator throw. */
  *iterate(...params: ParamsType): Generator<ReturnType, undefined, undefined> {
    const run = this.#start(params);
    try {
      while (this.#cursor.step(run)) yield this.#row();
    } finally {
      this.#cursor.finish(run);
    }
  }

  [Symbol.iterator](): Generator<ReturnType, undefined, undefined> {
    return (this as unknown as Statement<ReturnType, []>).iterate();
  }

  /** Rows become instances of the class, without its constructor being called. */
  as<T = unknown>(Class: (new (...args: never[]) => T) | undefined): Statement<T, ParamsType> {
    if (Class !== undefined && typeof Class !== "function") {
      throw new TypeError("Expected class to be a constructor or undefined");
    }
    const prototype: unknown = Class?.prototype;
    if (Class !== undefined && (typeof prototype !== "object" || prototype === null)) {
      throw new TypeError("Expected a constructor");
    }
    this.#cursor.prototype = prototype as object | undefined;
    return this as unknown as Statement<T, ParamsType>;
  }

  /** With an argument: whether integers are read as `bigint`. Without: whether they are. */
  safeIntegers(): boolean;
  safeIntegers(enabled: boolean): this;
  safeIntegers(enabled?: boolean): this | boolean {
    this.#cursor.checkLive();
    if (enabled === undefined) return this.#cursor.safeIntegers;
    this.#cursor.safeIntegers = Boolean(enabled);
    return this;
  }

  get columnNames(): string[] {
    this.#cursor.checkLive();
    return this.#cursor.columnNames;
  }

  get paramsCount(): number {
    this.#cursor.checkLive();
    return this.#cursor.paramsCount;
  }

  get isFinalized(): boolean {
    return this.#cursor.isFinalized;
  }

  finalize(): void {
    this.#cursor.finalize();
  }

  /** The SQL with the bound values in it; empty once finalized. */
  toString(): string {
    return this.#cursor.expand();
  }

  toJSON(): { sql: string; isFinalized: boolean; paramsCount: number; columnNames: string[] } {
    const { isFinalized, paramsCount, columnNames } = this;
    return { sql: this.toString(), isFinalized, paramsCount, columnNames };
  }

  get [Symbol.toStringTag](): string {
    return `"${this.toString()}"`;
  }

  [Symbol.dispose](): void {
    this.finalize();
  }

  #row(): ReturnType {
    return this.#cursor.row() as ReturnType;
  }

  #start(params: ParamsType): number {
    const cursor = this.#cursor;
    cursor.checkLive();
    if (cursor.paramsCount > 0) cursor.bind(params);
    return cursor.start();
  }

  #run<T>(params: ParamsType, read: (run: number) => T): T {
    const run = this.#start(params);
    try {
      return read(run);
    } finally {
      this.#cursor.finish(run);
    }
  }

  #collect<T>(params: ParamsType, read: () => T): T[] {
    return this.#run(params, (run) => {
      const rows: T[] = [];
      while (this.#cursor.step(run)) rows.push(read());
      return rows;
    });
  }
}
