/**
 * The copies of users' certificates in a data folder (`copies.ts` writes them), held against the log: a
 * copy is of the newest certificate of its id, and everybody who has one has a copy.
 */

import { join } from "node:path";
import { encodeHex, sha256, utf8 } from "../base/bytes.ts";
import { messageOf, systemCodeOf } from "../base/errors.ts";
import { type Files, openIfThere, readBytes } from "../store/disk.ts";

/** What it is, and what the log has said of it so far. */
interface Copy {
  readonly hash: string;
  seen: "never" | "newest" | "older";
}

export interface CopiesOptions {
  readonly files: Files;
  /** Where they are; `undefined` where there are none, as in a backup. */
  readonly folder: string | undefined;
  readonly error: (where: string, what: string) => void;
  readonly note: (where: string, what: string) => void;
}

export class Copies {
  readonly #options: CopiesOptions;
  readonly #copies = new Map<string, Copy>();
  readonly #certified = new Set<string>();
  readonly #deleted = new Set<string>();

  constructor(options: CopiesOptions) {
    this.#options = options;
  }

  async read(): Promise<void> {
    const { files, folder, error: report, note } = this.#options;
    if (folder === undefined) return;
    let names: readonly string[];
    try {
      names = await files.list(folder);
    } catch (error) {
      if (systemCodeOf(error) !== "ENOENT") report(folder, messageOf(error));
      return;
    }
    for (const name of names) {
      const path = join(folder, name);
      if (name.startsWith(".")) {
        note(path, "a crash has left it; it can be removed");
        continue;
      }
      if (!name.endsWith(".pem")) {
        report(path, "it does not belong here");
        continue;
      }
      try {
        const file = await openIfThere(files, path, "read");
        if (!file) continue; // replaced this moment
        const content = await readBytes(file).finally(() => file.close());
        this.#copies.set(name.slice(0, -".pem".length), { hash: hashOf(content), seen: "never" });
      } catch (error) {
        report(path, messageOf(error));
      }
    }
  }

  /** The log says that this was issued; called in its order, behind {@link Copies.read}. */
  issued(id: string, pem: string): void {
    this.#certified.add(id);
    const copy = this.#copies.get(id);
    if (!copy) return;
    if (hashOf(utf8(pem)) === copy.hash) copy.seen = "newest";
    else if (copy.seen === "newest") copy.seen = "older";
  }

  /** The log says that this account is gone for good. */
  deleted(id: string): void {
    this.#deleted.add(id);
  }

  /**
   * Reports what does not fit, when all of the log was read.
   * @param isLive whether a server is running: copies are written after the log, and behind it for a
   *   moment
   */
  check({ isLive }: { readonly isLive: boolean }): void {
    const { folder, error, note } = this.#options;
    if (folder === undefined) return;
    for (const [id, { seen }] of this.#copies) {
      const path = join(folder, `${id}.pem`);
      if (!this.#certified.has(id)) {
        error(path, "the log has no certificate of this id");
      } else if (this.#deleted.has(id)) {
        note(path, "its account was deleted; it can be removed");
      } else if (seen === "never") {
        error(path, "the log does not have this certificate");
      } else if (seen === "older" && !isLive) {
        note(path, "it is not the newest certificate; the log has that");
      }
    }
    const missing = isLive
      ? []
      : [...this.#certified].filter((id) => !this.#copies.has(id) && !this.#deleted.has(id));
    for (const id of missing) {
      note(join(folder, `${id}.pem`), "it is missing; the log has the certificate");
    }
  }
}

function hashOf(bytes: Uint8Array): string {
  return encodeHex(sha256(bytes));
}
