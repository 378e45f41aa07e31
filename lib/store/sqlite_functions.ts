/**
 * SQL functions and aggregates written in JavaScript, as `Database.function` and
 * `Database.aggregate` take them.
 */

import type { Connection } from "./sqlite_connection.ts";
import { SQLiteError } from "./sqlite_error.ts";
import type { RawArgument, RawResult } from "./sqlite_module.ts";
import { bytesOf, int64Of } from "./sqlite_parameters.ts";
import { unsupported } from "./sqlite_unsupported.ts";

/** What a function may answer; `undefined` is `NULL`. */
export type SQLFunctionResult =
  | string
  | number
  | bigint
  | boolean
  | ArrayBufferView
  | ArrayBufferLike
  | null
  | undefined
  | void;

export interface FunctionOptions {
  /** Any number of arguments, whatever the number of parameters of the function. */
  readonly varargs?: boolean | undefined;
  /** The same arguments give the same result: the function may be used in an index. */
  readonly deterministic?: boolean | undefined;
  /** Views and triggers cannot call it. */
  readonly directOnly?: boolean | undefined;
  /** An `INTEGER` argument is a `bigint`; default: the database's option. */
  readonly safeIntegers?: boolean | undefined;
}

/** What an SQL function is called with: the types of {@link SQLFunctionResult} that SQLite gives. */
// deno-lint-ignore no-explicit-any -- the callers' parameters have narrower types
type Argument = any;

export interface AggregateOptions<T> extends FunctionOptions {
  /** What each group of rows starts with, or a function that makes it; default null. */
  readonly start?: T | (() => T) | undefined;
  /** Answers the new accumulator; `undefined` leaves it as it is. */
  readonly step: (accumulator: T, ...args: Argument[]) => T | void;
  /** For window functions, which cannot be had here: refused. */
  readonly inverse?: ((accumulator: T, ...args: Argument[]) => T | void) | null | undefined;
  /** Makes the result from the accumulator, which otherwise is the result. */
  readonly result?: ((accumulator: T) => SQLFunctionResult) | null | undefined;
}

export type SQLFunction = (...args: Argument[]) => SQLFunctionResult;

interface Definition {
  readonly name: string;
  readonly argumentCount: number;
  readonly safeIntegers: boolean;
  readonly flags: { readonly deterministic: boolean; readonly directOnly: boolean };
}

const BUSY = 5;
const MISUSE = 21;
const NAME_BYTES_MAX = 255;
const FLAGS = ["varargs", "deterministic", "directOnly", "safeIntegers"] as const;

function checkName(name: unknown): asserts name is string {
  if (typeof name !== "string") throw new TypeError("Expected first argument to be a string");
}

function parseDefinition(
  name: string,
  options: object,
  { parameterCount, safeIntegers }: { parameterCount: number; safeIntegers: boolean },
): Definition {
  if (name === "") throw new TypeError("User-defined function name cannot be an empty string");
  if (name.includes("\0")) {
    throw new TypeError("The argument 'name' must be a string without null bytes");
  }
  const flags: Partial<Record<(typeof FLAGS)[number], boolean>> = {};
  for (const flag of FLAGS) {
    const value = (options as Readonly<Record<string, unknown>>)[flag];
    if (value === undefined) continue;
    if (typeof value !== "boolean") {
      throw new TypeError(`Expected the "${flag}" option to be a boolean`);
    }
    flags[flag] = value;
  }
  const { varargs = false, deterministic = false, directOnly = false } = flags;
  if (!varargs && !(parameterCount >= 0)) {
    throw new TypeError("Expected function.length to be a positive integer");
  }
  return {
    name,
    argumentCount: varargs ? -1 : parameterCount,
    safeIntegers: flags.safeIntegers ?? safeIntegers,
    flags: { deterministic, directOnly },
  };
}

function decodeArguments(args: readonly RawArgument[], definition: Definition): unknown[] {
  return args.map((arg) => typeof arg === "bigint" && !definition.safeIntegers ? Number(arg) : arg);
}

/** As a parameter would be bound. */
function encodeResult(value: unknown, { name, safeIntegers }: Definition): RawResult {
  switch (typeof value) {
    case "string":
      return value.toWellFormed();
    case "boolean":
      return value ? 1n : 0n;
    case "bigint":
      return int64Of(value, safeIntegers);
    case "number":
      return Number.isSafeInteger(value) && !Object.is(value, -0) ? BigInt(value) : value;
    case "undefined":
      return null;
    case "object": {
      const bytes = value === null ? null : bytesOf(value);
      if (bytes !== undefined) return bytes;
    }
  }
  throw new TypeError(`User-defined function ${name}() returned an invalid value`);
}

/** sql.js learns the number of arguments from this. */
function withLength<F extends (...args: never[]) => unknown>(fn: F, length: number): F {
  return Object.defineProperty(fn, "length", { value: length });
}

/** Which functions a connection has; SQLite itself tells nobody. */
export class Functions {
  readonly #connection: Connection;
  readonly #known = new Set<string>();

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  define(name: unknown, optionsOrFn: unknown, fn?: unknown): void {
    checkName(name);
    const call = fn === undefined ? optionsOrFn : fn;
    if (typeof call !== "function") {
      throw new TypeError("Expected last argument to be a function");
    }
    const options = fn === undefined ? {} : optionsOrFn ?? {};
    if (typeof options !== "object") {
      throw new TypeError("Expected second argument to be an options object");
    }
    const connection = this.#connection;
    const { safeIntegers, sqlite } = connection;
    const definition = parseDefinition(name, options, {
      parameterCount: call.length,
      safeIntegers,
    });
    const answer = (...args: RawArgument[]): null => {
      connection.callBack(() => {
        const result: unknown = Reflect.apply(
          call,
          undefined,
          decodeArguments(args, definition),
        );
        sqlite.result = encodeResult(result, definition);
      });
      return null;
    };
    this.#register(definition, () => {
      connection.raw.create_function(name, withLength(answer, definition.argumentCount));
    });
  }

  aggregate(name: unknown, options: unknown): void {
    checkName(name);
    if (typeof options !== "object" || options === null) {
      throw new TypeError("Expected second argument to be an options object");
    }
    const { start = null, step, result, inverse } = options as Readonly<Record<string, unknown>>;
    if (step === undefined) throw new TypeError('Missing required option "step"');
    if (typeof step !== "function") {
      throw new TypeError('Expected the "step" option to be a function');
    }
    for (const [option, value] of Object.entries({ inverse, result })) {
      if (typeof value !== "function" && value !== undefined && value !== null) {
        throw new TypeError(`Expected the "${option}" option to be a function`);
      }
    }
    if (typeof inverse === "function") {
      throw unsupported("Database.aggregate({ inverse })", "define a window function");
    }
    const connection = this.#connection;
    const { safeIntegers, sqlite } = connection;
    const definition = parseDefinition(name, options, {
      parameterCount: step.length === 0 ? 0 : step.length - 1,
      safeIntegers,
    });
    interface Group {
      hasBegun: boolean;
      accumulator: unknown;
    }
    // Not where sql.js would do it: what is thrown there would unwind SQLite's own frames.
    const begin = (group: Group) => {
      if (!group.hasBegun) group.accumulator = typeof start === "function" ? start() : start;
      group.hasBegun = true;
    };
    const take = (group: Group, ...args: RawArgument[]): Group => {
      connection.callBack(() => {
        begin(group);
        const all = [group.accumulator, ...decodeArguments(args, definition)];
        const next: unknown = Reflect.apply(step, undefined, all);
        if (next !== undefined) group.accumulator = next;
      });
      return group;
    };
    const finish = (group: Group): null => {
      connection.callBack(() => {
        begin(group);
        const { accumulator } = group;
        const value: unknown = typeof result === "function"
          ? Reflect.apply(result, undefined, [accumulator])
          : accumulator;
        sqlite.result = encodeResult(value, definition);
      });
      return null;
    };
    this.#register(definition, () => {
      connection.raw.create_aggregate(name, {
        init: (): Group => ({ hasBegun: false, accumulator: undefined }),
        step: withLength(take, definition.argumentCount + 1),
        finalize: finish,
      });
    });
  }

  #register({ name, argumentCount, flags }: Definition, register: () => void): void {
    this.#connection.checkOpen();
    if (new TextEncoder().encode(name).length > NAME_BYTES_MAX) {
      // SQLite refuses it too, but without setting the message that sql.js asks for.
      throw new SQLiteError("bad parameter or other API misuse", MISUSE);
    }
    const key = `${name.toLowerCase()}:${argumentCount}`;
    // sql.js would let go of the function before SQLite refuses to replace it.
    if (this.#known.has(key) && this.#connection.isActive) {
      const message = "unable to delete/modify user-function due to active statements";
      throw new SQLiteError(message, BUSY);
    }
    this.#connection.sqlite.defineFunction(register, flags);
    this.#known.add(key);
  }
}
