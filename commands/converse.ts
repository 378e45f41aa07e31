/** What the conversations of `listen` and `connect` share, talks and pipes: what both sides are told. */

import { PkiError } from "../lib/base/errors.ts";
import { printableJson } from "../lib/base/printable.ts";
import { rowsOf } from "../lib/client/cells.ts";
import type { Line, LineHandlers } from "../lib/peer/line.ts";
import type { Peer } from "../lib/peer/ports.ts";
import type { LineMode, WaitReason } from "../lib/protocol/peer_messages.ts";
import type { Surroundings } from "./globals.ts";
import { columnsOf } from "./paint.ts";
import type { Participant } from "./participant.ts";
import type { SharedTerminal } from "./shared_terminal.ts";
import type { BetweenTalks, ExtendTalk } from "./talk_scene.ts";

/** One end of the conversations of a command. */
export interface Conversing {
  readonly mode: LineMode;
  /** Handlers for one line. */
  readonly handle: (line: () => Line, admit: LineHandlers["admit"]) => LineHandlers;
  /** The line is over: gives the terminal back and says how it ended. */
  readonly over: (line: Line, error: PkiError | undefined) => void;
  /** The command waits for peers now, and its user may do something meanwhile. */
  readonly idle?: () => void;
  /** Gives the terminal back for good. */
  readonly close?: () => void;
  /** An event, for people as a sentence, for programs as a line of JSON; on stderr. */
  readonly tell: (event: Readonly<Record<string, unknown>>, text: string) => void;
}

export interface ConverseOptions {
  readonly participant: Participant;
  readonly terminal: SharedTerminal;
  /** Whether there is one conversation only: then stdout ends with what the peer sends. */
  readonly isOnly?: boolean;
  readonly onInterrupt: () => void;
  /** What the user of a talk may do between two of them; absent where there is one only. */
  readonly between?: BetweenTalks;
  readonly extensions?: readonly ExtendTalk[];
}

/**
 * Waits until the own certificate's status was asked for, and says so if peers will not be shown it.
 * @throws {PkiError} `untrusted` if no peer would trust the certificate
 */
export async function announceStatus(
  { statusAsked }: Participant,
  tell: Conversing["tell"],
): Promise<void> {
  const failure = await statusAsked;
  if (!failure) return;
  tell(
    { event: "unstapled", kind: failure.kind, message: failure.message },
    `${failure.message}; peers have to ask it themselves whether your certificate was revoked`,
  );
}

/** How events are told, by a function that writes a line. */
export function teller(
  { flags }: Surroundings,
  writeLine: (line: string) => void,
): Conversing["tell"] {
  return (event, text) => {
    if (flags.json) writeLine(printableJson(event));
    else if (!flags.quiet) writeLine(text);
  };
}

/** Says who is on the line; that nobody vouches for it, also with `--quiet`. */
export function tellOpen(
  surroundings: Surroundings,
  { peer, tell, more = "" }: {
    readonly peer: Peer;
    readonly tell: Conversing["tell"];
    readonly more?: string;
  },
): void {
  if (peer.status === "unchecked" && !surroundings.flags.json) {
    surroundings.warn(
      `whether the certificate of ${peer.id} was revoked is not known (--offline)`,
    );
  }
  tell(openEvent(peer), `${describe(peer)}${more}`);
}

/**
 * Says what a peer says where nobody talks: files are sent. Nothing of it begins at the left margin,
 * where our own sentences and questions stand.
 */
export function tellText(
  { context: { process: { stderr, env } } }: Surroundings,
  { id, text, tell }: {
    readonly id: string;
    readonly text: string;
    readonly tell: Conversing["tell"];
  },
): void {
  const columns = columnsOf(stderr, env) ?? Infinity;
  const rows = rowsOf(text, { columns, head: `${id}: `, indent: " ".repeat(id.length + 2) });
  tell({ event: "text", peer: id, text }, rows.join("\n"));
}

/** Says why nothing happens yet; that the peer's user is asked something is for others to say. */
export function tellWait(
  tell: Conversing["tell"],
  { reason, peer = "the other side" }: {
    readonly reason: WaitReason;
    readonly peer?: string | undefined;
  },
): void {
  if (reason !== "busy") return;
  tell(
    { event: "waiting", peer },
    `${peer} is talking to somebody else: waiting; Ctrl-C gives up`,
  );
}

function describe({ id, fingerprint, notAfterMs }: Peer): string {
  const until = new Date(notAfterMs).toISOString().slice(0, 10);
  return `${id} is on the line: certified by our CA until ${until}, certificate ${
    fingerprint.slice(0, 16)
  }…`;
}

function openEvent({ id, fingerprint, notAfterMs, mode, status, words }: Peer) {
  const notAfter = new Date(notAfterMs).toISOString();
  return { event: "connected", peer: id, fingerprint, notAfter, mode, status, words };
}

export function endEvent(peer: string | undefined, error: PkiError | undefined) {
  return error
    ? { event: "failed", peer: peer ?? null, kind: error.kind, message: error.message }
    : { event: "ended", peer: peer ?? null };
}

/** Who hears busy may not know that there is a way to wait. */
export function withWaitHint(error: unknown, wait: boolean): unknown {
  if (!(error instanceof PkiError) || error.kind !== "busy" || error.hint || wait) return error;
  return new PkiError("busy", error.message, { cause: error, hint: "to wait for them: --wait" });
}
