/** Where the passphrase of the server's keys comes from. */

import { PkiError } from "../lib/base/errors.ts";
import {
  firstLineOf,
  makeFolder,
  readFirstLine,
  readTextIfThere,
  writeFileOnce,
} from "../lib/base/files.ts";
import type { PkiContext } from "./context.ts";
import { type Surroundings, textFlag } from "./globals.ts";

/** The option that names it, for every command that opens the server's keys. */
export const PASSPHRASE_FLAG = textFlag(
  "File with the passphrase of the server's keys, - for stdin [$PKI_CA_PASSPHRASE, else server.passphrase in the home]",
  "FILE",
);

export interface PassphraseFlags {
  readonly passphraseFile?: string;
}

/**
 * The passphrase of the server's keys, from wherever it is kept; asked for where it is not.
 * @param folder the data folder, whose `pki.json` may name a file; absent where that was looked at
 * @throws {PkiError} `usage` where nobody can be asked, `not-found` if a file that was named is not there
 */
export async function findPassphrase(
  surroundings: Surroundings,
  flags: PassphraseFlags,
  folder?: string,
): Promise<string> {
  const { home, context } = surroundings;
  const passphraseFile = flags.passphraseFile ??
    (folder === undefined ? undefined : await configuredFile(folder, context.process.env));
  if (passphraseFile !== undefined) {
    const what = "the passphrase of the server's keys";
    return await surroundings.readSecret(passphraseFile, { what, option: "--passphrase-file" });
  }
  const given = context.process.env["PKI_CA_PASSPHRASE"];
  if (given) return given;
  const kept = readTextIfThere(home.passphrasePath);
  if (kept !== undefined) return firstLineOf(kept);
  if (context.terminal) {
    return await context.terminal.askPassword("Passphrase of the server's keys");
  }
  throw new PkiError("usage", "cannot open the server's keys: there is no passphrase", {
    hint: "give it with --passphrase-file or $PKI_CA_PASSPHRASE",
  });
}

async function configuredFile(
  folder: string,
  env: PkiContext["process"]["env"],
): Promise<string | undefined> {
  const { findPassphraseFile } = await import("./server_configuration.ts");
  return findPassphraseFile(folder, env);
}

/** For new keys: the one that is given, or else a new one, which is kept in the home. */
export async function choosePassphrase(
  surroundings: Surroundings,
  flags: PassphraseFlags,
): Promise<string> {
  const { home, context } = surroundings;
  const isKnown = flags.passphraseFile !== undefined ||
    Boolean(context.process.env["PKI_CA_PASSPHRASE"]) ||
    readTextIfThere(home.passphrasePath) !== undefined;
  if (isKnown) return await findPassphrase(surroundings, flags);
  const { generatePassphrase } = await import("../lib/server/setup.ts");
  const passphrase = generatePassphrase();
  makeFolder(home.folder);
  if (!writeFileOnce(home.passphrasePath, `${passphrase}\n`)) {
    return readFirstLine(home.passphrasePath); // another first start was faster
  }
  surroundings.note(
    `made a passphrase for the server's keys, in "${home.passphrasePath}": keep a copy elsewhere`,
  );
  return passphrase;
}
