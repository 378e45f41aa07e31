/**
 * Runs the suite on the real `bun:sqlite` and prints, as JSON, what each case did and what members
 * the module, its classes and a statement have. Run by bun.
 */

import process from "node:process";
import type { Subject } from "./database_case.ts";
import { cases } from "./database_suite.ts";

// By way of a variable, because Deno's type checker does not know the module.
const name = "bun:sqlite";
const subject = await import(name) as Subject & { constants: Readonly<Record<string, number>> };
const { Database, Statement, constants } = subject;

const results = cases.map(({ name, run }) => {
  try {
    run(subject);
    return { name };
  } catch (error) {
    return { name, failure: error instanceof Error ? error.stack ?? error.message : String(error) };
  }
});

/** A symbol that no key finds again is the module's own business. */
function membersOf(object: object): string[] {
  return Reflect.ownKeys(object).flatMap((key) => {
    if (typeof key === "string") return [key];
    return key === Symbol.dispose || key === Symbol.iterator || key === Symbol.toStringTag ||
        Symbol.keyFor(key) !== undefined
      ? [String(key)]
      : [];
  });
}

const statement = new Database().query("SELECT 1");
const members = {
  module: membersOf(subject),
  Database: membersOf(Database),
  database: [...membersOf(Database.prototype), ...membersOf(new Database())],
  statement: [...membersOf(Statement.prototype), ...membersOf(statement)],
};
process.stdout.write(JSON.stringify({ results, members, constants }));
