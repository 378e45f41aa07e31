/** The agent's process, which `pki unlock` starts; nobody types this. */

import { buildCommand } from "@stricli/core";
import { PkiError } from "../lib/base/errors.ts";
import { LIMITS } from "../lib/base/limits.ts";
import { isKeyCurrent } from "../lib/client/agent.ts";
import { AGENT_READY } from "../lib/client/agent_process.ts";
import { runAgent } from "../lib/client/agent_server.ts";
import { KeptKeys } from "../lib/client/kept_keys.ts";
import { parseAgentRequest } from "../lib/protocol/agent_messages.ts";
import { FrameReader } from "../lib/protocol/frame.ts";
import type { InputStream, PkiContext } from "./context.ts";
import { GLOBAL_FLAGS, type GlobalFlags, Surroundings } from "./globals.ts";

/** The first frame of stdin. @throws {PkiError} `truncated` if none comes, `protocol` */
async function readFrame(stdin: InputStream): Promise<Uint8Array> {
  const frames = new FrameReader();
  const patience = setTimeout(() => stdin.destroy(), LIMITS.agentSilenceMs);
  try {
    for await (const chunk of stdin) {
      frames.push(new Uint8Array(chunk as Uint8Array));
      const frame = frames.read();
      if (frame) return frame;
    }
  } finally {
    clearTimeout(patience);
  }
  throw new PkiError("truncated", "cannot start an agent: no key came", {
    hint: "it is started by pki unlock",
  });
}

export async function agent(context: PkiContext, flags: GlobalFlags): Promise<void> {
  const { home } = new Surroundings(context, flags);
  const { stdin, stdout } = context.process;
  const request = parseAgentRequest(await readFrame(stdin));
  if (request.type !== "ADD") throw new PkiError("protocol", "cannot start an agent: no key came");
  const keys = new KeptKeys({
    now: context.now,
    elapsed: () => performance.now(),
    isCurrent: (id, pemHash) => isKeyCurrent(home, id, pemHash),
  });
  keys.add(request.body);
  const left = new AbortController();
  context.onHangUp?.(() => left.abort());
  const isFirst = await runAgent({
    folder: home.folder,
    keys,
    onReady: () => stdout.write(AGENT_READY),
    signal: AbortSignal.any([context.signal, left.signal]),
  });
  if (!isFirst) stdout.write(AGENT_READY); // another one is
}

export const agentCommand = buildCommand<GlobalFlags, [], PkiContext>({
  func: async function (flags) {
    await agent(this, flags);
  },
  parameters: { flags: GLOBAL_FLAGS },
  docs: {
    brief: "Keep unlocked keys (started by pki unlock)",
    fullDescription: "The process that keeps what pki unlock has unlocked: see pki unlock --help.",
  },
});
