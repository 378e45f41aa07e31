/**
 * The sender's side of transfers of files, as a state machine: what may be sent now, and what it
 * means that the peer says. It touches no file, socket or clock. The other side is `incoming_files.ts`; the
 * wire is docs/protocol.md, "Files". A message of the peer that may not come now changes nothing.
 */

import { PkiError } from "../base/errors.ts";
import { broke, type FileControl } from "./peer_messages.ts";

/** A file of at most so many bytes is sent without asking what the receiver has of it. */
export const SMALL_FILE_BYTES_MAX = 65_536;
/** Files of which the receiver has not said what became of them, at most: more would only wait there. */
export const UNANSWERED_FILES_MAX = 256;

export type OutgoingState =
  /** Nothing is offered: at the beginning, and when a transfer is over. */
  | "idle"
  /** Offered; the receiver has not answered. */
  | "offered"
  /** Accepted; a file may begin. */
  | "between"
  /** A file has begun whose beginning the receiver may have: it says so next. */
  | "asking"
  /** The receiver has said what it has: where we begin is for us to say. */
  | "told"
  /** Bytes of a file, and its end. */
  | "inside"
  /** All files were sent; some are not answered. */
  | "done";

/** What the peer's message means. */
export type OutgoingEvent =
  | { readonly type: "accepted" }
  | { readonly type: "declined"; readonly code: string; readonly message: string }
  | {
    readonly type: "have";
    readonly file: number;
    readonly bytes: number;
    readonly sha256: string;
  }
  | { readonly type: "stored"; readonly file: number }
  | {
    readonly type: "failed";
    readonly file: number;
    readonly code: string;
    readonly message: string;
  }
  | { readonly type: "cancelled"; readonly message: string };

export type FileMessage = Extract<FileControl, { type: "FILE" }>;
/** A file or folder as it is announced. */
export type FileDescription = Omit<FileMessage, "type" | "file">;

/** What a receiver says. */
export type ReceiverMessage = Extract<
  FileControl,
  { type: "ACCEPT" | "DECLINE" | "HAVE" | "STORED" | "FAILED" | "CANCEL" }
>;

export class OutgoingFiles {
  #state: OutgoingState = "idle";
  /** The number of the newest transfer; 0 before the first. */
  #transfer = 0;
  #filesOffered = 0;
  #bytesOffered = 0;
  /** The number of the newest file of this transfer. */
  #file = 0;
  #current: FileDescription | undefined;
  #bytesAnnounced = 0;
  /** Where the current file is. */
  #position = 0;
  #bytesHad = 0;
  #unanswered = new Set<number>();
  /** We have cancelled the transfer before this one: answers to it may still be under way. */
  #mayHearOfEarlier = false;

  get state(): OutgoingState {
    return this.#state;
  }

  get transfer(): number {
    return this.#transfer;
  }

  get unanswered(): number {
    return this.#unanswered.size;
  }

  offer(
    { name, files, bytes }: {
      readonly name: string;
      readonly files: number;
      readonly bytes: number;
    },
  ): FileControl {
    this.#demand("idle");
    this.#state = "offered";
    this.#transfer++;
    this.#filesOffered = files;
    this.#bytesOffered = bytes;
    this.#file = 0;
    this.#bytesAnnounced = 0;
    this.#unanswered.clear();
    return { type: "OFFER", transfer: this.#transfer, name, files, bytes };
  }

  /** Announces the next file or folder; its number is in the message. */
  begin(description: FileDescription): FileMessage {
    this.#demand("between");
    const isFolder = description.kind === "folder";
    this.#bytesAnnounced += isFolder ? 0 : description.size;
    if (this.#file >= this.#filesOffered || this.#bytesAnnounced > this.#bytesOffered) {
      throw new PkiError("internal", "more is sent than was offered");
    }
    this.#file++;
    this.#unanswered.add(this.#file);
    if (!isFolder) {
      this.#current = description;
      this.#bytesHad = 0;
      this.#state = description.size > SMALL_FILE_BYTES_MAX ? "asking" : "told";
    }
    return { type: "FILE", file: this.#file, ...description };
  }

  /** Says where what follows begins: at what the receiver has, or at 0. */
  from(offset: number): FileControl {
    this.#demand("told");
    if (offset !== 0 && offset !== this.#bytesHad) {
      throw new PkiError("internal", `a file is sent from ${offset} on`);
    }
    this.#state = "inside";
    this.#position = offset;
    return { type: "FROM", file: this.#file, offset };
  }

  /** So many bytes of the current file are sent; returns its number. */
  bytes(count: number): number {
    this.#demand("inside");
    this.#position += count;
    if (this.#position > (this.#current?.size ?? 0)) {
      throw new PkiError("internal", "more of a file is sent than was announced");
    }
    return this.#file;
  }

  /** Ends a file. One that ends before its size was sent was given up: the receiver does not store it. */
  end(sha256: string): FileControl {
    this.#demand("inside");
    this.#state = "between";
    const path = this.#current?.path ?? [];
    return { type: "FILE_END", file: this.#file, path, size: this.#position, sha256 };
  }

  /** All files were sent. */
  done(): FileControl {
    this.#demand("between");
    this.#state = this.#unanswered.size === 0 ? "idle" : "done";
    this.#mayHearOfEarlier = false;
    return { type: "DONE", transfer: this.#transfer };
  }

  /** Ends a transfer that is under way; `undefined` if there is none. */
  cancel(message: string): FileControl | undefined {
    if (this.#state === "idle") return undefined;
    this.#state = "idle";
    this.#mayHearOfEarlier = true;
    return { type: "CANCEL", transfer: this.#transfer, side: "sender", message };
  }

  /**
   * Takes what the receiver says; `undefined` if it is about what we have cancelled.
   * @throws {PkiError} `protocol` if it may not come now
   */
  receive(message: ReceiverMessage): OutgoingEvent | undefined {
    if (this.#isStale(message)) return undefined;
    switch (message.type) {
      case "ACCEPT":
        this.#expect(message, "offered");
        this.#state = "between";
        this.#mayHearOfEarlier = false;
        return { type: "accepted" };
      case "DECLINE":
        this.#expect(message, "offered");
        this.#state = "idle";
        this.#mayHearOfEarlier = false;
        return { type: "declined", code: message.code, message: message.message };
      case "HAVE":
        return this.#have(message);
      case "STORED":
        if (message.file === this.#file && this.#isInFile()) {
          throw broke(`file ${message.file} was stored before it was sent`);
        }
        this.#answered(message);
        return { type: "stored", file: message.file };
      case "FAILED":
        if (message.file === this.#file && this.#isInFile()) this.#state = "between";
        this.#answered(message);
        return {
          type: "failed",
          file: message.file,
          code: message.code,
          message: message.message,
        };
      case "CANCEL":
        if (this.#state === "idle") throw broke("CANCEL of no transfer");
        this.#state = "idle";
        return { type: "cancelled", message: message.message };
    }
  }

  #have({ file, bytes, sha256 }: Extract<ReceiverMessage, { type: "HAVE" }>) {
    if (this.#state !== "asking" || file !== this.#file) throw broke(`HAVE of file ${file}`);
    const size = this.#current?.size ?? 0;
    if (bytes > size) throw broke(`it has ${bytes} bytes of a file of ${size}`);
    this.#state = "told";
    this.#bytesHad = bytes;
    return { type: "have", file, bytes, sha256 } as const;
  }

  #isInFile(): boolean {
    return this.#state === "asking" || this.#state === "told" || this.#state === "inside";
  }

  /** Whether the other side said this before it had heard that we cancelled, or cancelled it too. */
  #isStale(message: ReceiverMessage): boolean {
    if (message.type === "CANCEL" && message.side !== "receiver") {
      throw broke("CANCEL by the sender of what we send");
    }
    if ("transfer" in message) {
      if (message.transfer > this.#transfer || message.transfer < 1) {
        throw broke(`${message.type} of transfer ${message.transfer}, which there is not`);
      }
      if (message.transfer < this.#transfer) return true;
      // A transfer that both sides end at once, or one ends while the other says its last word.
      return this.#state === "idle" && (this.#mayHearOfEarlier || message.type === "CANCEL");
    }
    return this.#mayHearOfEarlier && (this.#state === "idle" || this.#state === "offered");
  }

  #answered({ type, file }: { readonly type: string; readonly file: number }): void {
    if (!this.#unanswered.delete(file)) {
      throw broke(`${type} of file ${file}, of which that was not open`);
    }
    if (this.#state === "done" && this.#unanswered.size === 0) this.#state = "idle";
  }

  #expect({ type }: ReceiverMessage, state: OutgoingState): void {
    if (this.#state !== state) throw broke(`${type} came at the wrong time`);
  }

  #demand(state: OutgoingState): void {
    if (this.#state !== state) {
      throw new PkiError("internal", `a transfer that is ${this.#state} should be ${state}`);
    }
  }
}
