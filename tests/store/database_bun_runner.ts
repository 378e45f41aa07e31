/** Runs the suite on the real `bun:sqlite` and prints what each case did, as JSON. Run by bun. */

import process from "node:process";
import { cases, type Subject } from "./database_suite.ts";

// By way of a variable, because Deno's type checker does not know the module.
const name = "bun:sqlite";
const subject = await import(name) as Subject;

const results = cases.map(({ name, run }) => {
  try {
    run(subject);
    return { name };
  } catch (error) {
    return { name, failure: error instanceof Error ? error.stack ?? error.message : String(error) };
  }
});
process.stdout.write(JSON.stringify(results));
