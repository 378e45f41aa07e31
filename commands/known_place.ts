/** Who answered at an address before: somebody else there later is a question, or a refusal. */

import { PkiError } from "../lib/base/errors.ts";
import type { Peer } from "../lib/peer/ports.ts";
import type { Surroundings } from "./globals.ts";

/**
 * Compares who answers with who answered at this address before, unless it is who is expected.
 * @param where `host:port`
 * @throws {PkiError} `untrusted`
 */
export async function checkPlace(
  { home, context }: Surroundings,
  where: string,
  { peer: { id }, expected }: { readonly peer: Peer; readonly expected: string | undefined },
): Promise<void> {
  const remembered = home.loadConfig().peers?.[where];
  if (remembered === undefined || remembered === id || expected !== undefined) return;
  const isAccepted = await context.terminal?.confirm(
    `At ${where} ${remembered} answered before; now it is ${id}. Talk to ${id}?`,
  );
  if (isAccepted) return;
  throw new PkiError("untrusted", `"${id}" answers at ${where}, where "${remembered}" did before`, {
    hint: `if that is right, say so with --expect ${id}`,
  });
}

export function rememberPlace({ home }: Surroundings, where: string, { id }: Peer): void {
  home.changeConfig((config) => ({ ...config, peers: { ...config.peers, [where]: id } }));
}
