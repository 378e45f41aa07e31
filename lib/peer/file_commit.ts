/**
 * Files become durable and get their names in groups: those that are complete while a group is synced
 * make the next one. A disk takes about as long for fifty small files as for one.
 */

import type { FileHandle } from "node:fs/promises";
import * as fs from "node:fs/promises";
import { systemCodeOf } from "../base/errors.ts";

export interface Completed<T> {
  /** Open, and closed here. */
  readonly handle: FileHandle;
  /** Where its name will be. */
  readonly folder: string;
  /** Gives it its name, once its content is on the disk. */
  readonly place: () => Promise<T>;
}

interface Waiting {
  readonly handle: FileHandle;
  readonly folder: string;
  /** Resolves to what is told when the folder is on the disk too. */
  readonly place: () => Promise<() => void>;
  readonly fail: (error: unknown) => void;
}

export class FileCommits {
  #waiting: Waiting[] = [];
  #isRunning = false;

  /** Resolves when content and name are on the disk. @throws what the system or `place` throws */
  commit<T>({ handle, folder, place }: Completed<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({
        handle,
        folder,
        place: async () => {
          const placed = await place();
          return () => resolve(placed);
        },
        fail: reject,
      });
      void this.#run();
    });
  }

  async #run(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    while (this.#waiting.length > 0) await commitGroup(this.#waiting.splice(0));
    this.#isRunning = false;
  }
}

async function commitGroup(group: readonly Waiting[]): Promise<void> {
  const told = new Map<Waiting, () => void>();
  await Promise.all(group.map(async (file) => {
    try {
      try {
        await file.handle.sync();
      } finally {
        await file.handle.close();
      }
      told.set(file, await file.place());
    } catch (error) {
      file.fail(error);
    }
  }));
  const folders = new Map<string, Promise<void>>();
  await Promise.all([...told].map(async ([file, tell]) => {
    const synced = folders.get(file.folder) ?? syncFolderLater(file.folder);
    folders.set(file.folder, synced);
    try {
      await synced;
      tell();
    } catch (error) {
      file.fail(error);
    }
  }));
}

/** Makes the entries of a folder durable; where folders cannot be synced there is nothing to do. */
async function syncFolderLater(folder: string): Promise<void> {
  let handle: FileHandle;
  try {
    handle = await fs.open(folder, "r");
  } catch (error) {
    if (systemCodeOf(error) === "EISDIR" || systemCodeOf(error) === "EPERM") return; // Windows
    throw error;
  }
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
