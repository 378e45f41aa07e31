/** Invitations as the server's administrator makes them, and as whoever gets one gives them to us. */

import { parseBase64 } from "../lib/base/bytes.ts";
import { PkiError } from "../lib/base/errors.ts";
import type { AdminAnswer, AdminBody } from "../lib/protocol/admin_messages.ts";
import { encodeInvitation } from "../lib/protocol/invitation.ts";
import type { Order } from "./orders.ts";

/** Long enough for mail to be read the next morning. */
export const INVITATION_DEFAULT_HOURS = 24;

export interface Invited {
  /** What whoever is invited needs; good as often as `uses` says, until it expires. */
  readonly line: string;
  readonly number: number;
  readonly address: string;
  readonly expiresMs: number;
  readonly registration: AdminAnswer<"INVITE">["registration"];
}

/**
 * Has the server make an invitation.
 * @param options.address where clients reach it, if it is not what the server thinks
 * @throws {PkiError} `usage` if nobody knows where it is reached, and what the order fails with
 */
export async function makeInvitation(
  order: Order,
  { fingerprint, address, fallback, ...wanted }:
    & {
      readonly fingerprint: string;
      readonly address?: string;
      /** What the configuration says, where no server runs that would know. */
      readonly fallback?: () => string | undefined;
    }
    & Partial<AdminBody<"INVITE">>,
): Promise<Invited> {
  const answer = await order("INVITE", {
    isReset: false,
    forMs: INVITATION_DEFAULT_HOURS * 3_600_000,
    uses: 1,
    ...wanted,
  });
  const reachedAt = address ?? answer.address ?? fallback?.();
  if (reachedAt === undefined) {
    await order("WITHDRAW", { number: answer.number }); // nobody has seen it
    throw new PkiError("usage", "cannot tell where the server is reached: it does not run", {
      hint: "name the address for the invitation with --address HOST:PORT",
    });
  }
  const { number, expiresMs, registration } = answer;
  const line = encodeInvitation({
    address: reachedAt,
    fingerprint,
    token: parseBase64(answer.token),
    ...(wanted.id === undefined ? {} : { id: wanted.id }),
    ...(wanted.isReset ? { isReset: true } : {}),
  });
  return { line, number, address: reachedAt, expiresMs, registration };
}
