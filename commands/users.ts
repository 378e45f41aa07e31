/** `pki users`: accounts, for the administrator. */

import { buildCommand, buildRouteMap } from "@stricli/core";
import { PkiError } from "../lib/base/errors.ts";
import {
  type AdminBody,
  LIST_ROWS_MAX,
  type ListedAccount,
} from "../lib/protocol/admin_messages.ts";
import { checkId } from "../lib/x509/names.ts";
import type { PkiContext } from "./context.ts";
import { GLOBAL_FLAGS, Surroundings } from "./globals.ts";
import { giveOrder, ORDER_FLAGS, type OrderFlags, withOrders } from "./orders.ts";
import { columnsOf } from "./paint.ts";
import { type Column, makeTable, styleOfState, type Table } from "./table.ts";

interface ListFlags extends OrderFlags {
  readonly state?: AccountState;
}

type AccountState = NonNullable<AdminBody<"USERS">["state"]>;
type Action = AdminBody<"USER">["action"];

function stateOf({ disabledMs, deletedMs }: ListedAccount): AccountState {
  if (deletedMs !== null) return "deleted";
  return disabledMs === null ? "active" : "disabled";
}

const timeOf = (ms: number | null) => ms === null ? null : new Date(ms).toISOString();

function describeUser(user: ListedAccount) {
  const { id, registeredMs, disabledMs, deletedMs, valid, notAfterMs } = user;
  return {
    id,
    state: stateOf(user),
    ...(registeredMs === null ? {} : { registered: timeOf(registeredMs) }),
    ...(disabledMs === null ? {} : { disabled: timeOf(disabledMs) }),
    ...(deletedMs === null ? {} : { deleted: timeOf(deletedMs) }),
    certificates: valid,
    ...(notAfterMs === null ? {} : { notAfter: timeOf(notAfterMs) }),
  };
}

const COLUMNS: readonly Column[] = [
  { head: "WHO" },
  { head: "STATE", width: 8, style: styleOfState },
  { head: "REGISTERED", width: 10, isOptional: true },
  { head: "CERTIFICATES", width: 12, isNumber: true },
  { head: "ENDS", width: 10 },
];

function cellsOf(user: ListedAccount): readonly string[] {
  const { id, registeredMs, valid, notAfterMs } = user;
  const day = (ms: number | null) => timeOf(ms)?.slice(0, 10) ?? "-";
  return [id, stateOf(user), day(registeredMs), String(valid), day(notAfterMs)];
}

async function listUsers(context: PkiContext, flags: ListFlags): Promise<void> {
  const surroundings = new Surroundings(context, flags);
  const id = surroundings.flags.id;
  if (id !== undefined) checkId(id);
  const { state } = flags;
  const { process: { stdout, env } } = context;
  let table: Table | undefined;
  let count = 0;
  await withOrders(surroundings, flags, { what: "cannot list users" }, async (order) => {
    let after: string | undefined;
    do {
      const { users, next } = await order("USERS", {
        ...(id === undefined ? {} : { id }),
        ...(state === undefined ? {} : { state }),
        ...(after === undefined ? {} : { after }),
        limit: LIST_ROWS_MAX,
      });
      const first = users.map(cellsOf);
      table ??= makeTable(COLUMNS, {
        first,
        columns: columnsOf(stdout, env),
        paint: surroundings.paint,
      });
      for (const user of users) {
        const line = table.line(cellsOf(user));
        surroundings.result(describeUser(user), count === 0 ? `${table.header}\n${line}` : line);
        count++;
      }
      if (context.signal.aborted) throw new PkiError("interrupted", "interrupted");
      after = next;
    } while (after !== undefined);
  });
  if (!flags.json) surroundings.note(count === 1 ? "1 user" : `${count} users`);
}

/** What an action has done, for a person. */
const DONE: Readonly<Record<Action, (id: string, revoked: number) => string>> = {
  disable: (id) =>
    `"${id}" is disabled: cannot log in, and the directory does not give the certificate out. ` +
    `It is still good for peers who have it: pki revoke --user ${id} ends that`,
  enable: (id) => `"${id}" is enabled`,
  delete: (id, revoked) =>
    `"${id}" is deleted: ${revoked === 1 ? "1 certificate was" : `${revoked} certificates were`} ` +
    "revoked, and the id is never handed out again. Backups still have what was recorded",
};

/** A deletion cannot be taken back. */
async function confirmDeletion({ context, flags }: Surroundings, id: string): Promise<void> {
  if (flags.yes) return;
  if (!context.terminal) {
    throw new PkiError("usage", "cannot ask whether to delete: there is no terminal", {
      hint: "a deletion cannot be undone; answer beforehand with --yes",
    });
  }
  const isWanted = await context.terminal.confirm(
    `Deleting "${id}" revokes all certificates of this id, and nobody ever gets it again. ` +
      "It cannot be undone. Delete it?",
  );
  if (!isWanted) {
    throw new PkiError("refused", "nothing was deleted");
  }
}

async function change(
  context: PkiContext,
  flags: OrderFlags,
  { action, id }: { readonly action: Action; readonly id: string },
): Promise<void> {
  const surroundings = new Surroundings(context, flags);
  checkId(id);
  if (action === "delete") await confirmDeletion(surroundings, id);
  const what = `cannot ${action} "${id}"`;
  const { user, revoked } = await giveOrder(surroundings, flags, {
    type: "USER",
    body: { id, action },
    what,
  });
  surroundings.result({ ...describeUser(user), revoked }, "");
  surroundings.note(DONE[action](id, revoked));
}

const ADMINISTRATOR =
  "For the administrator, on the server's machine: whoever reaches the socket in\n" +
  "the data folder, or may open the folder where no server runs.\n\n";

function changeCommand(
  action: Action,
  { brief, description }: { readonly brief: string; readonly description: string },
) {
  return buildCommand<OrderFlags, [string], PkiContext>({
    func: async function (flags, id) {
      await change(this, flags, { action, id });
    },
    parameters: {
      flags: { ...ORDER_FLAGS, ...GLOBAL_FLAGS },
      positional: {
        kind: "tuple",
        parameters: [{ brief: "Whose account", parse: String, placeholder: "NAME" }],
      },
    },
    docs: {
      customUsage: ["NAME [options]"],
      brief,
      fullDescription: ADMINISTRATOR + description,
    },
  });
}

export const usersRoutes = buildRouteMap({
  routes: {
    ls: buildCommand<ListFlags, [], PkiContext>({
      func: async function (flags) {
        await listUsers(this, flags);
      },
      parameters: {
        flags: {
          state: {
            kind: "enum",
            values: ["active", "disabled", "deleted"],
            optional: true,
            brief: "Only who is active, disabled or deleted",
          },
          ...ORDER_FLAGS,
          ...GLOBAL_FLAGS,
        },
      },
      docs: {
        customUsage: ["[--state STATE] [--id NAME] [options]"],
        brief: "List the accounts",
        fullDescription: ADMINISTRATOR +
          "Lists who is registered, and how many good certificates each has. With --json\n" +
          "each account is a line of its own.\n\n" +
          "Examples:\n" +
          "  pki users\n" +
          "  pki users ls --state disabled\n" +
          "  pki users --json | jq -r .id",
      },
    }),
    disable: changeCommand("disable", {
      brief: "Let somebody not log in any more",
      description:
        "The account's sessions end, and the directory does not give its certificate out.\n" +
        "The certificate stays good for peers who have it; pki revoke --user ends that,\n" +
        "too.\n\n" +
        "Examples:\n" +
        "  pki users disable bob\n" +
        "  pki users disable bob --data /var/lib/pki",
    }),
    enable: changeCommand("enable", {
      brief: "Let somebody log in again",
      description: "Takes pki users disable back.\n\n" +
        "Examples:\n" +
        "  pki users enable bob\n" +
        "  pki users enable bob --json",
    }),
    delete: changeCommand("delete", {
      brief: "Delete an account for good",
      description:
        "Ends its sessions, revokes its certificates, and takes what was private of it\n" +
        "(the password's record, addresses) out of the log. The id is never handed out\n" +
        "again. Copies of the data folder, and backups, keep what they have.\n\n" +
        "Examples:\n" +
        "  pki users delete bob\n" +
        "  pki users delete bob --yes --json",
    }),
  },
  defaultCommand: "ls",
  docs: {
    brief: "Look after accounts",
    fullDescription: "Lists accounts, disables, enables and deletes them. " +
      "Alone it is pki users ls.",
  },
});
