/** `pki invite`: the administrator makes, lists and withdraws invitations. */

import { buildCommand } from "@stricli/core";
import { hostname } from "node:os";
import { PkiError } from "../lib/base/errors.ts";
import { readText } from "../lib/base/files.ts";
import { formatAddress, parseAddress } from "../lib/client/address.ts";
import {
  INVITATION_MS_MAX,
  INVITATION_USES_MAX,
  type ListedInvitation,
} from "../lib/protocol/admin_messages.ts";
import { fingerprintOf, parseCertificate } from "../lib/x509/certificate.ts";
import { checkId } from "../lib/x509/names.ts";
import { parsePemBlock } from "../lib/x509/pem.ts";
import type { PkiContext } from "./context.ts";
import { formatDuration, parseDuration } from "./duration.ts";
import { DEFAULT_PORT, GLOBAL_FLAGS, Surroundings, switchFlag, textFlag } from "./globals.ts";
import { INVITATION_DEFAULT_HOURS, makeInvitation } from "./invitation.ts";
import { findDataFolder, type Order, ORDER_FLAGS, type OrderFlags, withOrders } from "./orders.ts";
import { resolveConfiguration } from "./server_configuration.ts";

interface InviteFlags extends OrderFlags {
  readonly expires?: number;
  readonly uses?: number;
  readonly reset?: boolean;
  readonly address?: string;
  readonly list?: boolean;
  readonly withdraw?: number;
}

const WHAT = "cannot invite";

function checkFlags({ id, reset, list, withdraw, expires, uses, address }: InviteFlags): void {
  const makes = [id, reset, expires, uses, address].some((value) => value !== undefined);
  if ([makes, list === true, withdraw !== undefined].filter(Boolean).length > 1) {
    throw new PkiError("usage", `${WHAT}: make one, --list or --withdraw, one at a time`, {
      hint: "give the command once for each",
    });
  }
  if (reset && id === undefined) {
    throw new PkiError("usage", `${WHAT}: --reset is for one person`, {
      hint: "name them with --id",
    });
  }
  if (reset && uses !== undefined && uses > 1) {
    throw new PkiError("usage", `${WHAT}: --reset is used once`, { hint: "leave out --uses" });
  }
}

/** Where the folder's own configuration says that clients reach the server. */
function configuredAddress({ context }: Surroundings, folder: string): string | undefined {
  const { env } = context.process;
  const input = { folder, options: {}, env, hostName: hostname() };
  return resolveConfiguration(input).settings.publicAddress;
}

async function make(
  surroundings: Surroundings,
  order: Order,
  { folder, flags }: { readonly folder: string; readonly flags: InviteFlags },
): Promise<void> {
  const { expires: forMs = INVITATION_DEFAULT_HOURS * 3_600_000, uses = 1, reset, id } = flags;
  const rootPath = `${folder}/root.crt`;
  const root = parseCertificate(parsePemBlock(readText(rootPath), ["CERTIFICATE"], rootPath));
  const given = flags.address === undefined
    ? undefined
    : formatAddress(parseAddress(flags.address, DEFAULT_PORT));
  const { line, number, address, expiresMs, registration } = await makeInvitation(
    order,
    {
      fingerprint: fingerprintOf(root.der),
      ...(given === undefined ? {} : { address: given }),
      fallback: () => configuredAddress(surroundings, folder),
      ...(id === undefined ? {} : { id }),
      ...(reset ? { isReset: true } : {}),
      forMs,
      uses,
    },
  );
  surroundings.result(
    {
      invitation: line,
      number,
      address,
      ...(id === undefined ? {} : { id }),
      reset: reset ?? false,
      uses,
      expires: new Date(expiresMs).toISOString(),
    },
    line,
  );
  const whom = id === undefined ? "anybody" : `"${id}"`;
  const times = uses === 1 ? "once" : `${uses} times`;
  surroundings.note(
    `number ${number}: for ${whom} at ${address}, ${times}, within ${formatDuration(forMs)}. ` +
      (reset
        ? "Whoever has it chooses a new password: send it to nobody else"
        : "Whoever has it can register: send it to nobody else") +
      (registration === "open" && !reset ? " (at this server everybody can register now)" : ""),
  );
}

function describeInvitation(row: ListedInvitation) {
  const { number, id, isReset, uses, usesLeft, madeMs, expiresMs } = row;
  return {
    number,
    ...(id === null ? {} : { id }),
    reset: isReset,
    uses,
    usesLeft,
    made: new Date(madeMs).toISOString(),
    expires: new Date(expiresMs).toISOString(),
  };
}

async function list(surroundings: Surroundings, order: Order): Promise<void> {
  let after: number | undefined;
  let count = 0;
  do {
    const { invitations, next } = await order("INVITATIONS", after === undefined ? {} : { after });
    for (const row of invitations) {
      const { number, id, isReset, uses, usesLeft, expiresMs } = row;
      const whom = (id ?? "anybody") + (isReset ? " (new password)" : "");
      const until = new Date(expiresMs).toISOString().slice(0, 16).replace("T", " ");
      surroundings.result(
        describeInvitation(row),
        `${String(number).padStart(6)}  ${whom.padEnd(24)}  ${usesLeft} of ${uses} left, ` +
          `until ${until} UTC`,
      );
      count++;
    }
    after = next;
  } while (after !== undefined);
  surroundings.note(count === 1 ? "1 open invitation" : `${count} open invitations`);
}

export async function invite(context: PkiContext, flags: InviteFlags): Promise<void> {
  checkFlags(flags);
  const surroundings = new Surroundings(context, flags);
  if (flags.id !== undefined) checkId(flags.id);
  const folder = await findDataFolder(surroundings, flags, WHAT);
  await withOrders(surroundings, flags, { what: WHAT }, async (order) => {
    if (flags.list) return await list(surroundings, order);
    if (flags.withdraw === undefined) return await make(surroundings, order, { folder, flags });
    const { number } = await order("WITHDRAW", { number: flags.withdraw });
    surroundings.result({ withdrawn: number }, "");
    surroundings.note(`invitation ${number} is withdrawn`);
  });
}

function parseExpiry(text: string): number {
  const ms = parseDuration(text);
  if (ms <= INVITATION_MS_MAX) return ms;
  throw new PkiError("usage", `${JSON.stringify(text)} is too long: a year at most`);
}

function parseUses(text: string): number {
  const uses = /^\d{1,6}$/.test(text) ? Number(text) : NaN;
  if (uses >= 1 && uses <= INVITATION_USES_MAX) return uses;
  throw new PkiError(
    "usage",
    `${JSON.stringify(text)} is not a number from 1 to ${INVITATION_USES_MAX}`,
  );
}

function parseNumber(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new PkiError("usage", `${JSON.stringify(text)} is not the number of an invitation`);
}

export const inviteCommand = buildCommand<InviteFlags, [], PkiContext>({
  func: async function (flags) {
    await invite(this, flags);
  },
  parameters: {
    flags: {
      expires: {
        kind: "parsed",
        parse: parseExpiry,
        optional: true,
        brief: "How long it can be used: 45m, 12h, 3d, 2w [1d]",
        placeholder: "SPAN",
      },
      uses: {
        kind: "parsed",
        parse: parseUses,
        optional: true,
        brief: "How many people can use it [1]",
        placeholder: "N",
      },
      reset: switchFlag("For somebody who has forgotten the password: with it a new one is chosen"),
      address: textFlag("Where people reach the server [as it knows itself]", "HOST:PORT"),
      list: switchFlag("List the invitations that can still be used"),
      withdraw: {
        kind: "parsed",
        parse: parseNumber,
        optional: true,
        brief: "Withdraw the one with this number",
        placeholder: "NUMBER",
      },
      ...ORDER_FLAGS,
      ...GLOBAL_FLAGS,
    },
  },
  docs: {
    customUsage: [
      "[--id NAME] [--expires SPAN] [--uses N] [--reset] [options]",
      "--list [options]",
      "--withdraw NUMBER [options]",
    ],
    brief: "Invite somebody to register",
    fullDescription:
      "For the administrator, on the server's machine: prints one line, pki1:…, with\n" +
      "which somebody joins: pki join pki1:… It carries the server's address, its\n" +
      "root's fingerprint and a token that is good once, for a day, for the id named\n" +
      "with --id or for any. The server keeps a hash of the token only. Whoever reaches\n" +
      "the socket in the data folder is the administrator.\n\n" +
      "Examples:\n" +
      "  pki invite --id alice\n" +
      "  pki invite --uses 20 --expires 2h --address pki.example.org:7443\n" +
      "  pki invite --id alice --reset",
  },
});
