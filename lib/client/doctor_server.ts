/**
 * What `pki doctor` says of the server, from one look at it ({@link ServerSight}, which `sight.ts`
 * takes): whether it can be reached, is the one that is trusted, and agrees about the time.
 */

import { PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { fingerprintOf } from "../x509/certificate.ts";
import type { OcspJudgement } from "../x509/ocsp_judge.ts";
import { formatAddress } from "./address.ts";
import { type Finding, type Patient, problemOf } from "./doctor_finding.ts";

/** A clock that is off by less troubles nobody. */
const CLOCK_WARNING_MS = 10_000;

const OFFLINE: Finding = { verdict: "unchecked", message: "the server was not asked (--offline)" };

/** Whether the name stands for addresses, and all of them answer: IPv6 often does not. */
export function checkAddress({ address, sight }: Patient): readonly Finding[] {
  if (address instanceof PkiError) return [problemOf(address)];
  if (!sight) return [];
  const { places } = sight;
  if (places instanceof PkiError) return [problemOf(places)];
  const silent = places.filter(({ failure }) => failure !== undefined);
  if (silent.length === 0 || silent.length === places.length) return [];
  return silent.map((place) => ({
    verdict: "warning",
    message: `the name ${address.host} also stands for ${place.address}, which takes no ` +
      `connection: ${place.failure}`,
    hint: "if connecting takes long, name the address that works with --server, or have the name " +
      "of the other one removed",
  }));
}

export function checkReach(
  { address, isAddressNamed, sight }: Patient,
): readonly Finding[] {
  if (address instanceof PkiError) return [];
  if (!sight) return [OFFLINE];
  const { greeted, places } = sight;
  const where = formatAddress(address);
  if (!(greeted instanceof PkiError)) {
    return [{ verdict: "ok", message: `the server at ${where} answers, for ${greeted.domain}` }];
  }
  if (places instanceof PkiError) return []; // said already
  if (isAddressNamed) return [problemOf(greeted)];
  return [{
    verdict: "warning",
    message: `no server was named, and there is none at ${where}: ${greeted.message}`,
    hint: "name one with --server, or join with an invitation: pki join LINE",
  }];
}

export function checkServerRoot({ home, sight }: Patient): readonly Finding[] {
  const greeted = sight?.greeted;
  if (!greeted || greeted instanceof PkiError) return [];
  const pinned = home.pinnedRoot();
  const found = fingerprintOf(greeted.rootDer);
  if (pinned === undefined) {
    return [{
      verdict: "unchecked",
      message: `the server says that its root is ${found}; nobody has vouched for that yet`,
      hint: "compare it with what whoever runs the server tells you",
    }];
  }
  const wanted = fingerprintOf(pinned);
  if (wanted === found) return [{ verdict: "ok", message: "its root is the pinned one" }];
  return [{
    verdict: "problem",
    kind: "untrusted",
    message: `the server's root is ${found}, not the pinned ${wanted}`,
    hint: "it is another server, or somebody is in between: ask whoever runs it, on another way " +
      "than this network",
  }];
}

export function checkServerTrust({ sight }: Patient): readonly Finding[] {
  const trusted = sight?.trusted;
  if (trusted === undefined || sight?.greeted instanceof PkiError) return [];
  if (trusted instanceof PkiError) return [problemOf(trusted)];
  return [{ verdict: "ok", message: "its certificate is good under the pinned root" }];
}

function secondsOf(ms: number): string {
  const seconds = Math.round(Math.abs(ms) / 1000);
  return seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} minutes`;
}

/** The clock against the server's; what the answer took on its way is nobody's fault. */
export function checkClock({ sight }: Patient): readonly Finding[] {
  const greeted = sight?.greeted;
  if (!greeted || greeted instanceof PkiError) {
    return [{
      verdict: "unchecked",
      message: "whether the clock of this machine is right is not known: no server tells the time",
    }];
  }
  const { timeMs, askedMs, answeredMs } = greeted;
  // The server read its clock somewhere between these two.
  const off = timeMs < askedMs ? timeMs - askedMs : timeMs > answeredMs ? timeMs - answeredMs : 0;
  if (Math.abs(off) < CLOCK_WARNING_MS) {
    return [{ verdict: "ok", message: "the clock of this machine agrees with the server's" }];
  }
  const message = `the clock of this machine is ${secondsOf(off)} ${
    off > 0 ? "behind" : "ahead of"
  } the server's`;
  const hint = "set one of the two: certificates that are good seem not to be";
  // Certificates begin a little before they are made, so that this much does no harm.
  if (Math.abs(off) <= LIMITS.backdateMs) return [{ verdict: "warning", message, hint }];
  return [{ verdict: "problem", kind: "untrusted", message, hint }];
}

function findStatus(id: string, status: OcspJudgement | PkiError): Finding {
  if (status instanceof PkiError) {
    const { message } = status;
    return {
      verdict: "unchecked",
      message: `whether the certificate of "${id}" was revoked is not known: ${message}`,
    };
  }
  switch (status.status) {
    case "good":
      return { verdict: "ok", message: `the certificate of "${id}" is not revoked` };
    case "revoked":
      return {
        verdict: "problem",
        kind: "untrusted",
        message: `the certificate of "${id}" was revoked on ${
          new Date(status.revokedMs ?? 0).toISOString()
        }${status.reason ? ` (${status.reason})` : ""}`,
        hint: `get a new one, with a new key: pki csr --id ${id} --rekey`,
      };
    case "unknown":
      return {
        verdict: "problem",
        kind: "untrusted",
        message: `the server has no record of the certificate of "${id}"`,
        hint: "ask whoever runs the server whether it has lost something; a new certificate: " +
          `pki csr --id ${id}`,
      };
  }
}

export function checkStatus({ sight }: Patient): readonly Finding[] {
  return [...sight?.statuses ?? []].map(([id, status]) => findStatus(id, status));
}

/** The directory answers only who has logged in. */
export function checkPublished({ home }: Patient): readonly Finding[] {
  return home.listIds().map((id) => ({
    verdict: "unchecked",
    message: `whether the certificate of "${id}" is published is not shown without a login`,
    hint: `see with: pki request ${id} --id ${id}`,
  }));
}
