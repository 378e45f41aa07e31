/**
 * Descriptions as text for people: a title, then labels and values in two columns. Everything that
 * comes from a file goes through `printable`, so nothing in it reaches the terminal as a command.
 */

import { printable } from "../base/printable.ts";
import type {
  CertificateDescription,
  ExtensionDescription,
  KeyDescription,
  NameDescription,
} from "./describe.ts";
import type { RequestDescription } from "./describe_request.ts";
import type {
  CrlDescription,
  OcspRequestDescription,
  OcspResponseDescription,
} from "./describe_revocation.ts";
import { nameOfOid, POLICY_NAMES } from "./oid_names.ts";

/** A label and its values, one a line; without values the label is left out, too. */
type Row = readonly [string, string | null | readonly string[]];

const LABEL_COLUMNS = 16;

function showRows(title: string, rows: readonly Row[]): string {
  const lines = rows.flatMap(([label, value]) => {
    const values = value === null ? [] : typeof value === "string" ? [value] : value;
    return values.map((text, i) =>
      `  ${(i === 0 ? label : "").padEnd(LABEL_COLUMNS)}${printable(text)}`
    );
  });
  return `${[title, ...lines].join("\n")}\n`;
}

const UNITS = [
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
  ["second", 1000],
] as const;

/** `12 days`, `5 hours`: whole units, two of them at least while there are smaller ones. */
export function showDuration(durationMs: number): string {
  for (const [unit, unitMs] of UNITS) {
    const count = Math.floor(durationMs / unitMs);
    if (count >= 2) return `${count} ${unit}s`;
    if (unit === "second") return `${count} second${count === 1 ? "" : "s"}`;
  }
  return "";
}

const showTime = (time: string) => time.replace("T", " ").replace("Z", " UTC");

/** A time, and how far it is from now. */
function showDistance(time: string, nowMs: number, past: string): string {
  const distanceMs = Date.parse(time) - nowMs;
  return distanceMs >= 0
    ? `${showTime(time)}, in ${showDuration(distanceMs)}`
    : `${showTime(time)}, ${past} ${showDuration(-distanceMs)} ago`;
}

/** The first moment: how far it is only matters while it lies ahead. */
function showBegin(time: string, nowMs: number): string {
  return Date.parse(time) > nowMs ? showDistance(time, nowMs, "") : showTime(time);
}

function showKey({ algorithm, curve, bits }: KeyDescription): string {
  if (curve !== null) return `${algorithm} ${curve}`;
  return algorithm.startsWith("RSA") && bits !== null ? `${algorithm}, ${bits} bits` : algorithm;
}

function showNames(names: readonly NameDescription[]): readonly string[] {
  return names.map(({ type, value }) => `${type.padEnd(5)} ${value}`);
}

function showCa({ isCa, pathLength }: Pick<CertificateDescription, "isCa" | "pathLength">): string {
  if (!isCa) return "no";
  if (pathLength === null) return "yes";
  if (pathLength === 0) return "yes, with no CA below it";
  return `yes, with CAs below it, ${pathLength} at most in a chain`;
}

const showList = (list: readonly string[]) => list.length > 0 ? list.join(", ") : null;

function showExtensions(extensions: readonly ExtensionDescription[]): readonly Row[] {
  const critical = extensions.filter((one) => one.critical);
  const others = extensions.filter(({ shown }) => !shown);
  return [
    ["critical", showList(critical.map(({ oid, name }) => name ?? oid))],
    [
      "not shown",
      others.map(({ oid, name, critical, bytes }) =>
        `${name === null ? oid : `${name} (${oid})`}, ${bytes} bytes${critical ? ", critical" : ""}`
      ),
    ],
  ];
}

function showPolicy(oid: string): string {
  const name = nameOfOid(POLICY_NAMES, oid);
  return name === oid ? oid : `${oid} (${name})`;
}

function showAfter(count: number | null): string | null {
  return count === null ? null : `after ${count} more certificate${count === 1 ? "" : "s"}`;
}

export function showCertificate(
  one: CertificateDescription,
  { title, nowMs }: { readonly title: string; readonly nowMs: number },
): string {
  return showRows(title, [
    ["subject", one.subject === "" ? "(empty)" : one.subject],
    ["issuer", one.selfIssued ? `${one.issuer} (itself, by name)` : one.issuer],
    ["serial", one.serial],
    ["from", showBegin(one.notBefore, nowMs)],
    ["until", showDistance(one.notAfter, nowMs, "expired")],
    ["key", showKey(one.key)],
    ["signature", one.signatureAlgorithm],
    ["names", showNames(one.names)],
    ["issuer names", showNames(one.issuerNames)],
    ["CA", showCa(one)],
    ["key usage", showList(one.keyUsage)],
    ["purposes", showList(one.extendedKeyUsage)],
    ["only for names", showNames(one.permittedNames)],
    ["never for names", showNames(one.excludedNames)],
    ["policies", one.policies.map(showPolicy)],
    ["policy mappings", one.policyMappings.map((pair) => `${pair.issuer} is ${pair.subject}`)],
    ["policy needed", showAfter(one.requireExplicitPolicy)],
    ["no mappings", showAfter(one.inhibitPolicyMapping)],
    ["no anyPolicy", showAfter(one.inhibitAnyPolicy)],
    ["CRL", one.crlLocations],
    ["OCSP", one.ocspLocations],
    ["issuer at", one.issuerLocations],
    ["key id", one.subjectKeyId],
    ["issuer key id", one.authorityKeyId],
    ...showExtensions(one.extensions),
    ["SHA-256", one.sha256],
    ["SHA-256 of key", one.key.sha256],
  ]);
}

function showPossession({ signatureAlgorithm, signedByKey }: RequestDescription): string {
  if (signedByKey === null) return `${signatureAlgorithm}, not verified`;
  return `${signatureAlgorithm}, ${signedByKey ? "by this key" : "NOT by this key"}`;
}

export function showRequest(one: RequestDescription, title: string): string {
  const others = one.attributes.filter(({ name }) => name !== "extensionRequest");
  return showRows(title, [
    ["subject", one.subject === "" ? "(empty)" : one.subject],
    ["key", showKey(one.key)],
    ["signature", showPossession(one)],
    ["asks for names", showNames(one.names)],
    ["asks for CA", one.isCa ? showCa(one) : null],
    ["key usage", showList(one.keyUsage)],
    ["purposes", showList(one.extendedKeyUsage)],
    ["attributes", showList(others.map(({ oid, name }) => name ?? oid))],
    ...showExtensions(one.extensions),
    ["SHA-256", one.sha256],
    ["SHA-256 of key", one.key.sha256],
  ]);
}

function showCrlKind({ deltaBase, onlyUsers, onlyCas }: CrlDescription): string {
  const whose = onlyUsers ? ", of end entities only" : onlyCas ? ", of CAs only" : "";
  return `${deltaBase === null ? "complete" : `a delta to list ${deltaBase}`}${whose}`;
}

export function showCrl(
  one: CrlDescription,
  { title, nowMs }: { readonly title: string; readonly nowMs: number },
): string {
  const head = showRows(title, [
    ["issuer", one.issuer],
    ["number", one.number],
    ["list", showCrlKind(one)],
    ["issued", showBegin(one.thisUpdate, nowMs)],
    ["next due", one.nextUpdate && showDistance(one.nextUpdate, nowMs, "due")],
    ["signature", one.signatureAlgorithm],
    ["to be found at", one.locations],
    ["issuer key id", one.authorityKeyId],
    ...showExtensions(one.extensions),
    ["SHA-256", one.sha256],
    ["revoked", String(one.entryCount)],
  ]);
  const entries = one.entries.map(({ serial, revoked, reason, invaliditySince }) =>
    printable(
      `    ${serial}  ${showTime(revoked)}  ${reason}` +
        (invaliditySince === null ? "" : `, not to be trusted since ${showTime(invaliditySince)}`),
    ) + "\n"
  );
  const left = one.entryCount - one.entries.length;
  return head + entries.join("") + (left > 0 ? `    and ${left} more: --all shows them\n` : "");
}

export function showOcspRequest(one: OcspRequestDescription, title: string): string {
  return showRows(title, [
    ["asks about", one.certificates.map(({ serial }) => serial)],
    ["issuer's hash", showList([...new Set(one.certificates.map(({ hash }) => hash))])],
    ["nonce", one.nonce],
  ]);
}

export function showOcspResponse(
  one: OcspResponseDescription,
  { title, nowMs }: { readonly title: string; readonly nowMs: number },
): string {
  const answers = one.answers.map((answer) =>
    showRows(`  ${answer.serial}`, [
      ["  status", answer.status],
      ["  revoked", answer.revoked && `${showTime(answer.revoked)}, ${answer.reason}`],
      ["  from", showBegin(answer.thisUpdate, nowMs)],
      ["  until", answer.nextUpdate && showDistance(answer.nextUpdate, nowMs, "expired")],
    ])
  );
  return showRows(title, [
    ["response", one.status],
    ["by", one.responderName ?? (one.responderKeyId && `the key ${one.responderKeyId}`)],
    ["produced", one.produced && showTime(one.produced)],
    ["signature", one.signatureAlgorithm],
    ["nonce", one.nonce],
    [
      "certificates",
      one.certificateCount > 0 ? `${one.certificateCount} beside the signature` : null,
    ],
  ]) + answers.join("");
}
