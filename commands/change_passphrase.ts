/** `pki passphrase`: another passphrase for the server's keys. */

import { buildCommand } from "@stricli/core";
import { PkiError } from "../lib/base/errors.ts";
import { firstLineOf, readTextIfThere, writeFileAtomic } from "../lib/base/files.ts";
import type { PkiContext } from "./context.ts";
import { FOLDER_FLAGS, type FolderFlags } from "./folder_change.ts";
import { GLOBAL_FLAGS, Surroundings, switchFlag, textFlag } from "./globals.ts";
import { findPassphrase } from "./passphrase.ts";

interface PassphraseChangeFlags extends FolderFlags {
  readonly newPassphraseFile?: string;
  readonly root?: boolean;
}

async function findNewPassphrase(
  surroundings: Surroundings,
  { newPassphraseFile }: PassphraseChangeFlags,
): Promise<string> {
  const { terminal } = surroundings.context;
  if (newPassphraseFile !== undefined) {
    const option = "--new-passphrase-file";
    return await surroundings.readSecret(newPassphraseFile, { what: "the new passphrase", option });
  }
  if (!terminal) {
    throw new PkiError("usage", "cannot ask for the new passphrase: there is no terminal", {
      hint: "give it with --new-passphrase-file",
    });
  }
  const next = await terminal.askPassword("New passphrase");
  if (await terminal.askPassword("The same passphrase again") === next) return next;
  throw new PkiError("usage", "cannot change the passphrase: the two are different", {
    hint: "type the same twice",
  });
}

export async function changePassphrase(
  context: PkiContext,
  flags: PassphraseChangeFlags,
): Promise<void> {
  const surroundings = new Surroundings(context, flags);
  const { home } = surroundings;
  const folder = surroundings.dataFolder(flags.data);
  const { checkPassphrase, isSetUp } = await import("../lib/server/setup.ts");
  const { isPending } = await import("../lib/server/outside_root.ts");
  const { changePassphrase: change, changeRootPassphrase } = await import(
    "../lib/server/passphrases.ts"
  );
  const { takeLock } = await import("../lib/store/lock.ts");
  if (!isSetUp(folder) && !isPending(folder)) {
    throw new PkiError("not-found", `cannot use "${folder}": there is no data folder`, {
      hint: "name it with --data, on the machine of the server",
    });
  }
  const old = await findPassphrase(surroundings, flags, folder);
  const next = await findNewPassphrase(surroundings, flags);
  checkPassphrase(next);
  const lock = await takeLock(folder);
  try {
    const { changed, left, hasOwnRootPassphrase } = flags.root
      ? await changeRootPassphrase(folder, { old, next })
      : await change(folder, { old, next });
    // Last: until then both are known to whoever has to do this once more.
    const isKept = !flags.root && replaceKept(surroundings, { old, next });
    surroundings.result(
      { event: "changed", changed, left, hasOwnRootPassphrase, isKept },
      `changed the passphrase of ${changed.length} keys` +
        (left.length > 0 ? `; ${left.length} had it already` : ""),
    );
    if (isKept) surroundings.note(`the new passphrase is in "${home.passphrasePath}"`);
    if (!flags.root && hasOwnRootPassphrase) {
      surroundings.note("the root's key has a passphrase of its own, which stays: see --root");
    }
    surroundings.note("backups that were made before need the old passphrase");
  } finally {
    await lock.release();
  }
}

/** The file that `serve` reads the passphrase from, where it is kept there. */
function replaceKept(
  { home }: Surroundings,
  { old, next }: { readonly old: string; readonly next: string },
): boolean {
  const kept = readTextIfThere(home.passphrasePath);
  if (kept === undefined || firstLineOf(kept) !== old) return false;
  writeFileAtomic(home.passphrasePath, `${next}\n`);
  return true;
}

export const passphraseCommand = buildCommand<PassphraseChangeFlags, [], PkiContext>({
  func: async function (flags) {
    await changePassphrase(this, flags);
  },
  parameters: {
    flags: {
      ...FOLDER_FLAGS,
      newPassphraseFile: textFlag("File with the new passphrase, in its first line", "FILE"),
      root: switchFlag("Only of the root's key, which then has a passphrase of its own"),
      ...GLOBAL_FLAGS,
    },
  },
  docs: {
    customUsage: ["[--data DIR] [--new-passphrase-file FILE] [--root] [options]"],
    brief: "Change the passphrase of the server's keys",
    fullDescription:
      "Encrypts every key of the data folder anew. The server must be stopped. If it is cut\n" +
      "short, run it again with the same two passphrases.\n\n" +
      "Examples:\n" +
      "  pki passphrase --new-passphrase-file new.txt\n" +
      "  pki passphrase --root",
  },
});
