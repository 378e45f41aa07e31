/** Two people at two terminals, in a world of theirs: how talks are set up. */

import { inWorld, type World } from "./harness.ts";
import { inTerminal, Terminal } from "./terminal.ts";

/** Starts `listen` at a terminal and waits until it does. */
export async function listenAt(
  world: World,
  id: string,
  options: readonly string[] = [],
): Promise<{ readonly terminal: Terminal; readonly port: number }> {
  for (;;) {
    const terminal = await Terminal.start(world, [
      ...["listen", "--id", id, "--host", "127.0.0.1", "--port", "0"],
      ...["--password-file", world.passwordFile(id), ...options],
    ]);
    const [, bound] = await terminal.waitFor(/ is listening on port (\d+);/);
    const port = Number(bound);
    if (world.isNewPlace(id, port)) return { terminal, port };
    await terminal.close();
  }
}

/** The arguments of `connect`. */
export function calling(world: World, id: string, port: number): readonly string[] {
  const passwordFile = world.passwordFile(id);
  return ["connect", `localhost:${port}`, "--id", id, "--password-file", passwordFile];
}

export interface Talk {
  readonly world: World;
  /** Alice listens, bob calls; both are on the line. */
  readonly alice: Terminal;
  readonly bob: Terminal;
  readonly port: number;
}

/** Runs a test's body with alice and bob talking at two terminals. */
export async function inTalk(
  body: (talk: Talk) => Promise<void>,
  options: readonly string[] = [],
): Promise<void> {
  await inWorld(async (world) => {
    await world.withUsers("alice", "bob", "carol");
    const { terminal: alice, port } = await listenAt(world, "alice", options);
    try {
      await inTerminal(world, calling(world, "bob", port), async (bob) => {
        await bothTalk(alice, bob);
        await body({ world, alice, bob, port });
      });
    } finally {
      await alice.close();
    }
  });
}

/** Waits until alice, who listens, and bob, who calls, are on the line. */
export async function bothTalk(alice: Terminal, bob: Terminal): Promise<void> {
  await alice.waitFor(/^bob is on the line:[^]*^alice> *$/m);
  await bob.waitFor(/^alice is on the line:[^]*^bob> *$/m);
}
