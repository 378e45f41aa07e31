/**
 * Closes a pipe for good while the program goes on: engines keep copies of the descriptors of stdin and
 * stdout, and whoever reads a pipe sees its end only when the last of them is closed.
 */

import * as fs from "node:fs";
import { devNull } from "node:os";

/** Where a process sees its own descriptors: Linux, then others. */
const FOLDERS = ["/proc/self/fd", "/dev/fd"] as const;
/** Descriptors below the one that is to be taken, which are free for a moment. */
const FREE_MAX = 64;

function statOf(descriptor: number): fs.Stats | undefined {
  try {
    return fs.fstatSync(descriptor);
  } catch {
    return undefined; // the one with which the folder was read
  }
}

/** Nothing is left of it, and its number is taken: whoever writes to it by mistake reaches nobody. */
function replace(descriptor: number): void {
  fs.closeSync(descriptor);
  for (let i = 0; i < FREE_MAX; i++) {
    if (fs.openSync(devNull, "w") >= descriptor) return;
  }
}

/**
 * Closes a descriptor and its copies, if it is a pipe that no descriptor of those to be kept leads to.
 * @returns whether it did
 */
export function closePipe(descriptor: number, kept: readonly number[]): boolean {
  const pipe = fs.fstatSync(descriptor);
  if (!pipe.isFIFO()) return false;
  const isSame = (other: fs.Stats | undefined) => other?.ino === pipe.ino && other.dev === pipe.dev;
  if (kept.some((other) => isSame(statOf(other)))) return false;
  const folder = FOLDERS.find((path) => fs.existsSync(path));
  if (folder === undefined) return false;
  const copies = fs.readdirSync(folder).map(Number).filter((other) => isSame(statOf(other)));
  copies.forEach(replace);
  return true;
}
