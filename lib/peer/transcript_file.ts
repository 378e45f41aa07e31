/**
 * A transcript's file as it is written: each line whole, as it happens, so that a crash leaves what was
 * said until then. What its lines are is in {@link file://./transcript_lines.ts}.
 *
 * It is for its owner's eyes only and never takes the place of a file that is there.
 */

import * as fs from "node:fs";
import { Buffer } from "node:buffer";
import { encodeBase64, encodeHex } from "../base/bytes.ts";
import { PkiError, systemCodeOf } from "../base/errors.ts";
import { SECRET_MODE, storageError } from "../base/files.ts";
import type { PeerRole } from "../protocol/safety_words.ts";
import { encodeFileEntry, TranscriptChains, type TranscriptFile } from "../protocol/transcript.ts";
import {
  encodeTranscriptLine,
  FIRST_RUNNING_HASH,
  TRANSCRIPT_VERSION,
  type TranscriptHead,
  type TranscriptLine,
  type Unplaced,
} from "./transcript_lines.ts";

/** A message of either side, with the bytes that it has in its chain. */
export interface SpokenMessage {
  readonly timeMs: number;
  readonly seen: number;
  readonly text: string;
  readonly bytes: Uint8Array;
}

/** A file that is there for a transcript, with nothing in it yet. */
export interface ReservedFile {
  readonly path: string;
  readonly descriptor: number;
}

export interface TranscriptFileOptions {
  readonly file: ReservedFile;
  readonly now: () => number;
  /** Signs, with the key of the keeper's certificate, what all lines so far come to. */
  readonly seal: (running: Uint8Array) => Uint8Array;
}

/** What the first line says, but for what follows from the rest. */
export type TranscriptOpening = Omit<
  Unplaced<TranscriptHead>,
  "type" | "version" | "started" | "session"
>;

/** What a transcript's descriptor is written with; a test passes one that fails. */
export type WriteSync = (descriptor: number, bytes: Uint8Array) => number;

/** What is noted of a conversation as it goes on. */
export interface TranscriptNotes {
  /** Why nothing more is written, if that is so: the file ends with the last line that was whole. */
  readonly failure: PkiError | undefined;
  /** What both sides sign: it goes on also where the file does not. */
  toSign(): Uint8Array;
  message(from: PeerRole, message: SpokenMessage): void;
  /** A file that a side has sent whole. */
  file(from: PeerRole, file: TranscriptFile): void;
  signature(by: PeerRole, signature: Uint8Array): void;
  /**
   * The conversation is over.
   * @param why it did not end well, if it did not
   */
  end(why: string | undefined): void;
}

export class TranscriptWriter implements TranscriptNotes {
  readonly #options: TranscriptFileOptions;
  readonly #chains: TranscriptChains;
  readonly #keeper: PeerRole;
  readonly #write: WriteSync;
  #lines = 0;
  /** Bytes of whole lines. */
  #length = 0;
  #running = FIRST_RUNNING_HASH;
  #isClosed = false;
  #failure: PkiError | undefined;

  /**
   * Writes the first line.
   * @param session the 32 bytes that stand for the conversation
   */
  constructor(
    options: TranscriptFileOptions,
    { session, opening }: { readonly session: Uint8Array; readonly opening: TranscriptOpening },
    write: WriteSync = (descriptor, bytes) => fs.writeSync(descriptor, bytes),
  ) {
    this.#options = options;
    this.#write = write;
    this.#chains = new TranscriptChains(session);
    this.#keeper = opening.keeper;
    this.#add({
      type: "transcript",
      version: TRANSCRIPT_VERSION,
      started: this.#now(),
      session: encodeHex(session),
      ...opening,
    });
  }

  get failure(): PkiError | undefined {
    return this.#failure;
  }

  toSign(): Uint8Array {
    return this.#chains.toSign();
  }

  message(from: PeerRole, { timeMs, seen, text, bytes }: SpokenMessage): void {
    const hash = this.#chains.add(from, "message", bytes);
    this.#add({
      type: "message",
      from,
      number: this.#chains.entries(from),
      time: new Date(timeMs).toISOString(),
      seen,
      noted: this.#now(),
      text,
      hash: encodeHex(hash),
    });
  }

  file(from: PeerRole, file: TranscriptFile): void {
    const hash = this.#chains.add(from, "file", encodeFileEntry(file));
    const { path, size, sha256 } = file;
    this.#add({
      type: "file",
      from,
      number: this.#chains.entries(from),
      path: [...path],
      size,
      sha256: encodeHex(sha256),
      noted: this.#now(),
      hash: encodeHex(hash),
    });
  }

  signature(by: PeerRole, signature: Uint8Array): void {
    this.#add({
      type: "signature",
      by,
      noted: this.#now(),
      signature: encodeBase64(signature),
    });
  }

  /** Writes the last lines: how the conversation ended, and the keeper's seal. */
  end(why: string | undefined): void {
    if (this.#isClosed) return;
    const chainEnd = (role: PeerRole) => ({
      entries: this.#chains.entries(role),
      hash: encodeHex(this.#chains.hash(role)),
    });
    this.#add({
      type: "end",
      noted: this.#now(),
      complete: why === undefined,
      why: why?.slice(0, 1000) ?? null,
      caller: chainEnd("caller"),
      listener: chainEnd("listener"),
    });
    if (!this.#failure) {
      const signature = encodeBase64(this.#options.seal(this.#running));
      this.#add({ type: "seal", by: this.#keeper, signature });
    }
    this.#close();
  }

  #now(): string {
    return new Date(this.#options.now()).toISOString();
  }

  #add(line: Unplaced): void {
    if (this.#failure || this.#isClosed) return;
    const placed = { n: this.#lines + 1, ...line } as TranscriptLine;
    const { text, running } = encodeTranscriptLine(placed, this.#running);
    try {
      this.#append(Buffer.from(text));
    } catch (error) {
      this.#failure = storageError(`cannot write "${this.#options.file.path}"`, error);
      return this.#cutBack();
    }
    this.#running = running;
    this.#lines++;
  }

  #append(bytes: Uint8Array): void {
    let written = 0;
    while (written < bytes.length) {
      written += this.#write(this.#options.file.descriptor, bytes.subarray(written));
    }
    this.#length += bytes.length;
  }

  /** Takes back a line of which a part was written. */
  #cutBack(): void {
    try {
      fs.ftruncateSync(this.#options.file.descriptor, this.#length);
    } catch {
      // Then the file ends with half a line, which whoever reads it is told.
    }
  }

  #close(): void {
    this.#isClosed = true;
    const { path, descriptor } = this.#options.file;
    for (const work of [fs.fsyncSync, fs.closeSync]) {
      try {
        work(descriptor);
      } catch (error) {
        this.#failure ??= storageError(`cannot write "${path}"`, error);
      }
    }
  }
}

/** A conversation of which no file is kept, but which is to be signed. */
export class UnwrittenTranscript implements TranscriptNotes {
  readonly failure = undefined;
  readonly #chains: TranscriptChains;

  constructor(session: Uint8Array) {
    this.#chains = new TranscriptChains(session);
  }

  toSign(): Uint8Array {
    return this.#chains.toSign();
  }

  message(from: PeerRole, { bytes }: SpokenMessage): void {
    this.#chains.add(from, "message", bytes);
  }

  file(from: PeerRole, file: TranscriptFile): void {
    this.#chains.add(from, "file", encodeFileEntry(file));
  }

  signature(): void {}

  end(): void {}
}

/** Transcripts are never written over anything. */
export function fileIsThere(path: string): PkiError {
  return new PkiError("conflict", `cannot write the transcript to "${path}": it is there already`, {
    hint: "name another file with --transcript",
  });
}

/**
 * Makes the file of a transcript, for its owner alone.
 * @throws {PkiError} `conflict` if there is one already, `storage`
 */
export function reserveFile(path: string): ReservedFile {
  try {
    return { path, descriptor: fs.openSync(path, "wx", SECRET_MODE) };
  } catch (error) {
    if (systemCodeOf(error) === "EEXIST") throw fileIsThere(path);
    throw storageError(`cannot write "${path}"`, error);
  }
}

/** Takes a file back of which no transcript came to be. */
export function releaseFile({ path, descriptor }: ReservedFile): void {
  fs.closeSync(descriptor);
  fs.rmSync(path, { force: true });
}
