/**
 * Certificates as an administrator is shown them: a table for people, which fits the terminal, or an
 * object each for programs. Whatever a certificate says, no control character reaches the terminal.
 */

import { printable, printableJson } from "../lib/base/printable.ts";
import type { ListedCertificate } from "../lib/protocol/admin_messages.ts";

/** A date and a serial number have always as many; the column of names takes what is left. */
const DATE_CHARACTERS = 10;
const STATE_CHARACTERS = 7;
const PROFILE_CHARACTERS = 7;
const SERIAL_CHARACTERS = 40;
const GAP = "  ";
const WHO_CHARACTERS_MIN = 12;
/** Without a terminal nothing has to fit; but a table is still a table. */
const WHO_CHARACTERS_MAX = 40;

export type ShownState = "valid" | "expired" | "revoked";

export function stateOf({ revokedMs, notAfterMs }: ListedCertificate, nowMs: number): ShownState {
  if (revokedMs !== null) return "revoked";
  return notAfterMs < nowMs ? "expired" : "valid";
}

/** Whose certificate it is. */
function whoOf({ id, subject }: ListedCertificate): string {
  return printable(id ?? subject ?? "");
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

function fit(text: string, columns: number): string {
  const characters = [...text];
  if (characters.length <= columns) return text + " ".repeat(columns - characters.length);
  return characters.slice(0, columns - 1).join("") + "…";
}

export interface CertificateTable {
  readonly header: string;
  line(row: ListedCertificate): string;
}

/**
 * A table whose columns are chosen by its first rows; what is longer later is cut.
 * @param columns of the terminal; absent where there is none
 */
export function makeTable(
  first: readonly ListedCertificate[],
  { nowMs, columns }: { readonly nowMs: number; readonly columns: number | undefined },
): CertificateTable {
  const fixed = [STATE_CHARACTERS, DATE_CHARACTERS, SERIAL_CHARACTERS];
  const taken = fixed.reduce((sum, width) => sum + GAP.length + width, 0);
  const hasProfile = columns === undefined ||
    columns - taken - PROFILE_CHARACTERS - GAP.length >= WHO_CHARACTERS_MIN;
  const room = columns === undefined
    ? WHO_CHARACTERS_MAX
    : columns - taken - (hasProfile ? PROFILE_CHARACTERS + GAP.length : 0);
  const longest = Math.max(...first.map((row) => [...whoOf(row)].length), 0);
  const who = Math.max(WHO_CHARACTERS_MIN, Math.min(room, longest));
  const join = (cells: readonly [string, string, string, string, string]) => {
    const [name, profile, state, end, serial] = cells;
    return [
      fit(name, who),
      ...(hasProfile ? [fit(profile, PROFILE_CHARACTERS)] : []),
      fit(state, STATE_CHARACTERS),
      fit(end, DATE_CHARACTERS),
      serial,
    ].join(GAP);
  };
  return {
    header: join(["WHO", "PROFILE", "STATE", "ENDS", "SERIAL"]),
    line: (row) =>
      join([
        whoOf(row),
        printable(row.profile),
        stateOf(row, nowMs),
        timeOf(row.notAfterMs).slice(0, DATE_CHARACTERS),
        row.serial,
      ]),
  };
}
