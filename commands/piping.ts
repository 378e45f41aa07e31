/** `listen` and `connect` where stdin is not a terminal: a pipe, byte for byte. */

import { messageOf } from "../lib/base/errors.ts";
import { printable } from "../lib/base/printable.ts";
import { LineSplitter } from "../lib/peer/line_splitter.ts";
import type { Amounts, Line } from "../lib/peer/line.ts";
import { PipeSource, writeThrough } from "../lib/peer/pipe.ts";
import type { Peer } from "../lib/peer/ports.ts";
import type { Message } from "../lib/protocol/peer_text.ts";
import type { OutputStream } from "./context.ts";
import {
  type ConverseOptions,
  type Conversing,
  endEvent,
  teller,
  tellOpen,
  tellWait,
} from "./converse.ts";
import type { Surroundings } from "./globals.ts";

export function startPiping(
  surroundings: Surroundings,
  { participant: { askStatus }, isOnly = false }: ConverseOptions,
): Conversing {
  const { stdin, stdout, stderr } = surroundings.context.process;
  const tell = teller(surroundings, (line) => void stderr.write(`${line}\n`));
  const source = new PipeSource(stdin);
  const peers = new WeakMap<Line, Peer>();
  /** Who is at the other end, also before it is a conversation. */
  const answering = new WeakMap<Line, Peer>();
  return {
    mode: "pipe",
    tell,
    handle: (line, admit) => ({
      askStatus,
      admit: (peer) => {
        answering.set(line(), peer);
        return admit(peer);
      },
      onWait: (reason) => tellWait(tell, { reason, peer: answering.get(line())?.id }),
      onOpen: (peer) => {
        peers.set(line(), peer);
        tellOpen(surroundings, { peer, tell });
        source.attach(line());
      },
      ...(stdout.isTTY ? showOnTerminal(stdout) : {
        onText: ({ text }: Message) => writeThrough(stdout, `${text}\n`),
        onData: (bytes: Uint8Array) => writeThrough(stdout, bytes),
        // Whoever reads it sees the end of one direction, although the other may go on.
        onPeerEnd: async () => {
          if (isOnly) await surroundings.context.endStdout?.();
        },
      }),
    }),
    over: (line, error) => {
      source.detach(line);
      const peer = peers.get(line)?.id;
      if (!error) return tell(endEvent(peer, undefined), `${peer} has hung up`);
      const known = peer === undefined ? "" : `; ${describeAmounts(line.amounts)}`;
      tell(
        { ...endEvent(peer, error), ...(peer === undefined ? {} : amountsOf(line)) },
        `the conversation failed: ${messageOf(error)}${known}`,
      );
    },
  };
}

function amountsOf({ amounts: { sentBytes, isConfirmed, receivedBytes } }: Line) {
  return { sent: sentBytes, confirmed: isConfirmed, received: receivedBytes };
}

/** What is known of a pipe that broke: what arrived here, and of what was sent whether it arrived. */
export function describeAmounts({ sentBytes, isConfirmed, receivedBytes }: Amounts): string {
  const received = `${receivedBytes} ${receivedBytes === 1 ? "byte" : "bytes"} arrived here`;
  if (sentBytes === 0) return `${received}, none were sent`;
  if (isConfirmed) return `${received}, and all ${sentBytes} that were sent arrived there`;
  return `${received}, and how many of ${sentBytes} arrived there is not known`;
}

/** Where stdout is a terminal, what a peer sends is shown as lines and made harmless first. */
function showOnTerminal(stdout: OutputStream) {
  const splitter = new LineSplitter();
  const show = (lines: readonly string[]) =>
    writeThrough(stdout, lines.map((line) => `${printable(line)}\n`).join(""));
  return {
    onText: ({ text }: Message) => show([text]),
    onData: (bytes: Uint8Array) => show(splitter.push(bytes)),
    onPeerEnd: () => show(splitter.end()),
  };
}
