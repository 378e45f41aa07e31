/** What a start of `pki serve` does with the data folder: makes it, the first time, and opens its keys. */

import { PkiError } from "../lib/base/errors.ts";
import { DEFAULT_DOMAIN } from "../lib/x509/names.ts";
import { noteRootKey } from "./folder_change.ts";
import type { Surroundings } from "./globals.ts";
import { checkNoWitness } from "./init.ts";
import { choosePassphrase, findPassphrase } from "./passphrase.ts";
import type { RootKeyFlags } from "./root_key.ts";
import { type Configuration, passphraseFileOf } from "./server_configuration.ts";

/** Options that are about one start. */
export interface StartFlags extends RootKeyFlags {
  readonly acceptLoss?: boolean;
}

function checkRootKeyUse({ acceptLoss, rootKey, rootPassphraseFile }: StartFlags): void {
  if (acceptLoss || (rootKey ?? rootPassphraseFile) === undefined) return;
  throw new PkiError(
    "usage",
    "cannot use the root's key: the server needs it to accept a loss only",
    { hint: "leave out --root-key and --root-passphrase-file" },
  );
}

/** Makes the data folder at the first start. Returns the passphrase of its keys. */
export async function prepareFolder(
  surroundings: Surroundings,
  flags: StartFlags,
  { configuration, canStart }: {
    readonly configuration: Configuration;
    /** Throws if the server could not be reached: then nothing is made. */
    readonly canStart: () => Promise<void>;
  },
): Promise<string> {
  const { context } = surroundings;
  const { folder, settings: { witness, domain = DEFAULT_DOMAIN } } = configuration;
  const { checkPassphrase, isSetUp, setUp } = await import("../lib/server/setup.ts");
  const { checkNotPending } = await import("../lib/server/outside_root.ts");
  checkNotPending(folder);
  checkRootKeyUse(flags);
  const isFirstStart = !isSetUp(folder);
  if (isFirstStart) {
    checkNoWitness(folder, witness);
    await canStart();
  }
  const passphraseFile = passphraseFileOf(configuration, context.process.env);
  const where = passphraseFile === undefined ? {} : { passphraseFile };
  const passphrase = isFirstStart
    ? await choosePassphrase(surroundings, where)
    : await findPassphrase(surroundings, where);
  checkPassphrase(passphrase);
  if (isFirstStart) {
    await setUp(folder, { domain, passphrase, nowMs: context.now() });
    surroundings.note(
      `made a root and an issuing CA for the trust domain ${domain}, in "${folder}"`,
    );
    noteRootKey(surroundings, folder);
  }
  return passphrase;
}
