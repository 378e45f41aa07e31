/** What a case of `database_suite.ts` is, and a small table for those that need one. */

import type { Database, SQLiteError, Statement } from "../../lib/store/database.ts";

export interface Subject {
  readonly Database: typeof Database;
  readonly SQLiteError: typeof SQLiteError;
  readonly Statement: typeof Statement;
}

export interface Case {
  readonly name: string;
  readonly run: (subject: Subject) => void;
}

const PEOPLE = `
  CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, age INTEGER);
  INSERT INTO people (name, age) VALUES ('ada', 36), ('bob', 40), ('cyd', NULL);`;

export function people(
  { Database }: Subject,
  options?: { strict?: boolean; safeIntegers?: boolean },
) {
  const db = new Database(":memory:", options);
  db.run(PEOPLE);
  return db;
}

export function names(db: Database): unknown[] {
  return db.query("SELECT name FROM people ORDER BY id").values().flat();
}

export function bytes(...values: number[]): Uint8Array {
  return new Uint8Array(values);
}
