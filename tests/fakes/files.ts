/**
 * A disk in memory that forgets like a real one. What was written is in the cache at once and on
 * the platter only after a sync; a crash keeps what was synced and any prefix of the rest.
 */

import { createHash } from "node:crypto";
import { basename, dirname } from "node:path";
import type { Bytes } from "../../lib/base/bytes.ts";
import type { Files, LogFile } from "../../lib/store/disk.ts";

export type CallName =
  | "makeFolder"
  | "list"
  | "open"
  | "rename"
  | "remove"
  | "syncFolder"
  | "size"
  | "read"
  | "write"
  | "writeNow"
  | "truncate"
  | "sync"
  | "close";

export interface Call {
  readonly name: CallName;
  /** How many calls there were before this one. */
  readonly index: number;
  /** The file or folder; of a rename, the old name. An open file keeps the name that it was opened by. */
  readonly path: string;
}

/** How a call goes wrong. */
export type Fault =
  /** It throws; `isStored` says whether it was done all the same. */
  | { readonly code: string; readonly isStored?: boolean }
  /** It reads or writes at most that many bytes, and reports it. */
  | { readonly shortBytes: number };

/** What a crash keeps: so many changes of names, and so many steps of each file. */
export interface Kept {
  readonly names: number;
  readonly steps: number | ((path: string, most: number) => number);
}

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

  get steps(): number {
    return this.pending.reduce((sum, change) => sum + change.steps, 0);
  }

  change(change: Change): void {
    this.cache = change.apply(this.cache, change.steps);
    this.pending.push(change);
  }
}

/** A folder has its name like a file. */
type Names = Map<string, Inode | "folder">;

interface NameChange {
  /** What has to be synced to make it durable. */
  readonly folder: string;
  apply(names: Names): void;
}

export class FakeFiles implements Files {
  readonly calls: CallName[] = [];
  /** Asked before each call. */
  fault: (call: Call) => Fault | undefined = () => undefined;
  /** Runs before each call; may hold it up, except those that block. */
  before: (call: Call) => void | Promise<void> = () => {};
  /** How many files are open. */
  openCount = 0;

  #names: Names = new Map();
  #durableNames: Names = new Map();
  #pendingNames: NameChange[] = [];

  count(name: CallName): number {
    return this.calls.filter((call) => call === name).length;
  }

  /** What a reader would see now. */
  content(path: string): Bytes | undefined {
    return this.#inode(path)?.cache;
  }

  /** Every file there is now. */
  paths(): string[] {
    return [...this.#names.keys()].filter((path) => this.#inode(path)).sort();
  }

  /** Puts a file on the platter. */
  plant(path: string, content: Uint8Array): void {
    const inode = new Inode();
    inode.cache = inode.durable = new Uint8Array(content);
    for (const names of [this.#names, this.#durableNames]) {
      names.set(dirname(path), "folder");
      names.set(path, inode);
    }
  }

  /** Takes a file off the platter. */
  uproot(path: string): void {
    this.#names.delete(path);
    this.#durableNames.delete(path);
  }

  /** How much a crash could lose now: `crash` takes 0 to this for each. */
  unsynced(): { names: number; steps: number } {
    const steps = [...this.#names.values()].map((inode) => inode === "folder" ? 0 : inode.steps);
    return { names: this.#pendingNames.length, steps: Math.max(0, ...steps) };
  }

  /** The disk after a crash. */
  crash(keep: Kept = { names: 0, steps: 0 }): FakeFiles {
    const names = new Map(this.#durableNames);
    for (const change of this.#pendingNames.slice(0, keep.names)) change.apply(names);
    const disk = new FakeFiles();
    for (const [path, inode] of names) {
      if (this.#isFolder(dirname(path)) && names.get(dirname(path)) !== "folder") continue;
      if (inode === "folder") {
        disk.#names.set(path, inode);
        disk.#durableNames.set(path, inode);
        continue;
      }
      let content = inode.durable;
      let left = typeof keep.steps === "number" ? keep.steps : keep.steps(path, inode.steps);
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
    return disk;
  }

  /** The same for two disks that behave alike: with the same content, now and after a crash. */
  digest(): string {
    const hash = createHash("sha256");
    for (const names of [this.#names, this.#durableNames]) {
      for (const [path, inode] of [...names].sort(([a], [b]) => a < b ? -1 : 1)) {
        hash.update(`${path}\0`);
        if (inode === "folder") continue;
        const pending = inode.pending.map(({ steps, isData }) => `${steps}${isData}`);
        hash.update(`${inode.cache.length} ${inode.durable.length} ${pending}\0`);
        hash.update(inode.cache).update(inode.durable);
      }
      hash.update("\n");
    }
    return hash.update(`${this.#pendingNames.length}`).digest("hex");
  }

  makeFolder(path: string): Promise<void> {
    return this.#call("makeFolder", path, () => {
      if (this.#isFolder(path)) return;
      this.#rename({ folder: dirname(path), apply: (names) => names.set(path, "folder") });
    });
  }

  list(path: string): Promise<readonly string[]> {
    return this.#call("list", path, () => {
      if (!this.#isFolder(path)) throw systemError("ENOENT");
      return [...this.#names.keys()].filter((name) => dirname(name) === path).map((name) =>
        basename(name)
      ).reverse();
    });
  }

  async open(path: string, mode: "existing" | "read" | "create"): Promise<LogFile> {
    const inode = await this.#call("open", path, () => {
      const old = this.#inode(path);
      if (mode !== "create") {
        if (old === undefined) throw systemError("ENOENT");
        return old;
      }
      if (old !== undefined) {
        old.change(truncation(0));
        return old;
      }
      const made = new Inode();
      this.#rename({ folder: dirname(path), apply: (names) => names.set(path, made) });
      return made;
    });
    this.openCount++;
    return this.#logFile(inode, { path, mode });
  }

  rename(from: string, to: string): Promise<void> {
    return this.#call("rename", from, () => {
      const inode = this.#inode(from);
      if (inode === undefined) throw systemError("ENOENT");
      this.#rename({
        folder: dirname(to),
        apply(names) {
          names.delete(from);
          names.set(to, inode);
        },
      });
    });
  }

  remove(path: string): Promise<void> {
    return this.#call("remove", path, () => {
      if (this.#inode(path) === undefined) throw systemError("ENOENT");
      this.#rename({ folder: dirname(path), apply: (names) => names.delete(path) });
    });
  }

  syncFolder(path: string): Promise<void> {
    return this.#call("syncFolder", path, () => {
      for (const change of this.#pendingNames) {
        if (change.folder === path) change.apply(this.#durableNames);
      }
      this.#pendingNames = this.#pendingNames.filter(({ folder }) => folder !== path);
    });
  }

  #inode(path: string): Inode | undefined {
    const inode = this.#names.get(path);
    return inode === "folder" ? undefined : inode;
  }

  #isFolder(path: string): boolean {
    return this.#names.get(path) === "folder";
  }

  #rename(change: NameChange): void {
    change.apply(this.#names);
    this.#pendingNames.push(change);
  }

  #logFile(inode: Inode, { path, mode }: { path: string; mode: string }): LogFile {
    let isOpen = true;
    const check = (changes = false) => {
      if (!isOpen || changes && mode === "read") throw systemError("EBADF");
    };
    const write = (bytes: Uint8Array, { position, bytesMax }: Span) => {
      check(true);
      const part = new Uint8Array(bytes.subarray(0, bytesMax));
      inode.change(writing(part, position));
      return part.length;
    };
    return {
      size: () =>
        this.#call("size", path, () => {
          check();
          return inode.cache.length;
        }),
      read: (into, position) =>
        this.#callNow("read", path, (bytesMax) => {
          check();
          const part = inode.cache.subarray(position, position + Math.min(into.length, bytesMax));
          into.set(part);
          return part.length;
        }),
      write: (bytes, position) =>
        this.#call("write", path, (bytesMax) => write(bytes, { position, bytesMax })),
      writeNow: (bytes, position) =>
        this.#callNow("writeNow", path, (bytesMax) => write(bytes, { position, bytesMax })),
      truncate: (length) =>
        this.#call("truncate", path, () => {
          check(true);
          inode.change(truncation(length));
        }),
      sync: () =>
        this.#call("sync", path, () => {
          check();
          // Not the cache itself: what a failed sync has dropped never gets to the platter.
          for (const change of inode.pending) {
            inode.durable = change.apply(inode.durable, change.steps);
          }
          inode.pending = [];
        }, () => {
          // Linux drops the data and calls it clean; lengths stay in the file system's own journal.
          inode.pending = inode.pending.filter(({ isData }) => !isData);
        }),
      close: () =>
        this.#call("close", path, () => {
          check();
          isOpen = false;
          this.openCount--;
        }, () => {
          // As on Linux, the file is closed all the same.
          isOpen = false;
          this.openCount--;
        }),
    };
  }

  /** Does a call, with the fault that is planned for it; `onFailure` is what a failure changes. */
  async #call<T>(
    name: CallName,
    path: string,
    act: (bytesMax: number) => T,
    onFailure: () => void = () => {},
  ): Promise<T> {
    const call = { name, index: this.calls.length, path };
    this.calls.push(name);
    await this.before(call);
    return this.#act(call, act, onFailure);
  }

  /** Likewise, a call that blocks. */
  #callNow<T>(name: CallName, path: string, act: (bytesMax: number) => T): T {
    const call = { name, index: this.calls.length, path };
    this.calls.push(name);
    this.before(call);
    return this.#act(call, act, () => {});
  }

  #act<T>(call: Call, act: (bytesMax: number) => T, onFailure: () => void): T {
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

interface Span {
  readonly position: number;
  readonly bytesMax: number;
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
