/** How somebody stands, in the words of the interactive session: what is good, or what to do. */

import type { Identity, IdentityState } from "../lib/client/identities.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** How much time is left, roughly, as people say it. */
function remaining(ms: number): string {
  for (
    const [unitMs, unit] of [[DAY_MS, "days"], [HOUR_MS, "hours"], [MINUTE_MS, "minutes"]] as const
  ) {
    const count = Math.floor(ms / unitMs);
    if (count >= 2) return `${count} ${unit}`;
  }
  return "about a minute";
}

const WORDS: Readonly<Record<IdentityState, (until: string, left: string) => string>> = {
  valid: (until, left) => `certified until ${until} (${left})`,
  expiring: (until, left) => `certified until ${until} (${left}); it is time to RENEW`,
  expired: (until) => `the certificate has ended on ${until}; CSR gets another`,
  "not-yet-valid": () => "the certificate is not good yet; is the clock of this machine right?",
  "no-certificate": () => "no certificate yet; CSR gets one",
  "no-key": () => "no key here; CSR makes one and has it certified",
  untrusted: () => "the certificate is not under the pinned root; CSR gets another",
  damaged: () => "the certificate here cannot be read; CSR gets another",
};

/** Who has neither key nor certificate has only not begun. */
function standingOf({ state, certificate }: Identity): IdentityState {
  return state === "no-key" && !certificate ? "no-certificate" : state;
}

/** Half a sentence, behind a name: `certified until …`. */
export function describeStanding(identity: Identity, nowMs: number): string {
  const endMs = identity.certificate?.leaf.notAfterMs ?? nowMs;
  const until = new Date(endMs).toISOString().slice(0, 10);
  return WORDS[standingOf(identity)](until, remaining(endMs - nowMs));
}

/** What a prompt says of it: nothing where all is good. */
export function markStanding(identity: Identity): string | undefined {
  const standing = standingOf(identity);
  return standing === "valid" ? undefined : standing.replaceAll("-", " ");
}
