/** `pki lock`: forgets what `pki unlock` has unlocked. */

import { buildCommand } from "@stricli/core";
import { askAgent } from "../lib/client/agent.ts";
import { checkId } from "../lib/x509/names.ts";
import type { PkiContext } from "./context.ts";
import { GLOBAL_FLAGS, type GlobalFlags, Surroundings } from "./globals.ts";

export async function lock(context: PkiContext, flags: GlobalFlags): Promise<void> {
  const surroundings = new Surroundings(context, flags);
  const { id } = flags; // not from the environment: who locks in a hurry means everything
  if (id !== undefined) checkId(id);
  const answer = await askAgent(surroundings.home.folder, "LOCK", id === undefined ? {} : { id });
  const locked = answer?.forgotten ?? [];
  surroundings.result(
    { locked },
    locked.map((one) => `"${one}" is locked\n`).join(""),
  );
  if (locked.length === 0) {
    surroundings.note(id === undefined ? "nothing was unlocked" : `"${id}" was not unlocked`);
  }
}

export const lockCommand = buildCommand<GlobalFlags, [], PkiContext>({
  func: async function (flags) {
    await lock(this, flags);
  },
  parameters: { flags: GLOBAL_FLAGS },
  docs: {
    customUsage: ["[--id NAME] [options]"],
    brief: "Forget what pki unlock has unlocked",
    fullDescription:
      "Has the agent of pki unlock forget one key, with --id, or all of them; an agent that\n" +
      "keeps nothing ends. Conversations that are under way go on.\n\n" +
      "Examples:\n" +
      "  pki lock\n" +
      "  pki lock --id alice",
  },
});
