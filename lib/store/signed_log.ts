/**
 * The journal with a signature on it: after each sync a checkpoint is signed and remembered in files
 * inside and outside the data folder, before anybody hears that the entry is there. Whoever finds
 * the log behind one of its own checkpoints knows that entries were lost.
 */

import type { KeyObject } from "node:crypto";
import type { Bytes } from "../base/bytes.ts";
import { LIMITS } from "../base/limits.ts";
import { messageOf, PkiError } from "../base/errors.ts";
import { type Checkpoint, openCheckpoint, readOrigin, signCheckpoint } from "../log/checkpoint.ts";
import { encodeLeaf, type StoredEntry } from "../log/entry.ts";
import type { NoteKey } from "../log/note.ts";
import type { CheckpointFile } from "./checkpoint_file.ts";
import type { Appended, Journal } from "./journal.ts";
import type { LogIndex } from "./log_index.ts";

/** The log's own key, and what it is known by. */
export interface LogSigner {
  readonly key: KeyObject;
  readonly verifier: NoteKey;
}

export interface SignedLogOptions {
  readonly index: LogIndex;
  readonly signer: LogSigner;
  /** A sentence for the operator. */
  readonly warn: (text: string) => void;
  /** A clock that nobody sets, in milliseconds. */
  readonly elapsed?: () => number;
}

/** What proves that an entry is in the log. */
export interface Inclusion {
  readonly leaf: Bytes;
  readonly proof: readonly Bytes[];
}

export class SignedLog {
  readonly #index: LogIndex;
  readonly #signer: LogSigner;
  readonly #warn: (text: string) => void;
  #journal: Journal | undefined;
  readonly #elapsed: () => number;
  #files: readonly CheckpointFile[] = [];
  /** Those that could not be written the last time, and when that is tried again. */
  readonly #failed = new Map<CheckpointFile, number>();
  /** The checkpoint by which somebody has shown that entries were lost: nothing is appended on top. */
  #loss: string | undefined;
  /** The newest checkpoint, as a note, and its size. */
  #note: string;
  #size: number;

  constructor({ index, signer, warn, elapsed }: SignedLogOptions) {
    this.#elapsed = elapsed ?? (() => performance.now());
    this.#index = index;
    this.#signer = signer;
    this.#warn = warn;
    this.#size = index.size;
    this.#note = this.#sign();
  }

  /** What it appends to and where it remembers; before that it only judges and proves. */
  attach(journal: Journal, files: readonly CheckpointFile[]): void {
    this.#journal = journal;
    this.#files = files;
  }

  /** For the journal: what the index holds now is durable. */
  readonly onSynced = (): void => {
    this.#size = this.#index.size;
    this.#note = this.#sign();
    if (this.#loss !== undefined) return;
    for (const file of this.#files) {
      if (this.#failed.size === 0 || this.#isDue(file)) this.#write(file, this.#note);
    }
  };

  /** Each try of a disk that does not answer may take seconds. */
  #isDue(file: CheckpointFile): boolean {
    return this.#elapsed() >= (this.#failed.get(file) ?? -Infinity);
  }

  #sign(): string {
    const { verifier: { name: origin }, key } = this.#signer;
    return signCheckpoint({ origin, size: this.#size, root: this.#index.tree.root() }, { key });
  }

  /** Tells of the first failure, and of the end of it. */
  #write(file: CheckpointFile, note: string): void {
    try {
      file.write(note);
      if (this.#failed.delete(file)) {
        this.#warn(`the checkpoint file "${file.path}" is written again`);
      }
    } catch (error) {
      if (!this.#failed.has(file)) {
        this.#warn(
          `cannot write the checkpoint file "${file.path}": ${messageOf(error)}; ` +
            "it is tried again from time to time",
        );
      }
      this.#failed.set(file, this.#elapsed() + LIMITS.checkpointRetryMs);
    }
  }

  /** What could not be written is tried again now. */
  #catchUp(): void {
    for (const file of [...this.#failed.keys()]) this.#write(file, this.#loss ?? this.#note);
  }

  /** The newest checkpoint, over everything that was acknowledged. */
  get checkpoint(): string {
    return this.#note;
  }

  get size(): number {
    return this.#size;
  }

  /** How long the log is on disk. */
  get bytes(): number {
    return this.#index.bytes;
  }

  /** @throws {PkiError} `storage` */
  append(entry: StoredEntry): Promise<Appended> {
    if (this.#loss !== undefined) {
      return Promise.reject(new PkiError("storage", "cannot append to log: it has lost entries"));
    }
    return this.#attached.append(entry);
  }

  /**
   * Takes the private parts of entries away, as {@link Journal.prototype.redact}; no hash changes, so
   * every checkpoint and proof stays true.
   * @throws {PkiError} `not-found`, `storage`
   */
  redact(entries: readonly number[]): Promise<void> {
    if (this.#loss !== undefined) {
      return Promise.reject(new PkiError("storage", "cannot redact log: it has lost entries"));
    }
    return this.#attached.redact(entries);
  }

  /** Changes when a redaction begins and when it ends: {@link Journal.prototype.redactions}. */
  get redactions(): number {
    return this.#attached.redactions;
  }

  /** @throws {PkiError} `not-found`, `storage` if it is damaged */
  read(index: number): StoredEntry {
    return this.#attached.read(index);
  }

  /**
   * Makes what is remembered of the newest checkpoint durable: from here on nobody can put back an
   * older copy of the folder unnoticed, also after a power cut. Of a disk that fails, or does not
   * answer, the operator hears, and nobody waits for it.
   */
  async witness(): Promise<void> {
    this.#catchUp();
    await Promise.all(this.#files.map(async (file) => {
      try {
        await syncInTime(file);
      } catch (error) {
        this.#warn(`cannot sync the checkpoint file "${file.path}": ${messageOf(error)}`);
      }
    }));
  }

  get #attached(): Journal {
    if (!this.#journal) throw new PkiError("internal", "the log has no journal");
    return this.#journal;
  }

  /** That an entry is in the log of the newest checkpoint. @throws {PkiError} `not-found`, `storage` */
  proveInclusion(index: number): Inclusion {
    const leaf = encodeLeaf(this.read(index));
    return { leaf, proof: this.#index.tree.inclusionProof(index, this.#size) };
  }

  /** That the newest checkpoint goes on from an earlier size. @throws {PkiError} `not-found` */
  proveConsistency(from: number): readonly Bytes[] {
    if (from > this.#size) {
      throw new PkiError("not-found", `cannot prove: the log has ${this.#size} entries`);
    }
    return this.#index.tree.consistencyProof(from, this.#size);
  }

  /**
   * What was lost, if this note is a checkpoint of ours that the log does not go on from. A note that
   * our key has not signed says nothing, and is nobody's business here.
   */
  lossBy(note: string): string | undefined {
    return lossOf(this.#index, openOwn(note, this.#signer.verifier));
  }

  /**
   * Keeps a checkpoint of ours that the log does not go on from for the next start, durably, and
   * appends nothing any more: what came after it would hide it.
   */
  async keepLoss(note: string): Promise<void> {
    this.#loss = note;
    for (const file of this.#files) this.#write(file, note);
    const synced = await Promise.allSettled(this.#files.map(syncInTime));
    for (const one of synced) if (one.status === "rejected") throw one.reason;
  }

  async close(): Promise<void> {
    await this.#journal?.close();
    this.#catchUp();
    for (const file of this.#files) {
      // The log is whole without them.
      await syncInTime(file).catch(() => {});
      await file.close().catch(() => {});
    }
    this.#files = [];
  }
}

/** @throws {PkiError} `storage` after a while, though it may still be synced; {Error} of the system */
async function syncInTime(file: CheckpointFile): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    const why = `its disk has not answered for ${LIMITS.checkpointSyncMs / 1000} s`;
    timer = setTimeout(() => reject(new PkiError("storage", why)), LIMITS.checkpointSyncMs);
  });
  try {
    await Promise.race([file.sync(), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A checkpoint that this key has signed; `undefined` for anything else. */
export function openOwn(note: string, verifier: NoteKey): Checkpoint | undefined {
  try {
    return readOrigin(note) === verifier.name ? openCheckpoint(note, verifier) : undefined;
  } catch {
    return undefined; // whoever wrote it, it was not us
  }
}

/** What a log has lost that has signed this checkpoint, as a sentence. */
export function lossOf(index: LogIndex, checkpoint: Checkpoint | undefined): string | undefined {
  if (!checkpoint || index.isPrefix(checkpoint.size, checkpoint.root)) return undefined;
  return checkpoint.size > index.size
    ? `the log has ${index.size} entries, and it had ${checkpoint.size} before`
    : `the first ${checkpoint.size} entries of the log are not those that it had before`;
}
