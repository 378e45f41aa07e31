/**
 * Which folders were made here for what a peer has sent, remembered in the home: what a peer sends is
 * put into such a folder again, to go on with it, and into no other one that is there already.
 */

import * as v from "valibot";
import { readTextIfThere, writeFileAtomic } from "../base/files.ts";
import { parseJson } from "../base/json.ts";
import type { Home } from "./home.ts";
import { join } from "node:path";

/** The newest are kept: enough for whoever gets three a day for a year. */
const FOLDERS_MAX = 1000;

const FOLDER = v.strictObject({
  owner: v.string(),
  name: v.string(),
  location: v.string(),
  inode: v.number(),
  bornMs: v.number(),
});
const FOLDERS = v.array(FOLDER);

export type KnownFolder = v.InferOutput<typeof FOLDER>;

export class FolderMemory {
  readonly #path: string;

  constructor({ folder }: Home) {
    this.#path = join(folder, "received.json");
  }

  /** A file that cannot be read as such is as none: what is sent again gets a new folder. */
  list(): readonly KnownFolder[] {
    try {
      return v.parse(FOLDERS, parseJson(readTextIfThere(this.#path) ?? "[]"));
    } catch {
      return [];
    }
  }

  /** Of two who add at once one may be forgotten: the same harm. @throws {PkiError} `storage` */
  add(folder: KnownFolder): void {
    const others = this.list().filter(({ location }) => location !== folder.location);
    const newest = [...others, folder].slice(-FOLDERS_MAX);
    writeFileAtomic(this.#path, `${JSON.stringify(newest)}\n`, { isDurable: false });
  }
}
