/**
 * Prepared statements with the interface of `bun:sqlite`. What they do is in `sqlite_cursor.ts`,
 * what they bind in `sqlite_parameters.ts`.
 */

import type { Changes, Cursor } from "./sqlite_cursor.ts";
import type { SQLColumn } from "./sqlite_module.ts";
import { unsupported } from "./sqlite_unsupported.ts";

export type { Changes } from "./sqlite_cursor.ts";
export type { SQLColumn } from "./sqlite_module.ts";

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
    const run = this.#start(params);
    try {
      return this.#cursor.step(run) ? this.#row() : null;
    } finally {
      this.#cursor.finish(run);
    }
  }

  all(...params: ParamsType): ReturnType[] {
    return this.#collect(params, () => this.#row());
  }

  /** All rows as arrays, in the order of the columns. */
  values(...params: ParamsType): SQLColumn[][] {
    return this.#collect(params, () => this.#cursor.values());
  }

  /**
   * All rows as arrays of the bytes that SQLite keeps: a text in UTF-8, an integer or a real in
   * eight bytes, the least significant first.
   */
  raw(...params: ParamsType): (Uint8Array | null)[][] {
    return this.#collect(params, () => this.#cursor.bytes());
  }

  run(...params: ParamsType): Changes {
    this.#bind(params);
    return this.#cursor.runToEnd();
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
    this.#cursor.checkLive();
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
    return [...this.#cursor.columnNames];
  }

  get paramsCount(): number {
    this.#cursor.checkLive();
    return this.#cursor.paramsCount;
  }

  /** Whether it has columns. */
  get reader(): boolean {
    this.#cursor.checkLive();
    return this.#cursor.columnNames.length > 0;
  }

  /** Whether it changes nothing itself; `BEGIN` and `COMMIT` do not. */
  get readonly(): boolean {
    this.#cursor.checkLive();
    return this.#cursor.isReadonly;
  }

  /** Types of the values in the first row, for which the statement is run. */
  get columnTypes(): ("INTEGER" | "FLOAT" | "TEXT" | "BLOB" | "NULL")[] {
    const cursor = this.#cursor;
    if (!this.readonly) {
      throw new Error(
        "columnTypes is not available for non-read-only statements (INSERT, UPDATE, DELETE, etc.)",
      );
    }
    const run = cursor.start();
    try {
      cursor.step(run);
      return cursor.columnTypes();
    } finally {
      cursor.finish(run);
    }
  }

  /** Not to be had; here so that code written for `bun:sqlite` is told. */
  get declaredTypes(): (string | null)[] {
    this.#cursor.checkLive();
    throw unsupported("Statement.declaredTypes", "tell the declared types of columns");
  }

  /** Not to be had, as `declaredTypes`. */
  get native(): never {
    throw unsupported("Statement.native", "hand out the native statement");
  }

  get isFinalized(): boolean {
    return this.#cursor.isFinalized;
  }

  finalize(): void {
    this.#cursor.host.checkIdle();
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

  #bind(params: ParamsType): void {
    this.#cursor.checkLive();
    if (this.#cursor.paramsCount > 0) this.#cursor.bind(params);
  }

  #start(params: ParamsType): number {
    this.#bind(params);
    return this.#cursor.start();
  }

  #collect<T>(params: ParamsType, read: () => T): T[] {
    const run = this.#start(params);
    try {
      const rows: T[] = [];
      while (this.#cursor.step(run)) rows.push(read());
      return rows;
    } finally {
      this.#cursor.finish(run);
    }
  }
}
