/**
 * `pki doctor`: looks at everything that a client needs and says in plain sentences what is wrong and
 * what to do about it. It reads and asks; it changes nothing, and logs in nowhere. What it could not
 * find out it says as well.
 *
 * Start reading at {@link CHECKS}: each check is a function of a {@link Patient}.
 */

import type { ErrorKind } from "../base/errors.ts";
import { checkDataFolder } from "./doctor_data.ts";
import { type Check, type Finding, type Patient, problemOf } from "./doctor_finding.ts";
import {
  checkConfiguration,
  checkEnvironment,
  checkEvidence,
  checkFolder,
  checkLeftovers,
  checkModes,
} from "./doctor_home.ts";
import { checkAgent, checkIdentities, checkPinnedRoot } from "./doctor_identity.ts";
import {
  checkAddress,
  checkClock,
  checkPublished,
  checkReach,
  checkServerRoot,
  checkServerTrust,
  checkStatus,
} from "./doctor_server.ts";

/** All checks, in the order in which one thing builds on another. */
export const CHECKS: readonly Check[] = [
  { name: "home", run: checkFolder },
  { name: "modes", run: checkModes },
  { name: "configuration", run: checkConfiguration },
  { name: "environment", run: checkEnvironment },
  { name: "evidence", run: checkEvidence },
  { name: "leftovers", run: checkLeftovers },
  { name: "pinned-root", run: checkPinnedRoot },
  { name: "identity", run: checkIdentities },
  { name: "agent", run: checkAgent },
  { name: "address", run: checkAddress },
  { name: "reach", run: checkReach },
  { name: "server-root", run: checkServerRoot },
  { name: "server-trust", run: checkServerTrust },
  { name: "clock", run: checkClock },
  { name: "status", run: checkStatus },
  { name: "published", run: checkPublished },
  { name: "data-folder", run: checkDataFolder },
];

/** A finding, and which check it is of. */
export interface Diagnosed extends Finding {
  readonly check: string;
}

/** Runs the checks; one that fails by itself is a problem, and the others go on. */
export async function diagnose(
  patient: Patient,
  checks: readonly Check[] = CHECKS,
): Promise<readonly Diagnosed[]> {
  const found: Diagnosed[] = [];
  for (const { name, run } of checks) {
    try {
      for (const finding of await run(patient)) found.push({ check: name, ...finding });
    } catch (error) {
      found.push({ check: name, ...problemOf(error) });
    }
  }
  return found;
}

/** Kinds from the worst on: what makes trust doubtful, what is broken here, what is missing, what is away. */
const WORST_FIRST: readonly ErrorKind[] = [
  "internal",
  "untrusted",
  "storage",
  "malformed",
  "refused",
  "usage",
  "conflict",
  "not-found",
  "protocol",
  "truncated",
  "unreachable",
  "timeout",
  "busy",
  "interrupted",
];

/** The worst of all problems; `undefined` where there are none. */
export function worstOf(found: readonly Diagnosed[]): Diagnosed | undefined {
  const rank = ({ kind = "internal" }: Finding) => WORST_FIRST.indexOf(kind);
  return found.filter(({ verdict }) => verdict === "problem")
    .reduce<Diagnosed | undefined>(
      (worst, one) => worst === undefined || rank(one) < rank(worst) ? one : worst,
      undefined,
    );
}
