/**
 * One line over which files come: what the sender says is stored, and what became of it is told. Who
 * may call and for how long one listens is in `receive.ts`.
 */

import { dirname } from "node:path";
import { PkiError } from "../lib/base/errors.ts";
import { encodeHex, parseBase64 } from "../lib/base/bytes.ts";
import { printable } from "../lib/base/printable.ts";
import { FileReceiving, type Received, type ReceivingEvent } from "../lib/peer/file_receiving.ts";
import type { FileStore } from "../lib/peer/file_store.ts";
import type { Line, LineHandlers } from "../lib/peer/line.ts";
import type { Peer } from "../lib/peer/ports.ts";
import { IncomingFiles, type Offer } from "../lib/protocol/incoming_files.ts";
import { type Conversing, tellOpen, tellText } from "./converse.ts";
import type { Surroundings } from "./globals.ts";
import { count, formatBytes } from "./quantity.ts";
import type { TransferBar } from "./transfer_bar.ts";

export interface ReceivingCall {
  readonly surroundings: Surroundings;
  readonly tell: Conversing["tell"];
  readonly bar: TransferBar;
  readonly askStatus: LineHandlers["askStatus"];
  /** Resolves if the caller is welcome. @throws {PkiError} if not */
  readonly admit: (peer: Peer) => void | Promise<void>;
  readonly openStore: (peer: Peer) => FileStore;
  /** Resolves if the offer is accepted. @throws {PkiError} if not */
  readonly decide: (peer: Peer, offer: Offer, signal: AbortSignal) => Promise<void>;
  readonly onAccepted: () => void;
  readonly onReceived: (peer: Peer, received: Received) => void;
}

/** Hears for the receiver of files what comes over its line. */
export class ReceivingLine {
  readonly #call: ReceivingCall;
  readonly #line: () => Line;
  #peer: Peer | undefined;
  #receiving: FileReceiving | undefined;

  constructor(call: ReceivingCall, line: () => Line) {
    this.#call = call;
    this.#line = line;
  }

  get handlers(): LineHandlers {
    const { surroundings, askStatus, admit, tell } = this.#call;
    return {
      askStatus,
      admit: async (peer) => {
        if (peer.mode === "pipe") {
          throw new PkiError("refused", "files are received here: send them with pki send");
        }
        await admit(peer);
      },
      onOpen: (peer) => this.#opened(peer),
      onText: ({ text }) => {
        const { id } = this.#peer ?? { id: "" };
        tellText(surroundings, { id, text, tell });
      },
      onData: () => {},
      onFileControl: async (control) => {
        switch (control.type) {
          case "OFFER":
          case "FILE":
          case "FROM":
          case "FILE_END":
          case "DONE":
          case "CANCEL":
            return await this.#receiving?.hear(control);
          default:
            throw new PkiError(
              "protocol",
              `the peer broke the protocol: ${control.type}, where nothing was offered`,
            );
        }
      },
      onFile: (file, bytes) => this.#receiving?.bytes(file, bytes),
      onPeerEnd: () => this.#line().end(),
    };
  }

  get peer(): Peer | undefined {
    return this.#peer;
  }

  /** Ends what is under way, with a word to the sender. */
  async cancel(reason: PkiError): Promise<void> {
    await this.#receiving?.cancel(reason);
  }

  /** The line is over. */
  async over(error: PkiError | undefined): Promise<void> {
    await this.#receiving?.stop(
      error ?? new PkiError("truncated", "the line has ended before all had come"),
    );
  }

  #opened(peer: Peer): void {
    const { surroundings, tell, openStore, decide } = this.#call;
    this.#peer = peer;
    tellOpen(surroundings, { peer, tell });
    this.#receiving = new FileReceiving({
      line: this.#line(),
      machine: new IncomingFiles(),
      openStore: () => openStore(peer),
      decide: (offer, signal) => decide(peer, offer, signal),
      on: (event) => this.#follow(peer, event),
    });
  }

  #follow(peer: Peer, event: ReceivingEvent): void {
    const { tell, bar, onReceived } = this.#call;
    switch (event.type) {
      case "accepted": {
        this.#call.onAccepted();
        const { name, files, bytes } = event.offer;
        return void bar.start(files === 1 ? printable(name) : `from ${peer.id}`, bytes);
      }
      case "declined":
        return tell(
          {
            event: "declined",
            peer: peer.id,
            kind: event.error.kind,
            message: event.error.message,
          },
          `declined: ${event.error.message}${event.error.hint ? ` (${event.error.hint})` : ""}`,
        );
      case "withdrawn":
        return tell({ event: "withdrawn", peer: peer.id }, `${peer.id} offers it no more`);
      case "begun": {
        if (event.had === 0) return;
        bar.skip();
        const path = event.path.join("/");
        return tell(
          { event: "resumed", path, bytes: event.had },
          `of ${JSON.stringify(printable(path))} ${formatBytes(event.had)} are here already`,
        );
      }
      case "progress":
        return bar.tick(event.bytes);
      case "stored":
        return this.#tellStored(event);
      case "failed": {
        const { kind, message } = event.error;
        const path = event.path.join("/");
        return tell({ event: "file-failed", path, kind, message }, printable(message));
      }
      case "over":
        bar.stop();
        return onReceived(peer, event.received);
    }
  }

  /** For programs each file; for people only what is called otherwise than it was sent. */
  #tellStored({ path, location, wasThere }: Extract<ReceivingEvent, { type: "stored" }>): void {
    const { surroundings, tell } = this.#call;
    const sent = path.join("/");
    const isAsSent = location.endsWith(`/${sent}`);
    if (!surroundings.flags.json && isAsSent) return;
    tell(
      { event: "stored", path: sent, location, wasThere },
      `stored as ${printable(location)}: ${JSON.stringify(printable(sent))}`,
    );
  }
}

function describePlace([first, second]: readonly string[]): readonly string[] {
  if (first === undefined) return [];
  return [second === undefined ? `as ${printable(first)}` : `in ${printable(dirname(first))}`];
}

/** What a transfer has come to, for programs and for people. */
export function describeReceived(
  { id }: Peer,
  received: Received,
): readonly [json: Readonly<Record<string, unknown>>, text: string] {
  const { files, folders, bytes, there, failed, locations, end, offer } = received;
  const sha256 = received.sha256 === undefined || offer.files !== 1
    ? undefined
    : encodeHex(parseBase64(received.sha256));
  const missing = offer.files - files - folders;
  const json = {
    event: "received",
    peer: id,
    files,
    folders,
    bytes,
    there,
    failed,
    missing,
    locations,
    ...(sha256 === undefined ? {} : { sha256 }),
    ...(end ? { kind: end.kind, message: end.message } : {}),
  };
  const plain = `${count(files, "file")}${folders === 0 ? "" : ` and ${count(folders, "folder")}`}`;
  const text = [
    `received ${plain} (${formatBytes(bytes)}) from ${id}`,
    ...describePlace(locations),
    ...(there === 0
      ? []
      : [files === 1 ? "which was here already" : `${there} of them were here already`]),
    ...(missing === 0 ? [] : [`${missing} are missing`]),
    ...(sha256 === undefined ? [] : [`SHA-256 ${sha256}`]),
  ].join(", ");
  return [json, end ? `${text}; it is not complete: ${end.message}` : text];
}
