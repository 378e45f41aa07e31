/** `pki join`: from an invitation to a published certificate, in one command. */

import { buildCommand } from "@stricli/core";
import { PkiError } from "../lib/base/errors.ts";
import { checkNewPassword } from "../lib/client/new_password.ts";
import { type Invitation, parseInvitation } from "../lib/protocol/invitation.ts";
import { KEY_TYPES, type KeyType } from "../lib/x509/algorithms.ts";
import { fingerprintOf } from "../lib/x509/certificate.ts";
import { checkId, isId } from "../lib/x509/names.ts";
import type { PkiContext } from "./context.ts";
import { certifyOwn } from "./csr.ts";
import { GLOBAL_FLAGS, type GlobalFlags, Surroundings, switchFlag, textFlag } from "./globals.ts";
import { Keyring } from "./keyring.ts";
import { openSession } from "./sign_in.ts";
import { STDIN } from "./stdin.ts";

interface JoinFlags extends GlobalFlags {
  readonly inviteFile?: string;
  readonly keyType?: KeyType;
  readonly noPublish?: boolean;
}

/** Where the line comes from: the argument, a file, stdin, or a person. */
async function findLine(
  surroundings: Surroundings,
  { inviteFile }: JoinFlags,
  given: string | undefined,
): Promise<string> {
  if (given !== undefined && inviteFile !== undefined) {
    throw new PkiError("usage", "cannot join: the invitation is given twice", {
      hint: "give it as the argument, or with --invite-file",
    });
  }
  if (given !== undefined && given !== STDIN) return given;
  const { terminal, process: { stdin } } = surroundings.context;
  if (given === undefined && inviteFile === undefined && terminal && stdin.isTTY) {
    return await terminal.askText("Your invitation, the line that begins with pki1:") ?? "";
  }
  const options = { what: "the invitation", option: "--invite-file" };
  const line = await surroundings.readSecret(inviteFile ?? STDIN, options);
  if (line.trim() !== "") return line;
  throw new PkiError("usage", "cannot join: there is no invitation", {
    hint: "give the line that begins with pki1:, as argument, with --invite-file or on stdin",
  });
}

/** Who joins: whom the invitation is for, or who was named; asked for where neither says. */
async function chooseId(surroundings: Surroundings, { id }: Invitation): Promise<string> {
  const given = surroundings.givenId();
  if (id !== undefined && given !== undefined && given !== id) {
    throw new PkiError("usage", `cannot join as "${given}": the invitation is for "${id}"`, {
      hint: "leave out --id (and $PKI_ID), or ask for an invitation of your own",
    });
  }
  const known = id ?? given;
  if (known !== undefined) return known;
  const { terminal, process: { env } } = surroundings.context;
  if (!terminal) {
    throw new PkiError("usage", "cannot tell who you are: the invitation is for anybody", {
      hint: "name yourself with --id",
    });
  }
  const login = (env["USER"] ?? "").toLowerCase();
  const suggested = isId(login) ? login : undefined;
  const typed = (await terminal.askText("Who are you?", suggested)).trim() || (suggested ?? "");
  checkId(typed);
  return typed;
}

/** Somebody who types may choose again, a few times, what is refused as a password. */
const CHOICES_MAX = 5;

/** Has a password chosen before anything is done with it. @throws {PkiError} `usage` */
async function choosePassword(surroundings: Surroundings, keyring: Keyring): Promise<void> {
  const { id } = keyring;
  for (let left = CHOICES_MAX; left > 0; left--) {
    const password = await keyring.password(`Choose a password for ${id}`);
    try {
      return await checkNewPassword(password, { name: id });
    } catch (error) {
      const isLast = left === 1 || surroundings.hasGivenPassword;
      if (!(error instanceof PkiError) || error.kind !== "usage" || isLast) throw error;
      surroundings.note(
        error.hint === undefined ? error.message : `${error.message}; ${error.hint}`,
      );
      keyring.passwordWas(false);
    }
  }
}

/** A root that is pinned is never replaced, by no invitation. */
function checkHome({ home, context }: Surroundings, { fingerprint }: Invitation): void {
  const pinned = home.loadAnchor(context.now());
  if (!pinned || fingerprintOf(pinned.root.der) === fingerprint) return;
  throw new PkiError(
    "untrusted",
    `cannot join: this home (${home.folder}) is for another server, whose root is ` +
      fingerprintOf(pinned.root.der),
    {
      hint:
        "join with a home of its own for each server: pki join --home DIR …; if that root was " +
        "trusted by mistake, pki trust replaces it",
    },
  );
}

export async function join(
  context: PkiContext,
  flags: JoinFlags,
  given: string | undefined,
): Promise<void> {
  const asked = new Surroundings(context, flags);
  const invitation = parseInvitation(await findLine(asked, flags, given));
  const { address, fingerprint, isReset = false } = invitation;
  const server = flags.server ?? address;
  const surroundings = new Surroundings(context, { ...flags, server });
  checkHome(surroundings, invitation);
  const id = await chooseId(surroundings, invitation);
  const keyring = new Keyring(surroundings, id);
  // Whoever comes for a new password is asked for it, whatever the sitting has unlocked.
  if (isReset) keyring.passwordWas(false);
  await choosePassword(surroundings, keyring);
  const session = await openSession(
    surroundings,
    { ...flags, server, fingerprint, withPassword: true },
    { id, keyring, registration: "always", invitation },
  );
  try {
    // The key that is there has the password that was forgotten.
    const choice = { ...flags, ...(isReset ? { rekey: true } : {}) };
    const certified = await certifyOwn(surroundings, session, choice);
    surroundings.result(
      { ...certified, server, root: fingerprint },
      `"${id}" has joined ${session.anchor.domain} and is certified until ` +
        certified.notAfter.slice(0, 10) +
        (certified.published ? "; the certificate is published" : ""),
    );
    surroundings.note(
      "next: pki request NAME gets somebody's certificate, pki listen --announce waits " +
        "for a call, pki connect NAME calls",
    );
  } finally {
    session.close();
  }
}

export const joinCommand = buildCommand<JoinFlags, [string?], PkiContext>({
  func: async function (flags, invitation) {
    await join(this, flags, invitation);
  },
  parameters: {
    flags: {
      inviteFile: textFlag("File with the invitation in its first line; - for stdin", "FILE"),
      keyType: {
        kind: "enum",
        values: Object.keys(KEY_TYPES) as KeyType[],
        optional: true,
        brief: "Kind of the key to make [p256]",
      },
      noPublish: switchFlag("Do not publish the certificate"),
      ...GLOBAL_FLAGS,
    },
    positional: {
      kind: "tuple",
      parameters: [{
        brief: "The line that pki invite has printed; - for stdin",
        parse: String,
        placeholder: "INVITATION",
        optional: true,
      }],
    },
  },
  docs: {
    customUsage: ["[INVITATION] [--id NAME] [options]", "--invite-file FILE [options]"],
    brief: "Join with an invitation: register and be certified",
    fullDescription:
      "Pins the server's root, which the invitation names, registers you, makes a key,\n" +
      "encrypts it with your password, has it certified and publishes the certificate. The\n" +
      "one question is the password that you choose. An invitation is good once and for a\n" +
      "short time, which is why it may be an argument; it may also be typed in, come from\n" +
      "stdin, or from a file. Run it again, with the same password, if it was cut short.\n\n" +
      "Examples:\n" +
      "  pki join pki1:PxFqM4…\n" +
      "  pki join --invite-file invitation.txt --password-file alice.pass\n" +
      "  pki join --id alice",
  },
});
