/** Revoking as the administrator: any certificate, or all of a user, on the server's machine. */

import { PkiError } from "../lib/base/errors.ts";
import {
  ADMIN_REASONS,
  type AdminAnswer,
  LIST_ROWS_MAX,
  type ListedCertificate,
} from "../lib/protocol/admin_messages.ts";
import { checkId } from "../lib/x509/names.ts";
import { describeRow, makeCertificateTable } from "./certificate_table.ts";
import type { PkiContext } from "./context.ts";
import { columnsOf } from "./paint.ts";
import { Surroundings } from "./globals.ts";
import { type Order, type OrderFlags, withOrders } from "./orders.ts";

export type AdminReason = (typeof ADMIN_REASONS)[number];

export interface RevokeOrderFlags extends OrderFlags {
  /** In lower-case hex; either this or a user. */
  readonly serial?: string;
  readonly user?: string;
  readonly reason?: AdminReason;
}

type Meant = { readonly serial: string } | { readonly id: string };

function findMeant({ serial, user }: RevokeOrderFlags): Meant {
  if (serial !== undefined && user === undefined) return { serial };
  if (serial === undefined && user !== undefined) {
    checkId(user);
    return { id: user };
  }
  throw new PkiError("usage", "cannot revoke: name either one certificate or a user", {
    hint: "give --serial HEX, or --user NAME for all that this user has; pki ls lists them",
  });
}

function tableOf(
  rows: readonly ListedCertificate[],
  { context, nowMs }: { readonly context: PkiContext; readonly nowMs: number },
): string {
  const columns = columnsOf(context.process.stderr, context.process.env);
  const table = makeCertificateTable(rows, { nowMs, columns });
  return [table.header, ...rows.map((row) => table.line(row))].join("\n");
}

/** Shows what is meant and asks. What cannot be revoked is not asked about: the order says why. */
async function confirm(
  { context }: Surroundings,
  order: Order,
  meant: Meant,
): Promise<void> {
  const { terminal } = context;
  const filter = "id" in meant ? { ...meant, state: "valid" as const } : meant;
  const { certificates, next } = await order("LIST", { ...filter, limit: LIST_ROWS_MAX });
  const rows = certificates.filter(({ revokedMs }) => revokedMs === null);
  if (rows.length === 0) return;
  context.process.stderr.write(`${tableOf(rows, { context, nowMs: context.now() })}\n`);
  const count = next ? `these and more certificates` : `${rows.length} certificates`;
  const what = rows.length === 1 ? "this certificate" : count;
  const isWanted = await terminal?.confirm(`Revoke ${what}? This cannot be undone.`);
  if (!isWanted) {
    throw new PkiError("refused", "nothing was revoked");
  }
}

interface Revoked {
  readonly rows: readonly ListedCertificate[];
  /** Revoked, and not in the rows. */
  readonly more: number;
}

/** One order revokes only so many of a user: it is given until there are none. */
async function revokeAll(order: Order, meant: Meant, reason: AdminReason): Promise<Revoked> {
  const rows: ListedCertificate[] = [];
  let more = 0;
  for (;;) {
    let answer: AdminAnswer<"REVOKE">;
    try {
      answer = await order("REVOKE", { ...meant, reason });
    } catch (error) {
      const isDone = rows.length > 0 && error instanceof PkiError && error.kind === "not-found";
      if (isDone) return { rows, more };
      throw error;
    }
    if (rows.length === 0) rows.push(...answer.revoked);
    else more += answer.revoked.length;
    more += answer.more;
    if (answer.more === 0 || "serial" in meant) return { rows, more };
  }
}

/** `pki revoke --serial HEX` and `pki revoke --user NAME`. */
export async function revokeByOrder(context: PkiContext, flags: RevokeOrderFlags): Promise<void> {
  const surroundings = new Surroundings(context, flags);
  const meant = findMeant(flags);
  const { reason = "unspecified" } = flags;
  if (!flags.yes && !context.terminal) {
    throw new PkiError("usage", "cannot ask whether to revoke: there is no terminal", {
      hint: "a revocation cannot be undone; answer beforehand with --yes",
    });
  }
  const { rows, more } = await withOrders(
    surroundings,
    flags,
    { what: "cannot revoke" },
    async (order) => {
      if (!flags.yes) await confirm(surroundings, order, meant);
      return await revokeAll(order, meant, reason);
    },
  );
  const nowMs = context.now();
  const count = rows.length + more;
  const revoked = rows.map((row) => describeRow(row, nowMs));
  surroundings.result(
    { revoked, count, reason },
    `${count === 1 ? "1 certificate is" : `${count} certificates are`} revoked (${reason}):\n` +
      rows.map(({ serial }) => `  ${serial}\n`).join("") + (more > 0 ? `  and ${more} more\n` : ""),
  );
}
