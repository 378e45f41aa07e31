/** What became of the files that are sent, over all tries, and how that is told. */

import { encodeHex, parseBase64 } from "../lib/base/bytes.ts";
import { PkiError } from "../lib/base/errors.ts";
import type { SendingEvent } from "../lib/peer/file_sending.ts";
import type { LeftOut, SentFile, Walk } from "../lib/peer/file_walk.ts";
import { count, formatBytes } from "./quantity.ts";
import { countFiles, describeFiles } from "./sending.ts";

interface Failure {
  readonly file: SentFile;
  readonly error: PkiError;
}

export class SendingTally {
  readonly #files: readonly SentFile[];
  readonly #leftOut: readonly LeftOut[];
  readonly #answered = new Set<SentFile>();
  readonly #stored: SentFile[] = [];
  readonly #failures: Failure[] = [];
  #sha256: string | undefined;
  /** Bytes that the receiver had from an earlier try. */
  #hadBytes = 0;
  /** Whether anything has moved since {@link startTry}. */
  #hasMoved = false;

  constructor({ files, leftOut }: Walk) {
    this.#files = files;
    this.#leftOut = leftOut;
  }

  /** What the receiver has not answered. */
  get left(): readonly SentFile[] {
    return this.#files.filter((file) => !this.#answered.has(file));
  }

  get hasMoved(): boolean {
    return this.#hasMoved;
  }

  startTry(): void {
    this.#hasMoved = false;
  }

  take(event: SendingEvent): void {
    switch (event.type) {
      case "accepted":
        return;
      case "begun":
        this.#hadBytes += event.had;
        return;
      case "progress":
        this.#hasMoved = true;
        return;
      case "stored":
        this.#answered.add(event.file);
        this.#stored.push(event.file);
        this.#sha256 = event.sha256;
        return;
      case "failed":
        this.#answered.add(event.file);
        this.#failures.push({ file: event.file, error: event.error });
        return;
    }
  }

  /** Hex, where a single file was sent. */
  get #hash(): string | undefined {
    const [only, more] = this.#stored;
    if (!only || more || this.#files.length > 1 || this.#sha256 === undefined) return undefined;
    return encodeHex(parseBase64(this.#sha256));
  }

  describe(peer: string): readonly [json: Readonly<Record<string, unknown>>, text: string] {
    const stored = this.#stored;
    const files = stored.filter(({ kind }) => kind === "file").length;
    const bytes = stored.reduce((sum, { size }) => sum + size, 0);
    const sha256 = this.#hash;
    const json = {
      peer,
      files,
      folders: stored.length - files,
      bytes,
      resumed: this.#hadBytes,
      ...(sha256 === undefined ? {} : { sha256 }),
      failed: this.#failures.map(({ file, error: { kind, message } }) => ({
        path: file.location,
        kind,
        message,
      })),
      leftOut: this.#leftOut.map(({ location, why }) => ({ path: location, why })),
    };
    if (stored.length === 0) return [json, ""];
    const text = [
      `sent ${describeFiles(stored)} to ${peer}`,
      ...(this.#hadBytes === 0 ? [] : [`${formatBytes(this.#hadBytes)} of it were there already`]),
      ...(this.#leftOut.length === 0 ? [] : [`${this.#leftOut.length} left out`]),
      ...(sha256 === undefined ? [] : [`SHA-256 ${sha256}`]),
    ].join(", ");
    return [json, text];
  }

  /**
   * @throws {PkiError} if a file failed, or could not be read: of the kind of the first, or `storage` if
   *   there is such a one
   */
  check(): void {
    const unread = this.#leftOut.filter(({ isUnreadable }) => isUnreadable).map(
      ({ location, why }) => new PkiError("storage", `cannot send "${location}": ${why}`),
    );
    const errors = [...this.#failures.map(({ error }) => error), ...unread];
    const worst = errors.find(({ kind }) => kind === "storage") ?? errors[0];
    if (!worst) return;
    if (errors.length === 1) throw worst;
    throw new PkiError(
      worst.kind,
      `${count(errors.length, "file")} of ${
        countFiles(this.#files)
      } failed; one of them: ${worst.message}`,
      { cause: worst, ...(worst.hint === undefined ? {} : { hint: worst.hint }) },
    );
  }
}
