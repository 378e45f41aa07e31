/**
 * What an administrator has the directory do: certify other keys than users' (`ISSUE`), look at what
 * was issued (`LIST`), revoke (`REVOKE`). It comes through the administration socket, so nobody is
 * asked who they are; what it says is checked all the same.
 */

import { encodeBase64, parseBase64 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import {
  type AdminAnswer,
  type AdminBody,
  type AdminType,
  LIST_ROWS_MAX,
} from "../protocol/admin_messages.ts";
import { listCertificates } from "../store/certificate_list.ts";
import type { IssuedCertificate } from "../store/state.ts";
import type { Directory } from "./directory.ts";
import type { DirectoryOrder } from "./ports.ts";

/** Certificates of one user that are revoked by one order; more are left for the next. */
const REVOKED_AT_ONCE_MAX = 10_000;

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
  return { certificate, issuing: encodeBase64(issuer), index, ignored: [...ignored] };
}

function list(
  directory: Directory,
  { limit = LIST_ROWS_MAX, after, ...filter }: AdminBody<"LIST">,
): AdminAnswer<"LIST"> {
  const rows = Math.min(limit, LIST_ROWS_MAX);
  const certificates = listCertificates(directory.options.state.database, {
    ...filter,
    nowMs: directory.nowMs,
    after,
    limit: rows,
  });
  const last = certificates.at(-1);
  return {
    certificates: certificates.map((one) => ({ ...one })),
    ...(last && certificates.length === rows
      ? { next: { notAfterMs: last.notAfterMs, entry: last.entry } }
      : {}),
  };
}

async function revoke(
  directory: Directory,
  { serial, id, reason }: AdminBody<"REVOKE">,
): Promise<AdminAnswer<"REVOKE">> {
  const meant = findMeant(directory, { serial, id });
  const revoked = await directory.revocation.revoke(meant, reason);
  if (id !== undefined) {
    directory.endSessions(
      ({ user }) => user === id,
      new PkiError("refused", "the session has ended: its user's certificates were revoked"),
    );
  }
  return {
    revoked: revoked.slice(0, LIST_ROWS_MAX).map((one) => ({ ...one })),
    more: Math.max(0, revoked.length - LIST_ROWS_MAX),
  };
}

function findMeant(
  { options: { state }, nowMs }: Directory,
  { serial, id }: { readonly serial: string | undefined; readonly id: string | undefined },
): readonly IssuedCertificate[] {
  if ((serial === undefined) === (id === undefined)) {
    throw new PkiError("malformed", "cannot revoke: name either a serial number or a user");
  }
  if (serial !== undefined) {
    const issued = state.issued(serial);
    if (!issued) throw new PkiError("not-found", `cannot revoke ${serial}: no such certificate`);
    if (issued.revokedMs !== null) {
      throw new PkiError("conflict", `cannot revoke ${serial}: it is revoked already`);
    }
    return [issued];
  }
  const meant = listCertificates(state.database, {
    id,
    state: "valid",
    nowMs,
    limit: REVOKED_AT_ONCE_MAX,
  });
  if (meant.length === 0) {
    throw new PkiError("not-found", `cannot revoke: "${id}" has no valid certificate`);
  }
  return meant;
}
