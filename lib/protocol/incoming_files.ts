/**
 * The receiver's side of transfers of files, as a state machine: what of what the peer sends may come
 * now, and what we owe it. It touches no file, socket or clock. The other side is `outgoing_files.ts`;
 * the wire is docs/protocol.md, "Files". A message of the peer that may not come now changes nothing.
 */

import { PkiError } from "../base/errors.ts";
import { broke, type FileControl } from "./peer_messages.ts";
import { type FileDescription, SMALL_FILE_BYTES_MAX } from "./outgoing_files.ts";

export type IncomingState =
  /** Nothing is offered: at the beginning, and when a transfer is over. */
  | "idle"
  /** Offered, and not answered yet. */
  | "offered"
  /** Accepted; a file may begin, or all are done. */
  | "between"
  /** A file has begun, and we owe the sender what we have of it. */
  | "asked"
  /** It is for the sender to say where it begins. */
  | "told"
  /** Bytes of a file, and its end. */
  | "inside"
  /** We do not want the rest of the current file, which may come all the same. */
  | "dropped"
  /** All files were sent; we owe answers. */
  | "done"
  /** We have cancelled; the sender may not know yet. */
  | "skipping";

export interface Offer {
  readonly transfer: number;
  /** Of the first file or folder. */
  readonly name: string;
  /** Files and folders. */
  readonly files: number;
  readonly bytes: number;
}

/** What the peer's message means. */
export type IncomingEvent =
  | { readonly type: "offered"; readonly offer: Offer }
  | { readonly type: "begun"; readonly file: number; readonly description: FileDescription }
  | { readonly type: "from"; readonly file: number; readonly offset: number }
  /** All of a file is there; or the sender gave it up, which then is not whole. */
  | {
    readonly type: "ended";
    readonly file: number;
    readonly sha256: string;
    readonly isWhole: boolean;
  }
  /** No more files come: so many did. */
  | { readonly type: "done"; readonly files: number }
  | { readonly type: "cancelled"; readonly message: string };

/** What a sender says. */
export type SenderMessage = Extract<
  FileControl,
  { type: "OFFER" | "FILE" | "FROM" | "FILE_END" | "DONE" | "CANCEL" }
>;

export class IncomingFiles {
  #state: IncomingState = "idle";
  #transfer = 0;
  #filesOffered = 0;
  #nameOffered = "";
  /** Of what was offered, what was not announced yet. */
  #bytesLeft = 0;
  /** The number of the newest file of this transfer. */
  #file = 0;
  #current: FileDescription | undefined;
  #position = 0;
  #bytesHad = 0;
  #unanswered = new Set<number>();

  get state(): IncomingState {
    return this.#state;
  }

  get transfer(): number {
    return this.#transfer;
  }

  /** Files that we owe an answer. */
  get unanswered(): number {
    return this.#unanswered.size;
  }

  /**
   * Takes what the sender says; `undefined` if it is about what we have cancelled or dropped.
   * @throws {PkiError} `protocol` if it may not come now
   */
  receive(message: SenderMessage): IncomingEvent | undefined {
    switch (message.type) {
      case "OFFER":
        return this.#offered(message);
      case "CANCEL":
        return this.#cancelled(message);
    }
    if (this.#state === "skipping") return undefined;
    switch (message.type) {
      case "FILE":
        return this.#begun(message);
      case "FROM":
        return this.#from(message);
      case "FILE_END":
        return this.#ended(message);
      case "DONE":
        if (this.#state !== "between" && this.#state !== "dropped") {
          throw broke("DONE came at the wrong time");
        }
        if (message.transfer !== this.#transfer) {
          throw broke(`DONE of transfer ${message.transfer}`);
        }
        this.#state = "done";
        this.#settle();
        return { type: "done", files: this.#file };
    }
  }

  /**
   * Takes bytes of a file; returns whether they are to be written.
   * @throws {PkiError} `protocol` for bytes of no file, or more than its size
   */
  bytes(file: number, count: number): boolean {
    if (this.#state === "skipping") return false;
    if (this.#state === "dropped" && file === this.#file) return false;
    if (this.#state !== "inside" || file !== this.#file) {
      throw broke(`bytes of file ${file}, which is not open`);
    }
    const size = this.#current?.size ?? 0;
    if (count > size - this.#position) throw broke(`more than the ${size} bytes of file ${file}`);
    this.#position += count;
    return true;
  }

  accept(): FileControl {
    this.#demand("offered");
    this.#state = "between";
    return { type: "ACCEPT", transfer: this.#transfer };
  }

  decline(code: string, message: string): FileControl {
    this.#demand("offered");
    this.#state = "idle";
    return { type: "DECLINE", transfer: this.#transfer, code, message };
  }

  /** Says what we have of the current file. */
  have(bytes: number, sha256: string): FileControl {
    this.#demand("asked");
    if (bytes > (this.#current?.size ?? 0)) {
      throw new PkiError("internal", "more of a file is there than it has");
    }
    this.#state = "told";
    this.#bytesHad = bytes;
    return { type: "HAVE", file: this.#file, bytes, sha256 };
  }

  stored(file: number): FileControl {
    if (file === this.#file && this.#isInFile()) {
      throw new PkiError("internal", "a file is stored before it has come");
    }
    this.#answer(file);
    return { type: "STORED", file };
  }

  /** Says that a file is not wanted, or cannot be stored; what comes of it is skipped. */
  failed(file: number, code: string, message: string): FileControl {
    if (file === this.#file && this.#isInFile()) this.#state = "dropped";
    this.#answer(file);
    return { type: "FAILED", file, code, message };
  }

  /** Ends a transfer that is under way; `undefined` if there is none. */
  cancel(message: string): FileControl | undefined {
    if (this.#state === "idle" || this.#state === "skipping") return undefined;
    this.#state = "skipping";
    this.#unanswered.clear();
    return { type: "CANCEL", transfer: this.#transfer, side: "receiver", message };
  }

  #offered({ transfer, name, files, bytes }: Extract<SenderMessage, { type: "OFFER" }>) {
    if (this.#state !== "idle" && this.#state !== "skipping") {
      throw broke("OFFER before the last transfer was over");
    }
    if (transfer !== this.#transfer + 1) throw broke(`OFFER of transfer ${transfer}`);
    this.#state = "offered";
    this.#transfer = transfer;
    this.#filesOffered = files;
    this.#nameOffered = name;
    this.#bytesLeft = bytes;
    this.#file = 0;
    this.#current = undefined;
    this.#unanswered.clear();
    return { type: "offered", offer: { transfer, name, files, bytes } } as const;
  }

  #cancelled(
    { transfer, side, message }: Extract<SenderMessage, { type: "CANCEL" }>,
  ): IncomingEvent | undefined {
    if (side !== "sender") throw broke("CANCEL by the receiver of what we receive");
    if (transfer > this.#transfer) throw broke(`CANCEL of transfer ${transfer}`);
    // Both have ended it at once, or it was over before the sender knew.
    const isOver = this.#state === "idle" || this.#state === "skipping";
    if (transfer < this.#transfer || isOver) return undefined;
    this.#state = "idle";
    this.#unanswered.clear();
    return { type: "cancelled", message };
  }

  #begun({ type: _, file, ...description }: Extract<SenderMessage, { type: "FILE" }>) {
    if (this.#state !== "between" && this.#state !== "dropped") {
      throw broke("FILE came at the wrong time");
    }
    if (file !== this.#file + 1) throw broke(`file ${file} follows file ${this.#file}`);
    if (file > this.#filesOffered) {
      throw broke(`more than the ${this.#filesOffered} files offered`);
    }
    // Somebody has been asked about this name.
    const { path } = description;
    if (this.#filesOffered === 1 && (path.length > 1 || path[0] !== this.#nameOffered)) {
      throw broke("another file than the one offered");
    }
    const isFolder = description.kind === "folder";
    const size = isFolder ? 0 : description.size;
    if (size > this.#bytesLeft) throw broke("more bytes than were offered");
    this.#bytesLeft -= size;
    this.#file = file;
    this.#unanswered.add(file);
    this.#bytesHad = 0;
    this.#current = description;
    if (isFolder) this.#state = "between";
    else this.#state = size > SMALL_FILE_BYTES_MAX ? "asked" : "told";
    return { type: "begun", file, description } as const;
  }

  #from(
    { file, offset }: Extract<SenderMessage, { type: "FROM" }>,
  ): IncomingEvent | undefined {
    if (this.#state === "dropped" && file === this.#file) return undefined;
    if (this.#state !== "told" || file !== this.#file) throw broke(`FROM of file ${file}`);
    if (offset !== 0 && offset !== this.#bytesHad) {
      throw broke(`file ${file} begins at ${offset}, where we have ${this.#bytesHad} bytes`);
    }
    this.#state = "inside";
    this.#position = offset;
    return { type: "from", file, offset };
  }

  #ended(
    { file, path, size, sha256 }: Extract<SenderMessage, { type: "FILE_END" }>,
  ): IncomingEvent | undefined {
    if (this.#state === "dropped" && file === this.#file) return undefined;
    if (this.#state !== "inside" || file !== this.#file) throw broke(`FILE_END of file ${file}`);
    const description = this.#current;
    if (size !== this.#position) {
      throw broke(`file ${file} ends at ${size}, after ${this.#position} bytes`);
    }
    if (!description || description.path.join("\0") !== path.join("\0")) {
      throw broke(`file ${file} ends under another name`);
    }
    this.#state = "between";
    return { type: "ended", file, sha256, isWhole: size === description.size };
  }

  #isInFile(): boolean {
    return this.#state === "asked" || this.#state === "told" || this.#state === "inside";
  }

  #answer(file: number): void {
    if (!this.#unanswered.delete(file)) {
      throw new PkiError("internal", `file ${file} is answered twice`);
    }
    this.#settle();
  }

  #settle(): void {
    if (this.#state === "done" && this.#unanswered.size === 0) this.#state = "idle";
  }

  #demand(state: IncomingState): void {
    if (this.#state !== state) {
      throw new PkiError("internal", `a transfer that is ${this.#state} should be ${state}`);
    }
  }
}
