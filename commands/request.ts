/** `pki request`: looks up somebody's certificate. */

import { buildCommand } from "@stricli/core";
import { PUBLIC_MODE, writeFileAtomic } from "../lib/base/files.ts";
import { PkiError } from "../lib/base/errors.ts";
import { type Contact, isSameKey } from "../lib/client/contacts.ts";
import { lookUp } from "../lib/client/operations.ts";
import { type Certificate, fingerprintOf } from "../lib/x509/certificate.ts";
import { checkId } from "../lib/x509/names.ts";
import { encodeCertificatesPem } from "../lib/x509/pem.ts";
import type { PkiContext } from "./context.ts";
import { GLOBAL_FLAGS, Surroundings, switchFlag, textFlag } from "./globals.ts";
import { LOGIN_FLAGS, type LoginFlags, openSession, type Session } from "./sign_in.ts";

interface RequestFlags extends LoginFlags {
  readonly out?: string;
  readonly known?: boolean;
}

/** How a certificate of the directory stands to what is remembered of its owner. */
type KnownBy = "new" | "known" | "changed";

/**
 * The directory's word is not enough where a key is remembered, and it has nothing else to show; but
 * it was asked for its word, so that is a warning unless more was demanded.
 * @throws {PkiError} `untrusted` for a key that is not the known one, where that is demanded
 */
function checkKnown(
  surroundings: Surroundings,
  { id, leaf }: { readonly id: string; readonly leaf: Certificate },
  { contact, isDemanded }: {
    readonly contact: Contact | undefined;
    readonly isDemanded: boolean;
  },
): KnownBy {
  if (contact && isSameKey(contact.leaf, leaf)) return "known";
  if (!contact && isDemanded) {
    throw new PkiError("untrusted", `you have not talked to "${id}" yet: its key is not known`, {
      hint: "talk first (pki connect), or leave out --known",
    });
  }
  if (!contact) return "new";
  const what = `the directory's certificate of "${id}" is for another key than the one you know`;
  const hint = `ask ${id} by another way whether there is a new key, or talk: ` +
    "the old key may vouch for it";
  if (isDemanded) throw new PkiError("untrusted", what, { hint });
  surroundings.warn(what, hint);
  return "changed";
}

/** Looks somebody up and shows the certificate, judged under the pinned root and found in the log. */
export async function lookUpUser(
  surroundings: Surroundings,
  { connection, anchor, log }: Session,
  { id, out, known = false }: {
    readonly id: string;
    readonly out: string | undefined;
    /** Whether only a key that is remembered will do. */
    readonly known?: boolean | undefined;
  },
): Promise<void> {
  const contact = surroundings.home.contacts.load(id);
  const { leaf, ders } = await lookUp(connection, {
    id,
    anchor,
    log,
    nowMs: surroundings.context.now(),
  });
  const knownBy = checkKnown(surroundings, { id, leaf }, { contact, isDemanded: known });
  const pem = encodeCertificatesPem(ders);
  const notAfter = new Date(leaf.notAfterMs).toISOString();
  if (out !== undefined) writeFileAtomic(out, pem, { mode: PUBLIC_MODE });
  surroundings.note(
    `"${id}" is certified by this CA until ${notAfter.slice(0, 10)}` +
      (out === undefined ? "" : `; wrote ${out}`),
  );
  surroundings.result(
    {
      id,
      serial: leaf.serial,
      fingerprint: fingerprintOf(leaf.der),
      notAfter,
      contact: knownBy,
      pem,
    },
    out === undefined ? pem : "",
  );
}

export async function request(context: PkiContext, flags: RequestFlags, id: string): Promise<void> {
  checkId(id);
  const surroundings = new Surroundings(context, flags);
  const session = await openSession(surroundings, flags, { id: surroundings.identity() });
  try {
    await lookUpUser(surroundings, session, { id, out: flags.out, known: flags.known });
  } finally {
    session.close();
  }
}

export const requestCommand = buildCommand<RequestFlags, [string], PkiContext>({
  func: async function (flags, id) {
    await request(this, flags, id);
  },
  parameters: {
    flags: {
      ...LOGIN_FLAGS,
      out: textFlag("Where the certificate goes, instead of stdout", "FILE"),
      known: switchFlag("Only for the key that you know from talking (exit code 6 else)"),
      ...GLOBAL_FLAGS,
    },
    positional: {
      kind: "tuple",
      parameters: [{ brief: "Whose certificate", parse: String, placeholder: "NAME" }],
    },
  },
  docs: {
    customUsage: ["NAME [--id NAME] [--out FILE] [--known] [options]"],
    brief: "Get somebody's certificate",
    fullDescription:
      "Asks the server's directory for the certificate that somebody published, verifies\n" +
      "it under the pinned root, and writes it as PEM: the leaf, then the issuing CA. Your\n" +
      "own certificate opens the session for that; the password unlocks its key, unless\n" +
      "pki unlock has. Whether it is for the key by which you know somebody (pki contacts)\n" +
      "is looked at: another key is warned of, and refused with --known.\n\n" +
      "Examples:\n" +
      "  pki request bob --id alice\n" +
      "  pki request bob | openssl x509 -noout -subject -enddate\n" +
      "  pki request bob --out bob.pem",
  },
});
