/** `pki upload`: publishes a certificate in the server's directory. */

import { buildCommand } from "@stricli/core";
import type { KeyObject } from "node:crypto";
import { PkiError } from "../lib/base/errors.ts";
import { isForKey, publish } from "../lib/client/operations.ts";
import { fingerprintOf } from "../lib/x509/certificate.ts";
import { judgeUser } from "../lib/x509/chain.ts";
import {
  decryptPrivateKey,
  encodeSpki,
  isEncryptedKey,
  parsePlainPrivateKey,
} from "../lib/x509/keys.ts";
import { parseCertificatesPem } from "../lib/x509/pem.ts";
import type { PkiContext } from "./context.ts";
import { GLOBAL_FLAGS, Surroundings, textFlag } from "./globals.ts";
import { readInputText } from "./input.ts";
import type { Keyring } from "./keyring.ts";
import { LOGIN_FLAGS, type LoginFlags, openSession, type Session } from "./sign_in.ts";

interface UploadFlags extends LoginFlags {
  readonly cert?: string;
  readonly key?: string;
}

async function openKeyFile(
  context: PkiContext,
  { path, keyring }: { readonly path: string; readonly keyring: Keyring },
): Promise<KeyObject> {
  const pem = await readInputText(context, path);
  return isEncryptedKey(pem)
    ? await decryptPrivateKey(pem, await keyring.password(), path)
    : parsePlainPrivateKey(pem, path);
}

/** Publishes the identity's certificate, or the one in the files named. */
export async function publishIdentity(
  surroundings: Surroundings,
  { id, keyring, connection, anchor, log }: Session,
  { cert, key: keyPath }: Pick<UploadFlags, "cert" | "key">,
): Promise<void> {
  const { home, context } = surroundings;
  const pem = cert === undefined ? home.loadCertificatePem(id) : await readInputText(context, cert);
  const ders = parseCertificatesPem(pem, cert ?? home.certificatePath(id));
  const judged = judgeUser(ders, { anchor, nowMs: context.now() });
  if (judged.id !== id) {
    throw new PkiError(
      "refused",
      `cannot publish: the certificate is of "${judged.id}", not of "${id}"`,
      { hint: `publish it as "${judged.id}": --id ${judged.id}` },
    );
  }
  const key = keyPath === undefined
    ? await keyring.key()
    : await openKeyFile(context, { path: keyPath, keyring });
  if (!isForKey(judged.leaf.der, encodeSpki(key))) {
    throw new PkiError("conflict", "cannot publish: the key is not the certificate's", {
      hint: cert === undefined
        ? `get a certificate for the key with: pki csr --id ${id}`
        : "name the key of this certificate with --key",
    });
  }
  await publish(connection, { certificate: judged.leaf.der, key });
  await log.prove(); // the certificate was found in the log when it was made
  surroundings.result(
    { id, serial: judged.leaf.serial, fingerprint: fingerprintOf(judged.leaf.der) },
    `the certificate of "${id}" is published; others get it with: pki request ${id}`,
  );
}

export async function upload(context: PkiContext, flags: UploadFlags): Promise<void> {
  if ((flags.cert === undefined) !== (flags.key === undefined)) {
    throw new PkiError("usage", "cannot publish: --cert and --key go together", {
      hint: "name both files, or neither to publish the certificate in the home",
    });
  }
  const surroundings = new Surroundings(context, flags);
  const id = surroundings.identity();
  if (flags.cert === undefined) surroundings.home.loadCertificatePem(id); // before any question
  const session = await openSession(surroundings, flags, { id });
  try {
    await publishIdentity(surroundings, session, flags);
  } finally {
    session.close();
  }
}

export const uploadCommand = buildCommand<UploadFlags, [], PkiContext>({
  func: async function (flags) {
    await upload(this, flags);
  },
  parameters: {
    flags: {
      ...LOGIN_FLAGS,
      cert: textFlag(
        "Publish this one (PEM, - for stdin), from pki csr --csr, instead of the one here",
        "FILE",
      ),
      key: textFlag("Its key (PEM, plain or encrypted with the password, - for stdin)", "FILE"),
      ...GLOBAL_FLAGS,
    },
  },
  docs: {
    customUsage: ["[--id NAME] [options]", "--cert FILE --key FILE [options]"],
    brief: "Publish your certificate",
    fullDescription:
      "Puts your certificate into the server's directory, where every registered user can\n" +
      "look it up, as join and csr have done already unless they were told not to. The\n" +
      "server demands a signature by the certificate's key, so nobody publishes for you.\n\n" +
      "Examples:\n" +
      "  pki upload --id alice\n" +
      "  pki upload --id alice --cert alice.pem --key alice.key",
  },
});
