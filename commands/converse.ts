/**
 * What `listen` and `connect` share: a conversation is a talk where stdin is a terminal and a pipe
 * where it is not, and both sides are told who they talk to.
 */

import { messageOf, PkiError } from "../lib/base/errors.ts";
import { printable, printableJson } from "../lib/base/printable.ts";
import { Chat, LineSplitter } from "../lib/peer/chat.ts";
import type { Line, LineHandlers } from "../lib/peer/line.ts";
import { flushed, PipeSource, writeFully } from "../lib/peer/pipe.ts";
import type { Peer } from "../lib/peer/ports.ts";
import type { LineMode } from "../lib/protocol/peer.ts";
import type { OutputStream } from "./context.ts";
import type { Surroundings } from "./globals.ts";
import type { Participant } from "./participant.ts";

/** One end of the conversations of a command. */
export interface Conversing {
  readonly mode: LineMode;
  /** Handlers for one line. */
  readonly handle: (line: () => Line, admit: LineHandlers["admit"]) => LineHandlers;
  /** The line is over: gives the terminal back and says how it ended. */
  readonly over: (line: Line, error: PkiError | undefined) => void;
  /** An event, for people as a sentence, for programs as a line of JSON; on stderr. */
  readonly tell: (event: Readonly<Record<string, unknown>>, text: string) => void;
}

export interface ConverseOptions {
  readonly participant: Participant;
  readonly onInterrupt: () => void;
}

export function startConversing(surroundings: Surroundings, options: ConverseOptions): Conversing {
  const { stdin, stderr } = surroundings.context.process;
  return stdin.isTTY && stderr.isTTY
    ? startTalking(surroundings, options)
    : startPiping(surroundings, options);
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
function teller(
  { flags }: Surroundings,
  writeLine: (line: string) => void,
): Conversing["tell"] {
  return (event, text) => {
    if (flags.json) writeLine(printableJson(event));
    else if (!flags.quiet) writeLine(text);
  };
}

/** Says who is on the line; that nobody vouches for it, also with `--quiet`. */
function tellOpen(
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

function describe({ id, fingerprint, notAfterMs }: Peer): string {
  const until = new Date(notAfterMs).toISOString().slice(0, 10);
  return `${id} is on the line: certified by our CA until ${until}, certificate ${
    fingerprint.slice(0, 16)
  }…`;
}

function openEvent({ id, fingerprint, notAfterMs, mode, status }: Peer) {
  const notAfter = new Date(notAfterMs).toISOString();
  return { event: "connected", peer: id, fingerprint, notAfter, mode, status };
}

function endEvent(peer: string | undefined, error: PkiError | undefined) {
  return error
    ? { event: "failed", peer: peer ?? null, kind: error.kind, message: error.message }
    : { event: "ended", peer: peer ?? null };
}

function startPiping(
  surroundings: Surroundings,
  { participant: { askStatus } }: ConverseOptions,
): Conversing {
  const { stdin, stdout, stderr } = surroundings.context.process;
  const tell = teller(surroundings, (line) => void stderr.write(`${line}\n`));
  const source = new PipeSource(stdin);
  const peers = new WeakMap<Line, Peer>();
  return {
    mode: "pipe",
    tell,
    handle: (line, admit) => ({
      askStatus,
      admit,
      onOpen: (peer) => {
        peers.set(line(), peer);
        tellOpen(surroundings, { peer, tell });
        source.attach(line());
      },
      ...(stdout.isTTY ? showOnTerminal(stdout) : {
        onText: (text: string) => writeFully(stdout, `${text}\n`),
        onData: (bytes: Uint8Array) => writeFully(stdout, bytes),
        onPeerEnd: () => flushed(stdout),
      }),
    }),
    over: (line, error) => {
      source.detach(line);
      const peer = peers.get(line)?.id;
      const text = error ? `the conversation failed: ${messageOf(error)}` : `${peer} has hung up`;
      tell(endEvent(peer, error), text);
    },
  };
}

/** Where stdout is a terminal, what a peer sends is shown as lines and made harmless first. */
function showOnTerminal(stdout: OutputStream) {
  const splitter = new LineSplitter();
  const show = (lines: readonly string[]) =>
    writeFully(stdout, lines.map((line) => `${printable(line)}\n`).join(""));
  return {
    onText: (text: string) => show([text]),
    onData: (bytes: Uint8Array) => show(splitter.push(bytes)),
    onPeerEnd: async () => {
      await show(splitter.end());
      await flushed(stdout);
    },
  };
}

function startTalking(
  surroundings: Surroundings,
  { participant: { identity, askStatus }, onInterrupt }: ConverseOptions,
): Conversing {
  const { stdin, stderr } = surroundings.context.process;
  let talk: { readonly line: Line; readonly chat: Chat; readonly peer: Peer } | undefined;
  // What happens beside a talk, a second caller say, goes above the line that is being typed.
  const tell = teller(surroundings, (line) => {
    if (talk) talk.chat.note(line);
    else stderr.write(`${line}\n`);
  });
  return {
    mode: "talk",
    tell,
    handle: (line, admit) => {
      const splitter = new LineSplitter();
      const show = (text: string) => talk?.chat.show(talk.peer.id, text);
      const hangUp = () => {
        if (talk?.line === line()) talk.chat.close(); // nothing more is typed into what is over
        line().hangUp();
      };
      return {
        askStatus,
        admit,
        onOpen: (peer) => {
          const more = "\ntype a line and press Enter; /quit or Ctrl-D hangs up";
          tellOpen(surroundings, { peer, tell, more });
          const chat = new Chat({
            input: stdin,
            output: stderr,
            id: identity.id,
            onLine: (text) => line().sendText(text),
            onQuit: () => hangUp(),
            onInterrupt,
          });
          talk = { line: line(), chat, peer };
        },
        onText: show,
        onData: (bytes) => splitter.push(bytes).forEach(show),
        onPeerEnd: () => {
          splitter.end().forEach(show);
          hangUp();
        },
      };
    },
    over: (line, error) => {
      const peer = talk?.line === line ? talk.peer.id : undefined;
      if (talk?.line === line) {
        talk.chat.close();
        talk = undefined;
      }
      const text = error
        ? `the conversation failed: ${messageOf(error)}`
        : `the conversation with ${peer} has ended`;
      tell(endEvent(peer, error), text);
    },
  };
}
