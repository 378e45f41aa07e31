/**
 * Parameters of a statement: where they stand in its text, and what is bound to them.
 *
 * sql.js exports no 64-bit binding. A wide integer is bound as a double or, beyond 53 bits, as
 * text, to a second form of the statement in which its parameter reads `(+CAST(? AS INTEGER))`; the
 * plus takes away the affinity that the cast gives, so that comparisons and stored types are those
 * of a bound integer.
 */

import type { Sqlite } from "./sqlite_module.ts";

/** A text under `isWide` is an integer's digits. */
type SqlValue = number | string | Uint8Array | null;

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

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;

/** A bigint as 64 bits. @throws {RangeError} if it has more, with `safeIntegers`; else they are cut off */
export function int64Of(value: bigint, safeIntegers: boolean): bigint {
  if (safeIntegers && (value < INT64_MIN || value > INT64_MAX)) {
    throw new RangeError(`BigInt value '${value}' is out of range`);
  }
  return BigInt.asIntN(64, value);
}

export function bytesOf(value: object): Uint8Array | undefined {
  if (ArrayBuffer.isView(value)) {
    return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  }
  const isBuffer = value instanceof ArrayBuffer || value instanceof SharedArrayBuffer;
  return isBuffer ? new Uint8Array(value) : undefined;
}

/** Whether an argument names parameters: a plain object or an instance of an ordinary class. */
function isNamed(argument: unknown): argument is object {
  if (typeof argument !== "object" || argument === null) return false;
  const tag = Object.prototype.toString.call(argument);
  return tag === "[object Object]" || tag === "[object Arguments]";
}

/** The value as SQL, in the words of `sqlite3_expanded_sql`. */
function literalOf(value: SqlValue, isWide: boolean): string {
  if (value === null) return "NULL";
  if (typeof value === "number") {
    if (Object.is(value, -0)) return "0.0";
    return Number.isSafeInteger(value) ? String(value) : realLiteralOf(value);
  }
  if (isWide) return String(value);
  if (typeof value === "string") {
    return `'${value.toWellFormed().replace(/\0[^]*/, "").replaceAll("'", "''")}'`;
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

/** More than this is not kept in SQLite's memory from one run to the next. */
const KEPT_BYTES_MAX = 65_536;

const encoder = new TextEncoder();
let scratch = new Uint8Array(4096);

/** What a statement's parameters are called and what they hold. */
export class Parameters {
  readonly count: number;
  /** How many values are wide integers. */
  wideCount = 0;
  readonly #sql: string;
  readonly #list: readonly Parameter[];
  readonly #values: SqlValue[];
  readonly #isWide: boolean[];
  /** Where texts and blobs lie side by side in SQLite's memory, and how many bytes fit. */
  #memory = 0;
  #capacity = 0;

  constructor(sql: string) {
    this.#sql = sql;
    this.#list = parseParameters(sql);
    this.count = this.#list.reduce((most, { index }) => Math.max(most, index), 0);
    this.#values = new Array<SqlValue>(this.count).fill(null);
    this.#isWide = new Array<boolean>(this.count).fill(false);
  }

  /** Keeps what the arguments say for this and later runs. */
  set(args: readonly unknown[], options: { strict: boolean; safeIntegers: boolean }): void {
    this.#values.fill(null);
    this.#isWide.fill(false);
    this.wideCount = 0;
    const first = args[0];
    if (isNamed(first)) return this.#setNamed(first, options);
    const list: readonly unknown[] = Array.isArray(first) ? first : args;
    if (list.length === 0) return;
    if (list.length !== this.count) {
      throw new Error(`SQLite query expected ${this.count} values, received ${list.length}`);
    }
    for (let at = 0; at < list.length; at += 1) this.#set(at, list[at], options.safeIntegers);
  }

  #setNamed(named: object, options: { strict: boolean; safeIntegers: boolean }): void {
    const byName = named as Readonly<Record<string, unknown>>;
    for (const { index, name } of this.#list) {
      const bare = name === "" || name.startsWith("?") ? String(index - 1) : name.slice(1);
      const keys = options.strict ? [bare, name] : [name, bare];
      const key = keys.find((key) => key !== "" && Object.hasOwn(named, key));
      if (key !== undefined) {
        this.#set(index - 1, byName[key], options.safeIntegers);
      } else if (options.strict) {
        const shown = name === "" || name.startsWith("?") ? `?${index}` : bare;
        throw new Error(`Missing parameter "${shown}"`);
      }
    }
  }

  #set(at: number, value: unknown, safeIntegers: boolean): void {
    const isWide = this.#put(at, value, safeIntegers);
    if (this.#isWide[at] === isWide) return;
    this.#isWide[at] = isWide;
    this.wideCount += isWide ? 1 : -1;
  }

  /** @returns whether the value is a wide integer */
  #put(at: number, value: unknown, safeIntegers: boolean): boolean {
    switch (typeof value) {
      case "string":
        this.#values[at] = value;
        return false;
      case "boolean":
        this.#values[at] = value ? 1 : 0;
        return false;
      case "number":
        this.#values[at] = value;
        return (value | 0) !== value && Number.isSafeInteger(value);
      case "bigint": {
        const wrapped = int64Of(value, safeIntegers);
        const number = Number(wrapped);
        this.#values[at] = Number.isSafeInteger(number) ? number : String(wrapped);
        return (number | 0) !== number;
      }
      case "undefined":
        this.#values[at] = null;
        return false;
      case "object": {
        const bytes = value === null || value instanceof Uint8Array ? value : bytesOf(value);
        if (bytes === undefined) break;
        // A copy: the caller may change its bytes before the next run, which binds them again.
        this.#values[at] = bytes === null ? null : new Uint8Array(bytes);
        return false;
      }
    }
    throw new TypeError("Binding expected string, TypedArray, boolean, number, bigint or null");
  }

  /** Names the form of the statement in which the wide parameters are cast. */
  get form(): string {
    return this.wideCount === 0 ? "" : this.#isWide.map(Number).join("");
  }

  /** The text of that form. */
  get formSql(): string {
    return this.#replace(({ index }, text) =>
      this.#isWide[index - 1] ? `(+CAST(${text} AS INTEGER))` : text
    );
  }

  /** The SQL with the values in it. */
  expand(): string {
    return this.#replace(({ index }) =>
      literalOf(this.#values[index - 1] ?? null, this.#isWide[index - 1] ?? false)
    );
  }

  #replace(replace: (parameter: Parameter, text: string) => string): string {
    let whole = "";
    let at = 0;
    for (const parameter of this.#list) {
      whole += this.#sql.slice(at, parameter.start);
      whole += replace(parameter, this.#sql.slice(parameter.start, parameter.end));
      at = parameter.end;
    }
    return whole + this.#sql.slice(at);
  }

  /**
   * Binds the values to a form of the statement that is not running. Their bytes stay in memory of
   * ours, so that SQLite copies nothing, until the next binding or {@link release}.
   * @returns the first result code that is not a success
   */
  bindTo(sqlite: Sqlite, statement: number): number {
    this.#reserve(sqlite);
    let at = this.#memory;
    let resultCode = 0;
    for (let index = 1; index <= this.count && resultCode === 0; index += 1) {
      const value = this.#values[index - 1] ?? null;
      if (typeof value === "string") {
        const { written } = encoder.encodeInto(value, scratch);
        if (written > 0) sqlite.write(scratch.subarray(0, written), at);
        resultCode = sqlite.bindText(statement, index, at, written, 0);
        at += written;
      } else if (typeof value === "number") {
        resultCode = (value | 0) === value && !Object.is(value, -0)
          ? sqlite.bindInt(statement, index, value)
          : sqlite.bindDouble(statement, index, value);
      } else if (value === null) {
        resultCode = sqlite.bindNull(statement, index);
      } else {
        sqlite.write(value, at);
        resultCode = sqlite.bindBlob(statement, index, at, value.length, 0);
        at += value.length;
      }
    }
    if (scratch.length > 1_048_576) scratch = new Uint8Array(4096);
    return resultCode;
  }

  #reserve(sqlite: Sqlite): void {
    let bytes = 1;
    for (const value of this.#values) {
      if (typeof value === "string") {
        // As many bytes as UTF-8 may need; counting them would mean encoding twice.
        const most = value.length * 3;
        if (most > scratch.length) scratch = new Uint8Array(most * 2);
        bytes += most;
      } else if (typeof value === "object" && value !== null) {
        bytes += value.length;
      }
    }
    if (bytes <= this.#capacity) return;
    this.free(sqlite);
    this.#capacity = Math.max(bytes * 2, 64);
    this.#memory = sqlite.allocate(this.#capacity);
    if (this.#memory !== 0) return;
    this.#capacity = 0;
    throw new RangeError(`cannot bind ${bytes} bytes: out of memory`);
  }

  /** After a run. @returns whether the values have to be bound again before the next one */
  release(sqlite: Sqlite): boolean {
    if (this.#capacity <= KEPT_BYTES_MAX) return false;
    this.free(sqlite);
    return true;
  }

  free(sqlite: Sqlite): void {
    if (this.#memory !== 0) sqlite.free(this.#memory);
    this.#memory = 0;
    this.#capacity = 0;
  }
}
