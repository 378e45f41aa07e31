/** `pki renew`: a new certificate before the old one ends, once or as long as it runs. */

import { buildCommand } from "@stricli/core";
import { PkiError } from "../lib/base/errors.ts";
import { loadOwnCertificate } from "../lib/client/own_identity.ts";
import { DEFAULT_MARGIN, isDue, type Margin } from "../lib/client/renewal.ts";
import { KEY_TYPES, type KeyType } from "../lib/x509/algorithms.ts";
import type { PkiContext } from "./context.ts";
import { describe } from "./csr.ts";
import { parseDuration } from "./duration.ts";
import { GLOBAL_FLAGS, Surroundings, switchFlag } from "./globals.ts";
import { Keyring } from "./keyring.ts";
import { watchIdentity } from "./renew_watch.ts";
import { Renewer, type RenewFlags, tellRenewed } from "./renewer.ts";
import { LOGIN_FLAGS } from "./sign_in.ts";

function checkFlags({ keyType, rekey }: RenewFlags): void {
  if (keyType === undefined || rekey) return;
  throw new PkiError("usage", "cannot use --key-type: it goes with --rekey", {
    hint: "add --rekey for a new key of this type",
  });
}

export async function renew(context: PkiContext, flags: RenewFlags): Promise<void> {
  checkFlags(flags);
  const surroundings = new Surroundings(context, flags);
  const id = surroundings.identity();
  const { home } = surroundings;
  const own = loadOwnCertificate(home, { id, nowMs: context.now() });
  home.loadKeyPem(id); // before any question
  const { ifExpiring, watch } = flags;
  if (!watch && ifExpiring && !isDue(own.leaf, ifExpiring, context.now())) {
    const facts = describe(own);
    surroundings.result({ renewed: false, ...facts }, "");
    surroundings.note(`"${id}" is certified until ${facts.notAfter.slice(0, 10)}: not due yet`);
    return;
  }
  const renewer = new Renewer(surroundings, flags, new Keyring(surroundings, id));
  await renewer.unlock();
  if (watch) await watchIdentity(surroundings, renewer, ifExpiring ?? DEFAULT_MARGIN);
  else tellRenewed(surroundings, await renewer.renew());
}

/** A span of time, or a part of the whole in percent. @throws {PkiError} `usage` */
export function parseMargin(text: string): Margin {
  const [, percent] = /^(\d{1,2}|100)%$/.exec(text) ?? [];
  return percent === undefined ? { ms: parseDuration(text) } : { part: Number(percent) / 100 };
}

export const renewCommand = buildCommand<RenewFlags, [], PkiContext>({
  func: async function (flags) {
    await renew(this, flags);
  },
  parameters: {
    flags: {
      ...LOGIN_FLAGS,
      ifExpiring: {
        kind: "parsed",
        parse: parseMargin,
        optional: true,
        brief: "Only if less than this is left: 10d, 12h, 2w, or 30% of the whole",
        placeholder: "SPAN",
      },
      rekey: switchFlag("Make a new key, replacing the one that is there"),
      keyType: {
        kind: "enum",
        values: Object.keys(KEY_TYPES) as KeyType[],
        optional: true,
        brief: "With --rekey: kind of the new key [that of the old one]",
      },
      noPublish: switchFlag("Do not publish the new certificate where the old one was"),
      watch: switchFlag("Stay and renew whenever it is due [a third of its time left]"),
      ...GLOBAL_FLAGS,
    },
  },
  docs: {
    customUsage: ["[--id NAME] [--if-expiring SPAN] [--rekey] [--watch] [options]"],
    brief: "Renew your certificate",
    fullDescription:
      "Gets a new certificate, for the same key or a new one (--rekey). The certificate\n" +
      "that is there opens the session, for which the password unlocks its key; where it\n" +
      "has expired, or with --with-password, the account's password does. If the old\n" +
      "certificate was published, the new one is. The old key vouches for a new one, so\n" +
      "that peers who know you take it for yours without a question; a key that may be\n" +
      "stolen is replaced with pki csr --rekey instead. --if-expiring does nothing while\n" +
      "enough time is left, for use in cron. --watch stays, renews whenever it is due,\n" +
      "waits for a server that is away, and ends with SIGTERM (exit code 0), with Ctrl-C,\n" +
      "or when the certificate was revoked. With --json it writes a line for each event:\n" +
      "waiting, renewed, replaced, failed.\n\n" +
      "Exit codes: 0 renewed, or not due; 4 refused, or a wrong password; 5 no certificate\n" +
      "or no key; 6 revoked, or the server is not trusted; 8 the server is away; 9 nothing\n" +
      "can be stored.\n\n" +
      "Examples:\n" +
      "  pki renew --id alice\n" +
      "  pki renew --if-expiring 10d --password-file alice.pass --quiet\n" +
      "  pki renew --rekey --watch --password-file alice.pass",
  },
});
