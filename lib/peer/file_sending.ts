/**
 * Sends files over a line, from the offer to the receiver's last word: reads them, goes on where an
 * earlier try has ended, and keeps count of what became of each. What may be sent when is decided in
 * `outgoing_files.ts`; questions, bars and trying again are the command's matter.
 */

import { kindOfWireCode, PkiError } from "../base/errors.ts";
import { printable } from "../base/printable.ts";
import type { FileControl } from "../protocol/peer_messages.ts";
import {
  type OutgoingEvent,
  type OutgoingFiles,
  type ReceiverMessage,
  SMALL_FILE_BYTES_MAX,
  UNANSWERED_FILES_MAX,
} from "../protocol/outgoing_files.ts";
import { changed, FileSource } from "./file_source.ts";
import type { SentFile } from "./file_walk.ts";

/** What of a line a transfer needs. */
export interface FileLine {
  sendFileControl(control: FileControl): void;
  /** Resolves when there is room for more. */
  sendFile(file: number, bytes: Uint8Array): Promise<void>;
}

export type SendingEvent =
  | { readonly type: "accepted" }
  /** A file begins, so many bytes of which the receiver has. */
  | { readonly type: "begun"; readonly file: SentFile; readonly had: number }
  /** So many bytes of all that was offered are sent, or were there. */
  | { readonly type: "progress"; readonly bytes: number }
  | { readonly type: "stored"; readonly file: SentFile; readonly sha256: string | undefined }
  | { readonly type: "failed"; readonly file: SentFile; readonly error: PkiError };

export interface SendingOptions {
  readonly line: FileLine;
  /** The line's. */
  readonly machine: OutgoingFiles;
  /** Who receives. */
  readonly peer: string;
  /** At least one, folders before what is in them. */
  readonly files: readonly SentFile[];
  readonly on: (event: SendingEvent) => void;
}

/** A file that the receiver has not answered. */
interface Underway {
  readonly file: SentFile;
  readonly sha256: string | undefined;
}

export class FileSending {
  readonly #options: SendingOptions;
  /** By their numbers on the wire. */
  readonly #underway = new Map<number, Underway>();
  /** What the receiver has of the file that begins. */
  #had: Extract<OutgoingEvent, { type: "have" }> | undefined;
  #isAccepted = false;
  /** Why nothing more is sent. */
  #stop: PkiError | undefined;
  #waiting: (() => void)[] = [];
  #bytes = 0;
  #current = 0;

  constructor(options: SendingOptions) {
    this.#options = options;
  }

  /**
   * Offers and sends; resolves when the receiver has said of each file what became of it.
   * @throws {PkiError} why the whole transfer has ended: `refused` and others as the receiver says
   */
  async run(): Promise<void> {
    const { machine, files, line } = this.#options;
    const bytes = files.reduce((sum, { size }) => sum + size, 0);
    const name = files[0]?.path[0] ?? "";
    line.sendFileControl(machine.offer({ name, files: files.length, bytes }));
    await this.#until(() => this.#isAccepted);
    for (const file of files) {
      await this.#until(() => machine.unanswered < UNANSWERED_FILES_MAX);
      if (file.kind === "folder") this.#sendFolder(file);
      else await this.#sendFile(file);
    }
    line.sendFileControl(machine.done());
    await this.#until(() => machine.state === "idle");
  }

  /** Takes what the receiver says. @throws {PkiError} `protocol` */
  hear(message: ReceiverMessage): void {
    const event = this.#options.machine.receive(message);
    if (event) this.#take(event);
    this.#wake();
  }

  /** Ends the transfer with a word to the receiver. */
  cancel(reason: PkiError): void {
    const cancel = this.#options.machine.cancel(reason.message);
    if (cancel) this.#options.line.sendFileControl(cancel);
    this.stop(reason);
  }

  /** Ends the transfer, since the line has ended. */
  stop(reason: PkiError): void {
    this.#stop ??= reason;
    this.#wake();
  }

  #take(event: OutgoingEvent): void {
    const { peer } = this.#options;
    switch (event.type) {
      case "accepted":
        this.#isAccepted = true;
        return this.#options.on({ type: "accepted" });
      case "declined":
        return this.stop(
          new PkiError(
            kindOfWireCode(event.code),
            `${peer} has declined: ${printable(event.message)}`,
          ),
        );
      case "cancelled":
        return this.stop(
          new PkiError("refused", `${peer} has ended the transfer: ${printable(event.message)}`),
        );
      case "have":
        this.#had = event;
        return;
      case "stored":
      case "failed": {
        const sent = this.#underway.get(event.file);
        this.#underway.delete(event.file);
        if (!sent) return;
        if (event.type === "stored") return this.#options.on({ type: "stored", ...sent });
        const why = `${peer} cannot store "${sent.file.path.join("/")}": ${
          printable(event.message)
        }`;
        const error = new PkiError(kindOfWireCode(event.code), why);
        return this.#options.on({ type: "failed", file: sent.file, error });
      }
    }
  }

  #sendFolder(file: SentFile): void {
    const { machine, line } = this.#options;
    const { path, kind, permissions, modifiedMs: modified } = file;
    const message = machine.begin({ path, kind, size: 0, permissions, modified });
    this.#underway.set(message.file, { file, sha256: undefined });
    line.sendFileControl(message);
  }

  /** Sends one file; what is wrong with it alone does not end the transfer. */
  async #sendFile(file: SentFile): Promise<void> {
    const before = this.#bytes;
    let source: FileSource | undefined;
    try {
      source = await FileSource.open(file);
      if (source.size > file.size) throw changed(file.location);
      if (source.size <= SMALL_FILE_BYTES_MAX) await this.#sendSmall(file, source);
      else await this.#sendLarge(file, source);
    } catch (error) {
      if (this.#stop) throw this.#stop;
      if (!(error instanceof PkiError) || error.kind === "internal") throw error;
      this.#options.on({ type: "failed", file, error });
    } finally {
      await source?.close();
      this.#progress(before + file.size - this.#bytes); // whatever became of it, it is behind us
    }
  }

  /** Reads all of it before a word is said: what cannot be sent is not begun. */
  async #sendSmall(file: SentFile, source: FileSource): Promise<void> {
    const bytes = await source.next();
    this.#begin(file, source);
    this.#options.on({ type: "begun", file, had: 0 });
    this.#options.line.sendFileControl(this.#options.machine.from(0));
    if (bytes) await this.#send(bytes);
    if (this.#options.machine.state === "inside") this.#end(file, source); // else it is not wanted
  }

  async #sendLarge(file: SentFile, source: FileSource): Promise<void> {
    const { machine, line } = this.#options;
    this.#had = undefined;
    this.#begin(file, source);
    const isDropped = () => machine.state === "between";
    await this.#until(() => this.#had !== undefined || isDropped());
    if (!this.#had) return; // the receiver has said what it does not like
    const { bytes, sha256 } = this.#had;
    const offset = await source.skip(bytes, sha256) ? bytes : 0;
    this.#check();
    if (isDropped()) return;
    line.sendFileControl(machine.from(offset));
    this.#options.on({ type: "begun", file, had: offset });
    this.#progress(offset);
    try {
      for (let piece = await source.next(); piece; piece = await source.next()) {
        this.#check();
        if (isDropped()) return;
        await this.#send(piece);
      }
    } catch (error) {
      // An end before its size tells the receiver that this is no file.
      if (!this.#stop && !isDropped()) line.sendFileControl(machine.end(source.sha256));
      this.#underway.delete(this.#current); // it is told here
      throw error;
    }
    this.#check();
    if (!isDropped()) this.#end(file, source);
  }

  #begin(file: SentFile, { size, permissions, modifiedMs: modified }: FileSource): void {
    const { machine, line } = this.#options;
    const { path, kind } = file;
    const message = machine.begin({ path, kind, size, permissions, modified });
    this.#current = message.file;
    this.#underway.set(message.file, { file, sha256: undefined });
    line.sendFileControl(message);
  }

  async #send(bytes: Uint8Array): Promise<void> {
    const { machine, line } = this.#options;
    await line.sendFile(machine.bytes(bytes.length), bytes);
    this.#check();
    this.#progress(bytes.length);
  }

  #end(file: SentFile, { sha256 }: FileSource): void {
    const { machine, line } = this.#options;
    const number = this.#current;
    if (this.#underway.has(number)) this.#underway.set(number, { file, sha256 });
    line.sendFileControl(machine.end(sha256));
  }

  #progress(more: number): void {
    this.#bytes += more;
    this.#options.on({ type: "progress", bytes: this.#bytes });
  }

  #check(): void {
    if (this.#stop) throw this.#stop;
  }

  async #until(isSo: () => boolean): Promise<void> {
    for (;;) {
      this.#check();
      if (isSo()) return;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
