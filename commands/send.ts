/** `pki send`: sends files and folders to a person. */

import { setTimeout } from "node:timers/promises";
import { buildCommand } from "@stricli/core";
import { type ErrorKind, PkiError } from "../lib/base/errors.ts";
import { printable } from "../lib/base/printable.ts";
import { formatAddress } from "../lib/client/address.ts";
import { callPeer } from "../lib/peer/call.ts";
import type { SendingEvent } from "../lib/peer/file_sending.ts";
import { type SentFile, type Walk, walkFiles } from "../lib/peer/file_walk.ts";
import { checkId } from "../lib/x509/names.ts";
import { ContactCheck } from "./contact_check.ts";
import type { PkiContext } from "./context.ts";
import { announceStatus, type Conversing, teller, withWaitHint } from "./converse.ts";
import { expectedOf, findDestination } from "./finding.ts";
import { GLOBAL_FLAGS, Surroundings, switchFlag, textFlag } from "./globals.ts";
import { checkPlace, rememberPlace } from "./known_place.ts";
import {
  CONTACTS_DESCRIPTION,
  DEAD_AFTER_FLAG,
  OFFLINE_DESCRIPTION,
  OFFLINE_FLAG,
  type Participant,
  type PeerFlags,
  takePart,
} from "./participant.ts";
import { SendingLine } from "./sending.ts";
import { SendingTally } from "./sending_tally.ts";
import { parseTarget, type Target } from "./target.ts";
import { TransferBar } from "./transfer_bar.ts";

export interface SendFlags extends PeerFlags {
  readonly expect?: string;
  readonly retry: number;
  readonly wait?: boolean;
}

/** Tries again after a cut, where nobody says how many, and at most. */
const RETRIES = "5";
const RETRIES_MAX = 1000;
/** Before the first try again, twice as long before the next, and at most. */
const RETRY_MS = 1000;
const RETRY_MS_MAX = 30_000;
/** Of what is left out, so many are named. */
const NAMED_MAX = 10;

/** Everything that tries to send the same share. */
interface Sending {
  readonly surroundings: Surroundings;
  readonly participant: Participant;
  readonly tell: Conversing["tell"];
  readonly bar: TransferBar;
  readonly tally: SendingTally;
  readonly target: Target;
  readonly flags: SendFlags;
  /** Who has answered; from then on a line that is cut is tried again. */
  peer?: string;
}

function tellLeftOut({ leftOut }: Walk, tell: Conversing["tell"]): void {
  for (const { location, why } of leftOut.slice(0, NAMED_MAX)) {
    tell({ event: "left-out", path: location, why }, `left out ${printable(location)}: ${why}`);
  }
  const more = leftOut.length - NAMED_MAX;
  if (more > 0) tell({ event: "left-out", more }, `left out ${more} more`);
}

/** What is done about an event of a transfer, beside counting it. */
function followOne(sending: Sending, files: readonly SentFile[], event: SendingEvent): void {
  const { tally, bar, tell, peer = "" } = sending;
  tally.take(event);
  switch (event.type) {
    case "accepted": {
      tell({ event: "accepted", peer }, `${peer} has accepted`);
      const total = files.reduce((sum, { size }) => sum + size, 0);
      const title = files.length === 1 ? files[0]?.path.at(-1) ?? "" : `to ${peer}`;
      return void bar.start(printable(title), total);
    }
    case "begun": {
      if (event.had === 0) return;
      bar.skip();
      const path = event.file.path.join("/");
      return tell(
        { event: "resumed", path, bytes: event.had },
        `${printable(path)}: ${peer} has ${event.had} of ${event.file.size} bytes already`,
      );
    }
    case "progress":
      return bar.tick(event.bytes);
    case "stored":
      return;
    case "failed": {
      const { kind, message } = event.error;
      return tell(
        { event: "file-failed", path: event.file.path.join("/"), kind, message },
        message,
      );
    }
  }
}

/** Calls once and sends what is left. @throws {PkiError} why that has ended before all was answered */
async function tryOnce(sending: Sending): Promise<void> {
  const { surroundings, participant, tell, tally, bar, target, flags } = sending;
  const { signal } = surroundings.context;
  const files = tally.left;
  const { identity } = participant;
  const contacts = new ContactCheck({ surroundings, identity, tell });
  let sendingLine: SendingLine | undefined;
  // Whoever has answered once is who the files are for.
  const expect = flags.expect ?? sending.peer;
  const expected = expectedOf(target, { expect, isOffline: participant.isOffline });
  const destination = await findDestination(surroundings, target, {
    identity,
    expect,
    isOffline: participant.isOffline,
    waitsWith: "pki receive",
    tell,
  });
  await callPeer(destination, identity, {
    mode: "files",
    greeting: { ...participant.greeting(), wait: flags.wait ?? false },
    isOffline: participant.isOffline,
    signal,
    handle: (line, address) => {
      const where = formatAddress(address);
      sendingLine = new SendingLine({
        surroundings,
        tell,
        askStatus: participant.askStatus,
        files,
        on: (event) => followOne(sending, files, event),
        admit: (peer) => checkPlace(surroundings, where, { peer, line: line(), expected }),
        onOpen: (peer) => {
          rememberPlace(surroundings, where, peer);
          sending.peer = peer.id;
        },
      }, line);
      return contacts.guard(line, sendingLine.handlers);
    },
  });
  try {
    await sendingLine?.run(signal);
  } finally {
    bar.stop();
  }
}

/** Whether another try may go better: the line was cut, or who was there is not at the moment. */
const CUT_KINDS: readonly ErrorKind[] = [
  "truncated",
  "unreachable",
  "timeout",
  "busy",
  "not-found", // a listener that starts again has announced nothing yet
];

function isCut({ kind }: PkiError): boolean {
  return CUT_KINDS.includes(kind);
}

/** @throws {PkiError} */
async function sendAll(sending: Sending): Promise<void> {
  const { tally, tell, flags, surroundings: { context: { signal } } } = sending;
  let cut: PkiError | undefined;
  for (let tries = 0;;) {
    tally.startTry();
    try {
      return await tryOnce(sending);
    } catch (error) {
      if (!(error instanceof PkiError) || !isCut(error)) throw error;
      const { peer } = sending;
      if (peer === undefined) throw withWaitHint(error, flags.wait ?? false); // nobody has answered yet
      if (tally.hasMoved) {
        tries = 0;
        cut = undefined;
      }
      cut ??= error;
      if (tries >= flags.retry) throw error === cut ? error : isLost(peer, { cut, error });
      const waitMs = Math.min(RETRY_MS * 2 ** tries, RETRY_MS_MAX);
      tries++;
      tell(
        { event: "retry", peer, kind: error.kind, message: error.message, seconds: waitMs / 1000 },
        `${error.message}; trying again in ${waitMs / 1000} s`,
      );
      await setTimeout(waitMs, undefined, { signal }).catch(() => {
        throw new PkiError("interrupted", "interrupted");
      });
    }
  }
}

/** The line was cut, and then nobody answered any more. */
function isLost(
  peer: string,
  { cut, error }: { readonly cut: PkiError; readonly error: PkiError },
): PkiError {
  return new PkiError(
    "truncated",
    `${cut.message}; and ${peer} was not reached again: ${error.message}`,
    { cause: error, hint: "what arrived is kept there: send it again to go on" },
  );
}

export async function send(
  context: PkiContext,
  flags: SendFlags,
  called: string,
  ...paths: readonly string[]
): Promise<void> {
  if (flags.expect !== undefined) checkId(flags.expect);
  const target = parseTarget(called);
  expectedOf(target, { expect: flags.expect, isOffline: flags.offline ?? false });
  const surroundings = new Surroundings(context, flags);
  const walk = await walkFiles(paths);
  const bar = new TransferBar(surroundings);
  const tell = teller(surroundings, (line) => bar.note(line));
  tellLeftOut(walk, tell);
  const participant = await takePart(surroundings, flags);
  await announceStatus(participant, tell);
  const tally = new SendingTally(walk);
  const sending: Sending = { surroundings, participant, tell, bar, tally, target, flags };
  try {
    await sendAll(sending);
  } finally {
    if (sending.peer !== undefined) surroundings.result(...tally.describe(sending.peer));
  }
  tally.check();
}

/** @throws {PkiError} `usage` */
function parseRetries(text: string): number {
  const retries = /^\d{1,4}$/.test(text) ? Number(text) : NaN;
  if (retries <= RETRIES_MAX) return retries;
  throw new PkiError("usage", `${JSON.stringify(text)} is not a number from 0 to ${RETRIES_MAX}`);
}

export const sendCommand = buildCommand<SendFlags, [string, ...string[]], PkiContext>({
  func: async function (flags, target, ...paths) {
    await send(this, flags, target, ...paths);
  },
  parameters: {
    flags: {
      expect: textFlag("Who must answer", "NAME"),
      retry: {
        kind: "parsed",
        parse: parseRetries,
        default: RETRIES,
        brief: "How often to call again where the line was cut and nothing has moved since",
        placeholder: "N",
      },
      wait: switchFlag("Wait for somebody who receives from somebody else"),
      deadAfter: DEAD_AFTER_FLAG,
      offline: OFFLINE_FLAG,
      ...GLOBAL_FLAGS,
    },
    positional: {
      kind: "array",
      minimum: 2,
      parameter: { brief: "Whom to send to, then what", parse: String, placeholder: "FILE" },
    },
  },
  docs: {
    customUsage: [
      "NAME[@HOST:PORT] FILE… [--id NAME] [options]",
      "HOST:PORT FILE… [--id NAME] [--expect NAME] [options]",
    ],
    brief: "Send files and folders to a person",
    fullDescription:
      "Sends files, and folders with all that is in them, to somebody who waits with\n" +
      "pki receive: bob where bob has announced to be (--announce), or at an address. What\n" +
      "arrives is verified by SHA-256 and never takes the place of another file. Where the\n" +
      "line is cut pki calls again, and what has arrived is not sent twice; nor is it when\n" +
      "the same is sent again later. The exit code is 0 only if everything is stored there\n" +
      "and verified. Symbolic links in a folder, and what is neither file nor folder, are\n" +
      "left out, and named.\n\n" +
      CONTACTS_DESCRIPTION +
      OFFLINE_DESCRIPTION +
      "Examples:\n" +
      "  pki send alice report.pdf\n" +
      "  pki send --expect alice localhost:7450 photos notes.txt",
  },
});
