/** Where the root's key and its passphrase come from, for the commands that need the root. */

import { readFirstLine } from "../lib/base/files.ts";
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

export function rootKeySource(
  { context: { terminal } }: Surroundings,
  { rootKey, rootPassphraseFile }: RootKeyFlags,
  passphrase: string,
): RootKeySource {
  return {
    passphrase,
    ...(rootKey === undefined ? {} : { path: rootKey }),
    ...(rootPassphraseFile === undefined
      ? {}
      : { rootPassphrase: readFirstLine(rootPassphraseFile) }),
    ...(terminal ? { ask: () => terminal.askPassword("Passphrase of the root's key") } : {}),
  };
}
