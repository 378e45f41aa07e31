/** `pki unlock`: keeps an identity's key at hand for a while, so that commands need no password. */

import { buildCommand } from "@stricli/core";
import { PkiError } from "../lib/base/errors.ts";
import { LIMITS } from "../lib/base/limits.ts";
import { askAgent, checkAgentFolder, describeKept } from "../lib/client/agent.ts";
import { keepInAgent } from "../lib/client/agent_process.ts";
import type { PkiContext } from "./context.ts";
import { formatDuration, parseDuration } from "./duration.ts";
import { GLOBAL_FLAGS, type GlobalFlags, Surroundings, switchFlag } from "./globals.ts";
import { Keyring } from "./keyring.ts";

export interface UnlockFlags extends GlobalFlags {
  readonly for?: number;
  readonly list?: boolean;
}

/** @throws {PkiError} `usage` */
export function parseUnlockTime(text: string): number {
  const ms = parseDuration(text);
  if (ms <= LIMITS.unlockMsMax) return ms;
  throw new PkiError("usage", `${text} is too long: 24 h at most`);
}

async function showUnlocked(surroundings: Surroundings): Promise<void> {
  const { context, home } = surroundings;
  const answer = await askAgent(home.folder, "LIST", {});
  const kept = answer?.kept ?? [];
  surroundings.result(
    {
      unlocked: kept.map(({ id, untilMs }) => ({ id, until: new Date(untilMs).toISOString() })),
    },
    kept.map(({ id, untilMs }) =>
      `${id}  until ${new Date(untilMs).toISOString()}  (${
        formatDuration(Math.max(0, untilMs - context.now()))
      } left)\n`
    ).join(""),
  );
  if (kept.length === 0) surroundings.note("nothing is unlocked");
}

export async function unlock(context: PkiContext, flags: UnlockFlags): Promise<void> {
  const surroundings = new Surroundings(context, flags);
  if (flags.list) {
    if (flags.for === undefined) return await showUnlocked(surroundings);
    throw new PkiError("usage", "cannot use --for: with --list nothing is unlocked", {
      hint: "leave out one of the two",
    });
  }
  const id = surroundings.identity();
  const { home } = surroundings;
  const pem = home.loadKeyPem(id); // before any question
  checkAgentFolder(home.folder);
  const key = await new Keyring(surroundings, id).keyByPassword();
  const forMs = flags.for ?? LIMITS.unlockMs;
  const { untilMs } = await keepInAgent(home, describeKept(key, { id, pem, forMs }));
  const until = new Date(untilMs).toISOString();
  surroundings.result(
    { id, until },
    `"${id}" is unlocked for ${formatDuration(forMs)}, until ${until}; pki lock ends it`,
  );
}

export const unlockCommand = buildCommand<UnlockFlags, [], PkiContext>({
  func: async function (flags) {
    await unlock(this, flags);
  },
  parameters: {
    flags: {
      for: {
        kind: "parsed",
        parse: parseUnlockTime,
        optional: true,
        brief: "How long: 30s, 45m, 8h, at most 24h [15m]",
        placeholder: "SPAN",
      },
      list: switchFlag("Show what is unlocked, and until when"),
      ...GLOBAL_FLAGS,
    },
  },
  docs: {
    customUsage: ["[--id NAME] [--for SPAN] [options]", "--list [options]"],
    brief: "Keep your key at hand, so that no password is asked for",
    fullDescription:
      "Asks for the password once and keeps your key unlocked for a while: csr, upload,\n" +
      "request, renew, revoke, listen and connect then ask for no password. The key is in\n" +
      "the memory of a process in the background, the agent, and never on the disk. The\n" +
      "agent ends when the time is over, with pki lock, and when the key is replaced or\n" +
      "encrypted with another password.\n\n" +
      "Whoever runs programs as you can have the key from the agent meanwhile, through a\n" +
      "socket in the home folder: unlike ssh-agent, which signs and keeps the key to\n" +
      "itself, it gives the key itself away, since TLS here cannot sign elsewhere. It\n" +
      "cannot keep the system from writing its memory to a swap or core file.\n\n" +
      "Examples:\n" +
      "  pki unlock --id alice\n" +
      "  pki unlock --for 8h\n" +
      "  pki unlock --list",
  },
});
