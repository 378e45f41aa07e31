/** `pki connect`: calls a peer who listens. */

import { buildCommand } from "@stricli/core";
import { PkiError } from "../lib/base/errors.ts";
import { formatAddress } from "../lib/client/address.ts";
import { callPeer } from "../lib/peer/call.ts";
import type { LineHandlers } from "../lib/peer/line.ts";
import type { Peer } from "../lib/peer/ports.ts";
import { checkId } from "../lib/x509/names.ts";
import { ContactCheck } from "./contact_check.ts";
import type { PkiContext } from "./context.ts";
import { startConversing } from "./conversation.ts";
import { announceStatus } from "./converse.ts";
import { expectedOf, findDestination } from "./finding.ts";
import { aborted, GLOBAL_FLAGS, Surroundings, switchFlag, textFlag } from "./globals.ts";
import {
  CONTACTS_DESCRIPTION,
  OFFLINE_DESCRIPTION,
  OFFLINE_FLAG,
  type PeerFlags,
  takePart,
} from "./participant.ts";
import { SharedTerminal } from "./shared_terminal.ts";
import { claimStdin } from "./stdin.ts";
import {
  checkTranscript,
  TRANSCRIPT_DESCRIPTION,
  TRANSCRIPT_FLAG,
  Transcripts,
} from "./transcript.ts";
import { parseTarget, TARGET_PLACEHOLDER } from "./target.ts";

export interface ConnectFlags extends PeerFlags {
  readonly expect?: string;
  readonly transcript?: string;
  readonly wait?: boolean;
}

/** Compares who answers with who answered at this address before, unless it is who is expected. */
async function checkPeer(
  surroundings: Surroundings,
  where: string,
  { id }: Peer,
  expected: string | undefined,
): Promise<void> {
  const { home, context } = surroundings;
  const remembered = home.loadConfig().peers?.[where];
  if (remembered === id) return;
  if (remembered !== undefined && expected === undefined) {
    const isAccepted = await context.terminal?.confirm(
      `At ${where} ${remembered} answered before; now it is ${id}. Talk to ${id}?`,
    );
    if (!isAccepted) {
      throw new PkiError(
        "untrusted",
        `"${id}" answers at ${where}, where "${remembered}" did before`,
        {
          hint: `if that is right, say so with --expect ${id}`,
        },
      );
    }
  }
}

function rememberPeer({ home }: Surroundings, where: string, { id }: Peer): void {
  home.changeConfig((config) => ({ ...config, peers: { ...config.peers, [where]: id } }));
}

/** Who hears busy may not know that there is a way to wait. */
function withWaitHint(error: unknown, { wait }: ConnectFlags): unknown {
  if (!(error instanceof PkiError) || error.kind !== "busy" || error.hint || wait) return error;
  return new PkiError("busy", error.message, { cause: error, hint: "to wait for them: --wait" });
}

export async function connect(
  context: PkiContext,
  flags: ConnectFlags,
  target: string,
): Promise<void> {
  if (flags.expect !== undefined) checkId(flags.expect);
  const { expect, offline: isOffline = false } = flags;
  const called = parseTarget(target);
  const expected = expectedOf(called, { expect, isOffline });
  const terminal = new SharedTerminal(context);
  const surroundings = new Surroundings(terminal.context, flags);
  checkTranscript(surroundings, flags.transcript);
  if (!context.process.stdin.isTTY) claimStdin(context.process, "what goes to the peer");
  const participant = await takePart(surroundings, flags);
  const interrupted = Promise.withResolvers<void>();
  const conversing = startConversing(surroundings, {
    participant,
    terminal,
    onInterrupt: () => interrupted.resolve(),
  });
  await announceStatus(participant, conversing.tell);
  const transcripts = new Transcripts(flags.transcript, { surroundings, participant, conversing });
  const contacts = new ContactCheck({
    surroundings,
    identity: participant.identity,
    tell: conversing.tell,
  });
  /** Why we turned the peer away, with its hint, which does not travel. */
  let refusal: unknown;
  const destination = await findDestination(surroundings, called, {
    identity: participant.identity,
    expect,
    isOffline,
    tell: conversing.tell,
  });
  const line = await callPeer(destination, participant.identity, {
    mode: conversing.mode,
    greeting: {
      ...participant.greeting(),
      wait: flags.wait ?? false,
      ...transcripts.greeting,
    },
    isOffline: participant.isOffline,
    signal: context.signal,
    handle: (getLine, address) => {
      const where = formatAddress(address);
      const handlers = conversing.handle(getLine, async (peer) => {
        try {
          await checkPeer(surroundings, where, peer, expected);
        } catch (error) {
          refusal = error;
          throw error;
        }
      });
      const onOpen: LineHandlers["onOpen"] = (peer, opening) => {
        rememberPeer(surroundings, where, peer);
        handlers.onOpen(peer, opening);
      };
      return transcripts.keep(
        { role: "caller", line: getLine },
        contacts.guard(getLine, { ...handlers, onOpen }),
      );
    },
  });
  const stop = new PkiError("interrupted", "interrupted");
  let isInterrupted = false;
  void Promise.race([aborted(context.signal), interrupted.promise]).then(() => {
    isInterrupted = true;
    if (conversing.mode === "talk") line.hangUp();
    else line.destroy(stop);
  });
  try {
    await line.over;
    conversing.over(line, undefined);
  } catch (error) {
    if (error instanceof PkiError) conversing.over(line, error);
    throw refusal ?? (isInterrupted ? stop : withWaitHint(error, flags));
  }
  if (isInterrupted) throw stop;
  if (transcripts.failure) throw transcripts.failure;
}

export const connectCommand = buildCommand<ConnectFlags, [string], PkiContext>({
  func: async function (flags, target) {
    await connect(this, flags, target);
  },
  parameters: {
    flags: {
      expect: textFlag("Who must answer", "NAME"),
      transcript: TRANSCRIPT_FLAG,
      wait: switchFlag("Wait for somebody who is talking to somebody else"),
      offline: OFFLINE_FLAG,
      ...GLOBAL_FLAGS,
    },
    positional: {
      kind: "tuple",
      parameters: [{
        brief: "Whom to call, or where the peer listens",
        parse: String,
        placeholder: TARGET_PLACEHOLDER,
      }],
    },
  },
  docs: {
    customUsage: [
      "NAME[@HOST:PORT] [--id NAME] [--wait] [options]",
      "HOST:PORT [--id NAME] [--expect NAME] [--wait] [options]",
    ],
    brief: "Call a peer who listens",
    fullDescription:
      "Calls somebody who waits with pki listen: bob where bob has announced to be (pki\n" +
      "listen --announce), bob@host:port there, and in both cases nobody but bob. At a mere\n" +
      "address anybody may answer; who did is remembered, and somebody else there later is\n" +
      "refused. At a terminal people talk, line by line.\n" +
      "Where stdin is not a terminal it is a pipe, byte for byte: stdin goes to the peer,\n" +
      "what the peer sends to stdout, and the exit code is 0 only if everything arrived.\n\n" +
      TRANSCRIPT_DESCRIPTION +
      CONTACTS_DESCRIPTION +
      OFFLINE_DESCRIPTION +
      "Examples:\n" +
      "  pki connect alice\n" +
      "  pki connect alice@alice.example.org:9000 --id bob\n" +
      "  tar c . | pki connect localhost:7450",
  },
});
