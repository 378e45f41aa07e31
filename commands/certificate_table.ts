/**
 * Certificates as an administrator is shown them: a table for people, which fits the terminal, or an
 * object each for programs. Whatever a certificate says, no control character reaches the terminal.
 */

import { printableJson } from "../lib/base/printable.ts";
import type { ListedCertificate } from "../lib/protocol/admin_messages.ts";
import type { Paint } from "./paint.ts";
import { type Column, makeTable, styleOfState } from "./table.ts";

const DATE_CHARACTERS = 10;

export type ShownState = "valid" | "expired" | "revoked";

export function stateOf({ revokedMs, notAfterMs }: ListedCertificate, nowMs: number): ShownState {
  if (revokedMs !== null) return "revoked";
  return notAfterMs < nowMs ? "expired" : "valid";
}

/** Whose certificate it is. */
function whoOf({ id, subject }: ListedCertificate): string {
  return id ?? subject ?? "";
}

const timeOf = (ms: number) => new Date(ms).toISOString();

/** A certificate for a program. */
export function describeRow(row: ListedCertificate, nowMs: number) {
  const { serial, profile, id, subject, issuedMs, notAfterMs, revokedMs, reason, issuerKeyId } =
    row;
  return {
    serial,
    ...(id === null ? { subject } : { id }),
    profile,
    state: stateOf(row, nowMs),
    issued: timeOf(issuedMs),
    notAfter: timeOf(notAfterMs),
    ...(revokedMs === null ? {} : { revoked: timeOf(revokedMs), reason }),
    issuer: issuerKeyId,
    index: row.entry,
  };
}

/** A line of JSON, which is as safe to show as the table. */
export function jsonLine(row: ListedCertificate, nowMs: number): string {
  return `${printableJson(describeRow(row, nowMs))}\n`;
}

/** Columns of the table; a date and a serial number have always as many characters. */
const COLUMNS: readonly Column[] = [
  { head: "WHO" },
  { head: "PROFILE", width: 7, isOptional: true },
  { head: "STATE", width: 7, style: styleOfState },
  { head: "ENDS", width: DATE_CHARACTERS },
  { head: "SERIAL", width: 40 },
];

export interface CertificateTable {
  readonly header: string;
  line(row: ListedCertificate): string;
}

/**
 * A table whose columns are chosen by its first rows; what is longer later is cut at a terminal.
 * @param columns of the terminal; absent where there is none
 */
export function makeCertificateTable(
  first: readonly ListedCertificate[],
  { nowMs, columns, paint }: {
    readonly nowMs: number;
    readonly columns: number | undefined;
    readonly paint?: Paint;
  },
): CertificateTable {
  const cellsOf = (row: ListedCertificate) => [
    whoOf(row),
    row.profile,
    stateOf(row, nowMs),
    timeOf(row.notAfterMs).slice(0, DATE_CHARACTERS),
    row.serial,
  ];
  const table = makeTable(COLUMNS, { first: first.map(cellsOf), columns, paint });
  return { header: table.header, line: (row) => table.line(cellsOf(row)) };
}
