/**
 * What a database with the interface of `bun:sqlite` does, as a list of cases that knows neither
 * runtime: `database_test.ts` runs it on our adapter, and on the real thing by way of
 * `database_bun_runner.ts`. A case that the real thing fails is wrong.
 */

import { ANSWER_CASES } from "./database_answers.ts";
import { FUNCTION_CASES } from "./database_functions.ts";
import { STATEMENT_CASES } from "./database_statements.ts";
import { TRANSACTION_CASES } from "./database_transactions.ts";
import { VALUE_CASES } from "./database_values.ts";
import type { Case } from "./database_case.ts";

export const cases: readonly Case[] = [
  ...VALUE_CASES,
  ...ANSWER_CASES,
  ...STATEMENT_CASES,
  ...TRANSACTION_CASES,
  ...FUNCTION_CASES,
];
