/** `pki revoke`: takes a certificate back for good. */

import { buildCommand } from "@stricli/core";
import { messageOf, PkiError } from "../lib/base/errors.ts";
import { lookUp } from "../lib/client/operations.ts";
import { type OwnCertificate, parseOwnCertificate } from "../lib/client/own_identity.ts";
import { checkRevoked, type OwnerReason, revokeOwn } from "../lib/client/revocation.ts";
import { ADMIN_REASONS } from "../lib/protocol/admin_messages.ts";
import { OWNER_REASONS } from "../lib/protocol/message_fields.ts";
import { fingerprintOf } from "../lib/x509/certificate.ts";
import type { PkiContext } from "./context.ts";
import { GLOBAL_FLAGS, Surroundings, textFlag } from "./globals.ts";
import { readInputText } from "./input.ts";
import { ORDER_FLAGS } from "./orders.ts";
import { type AdminReason, revokeByOrder, type RevokeOrderFlags } from "./revoke_orders.ts";
import { parseSerial } from "./serial.ts";
import {
  findOwn,
  LOGIN_FLAGS,
  type LoginFlags,
  openSession,
  reach,
  type Session,
} from "./sign_in.ts";

export interface RevokeFlags extends LoginFlags {
  readonly reason?: OwnerReason;
  readonly cert?: string;
}

type Target = Pick<OwnCertificate, "id" | "leaf" | "issuing">;

/** Without a terminal nobody can take it back in time. */
function checkCanAnswer({ context, flags }: Surroundings): void {
  if (flags.yes || context.terminal) return;
  throw new PkiError("usage", "cannot ask whether to revoke: there is no terminal", {
    hint: "a revocation cannot be undone; answer beforehand with --yes",
  });
}

async function confirm({ context, flags }: Surroundings, { id, leaf }: Target): Promise<void> {
  if (flags.yes) return;
  const until = new Date(leaf.notAfterMs).toISOString().slice(0, 10);
  const isWanted = await context.terminal?.confirm(
    `The certificate ${leaf.serial} of "${id}" is good until ${until}.\n` +
      "Revoking it cannot be undone. Revoke it?",
  );
  if (!isWanted) {
    throw new PkiError("refused", "nothing was revoked");
  }
}

/** What is to be revoked: the file named, the certificate in the home, the one that is published. */
async function findTarget(
  surroundings: Surroundings,
  session: Session,
  { file, own }: { readonly file: CertificateFile | undefined; readonly own?: OwnCertificate },
): Promise<Target> {
  const { id, connection, anchor, log } = session;
  const nowMs = surroundings.context.now();
  if (file) return parseOwnCertificate(file.pem, { id, anchor, nowMs, what: file.path });
  if (own) return own;
  const published = await lookUp(connection, { id, anchor, log, nowMs });
  surroundings.note("there is no certificate in the home: taking the one that is published");
  return published;
}

interface CertificateFile {
  readonly path: string;
  readonly pem: string;
}

/**
 * The revocation is in the log by now. Asks for that as anybody would, since a session that the
 * certificate has opened is over; a server that is away just now does not undo it.
 */
async function confirmRevoked(
  surroundings: Surroundings,
  flags: RevokeFlags,
  { leaf, issuing }: Target,
): Promise<void> {
  try {
    const { connection, log } = await reach(surroundings, flags);
    try {
      await checkRevoked(connection, { leaf, issuing, nowMs: surroundings.context.now() });
      await log.prove();
    } finally {
      connection.close();
    }
  } catch (error) {
    const isDistrust = error instanceof PkiError && error.kind === "untrusted";
    if (isDistrust || !(error instanceof PkiError)) throw error;
    surroundings.note(`the server did not confirm it afterwards: ${messageOf(error)}`);
  }
}

export async function revoke(context: PkiContext, flags: RevokeFlags): Promise<void> {
  const surroundings = new Surroundings(context, flags);
  checkCanAnswer(surroundings);
  const id = surroundings.identity();
  const path = flags.cert;
  const file = path === undefined ? undefined : { path, pem: await readInputText(context, path) }; // before any question
  const own = findOwn(surroundings, id);
  const session = await openSession(surroundings, flags, { id });
  let target: Target;
  let revokedMs: number;
  try {
    target = await findTarget(surroundings, session, { file, ...(own ? { own } : {}) });
    await confirm(surroundings, target);
    const { serial } = target.leaf;
    revokedMs = await revokeOwn(session.connection, { serial, reason: flags.reason });
  } finally {
    session.close();
  }
  await confirmRevoked(surroundings, flags, target);
  const { leaf } = target;
  const revoked = new Date(revokedMs).toISOString();
  surroundings.result(
    { id, serial: leaf.serial, fingerprint: fingerprintOf(leaf.der), revoked },
    `the certificate ${leaf.serial} of "${id}" is revoked since ${revoked}`,
  );
  surroundings.note(`next, a new key and certificate: pki csr --id ${id} --rekey`);
}

/** Of an owner and of an administrator. */
type AllFlags = Omit<RevokeFlags, "reason"> & RevokeOrderFlags;

function isOwnerReason(reason: AdminReason): reason is OwnerReason {
  return (OWNER_REASONS as readonly string[]).includes(reason);
}

/** As whom: with a serial number or a user the administrator, else the owner. */
async function revokeAsWhom(context: PkiContext, flags: AllFlags): Promise<void> {
  const { serial, user, data, passphraseFile, witness, reason, cert, withPassword, ...rest } =
    flags;
  const isOrder = serial !== undefined || user !== undefined;
  if (isOrder) {
    const owners = cert ?? withPassword ?? flags.id ?? flags.fingerprint;
    if (owners === undefined) return await revokeByOrder(context, flags);
    throw new PkiError("usage", "cannot revoke as the owner and as the administrator at once", {
      hint: "--serial and --user need no identity: they are for the server's machine",
    });
  }
  if ((data ?? passphraseFile ?? witness) !== undefined) {
    throw new PkiError("usage", "cannot tell what to revoke in the data folder", {
      hint: "name it with --serial HEX or --user NAME",
    });
  }
  if (reason !== undefined && !isOwnerReason(reason)) {
    throw new PkiError("usage", `cannot revoke for ${reason}: only the administrator says that`, {
      hint: `of one's own: ${OWNER_REASONS.join(", ")}`,
    });
  }
  await revoke(context, {
    ...rest,
    ...(reason === undefined ? {} : { reason }),
    ...(cert === undefined ? {} : { cert }),
    ...(withPassword === undefined ? {} : { withPassword }),
  });
}

export const revokeCommand = buildCommand<AllFlags, [], PkiContext>({
  func: async function (flags) {
    await revokeAsWhom(this, flags);
  },
  parameters: {
    flags: {
      ...LOGIN_FLAGS,
      reason: {
        kind: "enum",
        values: ADMIN_REASONS,
        optional: true,
        brief: "Why",
      },
      cert: textFlag("Revoke this one (PEM, - for stdin), instead of the one in the home", "FILE"),
      serial: {
        kind: "parsed",
        parse: parseSerial,
        optional: true,
        brief: "As administrator: the certificate with this serial number",
        placeholder: "HEX",
      },
      user: textFlag("As administrator: all that this user has, ending the sessions, too", "NAME"),
      ...ORDER_FLAGS,
      ...GLOBAL_FLAGS,
    },
  },
  docs: {
    customUsage: [
      "[--id NAME] [--reason REASON] [--cert FILE] [options]",
      "--serial HEX|--user NAME [--reason REASON] [--data DIR] [options]",
    ],
    brief: "Revoke your certificate, or as administrator any",
    fullDescription:
      "Takes your certificate back, for good: nobody who asks the server trusts it any\n" +
      "more, it is not given out, and the sessions that it opened end. Its key opens the\n" +
      "session for that; where the key is lost or the certificate has expired, or with\n" +
      "--with-password, the account's password does. Where there is no certificate in the\n" +
      "home it is the published one that is revoked.\n\n" +
      "The administrator, on the server's machine, revokes any certificate by its serial\n" +
      "number, or all of a user, also while the server runs; pki ls finds them.\n\n" +
      "Examples:\n" +
      "  pki revoke --id alice --reason keyCompromise\n" +
      "  pki revoke --id alice --cert old.pem --yes\n" +
      "  pki revoke --user alice --reason affiliationChanged",
  },
});
