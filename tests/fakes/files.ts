/**
 * A disk in memory that forgets like a real one. What was written is in the cache at once and on
 * the platter only after a sync; a crash keeps what was synced and any prefix of the rest.
 */

import { dirname } from "node:path";
import type { Bytes } from "../../lib/base/bytes.ts";
import type { Files, LogFile } from "../../lib/store/journal.ts";

export type CallName =
  | "makeFolder"
  | "open"
  | "rename"
  | "syncFolder"
  | "size"
  | "read"
  | "write"
  | "truncate"
  | "sync"
  | "close";

export interface Call {
  readonly name: CallName;
  /** How many calls there were before this one. */
  readonly index: number;
}

/** How a call goes wrong. */
export type Fault =
  /** It throws; `isStored` says whether it was done all the same. */
  | { readonly code: string; readonly isStored?: boolean }
  /** It reads or writes at most that many bytes, and reports it. */
  | { readonly shortBytes: number };

interface Change {
  /** In how many steps a crash can interrupt it: bytes of a write, else 1. */
  readonly steps: number;
  readonly isData: boolean;
  apply(content: Bytes, steps: number): Bytes;
}

class Inode {
  cache: Bytes = new Uint8Array();
  durable: Bytes = new Uint8Array();
  pending: Change[] = [];

  change(change: Change): void {
    this.cache = change.apply(this.cache, change.steps);
    this.pending.push(change);
  }
}

interface NameChange {
  apply(names: Map<string, Inode>): void;
}

export class FakeFiles implements Files {
  readonly calls: CallName[] = [];
  /** Asked before each call. */
  fault: (call: Call) => Fault | undefined = () => undefined;
  /** Runs before each call; may hold it up. */
  before: (call: Call) => void | Promise<void> = () => {};

  #names = new Map<string, Inode>();
  #durableNames = new Map<string, Inode>();
  #pendingNames: NameChange[] = [];
  /** Folders that were made, and whether that is durable. */
  readonly #folders = new Map<string, boolean>();

  count(name: CallName): number {
    return this.calls.filter((call) => call === name).length;
  }

  /** What a reader would see now. */
  content(path: string): Bytes | undefined {
    return this.#names.get(path)?.cache;
  }

  /** Puts a file on the platter. */
  plant(path: string, content: Uint8Array): void {
    const inode = new Inode();
    inode.cache = inode.durable = new Uint8Array(content);
    this.#names.set(path, inode);
    this.#durableNames.set(path, inode);
  }

  /** How much a crash could lose now: `crash` takes 0 to this for each. */
  unsynced(): { names: number; steps: number } {
    const steps = [...this.#names.values()].map((inode) =>
      inode.pending.reduce((sum, change) => sum + change.steps, 0)
    );
    return { names: this.#pendingNames.length, steps: Math.max(0, ...steps) };
  }

  /** The disk after a crash that kept so many changes of names and steps of each file. */
  crash(keep: { names: number; steps: number } = { names: 0, steps: 0 }): FakeFiles {
    const names = new Map(this.#durableNames);
    for (const change of this.#pendingNames.slice(0, keep.names)) change.apply(names);
    const disk = new FakeFiles();
    for (const [path, inode] of names) {
      if (this.#folders.get(dirname(path)) === false) continue;
      let content = inode.durable;
      let left = keep.steps;
      for (const change of inode.pending) {
        const steps = Math.min(left, change.steps);
        if (steps > 0) content = change.apply(content, steps);
        left -= steps;
      }
      disk.plant(path, content);
    }
    return disk;
  }

  /** The same disk for the next process: the system goes on, the faults end. */
  restart(): FakeFiles {
    const disk = new FakeFiles();
    disk.#names = this.#names;
    disk.#durableNames = this.#durableNames;
    disk.#pendingNames = this.#pendingNames;
    for (const [folder, isDurable] of this.#folders) disk.#folders.set(folder, isDurable);
    return disk;
  }

  makeFolder(path: string): Promise<void> {
    return this.#call("makeFolder", () => {
      if (!this.#folders.has(path)) this.#folders.set(path, false);
    });
  }

  async open(path: string, mode: "existing" | "create"): Promise<LogFile> {
    const inode = await this.#call("open", () => {
      const old = this.#names.get(path);
      if (mode === "existing") {
        if (old === undefined) throw systemError("ENOENT");
        return old;
      }
      if (old !== undefined) {
        old.change(truncation(0));
        return old;
      }
      const made = new Inode();
      this.#rename({ apply: (names) => names.set(path, made) });
      return made;
    });
    return this.#logFile(inode);
  }

  rename(from: string, to: string): Promise<void> {
    return this.#call("rename", () => {
      const inode = this.#names.get(from);
      if (inode === undefined) throw systemError("ENOENT");
      this.#rename({ apply: (names) => names.delete(from) && names.set(to, inode) });
    });
  }

  /** Files may be in one folder only. */
  syncFolder(path: string): Promise<void> {
    return this.#call("syncFolder", () => {
      for (const folder of this.#folders.keys()) {
        if (dirname(folder) === path) this.#folders.set(folder, true);
      }
      if ([...this.#names.keys()].every((name) => dirname(name) === path)) {
        this.#durableNames = new Map(this.#names);
        this.#pendingNames = [];
      }
    });
  }

  #rename(change: NameChange): void {
    change.apply(this.#names);
    this.#pendingNames.push(change);
  }

  #logFile(inode: Inode): LogFile {
    return {
      size: () => this.#call("size", () => inode.cache.length),
      read: (into, position) =>
        this.#call("read", (bytesMax) => {
          const part = inode.cache.subarray(position, position + Math.min(into.length, bytesMax));
          into.set(part);
          return part.length;
        }),
      write: (bytes, position) =>
        this.#call("write", (bytesMax) => {
          const part = new Uint8Array(bytes.subarray(0, bytesMax));
          inode.change(writing(part, position));
          return part.length;
        }),
      truncate: (length) => this.#call("truncate", () => inode.change(truncation(length))),
      sync: () =>
        this.#call("sync", () => {
          // Not the cache itself: what a failed sync has dropped never gets to the platter.
          for (const change of inode.pending) {
            inode.durable = change.apply(inode.durable, change.steps);
          }
          inode.pending = [];
        }, () => {
          // Linux drops the data and calls it clean; lengths stay in the file system's own journal.
          inode.pending = inode.pending.filter(({ isData }) => !isData);
        }),
      close: () => this.#call("close", () => {}),
    };
  }

  /** Does a call, with the fault that is planned for it; `onFailure` is what a failure changes. */
  async #call<T>(
    name: CallName,
    act: (bytesMax: number) => T,
    onFailure: () => void = () => {},
  ): Promise<T> {
    const call = { name, index: this.calls.length };
    this.calls.push(name);
    await this.before(call);
    const fault = this.fault(call);
    if (fault === undefined) return act(Infinity);
    if ("shortBytes" in fault) return act(fault.shortBytes);
    if (fault.isStored !== true) {
      onFailure();
    } else {
      try {
        act(Infinity);
      } catch { /* It fails in any case. */ }
    }
    throw systemError(fault.code);
  }
}

function writing(bytes: Bytes, position: number): Change {
  return {
    steps: bytes.length,
    isData: true,
    apply(content, steps) {
      const grown = new Uint8Array(Math.max(content.length, position + steps));
      grown.set(content);
      grown.set(bytes.subarray(0, steps), position);
      return grown;
    },
  };
}

function truncation(length: number): Change {
  return { steps: 1, isData: false, apply: (content) => content.slice(0, length) };
}

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: planned by the test`), { code });
}
