/**
 * Says what revocation lists and OCSP messages say, as plain values that become JSON, like
 * `describe.ts` does for certificates.
 */

import { encodeHex } from "../base/bytes.ts";
import { fingerprintOf } from "./certificate.ts";
import type { Crl, CrlEntry } from "./crl.ts";
import {
  describeExtensions,
  describeNames,
  describeSignature,
  type ExtensionDescription,
  hexOrNull,
  iso,
} from "./describe.ts";
import { OID, parseDistributionPointName } from "./extensions.ts";
import { formatName } from "./name_text.ts";
import type { OcspCertId, OcspHash, OcspRequest } from "./ocsp.ts";
import type { BasicOcspResponse, OcspResponse } from "./ocsp_response.ts";

export interface CrlEntryDescription {
  readonly serial: string;
  /** ISO 8601. */
  readonly revoked: string;
  readonly reason: string;
  readonly invaliditySince: string | null;
}

export interface CrlDescription {
  readonly issuer: string;
  /** As a decimal number, which may have 48 digits. */
  readonly number: string | null;
  /** The number of the list that this one adds to; of a complete list `null`. */
  readonly deltaBase: string | null;
  readonly thisUpdate: string;
  readonly nextUpdate: string | null;
  readonly period: "future" | "current" | "expired";
  readonly onlyUsers: boolean;
  readonly onlyCas: boolean;
  readonly locations: readonly string[];
  readonly signatureAlgorithm: string;
  readonly authorityKeyId: string | null;
  readonly extensions: readonly ExtensionDescription[];
  readonly entryCount: number;
  /** The first ones, or all. */
  readonly entries: readonly CrlEntryDescription[];
  readonly sha256: string;
}

export interface CertIdDescription {
  readonly serial: string;
  readonly hash: OcspHash;
  readonly issuerNameHash: string;
  readonly issuerKeyHash: string;
}

export interface OcspRequestDescription {
  readonly certificates: readonly CertIdDescription[];
  readonly nonce: string | null;
}

export interface OcspAnswerDescription extends CertIdDescription {
  readonly status: "good" | "revoked" | "unknown";
  readonly revoked: string | null;
  readonly reason: string | null;
  readonly thisUpdate: string;
  readonly nextUpdate: string | null;
  readonly period: "future" | "current" | "expired";
}

export interface OcspResponseDescription {
  /** The status of the response; what it says of certificates is in `answers`. */
  readonly status: string;
  readonly responderKeyId: string | null;
  readonly responderName: string | null;
  readonly produced: string | null;
  readonly answers: readonly OcspAnswerDescription[];
  readonly nonce: string | null;
  readonly signatureAlgorithm: string | null;
  /** How many certificates come with it. */
  readonly certificateCount: number;
}

interface Update {
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number | undefined;
}

function periodOf({ thisUpdateMs, nextUpdateMs }: Update, nowMs: number): CrlDescription["period"] {
  if (nowMs < thisUpdateMs) return "future";
  return nextUpdateMs !== undefined && nowMs > nextUpdateMs ? "expired" : "current";
}

const isoOrNull = (timeMs: number | undefined) => timeMs === undefined ? null : iso(timeMs);

function describeUpdate(update: Update, nowMs: number) {
  return {
    thisUpdate: iso(update.thisUpdateMs),
    nextUpdate: isoOrNull(update.nextUpdateMs),
    period: periodOf(update, nowMs),
  };
}

function describeEntry({ serial, revokedMs, reason, invalidityMs }: CrlEntry): CrlEntryDescription {
  return { serial, revoked: iso(revokedMs), reason, invaliditySince: isoOrNull(invalidityMs) };
}

function firstEntries(crl: Crl, entriesMax: number): readonly CrlEntryDescription[] {
  const entries: CrlEntryDescription[] = [];
  for (const entry of crl.entries()) {
    if (entries.length >= entriesMax) break;
    entries.push(describeEntry(entry));
  }
  return entries;
}

/** Extensions of lists whose content the description has. */
const SHOWN: ReadonlySet<string> = new Set([
  OID.authorityKeyId,
  "2.5.29.20",
  "2.5.29.27",
  "2.5.29.28",
]);

/** What a list says, with so many of its entries; `nowMs` is for its period only. */
export function describeCrl(
  crl: Crl,
  { nowMs, entriesMax }: { readonly nowMs: number; readonly entriesMax: number },
): CrlDescription {
  const { number, deltaBase, scope } = crl;
  const locations = scope?.distributionPoint
    ? parseDistributionPointName(scope.distributionPoint)
    : [];
  return {
    issuer: formatName(crl.issuer),
    number: number === undefined ? null : String(number),
    deltaBase: deltaBase === undefined ? null : String(deltaBase),
    ...describeUpdate(crl, nowMs),
    onlyUsers: scope?.onlyUsers === true,
    onlyCas: scope?.onlyCas === true,
    locations: describeNames(locations).map(({ value }) => value),
    signatureAlgorithm: describeSignature(crl.signatureAlgorithm.content),
    authorityKeyId: hexOrNull(crl.authorityKeyId),
    extensions: describeExtensions(crl.extensions, SHOWN),
    entryCount: crl.entryCount,
    entries: firstEntries(crl, entriesMax),
    sha256: fingerprintOf(crl.der),
  };
}

function describeCertId(
  { serial, hash, issuerNameHash, issuerKeyHash }: OcspCertId,
): CertIdDescription {
  return {
    serial,
    hash,
    issuerNameHash: encodeHex(issuerNameHash),
    issuerKeyHash: encodeHex(issuerKeyHash),
  };
}

export function describeOcspRequest({ certIds, nonce }: OcspRequest): OcspRequestDescription {
  return { certificates: certIds.map(describeCertId), nonce: hexOrNull(nonce) };
}

function describeAnswers(
  { answers }: BasicOcspResponse,
  nowMs: number,
): readonly OcspAnswerDescription[] {
  return answers.map(({ certId, status, ...update }) => ({
    ...describeCertId(certId),
    status: status.type,
    revoked: status.type === "revoked" ? iso(status.revokedMs) : null,
    reason: status.type === "revoked" ? status.reason : null,
    ...describeUpdate(update, nowMs),
  }));
}

/** What a response says; `nowMs` is for its answers' periods only. */
export function describeOcspResponse(
  { status, basic }: OcspResponse,
  nowMs: number,
): OcspResponseDescription {
  const responder = basic?.responder;
  return {
    status,
    responderKeyId: responder?.type === "key" ? encodeHex(responder.keyId) : null,
    responderName: responder?.type === "name" ? formatName(responder.name) : null,
    produced: isoOrNull(basic?.producedAtMs),
    answers: basic ? describeAnswers(basic, nowMs) : [],
    nonce: hexOrNull(basic?.nonce),
    signatureAlgorithm: basic ? describeSignature(basic.signatureAlgorithm.content) : null,
    certificateCount: basic?.certificates.length ?? 0,
  };
}
