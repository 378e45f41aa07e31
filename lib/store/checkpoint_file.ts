/**
 * A file that remembers the newest checkpoint, in two slots that are written in turn: whatever a
 * crash does to one of them, the other is whole, and the signature tells. It is not synced with
 * every checkpoint, so after a power cut it may be behind the log, which does no harm. That it is
 * ever ahead of the log means that the log has lost entries.
 */

import { dirname } from "node:path";
import { concatBytes, parseUtf8, utf8 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { type Files, type LogFile, openIfThere, readBytes, writeBytes } from "./disk.ts";

const SLOT_BYTES = LIMITS.checkpointBytesMax;
const SLOTS = 2;

/**
 * The notes in a file, unverified, by slot; of a file that is not there, none.
 * @throws {Error} of the system
 */
export async function readNotes(files: Files, path: string): Promise<readonly string[]> {
  const file = await openIfThere(files, path, "read");
  if (!file) return [];
  try {
    const bytes = await readBytes(file, 0, Math.min(await file.size(), SLOTS * SLOT_BYTES));
    return [0, 1].map((slot) =>
      textOf(bytes.subarray(slot * SLOT_BYTES, (slot + 1) * SLOT_BYTES)).replace(/\n*$/, "\n")
    );
  } finally {
    await file.close();
  }
}

function textOf(bytes: Uint8Array): string {
  try {
    return parseUtf8(bytes);
  } catch {
    return "\ufffd"; // something, and no note
  }
}

export class CheckpointFile {
  readonly path: string;
  readonly #file: LogFile;
  /** The slot that is written next. */
  #slot: number;
  /** Settles when the sync that is under way has ended, however it ends. */
  #syncing: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  private constructor(path: string, file: LogFile, slot: number) {
    this.path = path;
    this.#file = file;
    this.#slot = slot;
  }

  /**
   * Opens the file, or makes one, and writes a first note, durably.
   * @param keep the slot that is left alone until then, because it holds the newest note
   * @throws {Error} of the system
   */
  static async open(
    files: Files,
    path: string,
    { note, keep }: { readonly note: string; readonly keep: number },
  ): Promise<CheckpointFile> {
    let file = await openIfThere(files, path, "existing");
    const isNew = file === undefined;
    file ??= await files.open(path, "create");
    try {
      const size = await file.size();
      // Full length from the start: later a full disk is no obstacle.
      if (size < SLOTS * SLOT_BYTES) {
        await writeBytes(file, new Uint8Array(SLOTS * SLOT_BYTES - size).fill(0x0a), size);
      }
      const checkpoints = new CheckpointFile(path, file, 1 - keep);
      checkpoints.write(note);
      await file.sync();
      if (isNew) await files.syncFolder(dirname(path));
      return checkpoints;
    } catch (error) {
      await file.close().catch(() => {}); // The first failure is the one to tell.
      throw error;
    }
  }

  /** Blocks for microseconds. @throws {Error} of the system; then the other slot is as it was */
  write(note: string): void {
    this.#file.writeNow(slotOf(note), this.#slot * SLOT_BYTES);
    this.#slot = (this.#slot + 1) % SLOTS;
  }

  /**
   * Makes durable what was written. Who asks while one sync is under way shares the next: of a disk
   * that does not answer each would keep one of the few threads that the log is synced by, too.
   */
  sync(): Promise<void> {
    this.#next ??= this.#syncing.then(() => {
      this.#next = undefined;
      const sync = this.#file.sync();
      this.#syncing = sync.catch(() => {}); // whoever has asked for it hears of it
      return sync;
    });
    return this.#next;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

/** A note and line feeds, so that people can read the file. */
function slotOf(note: string): Uint8Array {
  const bytes = utf8(note);
  if (bytes.length > SLOT_BYTES) {
    throw new PkiError("internal", `cannot keep checkpoint: it has ${bytes.length} bytes`);
  }
  const slot = new Uint8Array(SLOT_BYTES).fill(0x0a);
  slot.set(bytes);
  return slot;
}

/** A whole file of one note, for a copy of what another file remembers. */
export function encodeCheckpointFile(note: string): Uint8Array {
  return concatBytes(slotOf(note), new Uint8Array(SLOT_BYTES).fill(0x0a));
}
