/** Functions that run in a transaction, as `Database.transaction` makes them. */

import { inspect } from "node:util";
import { isPromise } from "node:util/types";
import type { Database } from "./database.ts";
import type { Connection } from "./sqlite_connection.ts";

/** What `Database.transaction` makes: the function in a transaction of the default or a named kind. */
export interface Transaction<A extends unknown[], T> {
  (...args: A): T;
  readonly default: Transaction<A, T>;
  readonly deferred: Transaction<A, T>;
  readonly immediate: Transaction<A, T>;
  readonly exclusive: Transaction<A, T>;
  readonly database: Database;
}

const SAVEPOINT = '"nested transaction"';

export function makeTransaction<A extends unknown[], T>(
  fn: (...args: A) => T,
  { database, connection }: { readonly database: Database; readonly connection: Connection },
): Transaction<A, T> {
  const kinds = {
    default: { value: inTransaction("BEGIN", { fn, connection }) },
    deferred: { value: inTransaction("BEGIN DEFERRED", { fn, connection }) },
    immediate: { value: inTransaction("BEGIN IMMEDIATE", { fn, connection }) },
    exclusive: { value: inTransaction("BEGIN EXCLUSIVE", { fn, connection }) },
  };
  for (const { value } of Object.values(kinds)) {
    Object.defineProperties(value, { ...kinds, database: { value: database, enumerable: true } });
  }
  return kinds.default.value as Transaction<A, T>;
}

function inTransaction<A extends unknown[], T>(
  begin: string,
  { fn, connection }: { readonly fn: (...args: A) => T; readonly connection: Connection },
) {
  return function transaction(this: unknown, ...args: A): T {
    connection.checkOpen();
    const isNested = connection.inTransaction;
    // SQLite may have rolled back by itself.
    const undo = () => {
      if (!connection.inTransaction) return;
      connection.run(isNested ? `ROLLBACK TO ${SAVEPOINT}; RELEASE ${SAVEPOINT}` : "ROLLBACK");
    };
    try {
      connection.run(isNested ? `SAVEPOINT ${SAVEPOINT}` : begin);
      const result = fn.apply(this, args);
      if (isRejected(result)) undo();
      else connection.run(isNested ? `RELEASE ${SAVEPOINT}` : "COMMIT");
      return result;
    } catch (error) {
      undo();
      throw error;
    }
  };
}

/** An async function that threw before its first `await`. A promise cannot be asked otherwise. */
function isRejected(result: unknown): boolean {
  return isPromise(result) && /^[^{]*\{\s*<rejected>/.test(inspect(result, { depth: 0 }));
}
