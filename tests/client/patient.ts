/** What `pki doctor` looks at, for tests of single checks: nothing of it is on a network. */

import type { Finding, Patient } from "../../lib/client/doctor_finding.ts";
import type { Home } from "../../lib/client/home.ts";
import { NOW_MS } from "../fakes/ca.ts";

export function patientOf(home: Home, more: Partial<Patient> = {}): Patient {
  return {
    home,
    env: {},
    otherVariables: ["PKI_PORT"],
    nowMs: NOW_MS,
    uid: undefined,
    password: undefined,
    address: { host: "ca.example.org", port: 7443 },
    isAddressNamed: true,
    sight: undefined,
    findUnlocked: () => Promise.resolve([]),
    isServed: () => Promise.resolve(false),
    ...more,
  };
}

/** Findings as lines, to be compared with what is wanted: verdict, kind of a problem, message. */
export function linesOf(findings: readonly Finding[]): readonly string[] {
  return findings.map(({ verdict, kind, message }) =>
    kind === undefined ? `${verdict}: ${message}` : `${verdict} (${kind}): ${message}`
  );
}
