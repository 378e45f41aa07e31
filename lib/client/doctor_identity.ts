/** What `pki doctor` looks at in the pinned root and the identities of the home. */

import { PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { fingerprintOf } from "../x509/certificate.ts";
import { decryptPrivateKey, isEncryptedKey } from "../x509/keys.ts";
import { type Finding, type Patient, problemOf } from "./doctor_finding.ts";
import { checkOwnKey, isInTime, loadOwnCertificate, type OwnCertificate } from "./own_identity.ts";
import { DEFAULT_MARGIN, isDue } from "./renewal.ts";

/** A root that ends sooner is worth a word: everybody has to learn of the next one. */
const ROOT_DAYS_LEFT_MIN = 365;

export function dateOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

/** The root is there, in time, and signed by itself: `loadAnchor` sees to the last two. */
export function checkPinnedRoot({ home, nowMs }: Patient): readonly Finding[] {
  const anchor = home.loadAnchor(nowMs);
  if (!anchor) {
    return [{
      verdict: "warning",
      message: "no root is pinned: no server is trusted yet",
      hint: "join with an invitation (pki join LINE), or pin one with pki csr --fingerprint HEX",
    }];
  }
  const { root, domain, issuers } = anchor;
  const what = `the root of ${domain} is pinned: ${fingerprintOf(root.der)}, until ${
    dateOf(root.notAfterMs)
  }`;
  if (root.notAfterMs - nowMs < ROOT_DAYS_LEFT_MIN * LIMITS.dayMs) {
    return [{
      verdict: "warning",
      message: `${what}, which is soon`,
      hint: "ask whoever runs the server for the next root",
    }];
  }
  if (issuers === undefined) {
    return [{
      verdict: "warning",
      message: `${what}, and no issuing CA with it`,
      hint: "any command that asks the server pins it",
    }];
  }
  return [{ verdict: "ok", message: what }];
}

/** Whether there is something to judge certificates under; what is wrong with it is said elsewhere. */
function hasGoodRoot({ home, nowMs }: Patient): boolean {
  try {
    return home.loadAnchor(nowMs) !== undefined;
  } catch (error) {
    if (error instanceof PkiError) return false;
    throw error;
  }
}

/** The certificate of an identity as the home has it, or what is wrong with it. */
export function loadOwn({ home, nowMs }: Patient, id: string): OwnCertificate | Finding {
  try {
    return loadOwnCertificate(home, { id, nowMs });
  } catch (error) {
    if (error instanceof PkiError && error.kind === "not-found") {
      return {
        verdict: "warning",
        message: `"${id}" has a key and no certificate`,
        hint: `have it certified with: pki csr --id ${id}`,
      };
    }
    const { message, hint, ...finding } = problemOf(error);
    return {
      ...finding,
      message: `the certificate of "${id}" is no good: ${message}`,
      hint: hint ?? `get another with: pki csr --id ${id}`,
    };
  }
}

function checkTime(own: OwnCertificate, nowMs: number): Finding {
  const { id, leaf } = own;
  const until = dateOf(leaf.notAfterMs);
  if (!isInTime(own, nowMs)) {
    return {
      verdict: "problem",
      kind: "untrusted",
      message: `the certificate of "${id}" expired on ${until}`,
      hint: `renew it with: pki renew --id ${id}`,
    };
  }
  if (isDue(leaf, DEFAULT_MARGIN, nowMs)) {
    return {
      verdict: "warning",
      message: `the certificate of "${id}" ends soon, on ${until}`,
      hint: `renew it with: pki renew --id ${id}`,
    };
  }
  return { verdict: "ok", message: `"${id}" is certified under the pinned root until ${until}` };
}

async function checkKey(
  { home, password }: Patient,
  id: string,
  own: OwnCertificate | undefined,
): Promise<readonly Finding[]> {
  if (!isEncryptedKey(home.loadKeyPem(id))) {
    return [{
      verdict: "problem",
      kind: "storage",
      message: `the key of "${id}" is not encrypted`,
      hint: `make a new one with: pki csr --id ${id} --rekey`,
    }];
  }
  if (password === undefined || own === undefined) return [];
  try {
    checkOwnKey(own, await decryptPrivateKey(home.loadKeyPem(id), password, `the key of "${id}"`));
    return [{ verdict: "ok", message: `the password unlocks the key of "${id}", which fits` }];
  } catch (error) {
    return [problemOf(error)];
  }
}

export async function checkIdentities(patient: Patient): Promise<readonly Finding[]> {
  const { home, nowMs } = patient;
  const ids = home.listIds();
  if (ids.length === 0) {
    return [{
      verdict: "warning",
      message: "there is no identity in the home yet",
      hint: "join with an invitation (pki join LINE), or have a key certified: pki csr --id NAME",
    }];
  }
  if (!hasGoodRoot(patient)) {
    return ids.map((id) => ({
      verdict: "unchecked",
      message: `whether the certificate of "${id}" is good is not known without a good root`,
    }));
  }
  const found: Finding[] = [];
  for (const id of ids) {
    const own = loadOwn(patient, id);
    const isGood = !("verdict" in own);
    found.push(isGood ? checkTime(own, nowMs) : own);
    found.push(...await checkKey(patient, id, isGood ? own : undefined));
  }
  return found;
}

/** What is unlocked: whoever sits at this terminal can use it. */
export async function checkAgent({ findUnlocked }: Patient): Promise<readonly Finding[]> {
  const unlocked = await findUnlocked();
  return unlocked.map(({ id, untilMs }) => ({
    verdict: "ok",
    message: `the key of "${id}" is unlocked until ${new Date(untilMs).toISOString()}`,
  }));
}
