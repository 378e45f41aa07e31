/** Revoking certificates of one's own, and looking whether it has happened. */

import { PkiError } from "../base/errors.ts";
import type { RequestBody } from "../protocol/requests.ts";
import type { Certificate } from "../x509/certificate.ts";
import type { ServerConnection } from "./server_connection.ts";
import { fetchStatus } from "./status.ts";

export type OwnerReason = NonNullable<RequestBody<"REVOKE">["reason"]>;

/**
 * `REVOKE`: takes back a certificate of the user who is logged in. A session that was opened with
 * this certificate ends behind the answer.
 * @returns since when it is revoked, in milliseconds since 1970; earlier where it was before
 * @throws {PkiError} `not-found` if no such certificate was issued to the user
 */
export async function revokeOwn(
  connection: ServerConnection,
  { serial, reason }: { readonly serial: string; readonly reason: OwnerReason | undefined },
): Promise<number> {
  const answer = await connection.request("REVOKE", { serial, reason });
  if (answer.serial !== serial) {
    throw new PkiError(
      "protocol",
      "the server has revoked another certificate than was asked for",
      { hint: "it may be hostile or broken: tell whoever runs it" },
    );
  }
  return Date.parse(answer.time);
}

/**
 * Has the issuing CA say that a certificate is revoked.
 * @throws {PkiError} `untrusted` if it says anything else
 */
export async function checkRevoked(
  connection: ServerConnection,
  options: { readonly leaf: Certificate; readonly issuing: Certificate; readonly nowMs: number },
): Promise<void> {
  const { judged } = await fetchStatus(connection, options);
  if (judged.status === "revoked") return;
  throw new PkiError(
    "untrusted",
    `the server took the revocation, but its CA says that the certificate is ${judged.status}`,
    { hint: "tell whoever runs the server" },
  );
}
