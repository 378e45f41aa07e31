/** `pki passwd`: another password for the account and for the key at rest. */

import { buildCommand } from "@stricli/core";
import type { KeyObject } from "node:crypto";
import { messageOf, PkiError } from "../lib/base/errors.ts";
import { checkNewPassword } from "../lib/client/new_password.ts";
import { isSamePassword, preparePassword } from "../lib/client/password.ts";
import { changePassword } from "../lib/client/login.ts";
import { DEFAULT_DOMAIN } from "../lib/x509/names.ts";
import { decryptPrivateKey, encryptPrivateKey } from "../lib/x509/keys.ts";
import type { PkiContext } from "./context.ts";
import { GLOBAL_FLAGS, Surroundings, switchFlag, textFlag } from "./globals.ts";
import { Keyring } from "./keyring.ts";
import { openSession, SERVER_FLAGS, type ServerFlags } from "./sign_in.ts";

interface PasswdFlags extends ServerFlags {
  readonly newPasswordFile?: string;
  readonly keyOnly?: boolean;
  readonly accountOnly?: boolean;
}

async function chooseNew(
  surroundings: Surroundings,
  { newPasswordFile }: PasswdFlags,
  { id, domain }: { readonly id: string; readonly domain: string },
): Promise<string> {
  const check = (password: string) => checkNewPassword(password, { name: id, domain });
  if (newPasswordFile !== undefined) {
    const options = { what: "the new password", option: "--new-password-file" };
    const given = preparePassword(await surroundings.readSecret(newPasswordFile, options));
    await check(given);
    return given;
  }
  const { terminal } = surroundings.context;
  if (!terminal) {
    throw new PkiError("usage", "cannot ask for the new password: there is no terminal", {
      hint: "give it with --new-password-file",
    });
  }
  const chosen = preparePassword(await terminal.askPassword(`New password of ${id}`) ?? "");
  await check(chosen);
  const again = await terminal.askPassword("The new password again") ?? "";
  if (isSamePassword(again, chosen)) return chosen;
  throw new PkiError("usage", "cannot change the password: the two are different", {
    hint: "type the same twice",
  });
}

/** A key, and the content of the file that it was opened from. */
interface OpenKey {
  readonly key: KeyObject;
  readonly before: string;
}

/** The key, which must open with the old password before anything is changed. */
async function openKey(
  { home }: Surroundings,
  keyring: Keyring,
): Promise<OpenKey | undefined> {
  const { id } = keyring;
  if (!home.hasKey(id)) return undefined;
  const password = await keyring.password(`Password of ${id}, as it is now`);
  try {
    const before = home.loadKeyPem(id);
    return { key: await decryptPrivateKey(before, password, `the key of "${id}"`), before };
  } catch (error) {
    if (!(error instanceof PkiError) || error.kind !== "refused") throw error;
    throw new PkiError("refused", error.message, {
      cause: error,
      hint: "where account and key have different passwords: --account-only, --key-only",
    });
  }
}

export async function passwd(context: PkiContext, flags: PasswdFlags): Promise<void> {
  const { keyOnly = false, accountOnly = false } = flags;
  if (keyOnly && accountOnly) {
    throw new PkiError("usage", "cannot change the password: --key-only or --account-only", {
      hint: "give one of the two; without both, the password of both is changed",
    });
  }
  const surroundings = new Surroundings(context, flags);
  const { home } = surroundings;
  const id = surroundings.identity();
  const keyring = new Keyring(surroundings, id);
  if (keyOnly) home.loadKeyPem(id); // before any question
  const opened = accountOnly ? undefined : await openKey(surroundings, keyring);
  const session = keyOnly
    ? undefined
    : await openSession(surroundings, { ...flags, withPassword: true }, { id, keyring });
  try {
    const { domain = DEFAULT_DOMAIN } = session?.anchor ?? home.loadAnchor(context.now()) ?? {};
    const password = await chooseNew(surroundings, flags, { id, domain });
    // Encrypted before the account changes: after that only a file is to be written.
    const pem = opened && await encryptPrivateKey(opened.key, password);
    if (session) {
      const rootDer = session.anchor.root.der;
      await changePassword(session.connection, { id, password, rootDer });
      keyring.passwordWas(true, password);
    }
    if (opened && pem !== undefined) {
      saveKey(surroundings, { id, pem, before: opened.before, isAccountChanged: !!session });
    }
    surroundings.result({ id, account: !!session, key: pem !== undefined }, "");
    surroundings.note(
      `the password of "${id}" is changed` +
        (session ? "" : ", for the key in this home; the account's stays as it was") +
        (session && pem === undefined ? "; no key in this home had the old one" : ""),
    );
    if (session) {
      surroundings.note("keys in other homes, and copies of this one, keep the old password");
    }
  } finally {
    session?.close();
  }
}

function saveKey(
  { home }: Surroundings,
  { id, pem, before, isAccountChanged }: {
    readonly id: string;
    readonly pem: string;
    readonly before: string;
    readonly isAccountChanged: boolean;
  },
): void {
  try {
    if (home.files(id).replaceKey(pem, before)) return;
    throw new PkiError("conflict", `another command has replaced the key of "${id}" meanwhile`, {
      hint: `change its password with: pki passwd --key-only --id ${id}`,
    });
  } catch (error) {
    if (!isAccountChanged) throw error;
    throw new PkiError(
      "storage",
      `the account has the new password, but the key in this home keeps the old one: ${
        messageOf(error)
      }`,
      { cause: error, hint: `change the key's password with: pki passwd --key-only --id ${id}` },
    );
  }
}

export const passwdCommand = buildCommand<PasswdFlags, [], PkiContext>({
  func: async function (flags) {
    await passwd(this, flags);
  },
  parameters: {
    flags: {
      ...SERVER_FLAGS,
      newPasswordFile: textFlag("File with the new password in its first line", "FILE"),
      keyOnly: switchFlag("Only that of the key in this home"),
      accountOnly: switchFlag("Only that of the account"),
      ...GLOBAL_FLAGS,
    },
  },
  docs: {
    customUsage: ["[--id NAME] [--new-password-file FILE] [options]"],
    brief: "Change your password",
    fullDescription:
      "Registers another password with the server, which does not see it, and encrypts\n" +
      "the key in this home anew. The account's sessions that a password has opened\n" +
      "end. Keys in other homes and in backups keep the old password. It needs the\n" +
      "password as it is now: who has forgotten it asks the administrator for an\n" +
      "invitation with --reset.\n\n" +
      "Examples:\n" +
      "  pki passwd\n" +
      "  pki passwd --id alice --password-file old.pass --new-password-file new.pass\n" +
      "  pki passwd --key-only",
  },
});
