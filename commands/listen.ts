/** `pki listen`: waits for peers and converses with one at a time. */

import { buildCommand } from "@stricli/core";
import { PkiError } from "../lib/base/errors.ts";
import type { Line, LineHandlers } from "../lib/peer/line.ts";
import { listenForPeers } from "../lib/peer/listener.ts";
import { Caller } from "./calling.ts";
import { ContactCheck } from "./contact_check.ts";
import type { PkiContext } from "./context.ts";
import {
  ANNOUNCE_DESCRIPTION,
  ANNOUNCE_FLAGS,
  type AnnounceFlags,
  checkAnnounceFlags,
  startAnnouncing,
} from "./announcing.ts";
import { startConversing } from "./conversation.ts";
import { announceStatus, type Conversing } from "./converse.ts";
import { checkExec, EXEC_DESCRIPTION, EXEC_FLAG, startServing } from "./exec.ts";
import { aborted, GLOBAL_FLAGS, Surroundings, switchFlag, textFlag } from "./globals.ts";
import {
  CONTACTS_DESCRIPTION,
  DEAD_AFTER_FLAG,
  OFFLINE_DESCRIPTION,
  OFFLINE_FLAG,
  type PeerFlags,
  takePart,
} from "./participant.ts";
import { LISTENING_FLAGS, type ListeningFlags, parseAllowed } from "./listening_flags.ts";
import { OutgoingCalls } from "./outgoing_calls.ts";
import { Reception } from "./reception.ts";
import { SharedTerminal } from "./shared_terminal.ts";
import { claimStdin } from "./stdin.ts";
import { filesInTalk } from "./talk_files.ts";
import {
  checkTranscript,
  TRANSCRIPT_DESCRIPTION,
  TRANSCRIPT_FLAG,
  Transcripts,
} from "./transcript.ts";

export interface ListenFlags extends PeerFlags, AnnounceFlags, ListeningFlags {
  readonly once?: boolean;
  readonly exec?: string;
  readonly transcript?: string;
}

/** Who one is between two talks, and who waits. */
function describeListener(
  id: string,
  { port, reception: { waiting } }: { readonly port: number; readonly reception: Reception },
): string {
  const who = `${id} is listening on port ${port}; nobody is on the line`;
  return waiting.length > 0 ? `${who}; waiting: ${waiting.join(", ")}` : who;
}

export async function listen(context: PkiContext, flags: ListenFlags): Promise<void> {
  const terminal = new SharedTerminal(context);
  const surroundings = new Surroundings(terminal.context, flags);
  const allowed = parseAllowed(flags.allow);
  checkExec(flags);
  checkTranscript(surroundings, flags.transcript);
  checkAnnounceFlags(flags);
  if (!context.process.stdin.isTTY && flags.exec === undefined) {
    claimStdin(context.process, "what goes to the peer");
  }
  const participant = await takePart(surroundings, flags);
  const { identity, isOffline, status } = participant;
  const interrupted = Promise.withResolvers<void>();
  const serving = flags.exec === undefined
    ? undefined
    : startServing(surroundings, { participant, command: flags.exec });
  const conversing: Conversing = serving ?? startConversing(surroundings, {
    participant,
    terminal,
    isOnly: flags.once ?? false,
    onInterrupt: () => interrupted.resolve(),
    between: {
      describe: () => describeListener(identity.id, { port: listening.port, reception }),
      call: (target, stop) => outgoing.call(target, stop),
      leave: () => over.resolve(),
    },
    extensions: [filesInTalk(surroundings, participant)],
  });
  const { mode, tell } = conversing;
  await announceStatus(participant, tell);
  const transcripts = new Transcripts(flags.transcript, { surroundings, participant, conversing });
  const reception = new Reception(tell);
  const contacts = new ContactCheck({ surroundings, identity, tell });
  const over = Promise.withResolvers<void>();
  /** Why no further peer would trust us. */
  let loss: PkiError | undefined;

  const conclude = (line: Line, error: PkiError | undefined) => {
    conversing.over(line, error);
    if (flags.once) {
      reception.close(); // before whoever waits is next
      error ? over.reject(error) : over.resolve();
    } else if (loss) over.reject(loss);
    else if (!serving) tell({ event: "listening", port: listening.port }, "listening again");
  };
  const outgoing = new OutgoingCalls({
    caller: new Caller({ surroundings, participant, conversing, contacts, transcripts }),
    reception,
    signal: context.signal,
    conclude,
  });

  const listening = await listenForPeers({
    host: flags.host,
    port: flags.port,
    identity,
    mode,
    greeting: () => ({ ...participant.greeting(), ...transcripts.greeting }),
    isOffline,
    handle: ({ line }) => {
      const handlers = conversing.handle(line, async (peer) => {
        if (allowed && !allowed.includes(peer.id)) {
          throw new PkiError("refused", `"${peer.id}" is not among those who may call`);
        }
        if (serving) serving.admit(peer, line());
        else await reception.admit(peer, line());
      });
      const onOpen: LineHandlers["onOpen"] = (peer, opening) => {
        if (!serving) reception.opened(line());
        handlers.onOpen(peer, opening);
      };
      return transcripts.keep(
        { role: "listener", line },
        contacts.guard(line, { ...handlers, onOpen }),
      );
    },
    onOver: (line, error) => {
      const isKnown = serving ? line.hasOpened : reception.over(line, () => conclude(line, error));
      if (serving && isKnown) conclude(line, error);
      serving?.leave(line);
      if (!isKnown && error && !["busy", "interrupted"].includes(error.kind)) {
        tell(
          { event: "turned-away", kind: error.kind, message: error.message },
          `turned a caller away: ${error.message}${error.hint ? ` (${error.hint})` : ""}`,
        );
      }
    },
  });
  tell(
    { event: "listening", host: flags.host, port: listening.port, id: identity.id },
    `${identity.id} is listening on port ${listening.port}; ` +
      `others call with: pki connect HOST:${listening.port}`,
  );
  const stopAnnouncing = startAnnouncing(surroundings, {
    ...{ flags, identity, listening, tell },
    command: `pki connect ${identity.id}`,
  });
  status?.keepFresh({
    onBack: () =>
      tell({ event: "stapled" }, "the server answers: peers need not ask it themselves"),
    onLost: (error) => {
      loss = error;
      if (!reception.isTalking) over.reject(error); // else with the end of this conversation
    },
  });
  conversing.idle?.();
  try {
    await Promise.race([
      over.promise,
      Promise.race([aborted(context.signal), interrupted.promise]).then(() => {
        throw new PkiError("interrupted", "interrupted");
      }),
    ]);
  } finally {
    status?.stop();
    reception.close();
    await Promise.all([stopAnnouncing(), listening.close(), outgoing.close()]);
    await serving?.closed();
    conversing.close?.();
  }
  if (transcripts.failure) throw transcripts.failure;
}

export const listenCommand = buildCommand<ListenFlags, [], PkiContext>({
  func: async function (flags) {
    await listen(this, flags);
  },
  parameters: {
    flags: {
      ...LISTENING_FLAGS,
      allow: textFlag("Who may call, with commas between [every user of this CA]", "NAME,…"),
      once: switchFlag("End after the first conversation"),
      exec: EXEC_FLAG,
      transcript: TRANSCRIPT_FLAG,
      ...ANNOUNCE_FLAGS,
      deadAfter: DEAD_AFTER_FLAG,
      offline: OFFLINE_FLAG,
      ...GLOBAL_FLAGS,
    },
  },
  docs: {
    customUsage: ["[--announce] [--port PORT] [--allow NAME,…] [--once] [options]"],
    brief: "Wait for a peer and converse",
    fullDescription:
      "Waits for somebody to call with pki connect. Both sides prove who they are with\n" +
      "their certificates; the line is encrypted with AES and nobody is in between. At a\n" +
      "terminal people talk: what is typed stays whatever arrives, /help lists what can be\n" +
      "done, and when the peer hangs up pki listens again, or calls somebody with /call.\n" +
      "Who calls during a talk hears busy, or waits with pki connect --wait.\n" +
      "Where stdin is not a terminal it is a pipe, byte for byte: stdin goes to the peer,\n" +
      "and what the peer sends to stdout.\n\n" +
      EXEC_DESCRIPTION +
      TRANSCRIPT_DESCRIPTION +
      CONTACTS_DESCRIPTION +
      ANNOUNCE_DESCRIPTION +
      OFFLINE_DESCRIPTION +
      "Examples:\n" +
      "  pki listen --announce\n" +
      "  pki listen --once > backup.tar\n" +
      "  pki listen --allow bob,carol --exec 'tee -a \"$PKI_PEER_ID.log\"'",
  },
});
