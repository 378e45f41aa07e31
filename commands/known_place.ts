/** Who answered at an address before: somebody else there later is a question, or a refusal. */

import { PkiError } from "../lib/base/errors.ts";
import type { Peer } from "../lib/peer/ports.ts";
import type { Surroundings } from "./globals.ts";
import { askAbout, type WaitingLine } from "./waiting_line.ts";

/**
 * Compares who answers with who answered at this address before, unless it is who is expected.
 * @param where `host:port`
 * @throws {PkiError} `untrusted`
 */
export async function checkPlace(
  { home, context }: Surroundings,
  where: string,
  { peer: { id }, line, expected }: {
    readonly peer: Peer;
    readonly line: WaitingLine;
    readonly expected: string | undefined;
  },
): Promise<void> {
  const remembered = home.loadConfig().peers?.[where];
  if (remembered === undefined || remembered === id || expected !== undefined) return;
  const { terminal } = context;
  const question = `At ${where} ${remembered} answered before; now it is ${id}. Talk to ${id}?`;
  const isAccepted = terminal !== undefined &&
    await askAbout(line, (signal) => terminal.confirm(question, signal));
  if (isAccepted) return;
  throw new PkiError("untrusted", `"${id}" answers at ${where}, where "${remembered}" did before`, {
    hint: `if that is right, say so with --expect ${id}`,
  });
}

/** Remembers who answers at an address, once the conversation begins; if that fails, it goes on. */
export function rememberPlace(surroundings: Surroundings, where: string, { id }: Peer): void {
  try {
    surroundings.home.changeConfig((config) => ({
      ...config,
      peers: { ...config.peers, [where]: id },
    }));
  } catch (error) {
    if (!(error instanceof PkiError)) throw error;
    const { message, hint } = error;
    surroundings.warn(`that "${id}" answers at ${where} is not remembered: ${message}`, hint);
  }
}
