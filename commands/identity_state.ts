/** How an identity of the home stands: what is shown of it where nothing is to be done with it yet. */

import { PkiError } from "../lib/base/errors.ts";
import type { Home } from "../lib/client/home.ts";
import { loadOwnCertificate } from "../lib/client/own_identity.ts";

export type IdentityState =
  | { readonly kind: "none" }
  /** A certificate is there, and cannot be read or is not to be trusted. */
  | { readonly kind: "unusable"; readonly why: string }
  | { readonly kind: "certified" | "expired"; readonly notAfterMs: number };

export function readIdentityState(home: Home, id: string, nowMs: number): IdentityState {
  try {
    const { leaf: { notAfterMs } } = loadOwnCertificate(home, { id, nowMs });
    return { kind: nowMs < notAfterMs ? "certified" : "expired", notAfterMs };
  } catch (error) {
    if (!(error instanceof PkiError)) throw error;
    return error.kind === "not-found" ? { kind: "none" } : { kind: "unusable", why: error.message };
  }
}

const DAY_MS = 24 * 60 * 60 * 1000;

/** How much time is left, roughly, as people say it. */
function remaining(ms: number): string {
  const days = Math.floor(ms / DAY_MS);
  if (days >= 2) return `${days} days`;
  const hours = Math.floor(ms / (60 * 60 * 1000));
  if (hours >= 2) return `${hours} hours`;
  const minutes = Math.floor(ms / 60_000);
  return minutes > 1 ? `${minutes} minutes` : "about a minute";
}

/** Half a sentence, behind a name: `certified until …`. */
export function describeIdentityState(state: IdentityState, nowMs: number): string {
  switch (state.kind) {
    case "none":
      return "no certificate yet; CSR gets one";
    case "unusable":
      return `the certificate here is of no use (${state.why}); CSR gets another`;
    case "expired":
      return `the certificate has ended on ${dayOf(state.notAfterMs)}; CSR gets another`;
    case "certified":
      return `certified until ${dayOf(state.notAfterMs)} (${remaining(state.notAfterMs - nowMs)})`;
  }
}

function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}
