/** `pki id export`: an identity as a file for other programs. */

import { buildCommand } from "@stricli/core";
import { PkiError } from "../lib/base/errors.ts";
import { fileExists, SECRET_MODE, writeFileAtomic, writeFileOnce } from "../lib/base/files.ts";
import { checkNewPassword } from "../lib/client/new_password.ts";
import {
  checkOwnKey,
  loadOwnCertificate,
  type OwnCertificate,
} from "../lib/client/own_identity.ts";
import { isSamePassword, preparePassword } from "../lib/client/password.ts";
import { keyTypeOf } from "../lib/x509/keys.ts";
import { encodeCertificatesPem } from "../lib/x509/pem.ts";
import { encodePkcs12 } from "../lib/x509/pkcs12.ts";
import type { PkiContext } from "./context.ts";
import { describe } from "./csr.ts";
import { GLOBAL_FLAGS, type GlobalFlags, Surroundings, switchFlag, textFlag } from "./globals.ts";
import { OPTIONAL_ID_PARAMETER, whoIsMeant } from "./id_name.ts";
import { Keyring } from "./keyring.ts";

interface ExportFlags extends GlobalFlags {
  readonly p12?: string;
  readonly pem?: string;
  readonly noKey?: boolean;
  readonly p12PasswordFile?: string;
  readonly force?: boolean;
}

/** What the file is encrypted with; it travels, so it has a password of its own. */
async function chooseFilePassword(
  surroundings: Surroundings,
  { p12PasswordFile: path }: ExportFlags,
  use: { readonly name: string; readonly domain: string | undefined },
): Promise<string> {
  const { terminal } = surroundings.context;
  const option = "--p12-password-file";
  if (path !== undefined) {
    const given = await surroundings.readSecret(path, { what: "the file's password", option });
    const password = preparePassword(given);
    await checkNewPassword(password, use);
    return password;
  }
  if (!terminal) {
    throw new PkiError("usage", "cannot ask for the file's password: there is no terminal", {
      hint: `give it with ${option}`,
    });
  }
  const password = preparePassword(await terminal.askPassword("New password, for the file") ?? "");
  await checkNewPassword(password, use);
  const again = await terminal.askPassword("The same password again");
  if (isSamePassword(again ?? "", password)) return password;
  throw new PkiError("usage", "cannot export: the two passwords are different", {
    hint: "type the same twice",
  });
}

function alreadyThere(path: string): PkiError {
  return new PkiError("conflict", `cannot write "${path}": there is such a file already`, {
    hint: "name another file, or replace that one with --force",
  });
}

/** A file for its owner alone, which is no other one's unless that is wanted. */
function writeSecret(path: string, content: string | Uint8Array, force = false): void {
  if (force) writeFileAtomic(path, content, { mode: SECRET_MODE });
  else if (!writeFileOnce(path, content)) throw alreadyThere(path);
}

/** What somebody who takes the file elsewhere will meet there. */
function noteLimits(
  surroundings: Surroundings,
  { keyType, password }: { readonly keyType: string; readonly password: string },
): void {
  if (keyType === "ed25519") {
    surroundings.note(
      "Firefox, Thunderbird and other programs with NSS take no Ed25519 keys; for them make a new " +
        "one with: pki renew --rekey --key-type p256",
    );
  }
  if (/[^\x20-\x7e]/.test(password)) {
    surroundings.note("Java opens no file whose password is not ASCII; OpenSSL and NSS do");
  }
}

async function makePkcs12(
  surroundings: Surroundings,
  own: OwnCertificate,
  flags: ExportFlags,
): Promise<Uint8Array> {
  const { id, leaf, issuing } = own;
  const { home, context } = surroundings;
  const anchor = home.loadAnchor(context.now());
  // Not from the agent: what leaves the home for good takes the password.
  const key = await new Keyring(surroundings, id).keyByPassword();
  checkOwnKey(own, key);
  const password = await chooseFilePassword(surroundings, flags, {
    name: id,
    domain: anchor?.domain,
  });
  noteLimits(surroundings, { keyType: keyTypeOf(key), password });
  const root = anchor ? [anchor.root.der] : [];
  return await encodePkcs12(
    { key, certificates: [leaf.der, issuing.der, ...root] },
    { password, name: id },
  );
}

/** As the home has them: the key stays encrypted with its own password. */
function makePem({ home, context }: Surroundings, { id, leaf, issuing }: OwnCertificate): string {
  const anchor = home.loadAnchor(context.now());
  const root = anchor ? [anchor.root.der] : [];
  return home.loadKeyPem(id) + encodeCertificatesPem([leaf.der, issuing.der, ...root]);
}

export async function exportId(
  context: PkiContext,
  flags: ExportFlags,
  name: string | undefined,
): Promise<void> {
  const surroundings = new Surroundings(context, flags);
  const { p12, pem, noKey: isPublic = false, force } = flags;
  if ([p12, pem, isPublic || undefined].filter((way) => way !== undefined).length !== 1) {
    throw new PkiError("usage", "cannot export: say what to write, one of three", {
      hint: "--p12 FILE for other programs, --pem FILE, or --no-key for no key at all",
    });
  }
  const id = whoIsMeant(surroundings, name);
  const path = p12 ?? pem;
  if (path !== undefined && !force && fileExists(path)) throw alreadyThere(path); // before any question
  const nowMs = context.now();
  const own = loadOwnCertificate(surroundings.home, { id, nowMs });
  const facts = describe(own);
  if (nowMs > own.leaf.notAfterMs) {
    surroundings.note(`the certificate of "${id}" has expired on ${facts.notAfter.slice(0, 10)}`);
  }
  if (path === undefined) {
    const text = encodeCertificatesPem([own.leaf.der, own.issuing.der]);
    surroundings.result({ event: "exported", ...facts, pem: text }, text);
    return;
  }
  const content = p12 === undefined
    ? makePem(surroundings, own)
    : await makePkcs12(surroundings, own, flags);
  writeSecret(path, content, force);
  surroundings.result(
    { event: "exported", ...facts, file: path },
    `wrote ${path}: the key of "${id}" and its certificates`,
  );
}

export const exportCommand = buildCommand<ExportFlags, [string?], PkiContext>({
  func: async function (flags, id) {
    await exportId(this, flags, id);
  },
  parameters: {
    flags: {
      p12: textFlag("Key and certificates as PKCS #12, for other programs", "FILE"),
      p12PasswordFile: textFlag(
        "With --p12: file with the new file's password in its first line, - for stdin",
        "FILE",
      ),
      pem: textFlag("Key, encrypted as it is here, and certificates as PEM", "FILE"),
      noKey: switchFlag("The certificates alone, as PEM on stdout"),
      force: switchFlag("Replace a file that is there"),
      ...GLOBAL_FLAGS,
    },
    positional: { kind: "tuple", parameters: [OPTIONAL_ID_PARAMETER] },
  },
  docs: {
    customUsage: [
      "[NAME] --p12 FILE [--p12-password-file FILE] [--force] [options]",
      "[NAME] --pem FILE|--no-key [options]",
    ],
    brief: "Write an identity to a file, for other programs",
    fullDescription:
      "Writes key, certificate, issuing CA and root to one file for browsers, mail\n" +
      "programs, Java, Windows and others, under a new password of its own, which it asks\n" +
      "for. The file is made with mode 0600 and replaces none. Firefox and Thunderbird take\n" +
      "no Ed25519 keys, and Java no password beyond ASCII. With --pem the key stays\n" +
      "encrypted with the password that it has here; with --no-key nothing secret is\n" +
      "written.\n\n" +
      "Examples:\n" +
      "  pki id export alice --p12 alice.p12\n" +
      "  pki id export alice --p12 alice.p12 --p12-password-file new.pass\n" +
      "  pki id export --no-key | openssl x509 -noout -subject",
  },
});
