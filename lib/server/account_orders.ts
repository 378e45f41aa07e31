/**
 * What an administrator has the directory do with people: invite them (`INVITE`, `INVITATIONS`,
 * `WITHDRAW`), look at accounts (`USERS`), disable, enable and delete them (`USER`).
 *
 * A deletion is one entry of the log, after which nobody logs in under the id, ever. What follows it
 * (sessions end, certificates are revoked, private parts are redacted, the copy is removed) is done
 * again at the next start where a crash came between.
 */

import { randomBytes } from "node:crypto";
import { encodeBase64, utf8 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import {
  type AdminAnswer,
  type AdminBody,
  LIST_ROWS_MAX,
  type ListedAccount,
} from "../protocol/admin_messages.ts";
import { INVITATION_TOKEN_BYTES } from "../protocol/invitation.ts";
import {
  entriesToRedact,
  findInvitationByNumber,
  forgetEntries,
  isIdTaken,
  listAccounts,
  listInvitations,
  unfinishedDeletions,
} from "../store/accounts.ts";
import { type CertificateQuery, listCertificates } from "../store/certificate_list.ts";
import type { Directory } from "./directory.ts";
import { hashToken } from "./passwords.ts";

/** Certificates of one account that are revoked together; there may be more of them. */
const REVOKED_AT_ONCE_MAX = 1000;
/** Rows of one answer in bytes; a frame has 65,536. */
const ROWS_BYTES_MAX = 60_000;

/** @throws {PkiError} `conflict` if the id is taken, `not-found` for a new password of nobody */
export async function invite(
  directory: Directory,
  { id, isReset, forMs, uses }: AdminBody<"INVITE">,
): Promise<AdminAnswer<"INVITE">> {
  const { state } = directory.options;
  const { registration } = directory.passwords;
  if (isReset) {
    if (id === undefined || !state.account(id)) {
      throw new PkiError("not-found", `cannot invite: there is no account "${id ?? ""}"`, {
        hint: "invite without --reset, or see with pki users who there is",
      });
    }
  } else {
    if (registration === "closed") {
      throw new PkiError("refused", "cannot invite: this server registers nobody", {
        hint: "start it with --registration invite",
      });
    }
    if (id !== undefined && isIdTaken(state.database, id)) {
      throw new PkiError("conflict", `cannot invite "${id}": somebody has this id already`, {
        hint:
          "for a new password there is --reset; an id that was deleted is never handed out again",
      });
    }
  }
  const token = randomBytes(INVITATION_TOKEN_BYTES);
  const expiresMs = directory.nowMs + forMs;
  const number = await directory.commit({
    type: "invited",
    public: {},
    private: {
      tokenHash: hashToken(token),
      ...(id === undefined ? {} : { id }),
      ...(isReset ? { isReset } : {}),
      uses,
      expiresMs,
    },
  });
  return { number, token: encodeBase64(token), expiresMs, registration };
}

/** As many rows as fit into an answer. */
function fitting<Row>(rows: readonly Row[]): Row[] {
  const fit: Row[] = [];
  let bytes = 0;
  for (const row of rows) {
    bytes += utf8(JSON.stringify(row)).length + 1;
    if (bytes > ROWS_BYTES_MAX) break;
    fit.push(row);
  }
  return fit;
}

export function listOpenInvitations(
  { options: { state }, nowMs }: Directory,
  { after }: AdminBody<"INVITATIONS">,
): AdminAnswer<"INVITATIONS"> {
  const found = listInvitations(state.database, { nowMs, after, limit: LIST_ROWS_MAX });
  const invitations = fitting(found.map(({ tokenHash: _, ...row }) => row));
  const last = invitations.at(-1);
  const isLast = found.length < LIST_ROWS_MAX && invitations.length === found.length;
  return { invitations, ...(last && !isLast ? { next: last.number } : {}) };
}

/** @throws {PkiError} `not-found` if there is none that could be used */
export async function withdraw(
  directory: Directory,
  { number }: AdminBody<"WITHDRAW">,
): Promise<AdminAnswer<"WITHDRAW">> {
  const { state } = directory.options;
  await directory.inTurn(`invitation:${number}`, async () => {
    const invitation = findInvitationByNumber(state.database, number);
    if (!invitation || invitation.usesLeft === 0 || invitation.expiresMs <= directory.nowMs) {
      throw new PkiError("not-found", `cannot withdraw: there is no open invitation ${number}`, {
        hint: "pki invite --list shows those that can be used",
      });
    }
    await directory.commit({ type: "withdrawn", public: { withdrawn: number }, private: null });
  });
  return { number };
}

export function listUsers(
  { options: { state }, nowMs }: Directory,
  { id, state: wanted, after, limit = LIST_ROWS_MAX }: AdminBody<"USERS">,
): AdminAnswer<"USERS"> {
  const most = Math.min(limit, LIST_ROWS_MAX);
  const found = listAccounts(state.database, { nowMs, id, state: wanted, after, limit: most });
  const users = fitting(found);
  const last = users.at(-1);
  const isLast = found.length < most && users.length === found.length;
  return { users, ...(last && !isLast ? { next: last.id } : {}) };
}

/** @throws {PkiError} `not-found`, `conflict` if it is so already */
export async function changeUser(
  directory: Directory,
  { id, action }: AdminBody<"USER">,
): Promise<AdminAnswer<"USER">> {
  const before = findUser(directory, id);
  const isDisabled = before?.disabledMs !== null;
  if (!before || before.deletedMs !== null && action !== "delete") {
    throw new PkiError("not-found", `cannot ${action} "${id}": there is no such account`, {
      hint: "pki users lists them",
    });
  }
  switch (action) {
    case "disable":
      if (isDisabled) throw already(id, "disabled");
      await changeState(directory, id, "disabled");
      await endSessions(directory, id, "the account was disabled");
      return { user: mustFind(directory, id), revoked: 0, redacted: 0 };
    case "enable":
      if (!isDisabled) throw already(id, "enabled");
      await changeState(directory, id, "enabled");
      return { user: mustFind(directory, id), revoked: 0, redacted: 0 };
    case "delete": {
      if (before.deletedMs === null) await changeState(directory, id, "deleted");
      await endSessions(directory, id, "the account was deleted");
      const revoked = await revokeAll(directory, id);
      directory.options.removeCopy(id);
      directory.guesses.forget(id);
      const redacted = await redactDeleted(directory);
      return { user: mustFind(directory, id), revoked, redacted };
    }
  }
}

function already(id: string, state: string): PkiError {
  return new PkiError("conflict", `nothing to do: the account "${id}" is ${state}`, {
    hint: "see who is disabled with: pki users",
  });
}

function findUser(
  { options: { state }, nowMs }: Directory,
  id: string,
): ListedAccount | undefined {
  return listAccounts(state.database, { nowMs, id, limit: 1 })[0];
}

function mustFind(directory: Directory, id: string): ListedAccount {
  const user = findUser(directory, id);
  if (!user) throw new PkiError("internal", "an account is gone that was there");
  return user;
}

async function changeState(
  directory: Directory,
  id: string,
  type: "disabled" | "enabled" | "deleted",
): Promise<void> {
  await directory.inTurn(id, async () => {
    // Another administrator may have come first; then it is so already.
    const now = mustFind(directory, id);
    if (now.deletedMs !== null) return;
    if (type !== "deleted" && (now.disabledMs !== null) === (type === "disabled")) return;
    await directory.commit({ type, public: {}, private: { id } });
  });
}

async function endSessions(directory: Directory, id: string, why: string): Promise<void> {
  const ended = directory.endSessions(
    ({ user }) => user === id,
    new PkiError("refused", `the session has ended: ${why}`),
  );
  directory.announcements.forget(id); // nothing comes in any more that would bring it back
  await ended;
}

/**
 * Revokes what an account has that is valid, a page after the other, each from where the one before
 * has ended: what is revoked then is not read again. Returns how many.
 */
export async function revokeAll(
  directory: Directory,
  id: string,
  limit = REVOKED_AT_ONCE_MAX,
): Promise<number> {
  const { options: { state: { database } }, nowMs } = directory;
  let revoked = 0;
  let after: CertificateQuery["after"];
  for (;;) {
    const good = listCertificates(database, { id, state: "valid", nowMs, after, limit });
    after = good.at(-1);
    if (after === undefined) return revoked;
    await directory.revocation.revoke(good, "cessationOfOperation");
    revoked += good.length;
  }
}

/** Takes private parts of deleted accounts out of the log; returns of how many entries. */
async function redactDeleted({ options: { state, log, onChange } }: Directory): Promise<number> {
  const entries = entriesToRedact(state.database);
  if (entries.length === 0) return 0;
  await log.redact(entries);
  forgetEntries(state.database, entries);
  state.settle(); // what an open transaction could be undone with is forgotten too
  onChange();
  return entries.length;
}

/** Ends deletions that a crash has cut short. */
export async function finishDeletions(directory: Directory): Promise<void> {
  const { state } = directory.options;
  for (const id of unfinishedDeletions(state.database, directory.nowMs)) {
    await revokeAll(directory, id);
    directory.options.removeCopy(id);
  }
  await redactDeleted(directory);
}
