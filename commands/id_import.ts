/** `pki id import`: takes an identity from a file into the home. */

import { buildCommand } from "@stricli/core";
import { concatBytes, utf8 } from "../lib/base/bytes.ts";
import { PkiError } from "../lib/base/errors.ts";
import { formatAddress } from "../lib/client/address.ts";
import { parseFingerprint } from "../lib/client/first_contact.ts";
import {
  type JudgedIdentity,
  judgeIdentity,
  readIdentity,
  storeIdentity,
} from "../lib/client/identity_import.ts";
import { checkNewPassword } from "../lib/client/new_password.ts";
import { isSamePassword } from "../lib/client/password.ts";
import type { PkiContext } from "./context.ts";
import { describe } from "./csr.ts";
import { GLOBAL_FLAGS, Surroundings, textFlag } from "./globals.ts";
import { inputName, readInput } from "./input.ts";
import { SERVER_FLAGS, type ServerFlags } from "./sign_in.ts";

interface ImportFlags extends ServerFlags {
  readonly key?: string;
  readonly p12PasswordFile?: string;
}

const FILE_PASSWORD_OPTION = "--p12-password-file";

/** The password that the file is encrypted with. */
async function findFilePassword(
  surroundings: Surroundings,
  { path, what }: { readonly path: string | undefined; readonly what: string },
): Promise<string> {
  if (path !== undefined) {
    const secret = { what: "the file's password", option: FILE_PASSWORD_OPTION };
    return await surroundings.readSecret(path, secret);
  }
  const { terminal } = surroundings.context;
  if (terminal) return await terminal.askPassword(`Password of ${what}`) ?? "";
  throw new PkiError("usage", "cannot ask for the file's password: there is no terminal", {
    hint: `give it with ${FILE_PASSWORD_OPTION}`,
  });
}

/** Whether a root is to be believed; without a word of somebody's own it is not. */
async function isVouchedFor(
  { context: { terminal } }: Surroundings,
  flags: ImportFlags,
  { found, isPinned }: { readonly found: string; readonly isPinned: boolean },
): Promise<boolean> {
  const wanted = flags.fingerprint === undefined ? undefined : parseFingerprint(flags.fingerprint);
  if (wanted !== undefined && wanted !== found) {
    const whose = isPinned ? "pinned root" : "root in the file";
    throw new PkiError("untrusted", `the ${whose} is ${found}, not ${wanted}`, {
      hint: "for another server use another home folder (--home)",
    });
  }
  if (isPinned || wanted !== undefined) return true;
  if (!terminal) {
    throw new PkiError("untrusted", "cannot trust the root in the file: none is pinned yet", {
      hint: "give the root's fingerprint, which pki serve shows, with --fingerprint",
    });
  }
  return await terminal.confirm(
    `No root is pinned yet. The fingerprint of the one in the file is\n${found}\n` +
      "Compare it with what whoever runs the server tells you. Is it the same?",
  );
}

/** Nothing that is there is replaced without a word. */
async function confirmReplacing(
  { context: { terminal }, flags, home }: Surroundings,
  { id, leaf }: JudgedIdentity,
): Promise<void> {
  const there = home.files(id).loadCertificate();
  if (flags.yes || (!home.hasKey(id) && there === undefined)) return;
  if (!terminal) {
    throw new PkiError("conflict", `cannot import "${id}": there is one in the home already`, {
      hint: "replace its key and certificate with --yes, or use another home folder (--home)",
    });
  }
  const isWanted = await terminal.confirm(
    `There is a "${id}" here already. Replace its key and certificate by those in the file, which ` +
      `end on ${new Date(leaf.notAfterMs).toISOString().slice(0, 10)}? This cannot be undone.`,
  );
  if (!isWanted) throw new PkiError("interrupted", `"${id}" stays as it was`);
}

/** What the key is encrypted with from now on. */
async function chooseKeyPassword(
  surroundings: Surroundings,
  { id, anchor }: JudgedIdentity,
): Promise<string> {
  const { context: { terminal }, hasGivenPassword } = surroundings;
  const password = await surroundings.password(`Password of ${id}, for the key here`);
  await checkNewPassword(password, { name: id, domain: anchor.domain });
  if (hasGivenPassword || !terminal) return password;
  const again = await terminal.askPassword("The same password again");
  if (isSamePassword(again ?? "", password)) return password;
  throw new PkiError("usage", "cannot import: the two passwords are different", {
    hint: "type the same twice",
  });
}

export async function importId(
  context: PkiContext,
  flags: ImportFlags,
  path: string,
): Promise<void> {
  const surroundings = new Surroundings(context, flags);
  const { home } = surroundings;
  const nowMs = context.now();
  const what = inputName(path);
  const bytes = await readInput(context, path);
  const keyBytes = flags.key === undefined ? undefined : await readInput(context, flags.key);
  const found = await readIdentity(
    keyBytes ? concatBytes(keyBytes, utf8("\n"), bytes) : bytes,
    {
      what,
      askPassword: () => findFilePassword(surroundings, { path: flags.p12PasswordFile, what }),
    },
  );
  const judged = await judgeIdentity(home, found, {
    nowMs,
    what,
    isVouchedFor: (root, isPinned) => isVouchedFor(surroundings, flags, { found: root, isPinned }),
  });
  const { id } = judged;
  if (flags.id !== undefined && flags.id !== id) {
    throw new PkiError(
      "untrusted",
      `the certificate in ${what} is of "${id}", not of "${flags.id}"`,
      { hint: `import it as "${id}": leave out --id` },
    );
  }
  await confirmReplacing(surroundings, judged);
  const password = await chooseKeyPassword(surroundings, judged);
  const server = formatAddress(surroundings.serverAddress());
  await storeIdentity(home, judged, { password, server });
  context.sitting?.of(home, id).forget();
  const facts = describe(judged);
  const files = { certificate: home.certificatePath(id), key: home.files(id).keyPathInUse };
  surroundings.result(
    { event: "imported", ...facts, ...files },
    `imported "${id}", certified until ${facts.notAfter.slice(0, 10)}\n` +
      `  certificate  ${files.certificate}\n  key          ${files.key} (encrypted)`,
  );
  if (judged.isExpired) {
    surroundings.note(`the certificate has expired: get a new one with: pki csr --id ${id}`);
  }
}

export const importCommand = buildCommand<ImportFlags, [string], PkiContext>({
  func: async function (flags, path) {
    await importId(this, flags, path);
  },
  parameters: {
    flags: {
      key: textFlag("The key (PEM), where it is in a file of its own", "FILE"),
      p12PasswordFile: textFlag(
        "File with the password of FILE in its first line, - for stdin",
        "FILE",
      ),
      ...SERVER_FLAGS,
      ...GLOBAL_FLAGS,
    },
    positional: {
      kind: "tuple",
      parameters: [{
        brief: "PKCS #12, or PEM with key and certificate; - for stdin",
        parse: String,
        placeholder: "FILE",
      }],
    },
  },
  docs: {
    customUsage: ["FILE [--key FILE] [--p12-password-file FILE] [--yes] [options]"],
    brief: "Take an identity from a file into this home",
    fullDescription:
      "Reads a key with its certificate from PKCS #12 (of pki id export, OpenSSL, Java,\n" +
      "NSS, GnuTLS) or from PEM, judges the certificate under the pinned root and keeps\n" +
      "both, the key encrypted anew: take the account's password, then one opens both. Who\n" +
      "it is, the certificate says; with --id it must be this one. Where no root is pinned,\n" +
      "the one in the file is, if --fingerprint or a person at the terminal says that it\n" +
      "is right.\n\n" +
      "Examples:\n" +
      "  pki id import alice.p12\n" +
      "  pki id import alice.p12 --fingerprint 5f1c… --p12-password-file file.pass\n" +
      "  pki id import alice.pem --key alice.key",
  },
});
