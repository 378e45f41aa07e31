/** `pki connect`: calls a peer who listens. */

import { buildCommand } from "@stricli/core";
import { PkiError } from "../lib/base/errors.ts";
import { checkId } from "../lib/x509/names.ts";
import { Caller } from "./calling.ts";
import { ContactCheck } from "./contact_check.ts";
import type { PkiContext } from "./context.ts";
import { startConversing } from "./conversation.ts";
import { announceStatus } from "./converse.ts";
import { expectedOf } from "./finding.ts";
import { aborted, GLOBAL_FLAGS, Surroundings, switchFlag, textFlag } from "./globals.ts";
import {
  CONTACTS_DESCRIPTION,
  DEAD_AFTER_FLAG,
  OFFLINE_DESCRIPTION,
  OFFLINE_FLAG,
  type PeerFlags,
  takePart,
} from "./participant.ts";
import { SharedTerminal } from "./shared_terminal.ts";
import { claimStdin } from "./stdin.ts";
import { filesInTalk } from "./talk_files.ts";
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

export async function connect(
  context: PkiContext,
  flags: ConnectFlags,
  target: string,
): Promise<void> {
  if (flags.expect !== undefined) checkId(flags.expect);
  const { expect, offline: isOffline = false } = flags;
  const called = parseTarget(target);
  expectedOf(called, { expect, isOffline }); // before a password is asked for
  const terminal = new SharedTerminal(context);
  const surroundings = new Surroundings(terminal.context, flags);
  checkTranscript(surroundings, flags.transcript);
  if (!context.process.stdin.isTTY) claimStdin(context.process, "what goes to the peer");
  const participant = await takePart(surroundings, flags);
  const interrupted = Promise.withResolvers<void>();
  const conversing = startConversing(surroundings, {
    participant,
    terminal,
    isOnly: true,
    onInterrupt: () => interrupted.resolve(),
    extensions: [filesInTalk(surroundings, participant)],
  });
  await announceStatus(participant, conversing.tell);
  const transcripts = new Transcripts(flags.transcript, { surroundings, participant, conversing });
  const contacts = new ContactCheck({
    surroundings,
    identity: participant.identity,
    tell: conversing.tell,
  });
  const caller = new Caller({ surroundings, participant, conversing, contacts, transcripts });
  const { line, over } = await caller.call(called, {
    expect,
    wait: flags.wait ?? false,
    signal: context.signal,
  });
  const stop = new PkiError("interrupted", "interrupted");
  let isInterrupted = false;
  void Promise.race([aborted(context.signal), interrupted.promise]).then(() => {
    isInterrupted = true;
    if (conversing.mode === "talk") line.hangUp();
    else line.destroy(stop);
  });
  try {
    await over;
    conversing.over(line, undefined);
  } catch (error) {
    if (error instanceof PkiError) conversing.over(line, error);
    throw isInterrupted ? stop : error;
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
      deadAfter: DEAD_AFTER_FLAG,
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
      "refused. At a terminal people talk, line by line; /help lists what else can be done.\n" +
      "Who is talking to somebody else already is busy (exit 8); with --wait you wait.\n" +
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
