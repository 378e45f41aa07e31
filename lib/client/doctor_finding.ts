/** What `pki doctor` looks at, and how it says what it has found. */

import { type ErrorKind, PkiError } from "../base/errors.ts";
import type { Address } from "./address.ts";
import type { Home } from "./home.ts";
import type { ServerSight } from "./sight.ts";

/** `unchecked`: it could not be found out, and the message says why. */
export type Verdict = "ok" | "unchecked" | "warning" | "problem";

export interface Finding {
  readonly verdict: Verdict;
  /** One sentence for a person, without a final period. */
  readonly message: string;
  /** What to do. */
  readonly hint?: string;
  /** Of a problem: what a command that meets it would fail with. */
  readonly kind?: ErrorKind;
}

/** What is looked at. Whatever comes from outside of the home's files is given, and not looked up. */
export interface Patient {
  readonly home: Home;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Variables that something here reads, beside those of the client. */
  readonly otherVariables: readonly string[];
  readonly nowMs: number;
  /** Of this process; `undefined` where users have none. */
  readonly uid: number | undefined;
  /** Unlocks keys, to see whether they fit their certificates; where it was given. */
  readonly password: string | undefined;
  /** Where the server is said to be, or why that cannot be told. */
  readonly address: Address | PkiError;
  /** Whether somebody has named that address, and it is not just the one where servers usually are. */
  readonly isAddressNamed: boolean;
  /** What a look at the server has shown; without one where nobody was to be asked. */
  readonly sight: ServerSight | undefined;
  /** What an agent keeps unlocked for this home. @throws {PkiError} */
  readonly findUnlocked: () => Promise<
    readonly { readonly id: string; readonly untilMs: number }[]
  >;
  /** Whether a server runs on a data folder of this machine. @throws {PkiError} */
  readonly isServed: (folder: string) => Promise<boolean>;
}

export interface Check {
  /** For programs; these names stay. */
  readonly name: string;
  readonly run: (patient: Patient) => readonly Finding[] | Promise<readonly Finding[]>;
}

/** An error as a finding. @throws what is no error of ours */
export function problemOf(error: unknown): Finding {
  if (!(error instanceof PkiError)) throw error;
  const { kind, message, hint } = error;
  return { verdict: "problem", kind, message, ...(hint === undefined ? {} : { hint }) };
}
