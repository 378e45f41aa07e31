/**
 * What entries about accounts and invitations change in the tables. Start reading at
 * {@link applyAccountEntry}; what is asked of these tables is in `accounts.ts`.
 *
 * The private parts of a deleted account are redacted in the log later. The tables are the same
 * whether its entries are read before or after that: an entry that is redacted says nothing of an
 * account, and the one that deletes it leaves nothing but its id. That an invitation was used is
 * public, as it must count for ever.
 */

import type { EntryType, StoredEntry } from "../log/entry.ts";
import { numberField, optionalText, privateOf, textField } from "./entry_fields.ts";

/** Makes a change that must concern exactly one row. */
export type Change = (sql: string, values: readonly (string | number | null)[]) => void;

const ACCOUNT_TYPES: ReadonlySet<EntryType> = new Set([
  "registered",
  "credentials",
  "disabled",
  "enabled",
  "deleted",
  "invited",
  "withdrawn",
]);

/** Whether an entry is about an account or an invitation. */
export function isAccountEntry({ type }: StoredEntry): boolean {
  return ACCOUNT_TYPES.has(type);
}

/** @throws {PkiError} `storage` if it cannot follow what was there before */
export function applyAccountEntry(change: Change, entry: StoredEntry, index: number): void {
  if (entry.public["invitation"] !== undefined) {
    change("UPDATE invitations SET uses_left = uses_left - 1 WHERE entry = ?", [
      numberField(entry.public, "invitation"),
    ]);
  }
  if (entry.private === "redacted") return;
  const hidden = privateOf(entry);
  if (entry.type === "invited") {
    const uses = numberField(hidden, "uses");
    change(
      `INSERT INTO invitations
         (entry, token_hash, id, is_reset, uses, uses_left, made_ms, expires_ms)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
      [
        ...[index, textField(hidden, "tokenHash"), optionalText(hidden, "id")],
        ...[hidden?.["isReset"] === true ? 1 : 0, uses, uses],
        ...[entry.timeMs, numberField(hidden, "expiresMs")],
      ],
    );
    return;
  }
  if (entry.type === "withdrawn") {
    change("UPDATE invitations SET uses_left = 0 WHERE entry = ?", [
      numberField(entry.public, "withdrawn"),
    ]);
    return;
  }
  const id = textField(hidden, "id");
  switch (entry.type) {
    case "registered":
      change(
        `INSERT INTO accounts (id, credential, record, address, registered_ms)
         VALUES (?, ?, ?, ?, ?)`,
        [id, ...credentialsIn(hidden), entry.timeMs],
      );
      break;
    case "credentials":
      change("UPDATE accounts SET credential = ?, record = ?, address = ? WHERE id = ?", [
        ...credentialsIn(hidden),
        id,
      ]);
      break;
    case "disabled":
      change("UPDATE accounts SET disabled_ms = ? WHERE id = ?", [entry.timeMs, id]);
      break;
    case "enabled":
      change("UPDATE accounts SET disabled_ms = NULL WHERE id = ?", [id]);
      break;
    case "deleted":
      // Nothing of it may be there: its entries may have been redacted by now.
      change(
        `INSERT INTO accounts (id, deleted_ms) VALUES (?, ?)
         ON CONFLICT (id) DO UPDATE SET credential = NULL, record = NULL, address = NULL,
           registered_ms = NULL, disabled_ms = NULL, deleted_ms = excluded.deleted_ms`,
        [id, entry.timeMs],
      );
      return;
  }
  change("INSERT INTO account_entries (entry, id) VALUES (?, ?)", [index, id]);
}

function credentialsIn(hidden: Parameters<typeof textField>[0]) {
  return [
    textField(hidden, "credential"),
    textField(hidden, "record"),
    optionalText(hidden, "address"),
  ] as const;
}
