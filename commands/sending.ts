/**
 * One line over which files are sent, from the call to the goodbye: who answers is checked, words are
 * shown, and the transfer runs. What is sent, trying again and the last word to the user are in
 * `send.ts`.
 */

import { PkiError } from "../lib/base/errors.ts";
import { printable } from "../lib/base/printable.ts";
import { FileSending, type SendingEvent } from "../lib/peer/file_sending.ts";
import type { SentFile } from "../lib/peer/file_walk.ts";
import type { Line, LineHandlers } from "../lib/peer/line.ts";
import type { Peer } from "../lib/peer/ports.ts";
import { IncomingFiles } from "../lib/protocol/incoming_files.ts";
import { OutgoingFiles } from "../lib/protocol/outgoing_files.ts";
import type { FileControl } from "../lib/protocol/peer_messages.ts";
import { type Conversing, tellOpen, tellText, tellWait } from "./converse.ts";
import type { Surroundings } from "./globals.ts";
import { count, formatBytes } from "./quantity.ts";

export interface SendingCall {
  readonly surroundings: Surroundings;
  readonly tell: Conversing["tell"];
  readonly askStatus: LineHandlers["askStatus"];
  readonly files: readonly SentFile[];
  readonly on: (event: SendingEvent) => void;
  /** Resolves if we want to send to whoever has answered. @throws {PkiError} if not */
  readonly admit: (peer: Peer, line: Line) => void | Promise<void>;
  readonly onOpen: (peer: Peer) => void;
}

/** Hears for the sender of files what comes over its line. */
export class SendingLine {
  readonly #call: SendingCall;
  readonly #line: () => Line;
  readonly #open = Promise.withResolvers<FileSending>();
  #peer: Peer | undefined;
  #sending: FileSending | undefined;
  /** We take nothing: an offer is declined. */
  readonly #incoming = new IncomingFiles();

  constructor(call: SendingCall, line: () => Line) {
    this.#call = call;
    this.#line = line;
    this.#open.promise.catch(() => {}); // who waits for it hears of it
  }

  get handlers(): LineHandlers {
    const { surroundings, askStatus, admit, tell } = this.#call;
    return {
      askStatus,
      admit: async (peer) => {
        if (peer.mode === "pipe") {
          throw new PkiError("refused", `"${peer.id}" listens for a stream, not for files`, {
            hint: "files are taken by pki receive, and by pki listen at a terminal",
          });
        }
        await admit(peer, this.#line());
      },
      onWait: (reason) => tellWait(tell, { reason }),
      onOpen: (peer) => this.#opened(peer),
      onText: ({ text }) => {
        const { id } = this.#peer ?? { id: "" };
        tellText(surroundings, { id, text, tell });
      },
      onData: () => {},
      onFileControl: (control) => this.#hear(control),
      onPeerEnd: () => {
        const { id } = this.#peer ?? { id: "the peer" };
        this.#sending?.stop(new PkiError("truncated", `${id} has hung up before all was stored`));
        this.#line().end();
      },
    };
  }

  /** Runs the transfer; resolves when everything was answered. @throws {PkiError} why it has ended */
  async run(signal: AbortSignal): Promise<void> {
    const line = this.#line();
    line.over.then(
      () => this.#stop(new PkiError("truncated", "the line has ended before all was stored")),
      (error: PkiError) => this.#stop(error),
    );
    const interrupt = () => {
      const reason = new PkiError("interrupted", "interrupted");
      this.#sending?.cancel(reason);
      this.#stop(reason);
      line.hangUp(); // at once: the transfer may be waiting for a network that takes nothing more
    };
    if (signal.aborted) interrupt();
    signal.addEventListener("abort", interrupt, { once: true });
    try {
      const sending = await this.#open.promise;
      this.#tellOffer();
      await sending.run();
    } finally {
      signal.removeEventListener("abort", interrupt);
      line.hangUp();
      await line.over.catch(() => {}); // what was to be said has been said
    }
  }

  #tellOffer(): void {
    const { files, tell } = this.#call;
    const { id, words } = this.#peer ?? { id: "", words: [] };
    const bytes = files.reduce((sum, { size }) => sum + size, 0);
    tell(
      { event: "offered", peer: id, files: files.length, bytes },
      `offering ${id} ${describeFiles(files)}, with the words: ${words.join(" ")}`,
    );
  }

  #stop(reason: PkiError): void {
    this.#open.reject(reason);
    this.#sending?.stop(reason);
  }

  #opened(peer: Peer): void {
    const { surroundings, tell, files, on, onOpen } = this.#call;
    this.#peer = peer;
    tellOpen(surroundings, { peer, tell });
    onOpen(peer);
    const machine = new OutgoingFiles();
    this.#sending = new FileSending({ line: this.#line(), machine, peer: peer.id, files, on });
    this.#open.resolve(this.#sending);
  }

  #hear(control: FileControl): void {
    const line = this.#line();
    switch (control.type) {
      case "ACCEPT":
      case "DECLINE":
      case "HAVE":
      case "STORED":
      case "FAILED":
        return this.#sending?.hear(control);
      case "OFFER":
        this.#incoming.receive(control);
        return line.sendFileControl(
          this.#incoming.decline("REFUSED", "nothing is taken while files are sent"),
        );
      case "CANCEL":
        if (control.side === "receiver") return this.#sending?.hear(control);
        return void this.#incoming.receive(control);
      default:
        return void this.#incoming.receive(control);
    }
  }
}

/** What is sent, in words: `"report.pdf" (1.2 MiB)`, `3 files and 1 folder (20 MiB)`. */
export function describeFiles(files: readonly SentFile[]): string {
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  const [first] = files;
  if (files.length === 1 && first) {
    const name = JSON.stringify(printable(first.path[0] ?? ""));
    return first.kind === "folder" ? `the empty folder ${name}` : `${name} (${formatBytes(bytes)})`;
  }
  return `${countFiles(files)} (${formatBytes(bytes)})`;
}

/** `3 files`, `3 files and 1 folder`. */
export function countFiles(files: readonly SentFile[]): string {
  const folders = files.filter(({ kind }) => kind === "folder").length;
  const plain = count(files.length - folders, "file");
  return folders === 0 ? plain : `${plain} and ${count(folders, "folder")}`;
}
