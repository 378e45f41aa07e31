/** `pki init`: makes the server's data folder without serving. */

import { buildCommand } from "@stricli/core";
import { PkiError } from "../lib/base/errors.ts";
import { fileExists, PUBLIC_MODE, readText, writeFileAtomic } from "../lib/base/files.ts";
import type { OpenCa } from "../lib/server/make_ca.ts";
import { KEY_TYPES, type KeyType } from "../lib/x509/algorithms.ts";
import { fingerprintOf } from "../lib/x509/certificate.ts";
import { checkDomain, DEFAULT_DOMAIN } from "../lib/x509/names.ts";
import type { PkiContext } from "./context.ts";
import { FOLDER_FLAGS, type FolderFlags, noteRootKey } from "./folder_change.ts";
import { GLOBAL_FLAGS, Surroundings, switchFlag, textFlag } from "./globals.ts";
import { choosePassphrase, findPassphrase } from "./passphrase.ts";
import { readRootPassphrase } from "./root_key.ts";

interface InitFlags extends FolderFlags {
  readonly domain?: string;
  readonly keyType?: KeyType;
  readonly rootCert?: string;
  readonly rootKey?: string;
  readonly rootPassphraseFile?: string;
  readonly withoutRootKey?: boolean;
  readonly issuingCsr?: string;
  readonly issuingCert?: string;
  readonly witness?: string;
}

function usage(message: string, hint?: string): PkiError {
  return new PkiError("usage", message, hint === undefined ? {} : { hint });
}

/** Which of the ways to come by an issuing CA was asked for. */
function checkFlags(flags: InitFlags): void {
  const { rootCert, rootKey, withoutRootKey, issuingCsr, issuingCert, keyType, domain } = flags;
  if (issuingCsr !== undefined && issuingCert !== undefined) {
    throw usage(
      "cannot take a certificate and make a request for it at once",
      "first --issuing-csr, then, with what came back, --issuing-cert",
    );
  }
  if (issuingCsr !== undefined && (rootCert !== undefined || rootKey !== undefined)) {
    throw usage(
      "cannot use a root with --issuing-csr: the certificate comes first",
      "give the root together with what came back: --issuing-cert FILE --root-cert FILE",
    );
  }
  if (issuingCert !== undefined) {
    if (rootKey !== undefined || keyType !== undefined || domain !== undefined) {
      throw usage(
        "cannot use --root-key, --key-type or --domain with --issuing-cert",
        "leave them out: the request has settled them",
      );
    }
    return;
  }
  if ((rootCert === undefined) !== (rootKey === undefined)) {
    throw usage(
      "cannot use a root of your own: it takes both --root-cert and --root-key",
      "where somebody else has its key, begin with --issuing-csr",
    );
  }
  if (withoutRootKey && rootKey === undefined) {
    throw usage(
      "cannot leave out the key of a root that is made now: it would be lost",
      "move root.key away afterwards, or bring a root along with --root-cert and --root-key",
    );
  }
}

export async function init(context: PkiContext, flags: InitFlags): Promise<void> {
  const surroundings = new Surroundings(context, flags);
  const folder = surroundings.dataFolder(flags.data);
  checkFlags(flags);
  if (flags.domain !== undefined) checkDomain(flags.domain);
  if (flags.issuingCert !== undefined) return await complete(surroundings, flags, folder);
  const { checkPassphrase, isSetUp } = await import("../lib/server/setup.ts");
  const { isPending } = await import("../lib/server/outside_root.ts");
  if (isSetUp(folder) || isPending(folder) && flags.issuingCsr === undefined) {
    throw new PkiError("conflict", `cannot set up "${folder}": it is a data folder already`, {
      hint: "name another folder with --data",
    });
  }
  const { defaultWitness } = await import("../lib/server/files.ts");
  checkNoWitness(folder, flags.witness ?? defaultWitness(folder));
  const passphrase = await choosePassphrase(surroundings, flags);
  checkPassphrase(passphrase);
  if (flags.issuingCsr !== undefined) {
    return await request(surroundings, flags, { folder, passphrase, path: flags.issuingCsr });
  }
  await make(surroundings, flags, { folder, passphrase });
}

async function make(
  surroundings: Surroundings,
  flags: InitFlags,
  { folder, passphrase }: { readonly folder: string; readonly passphrase: string },
): Promise<void> {
  const { checkPassphrase, setUp } = await import("../lib/server/setup.ts");
  const { domain = DEFAULT_DOMAIN, keyType, withoutRootKey } = flags;
  const nowMs = surroundings.context.now();
  const own = await openOwnRoot(surroundings, flags);
  const rootPassphrase = own?.rootPassphrase ?? await readRootPassphrase(surroundings, flags);
  if (rootPassphrase !== undefined && !withoutRootKey) checkPassphrase(rootPassphrase);
  await setUp(folder, {
    domain,
    passphrase,
    nowMs,
    ...(keyType ? { keyType } : {}),
    ...(own ? { root: own.root } : {}),
    ...(rootPassphrase === undefined ? {} : { rootPassphrase }),
    leavesRootKeyOut: withoutRootKey ?? false,
  });
  await tell(surroundings, { folder, domain, what: "made a data folder" });
  noteRootKey(surroundings, folder);
}

/** The root that was brought along, and the password that its key was under. */
async function openOwnRoot(
  surroundings: Surroundings,
  flags: InitFlags,
): Promise<{ readonly root: OpenCa; readonly rootPassphrase: string | undefined } | undefined> {
  const { rootCert, rootKey } = flags;
  if (rootCert === undefined || rootKey === undefined) return undefined;
  const { parseOwnRoot } = await import("../lib/server/own_root.ts");
  const { checkKeyOf } = await import("../lib/server/root_key.ts");
  const { decryptPrivateKey, isEncryptedKey, parsePlainPrivateKey } = await import(
    "../lib/x509/keys.ts"
  );
  const { context: { terminal, now } } = surroundings;
  const certificate = parseOwnRoot(readText(rootCert), rootCert, now());
  const pem = readText(rootKey);
  let rootPassphrase = await readRootPassphrase(surroundings, flags);
  let key;
  if (isEncryptedKey(pem)) {
    rootPassphrase ??= await terminal?.askPassword(`Password of "${rootKey}"`);
    if (rootPassphrase === undefined) {
      throw usage(
        `cannot open "${rootKey}": it is encrypted, and there is no terminal to ask for its password`,
        "give it with --root-passphrase-file",
      );
    }
    key = await decryptPrivateKey(pem, rootPassphrase, `"${rootKey}"`);
  } else key = parsePlainPrivateKey(pem, `"${rootKey}"`);
  checkKeyOf(certificate, key, rootKey);
  return { root: { certificate, key }, rootPassphrase };
}

/** The first of two steps with a root whose key is with somebody else. */
async function request(
  surroundings: Surroundings,
  { domain = DEFAULT_DOMAIN, keyType = "p256" }: InitFlags,
  { folder, passphrase, path }: {
    readonly folder: string;
    readonly passphrase: string;
    readonly path: string;
  },
): Promise<void> {
  const { setUpPending } = await import("../lib/server/outside_root.ts");
  const nowMs = surroundings.context.now();
  const csr = await setUpPending(folder, { domain, passphrase, keyType, nowMs });
  writeFileAtomic(path, csr, { mode: PUBLIC_MODE });
  surroundings.result(
    { event: "requested", folder, domain, csr: path },
    `made a request for the issuing CA of ${domain}\n  file  ${path}`,
  );
  surroundings.note(
    "have the root sign it, with the extensions that it asks for; with OpenSSL:\n" +
      `  openssl x509 -req -in ${path} -CA root.crt -CAkey root.key -days 1825 ` +
      "-copy_extensions copy -out issuing.crt\n" +
      "then: pki init --issuing-cert issuing.crt --root-cert root.crt",
  );
}

/** The second of the two steps. */
async function complete(
  surroundings: Surroundings,
  flags: InitFlags,
  folder: string,
): Promise<void> {
  const { completeSetUp } = await import("../lib/server/outside_root.ts");
  const { issuingCert = "", rootCert } = flags;
  const passphrase = await findPassphrase(surroundings, flags, folder);
  const { domain } = await completeSetUp(folder, {
    passphrase,
    nowMs: surroundings.context.now(),
    returned: {
      issuingPem: readText(issuingCert),
      issuingPath: issuingCert,
      ...(rootCert === undefined ? {} : { rootPem: readText(rootCert), rootPath: rootCert }),
    },
  });
  await tell(surroundings, { folder, domain, what: "completed the data folder" });
  surroundings.note(
    "put the root's revocation list into the folder as root.crl, if there is one, and whenever " +
      "there is a new one",
  );
}

async function tell(
  surroundings: Surroundings,
  { folder, domain, what }: {
    readonly folder: string;
    readonly domain: string;
    readonly what: string;
  },
): Promise<void> {
  const { serverFiles } = await import("../lib/server/files.ts");
  const { loadRoot } = await import("../lib/server/log_key.ts");
  const fingerprint = fingerprintOf(loadRoot(serverFiles(folder)).der);
  surroundings.result(
    { event: "ready", folder, domain, fingerprint },
    `${what} for ${domain}\n  folder       ${folder}\n  fingerprint  ${
      surroundings.paint.mark(fingerprint)
    }`,
  );
}

/** A witness without its folder: a disk that is not mounted, rather than a new server. */
export function checkNoWitness(folder: string, witness: string): void {
  if (!fileExists(witness)) return;
  throw new PkiError(
    "storage",
    `cannot set up "${folder}": there was a server before, which "${witness}" remembers`,
    {
      hint: "put its data folder back (mount it, or pki restore); " +
        "for a new server, move that file away or name another with --witness",
    },
  );
}

/** Types of keys that a CA can have, as an option. */
export const KEY_TYPE_FLAG = {
  kind: "enum",
  values: Object.keys(KEY_TYPES) as KeyType[],
  optional: true,
  brief: "Keys of the CAs that are made [p256]",
} as const;

export const initCommand = buildCommand<InitFlags, [], PkiContext>({
  func: async function (flags) {
    await init(this, flags);
  },
  parameters: {
    flags: {
      ...FOLDER_FLAGS,
      domain: textFlag(`The trust domain [${DEFAULT_DOMAIN}]`, "DOMAIN"),
      keyType: KEY_TYPE_FLAG,
      rootCert: textFlag("A root of your own, as PEM", "FILE"),
      rootKey: textFlag("Its key, as PEM, plain or encrypted", "FILE"),
      rootPassphraseFile: textFlag(
        "File with the passphrase of the root's key, if it has or shall have its own",
        "FILE",
      ),
      withoutRootKey: switchFlag("Keep the key of your own root out of the folder"),
      issuingCsr: textFlag("Have another root sign: write the request for the issuing CA", "FILE"),
      issuingCert: textFlag("What came back for that request", "FILE"),
      witness: textFlag(
        "Where the newest checkpoint will be remembered, outside of the folder [DIR.witness]",
        "FILE",
      ),
      ...GLOBAL_FLAGS,
    },
  },
  docs: {
    customUsage: [
      "[--data DIR] [--domain DOMAIN] [--key-type TYPE] [options]",
      "--root-cert FILE --root-key FILE [--without-root-key] [options]",
      "--issuing-csr FILE [options]",
      "--issuing-cert FILE [--root-cert FILE] [options]",
    ],
    brief: "Make the server's keys and folder, without serving",
    fullDescription:
      "Makes a root, an issuing CA and the server's other secrets, as the first pki serve\n" +
      "does. The root can be one that you have: with its key, or by a request that whoever\n" +
      "has the key signs. The key of the root is not needed to serve: keep it elsewhere.\n\n" +
      "Examples:\n" +
      "  pki init --domain pki.example.org --key-type p384\n" +
      "  pki init --root-cert root.crt --root-key /media/stick/root.key --without-root-key\n" +
      "  pki init --issuing-csr issuing.csr",
  },
});
