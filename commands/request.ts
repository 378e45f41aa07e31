/** `pki request`: looks up somebody's certificate. */

import { buildCommand } from "@stricli/core";
import { PUBLIC_MODE, writeFileAtomic } from "../lib/base/files.ts";
import { lookUp } from "../lib/client/operations.ts";
import { fingerprintOf } from "../lib/x509/certificate.ts";
import { checkId } from "../lib/x509/names.ts";
import { encodeCertificatesPem } from "../lib/x509/pem.ts";
import type { PkiContext } from "./context.ts";
import { GLOBAL_FLAGS, Surroundings, textFlag } from "./globals.ts";
import { LOGIN_FLAGS, type LoginFlags, openSession, type Session } from "./sign_in.ts";

interface RequestFlags extends LoginFlags {
  readonly out?: string;
}

/** Looks somebody up and shows the certificate, judged under the pinned root and found in the log. */
export async function lookUpUser(
  surroundings: Surroundings,
  { connection, anchor, log }: Session,
  { id, out }: { readonly id: string; readonly out: string | undefined },
): Promise<void> {
  const { leaf, ders } = await lookUp(connection, {
    id,
    anchor,
    log,
    nowMs: surroundings.context.now(),
  });
  const pem = encodeCertificatesPem(ders);
  const notAfter = new Date(leaf.notAfterMs).toISOString();
  if (out !== undefined) writeFileAtomic(out, pem, { mode: PUBLIC_MODE });
  surroundings.note(
    `"${id}" is certified by this CA until ${notAfter.slice(0, 10)}` +
      (out === undefined ? "" : `; wrote ${out}`),
  );
  surroundings.result(
    { id, serial: leaf.serial, fingerprint: fingerprintOf(leaf.der), notAfter, pem },
    out === undefined ? pem : "",
  );
}

export async function request(context: PkiContext, flags: RequestFlags, id: string): Promise<void> {
  checkId(id);
  const surroundings = new Surroundings(context, flags);
  const session = await openSession(surroundings, flags, { id: surroundings.identity() });
  try {
    await lookUpUser(surroundings, session, { id, out: flags.out });
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
      ...GLOBAL_FLAGS,
    },
    positional: {
      kind: "tuple",
      parameters: [{ brief: "Whose certificate", parse: String, placeholder: "NAME" }],
    },
  },
  docs: {
    customUsage: ["NAME [--id NAME] [--out FILE] [options]"],
    brief: "Get somebody's certificate",
    fullDescription:
      "Asks the server's directory for the certificate that somebody published, verifies\n" +
      "it under the pinned root, and writes it as PEM: the leaf, then the issuing CA. Your\n" +
      "own certificate opens the session for that; the password unlocks its key, unless\n" +
      "pki unlock has.\n\n" +
      "Examples:\n" +
      "  pki request bob --id alice\n" +
      "  pki request bob | openssl x509 -noout -subject -enddate\n" +
      "  pki request bob --out bob.pem",
  },
});
