/** `pki id rm`: removes an identity's key and certificate from the home. */

import { buildCommand } from "@stricli/core";
import { PkiError } from "../lib/base/errors.ts";
import { describeIdentity, type Identity } from "../lib/client/identities.ts";
import type { PkiContext } from "./context.ts";
import { GLOBAL_FLAGS, type GlobalFlags, Surroundings } from "./globals.ts";
import { ID_PARAMETER, whoIsMeant } from "./id_name.ts";

/** Whether somebody could still use what is removed, if they have a copy. */
function isUsable({ state, certificate }: Identity): boolean {
  return certificate !== undefined && (state === "valid" || state === "expiring");
}

async function confirm({ context, flags }: Surroundings, identity: Identity): Promise<void> {
  if (flags.yes) return;
  const { id, certificate } = identity;
  if (!context.terminal) {
    throw new PkiError("usage", `cannot ask whether to remove "${id}": there is no terminal`, {
      hint: "say --yes; there is no way back without a copy of the key",
    });
  }
  const until = certificate && new Date(certificate.leaf.notAfterMs).toISOString().slice(0, 10);
  const isWanted = await context.terminal.confirm(
    `Remove key and certificate of "${id}"? Without a copy of the key this cannot be undone.` +
      (isUsable(identity) ? ` The certificate is good until ${until}: pki revoke ends it.` : ""),
  );
  if (!isWanted) throw new PkiError("interrupted", `"${id}" stays`);
}

export async function removeId(
  context: PkiContext,
  flags: GlobalFlags,
  name: string,
): Promise<void> {
  const surroundings = new Surroundings(context, flags);
  const { home } = surroundings;
  const id = whoIsMeant(surroundings, name);
  if (!home.listFolders().includes(id)) {
    throw new PkiError("not-found", `cannot find "${id}" in "${home.folder}"`, {
      hint: "pki id lists the identities",
    });
  }
  const identity = describeIdentity(home, { id, nowMs: context.now() });
  await confirm(surroundings, identity);
  home.removeIdentity(id);
  context.sitting?.of(home, id).forget();
  surroundings.result({ event: "removed", id }, `removed "${id}"`);
  if (isUsable(identity)) {
    surroundings.note(
      `the certificate ${identity.certificate?.leaf.serial} is still good: whoever has a copy of ` +
        `the key can use it. To end that: pki revoke --id ${id}, with the password`,
    );
  }
}

export const removeCommand = buildCommand<GlobalFlags, [string], PkiContext>({
  func: async function (flags, id) {
    await removeId(this, flags, id);
  },
  parameters: {
    flags: GLOBAL_FLAGS,
    positional: { kind: "tuple", parameters: [ID_PARAMETER] },
  },
  docs: {
    customUsage: ["NAME [--yes] [options]"],
    brief: "Remove an identity from this home",
    fullDescription:
      "Removes key and certificate of an identity from the home, for good; it asks first.\n" +
      "The account stays as it is, and so does the certificate: pki revoke ends that one,\n" +
      "pki id export keeps a copy of both.\n\n" +
      "Examples:\n" +
      "  pki id rm alice\n" +
      "  pki id rm alice --yes",
  },
});
