/** Where the root's key and its passphrase come from, for the commands that need the root. */

import type { RootKeySource } from "../lib/server/root_key.ts";
import { type Surroundings, textFlag } from "./globals.ts";

export const ROOT_KEY_FLAGS = {
  rootKey: textFlag("File with the root's key [root.key in the data folder]", "FILE"),
  rootPassphraseFile: textFlag(
    "File with the passphrase of the root's key, where that is not the server's",
    "FILE",
  ),
} as const;

export interface RootKeyFlags {
  readonly rootKey?: string;
  readonly rootPassphraseFile?: string;
}

/** The root key's own passphrase, where one was given. @throws {PkiError} as `readSecret` */
export async function readRootPassphrase(
  surroundings: Surroundings,
  { rootPassphraseFile }: Pick<RootKeyFlags, "rootPassphraseFile">,
): Promise<string | undefined> {
  if (rootPassphraseFile === undefined) return undefined;
  return await surroundings.readSecret(rootPassphraseFile, {
    what: "the passphrase of the root's key",
    option: "--root-passphrase-file",
  });
}

export async function rootKeySource(
  surroundings: Surroundings,
  flags: RootKeyFlags,
  passphrase: string,
): Promise<RootKeySource> {
  const { terminal } = surroundings.context;
  const rootPassphrase = await readRootPassphrase(surroundings, flags);
  return {
    passphrase,
    ...(flags.rootKey === undefined ? {} : { path: flags.rootKey }),
    ...(rootPassphrase === undefined ? {} : { rootPassphrase }),
    ...(terminal ? { ask: () => terminal.askPassword("Passphrase of the root's key") } : {}),
  };
}
