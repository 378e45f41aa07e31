/** `listen` and `connect` at a terminal: two people talk, line by line. */

import { messageOf } from "../lib/base/errors.ts";
import { Chat, LineSplitter } from "../lib/peer/chat.ts";
import type { Line } from "../lib/peer/line.ts";
import type { Peer } from "../lib/peer/ports.ts";
import { type ConverseOptions, type Conversing, endEvent, teller, tellOpen } from "./converse.ts";
import type { Surroundings } from "./globals.ts";

export function startTalking(
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
            onLine: (text) => void line().sendText(text),
            onQuit: () => hangUp(),
            onInterrupt,
          });
          talk = { line: line(), chat, peer };
        },
        onText: ({ text }) => show(text),
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
