/**
 * `pki listen --exec COMMAND`: serves every caller with a program of its own, several at once. The
 * program learns who calls from its environment; nothing that a caller says becomes part of a command.
 */

import { messageOf, PkiError } from "../lib/base/errors.ts";
import { printable } from "../lib/base/printable.ts";
import type { Line } from "../lib/peer/line.ts";
import { LineSplitter } from "../lib/peer/line_splitter.ts";
import type { Peer } from "../lib/peer/ports.ts";
import { type ProgramEnd, ServedProcess } from "../lib/peer/served_process.ts";
import type { PkiContext } from "./context.ts";
import { type Conversing, endEvent, teller, tellOpen, tellWait } from "./converse.ts";
import { type Surroundings, textFlag } from "./globals.ts";
import type { Participant } from "./participant.ts";

/** Programs at once: each is a process, a worker and what they hold. */
const PROGRAMS_MAX = 16;

/** What no program may inherit. */
const SECRET = /^PKI_.*(?:PASSWORD|PASSPHRASE)/;

export const EXEC_FLAG = textFlag(
  "Serve every caller with this program, run by the shell",
  "COMMAND",
);

export const EXEC_DESCRIPTION =
  "With --exec every caller gets a program of its own: what the caller sends is its\n" +
  "stdin, what it writes goes to the caller. $PKI_PEER_ID and $PKI_PEER_FINGERPRINT say\n" +
  "who calls. Up to 16 are served at once.\n\n";

/** @throws {PkiError} `usage` for what does not go with it */
export function checkExec(
  { exec, transcript }: { readonly exec?: string; readonly transcript?: string },
): void {
  if (exec === undefined) return;
  if (exec.trim() === "") throw new PkiError("usage", "cannot serve callers: the command is empty");
  if (transcript !== undefined) {
    throw new PkiError("usage", "cannot keep a transcript of what a program says", {
      hint: "leave out one of --exec and --transcript",
    });
  }
}

/** What a program has in its environment: ours without secrets, and who calls. */
function environmentFor(
  env: PkiContext["process"]["env"],
  { id, fingerprint, status }: Peer,
): Record<string, string> {
  const own = Object.entries(env).flatMap(([name, value]) =>
    value === undefined || SECRET.test(name) ? [] : [[name, value] as const]
  );
  return {
    ...Object.fromEntries(own),
    PKI_PEER_ID: id,
    PKI_PEER_FINGERPRINT: fingerprint,
    PKI_PEER_STATUS: status,
  };
}

export interface Serving extends Conversing {
  /** @throws {PkiError} `busy` if as many are served as may be */
  readonly admit: (peer: Peer, line: Line) => void;
  /** Somebody who was admitted is gone. */
  readonly leave: (line: Line) => void;
  /** Resolves when all programs have ended. */
  readonly closed: () => Promise<void>;
}

export function startServing(
  surroundings: Surroundings,
  { participant: { askStatus }, command }: {
    readonly participant: Participant;
    readonly command: string;
  },
): Serving {
  const { stderr, env } = surroundings.context.process;
  const tell = teller(surroundings, (line) => void stderr.write(`${line}\n`));
  const admitted = new Map<Line, Peer>();
  const programs = new Map<Line, ServedProcess>();
  const tellStderr = (id: string, lines: readonly string[]) => {
    for (const text of lines) {
      tell({ event: "stderr", peer: id, text }, `${id}: ${printable(text)}`);
    }
  };
  const start = (line: Line, peer: Peer) => {
    const { id } = peer;
    const said = new LineSplitter();
    const onEnd = ({ code, signal }: ProgramEnd) => {
      tellStderr(id, said.end());
      tell(
        { event: "exited", peer: id, code, signal },
        `the program for ${id} has ended ${
          signal === null ? `with exit code ${code}` : `by ${signal}`
        }`,
      );
    };
    programs.set(
      line,
      new ServedProcess({
        ...{ command, line, onEnd },
        env: environmentFor(env, peer),
        onStderr: (bytes) => tellStderr(id, said.push(bytes)),
      }),
    );
  };
  return {
    mode: "pipe",
    tell,
    admit: (peer, line) => {
      if (admitted.size >= PROGRAMS_MAX) {
        tell({ event: "busy", peer: peer.id }, `${peer.id} called meanwhile and heard "busy"`);
        throw new PkiError("busy", `${PROGRAMS_MAX} callers are served already, try again later`);
      }
      admitted.set(line, peer);
    },
    handle: (line, admit) => ({
      askStatus,
      admit,
      onWait: (reason) => tellWait(tell, { reason }),
      onOpen: (peer) => {
        tellOpen(surroundings, { peer, tell });
        start(line(), peer);
      },
      onText: ({ text }) => programs.get(line())?.write(new TextEncoder().encode(`${text}\n`)),
      onData: (bytes) => programs.get(line())?.write(bytes),
      onPeerEnd: () => programs.get(line())?.endInput(),
    }),
    over: (line, error) => {
      const peer = admitted.get(line)?.id;
      const program = programs.get(line);
      program?.end();
      void program?.closed.then(() => programs.delete(line));
      tell(
        endEvent(peer, error),
        error ? `the conversation with ${peer} failed: ${messageOf(error)}` : `${peer} has hung up`,
      );
    },
    leave: (line) => void admitted.delete(line),
    closed: async () => {
      await Promise.all([...programs.values()].map(({ closed }) => closed));
    },
  };
}
