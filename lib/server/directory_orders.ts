/**
 * What an administrator has the directory do: certify other keys than users' (`ISSUE`), look at what
 * was issued (`LIST`), revoke (`REVOKE`), and what is in `account_orders.ts`. It comes through the administration socket, so nobody is
 * asked who they are; what it says is checked all the same.
 */

import { encodeBase64, parseBase64, utf8 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import {
  type AdminAnswer,
  type AdminBody,
  type AdminType,
  LIST_ROWS_MAX,
  type ListedCertificate,
} from "../protocol/admin_messages.ts";
import { shortenIgnored } from "../protocol/answers.ts";
import { listCertificates } from "../store/certificate_list.ts";
import { certificateOf, type IssuedCertificate } from "../store/state.ts";
import { parseCertificate } from "../x509/certificate.ts";
import { formatIp } from "../x509/general_names.ts";
import { changeUser, invite, listOpenInvitations, listUsers, withdraw } from "./account_orders.ts";
import type { Directory } from "./directory.ts";
import type { DirectoryOrder } from "./ports.ts";

/** Certificates of one user that are revoked by one order; more are left for the next. */
const REVOKED_AT_ONCE_MAX = 10_000;

/** Rows of one answer in bytes: a frame has 65,536, and the rest of the answer takes some. */
const ROWS_BYTES_MAX = 60_000;

/** A DNS name has at most as many; a common name that is longer is cut. */
const SUBJECT_CHARACTERS_MAX = 253;

/** @throws {PkiError} what the administrator is told */
export async function carryOut(
  directory: Directory,
  order: DirectoryOrder,
): Promise<AdminAnswer<AdminType>> {
  switch (order.type) {
    case "ISSUE":
      return await issue(directory, order.body);
    case "LIST":
      return list(directory, order.body);
    case "REVOKE":
      return await revoke(directory, order.body);
    case "INVITE":
      return await invite(directory, order.body);
    case "INVITATIONS":
      return listOpenInvitations(directory, order.body);
    case "WITHDRAW":
      return await withdraw(directory, order.body);
    case "USERS":
      return listUsers(directory, order.body);
    case "USER":
      return await changeUser(directory, order.body);
  }
}

async function issue(
  directory: Directory,
  { profile, name, dns, addresses, csr, spki, days }: AdminBody<"ISSUE">,
): Promise<AdminAnswer<"ISSUE">> {
  const { certificate: der, issuer, ignored } = await directory.options.authority.certify({
    profile,
    ...(name === undefined ? {} : { id: name }),
    ...(dns === undefined ? {} : { dns }),
    ...(addresses === undefined ? {} : { addresses }),
    ...(csr === undefined ? {} : { csr: parseBase64(csr) }),
    ...(spki === undefined ? {} : { spki: parseBase64(spki) }),
    ...(days === undefined ? {} : { days }),
  });
  const certificate = encodeBase64(der);
  // No "id": that names a user, and none of these is an identity of the directory.
  const index = await directory.commit({
    type: "issued",
    public: { profile, ...(name === undefined ? {} : { name }), certificate },
    private: null,
  });
  return { certificate, issuing: encodeBase64(issuer), index, ignored: shortenIgnored(ignored) };
}

/** A common name, or else the first name, and how many more names there are. */
function subjectOf(der: Uint8Array): string {
  const { commonNames: [commonName], names } = parseCertificate(der);
  const hosts = names.flatMap((name) =>
    name.type === "dns" ? [name.value] : name.type === "ip" ? [formatIp(name.value)] : []
  );
  const first = commonName ?? hosts[0] ?? "";
  // A common name repeats one of the names, or stands for the only one.
  const more = hosts.length - 1;
  return first.slice(0, SUBJECT_CHARACTERS_MAX) + (more > 0 ? ` +${more} more` : "");
}

/** What an administrator is told of certificates: as many of them as fit into an answer. */
function describeAll(
  { options: { log } }: Directory,
  certificates: readonly IssuedCertificate[],
): ListedCertificate[] {
  const rows: ListedCertificate[] = [];
  let bytes = 0;
  for (const one of certificates) {
    // Of a user the tables say it all; what others are called stands in the certificate alone.
    const subject = one.id === null
      ? subjectOf(parseBase64(certificateOf(log.read(one.entry))))
      : null;
    const row = { ...one, subject };
    bytes += utf8(JSON.stringify(row)).length + 1;
    if (rows.length === LIST_ROWS_MAX || bytes > ROWS_BYTES_MAX) break;
    rows.push(row);
  }
  return rows;
}

function list(
  directory: Directory,
  { limit = LIST_ROWS_MAX, after, ...filter }: AdminBody<"LIST">,
): AdminAnswer<"LIST"> {
  const wanted = Math.min(limit, LIST_ROWS_MAX);
  const found = listCertificates(directory.options.state.database, {
    ...filter,
    nowMs: directory.nowMs,
    after,
    limit: wanted,
  });
  const certificates = describeAll(directory, found);
  const last = certificates.at(-1);
  const isLast = found.length < wanted && certificates.length === found.length;
  return {
    certificates,
    ...(last && !isLast ? { next: { notAfterMs: last.notAfterMs, entry: last.entry } } : {}),
  };
}

async function revoke(
  directory: Directory,
  { serial, id, reason }: AdminBody<"REVOKE">,
): Promise<AdminAnswer<"REVOKE">> {
  const meant = findMeant(directory, { serial, id });
  const revoked = [...await directory.revocation.revoke(meant, reason)];
  if (id !== undefined) {
    await directory.endSessions(
      ({ user }) => user === id,
      new PkiError("refused", "the session has ended: its user's certificates were revoked"),
    );
    // What was on its way into the log when the user's certificates were looked up.
    const late = findValid(directory, id);
    if (late.length > 0) revoked.push(...await directory.revocation.revoke(late, reason));
  }
  const told = describeAll(directory, revoked);
  return { revoked: told, more: revoked.length - told.length };
}

function findValid(
  { options: { state }, nowMs }: Directory,
  id: string,
): readonly IssuedCertificate[] {
  const { database } = state;
  return listCertificates(database, { id, state: "valid", nowMs, limit: REVOKED_AT_ONCE_MAX });
}

function findMeant(
  directory: Directory,
  { serial, id }: { readonly serial: string | undefined; readonly id: string | undefined },
): readonly IssuedCertificate[] {
  if ((serial === undefined) === (id === undefined)) {
    throw new PkiError("malformed", "cannot revoke: name either a serial number or a user");
  }
  if (serial !== undefined) {
    const issued = directory.options.state.issued(serial);
    if (!issued) {
      throw new PkiError("not-found", `cannot revoke ${serial}: no such certificate`, {
        hint: "see its serial number with: pki ls",
      });
    }
    if (issued.profile === "issuing") {
      throw new PkiError("refused", `cannot revoke ${serial}: only the root's key revokes a CA`, {
        hint: "revoke it with: pki issuer revoke NAME",
      });
    }
    if (issued.revokedMs !== null) {
      throw new PkiError("conflict", `cannot revoke ${serial}: it is revoked already`, {
        hint: "nothing needs to be done; pki ls --serial shows when it was",
      });
    }
    return [issued];
  }
  const meant = id === undefined ? [] : findValid(directory, id);
  if (meant.length === 0) {
    throw new PkiError("not-found", `cannot revoke: "${id}" has no valid certificate`, {
      hint: "see what there is with: pki ls --user NAME",
    });
  }
  return meant;
}
