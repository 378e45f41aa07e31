/**
 * The lock on a data folder. `node:` has no file locks, so a Unix socket that is listened on is one:
 * it ends with its process, whatever ends that, and it can say who holds it.
 */

import * as fs from "node:fs";
import { createConnection, createServer } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { PkiError, systemCodeOf } from "../base/errors.ts";

/** Longest path of a Unix socket on Linux is 107 bytes; macOS allows 103. */
const SOCKET_PATH_MAX = 100;
const ANSWER_MS = 2000;

export interface Lock {
  release(): Promise<void>;
}

/** A path to the socket that fits: through the open folder where its own path is too long. */
function reachable(folder: string, name: string): { path: string; close: () => void } {
  const path = join(folder, name);
  if (path.length <= SOCKET_PATH_MAX || process.platform !== "linux") {
    return { path, close: () => {} };
  }
  const descriptor = fs.openSync(folder, "r");
  return { path: `/proc/self/fd/${descriptor}/${name}`, close: () => fs.closeSync(descriptor) };
}

/** Asks the holder for its process id; `undefined` if nobody listens. */
function askHolder(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    const timer = setTimeout(() => socket.destroy(), ANSWER_MS);
    let answer = "";
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => answer += text);
    socket.on("error", (error) => {
      clearTimeout(timer);
      // Nobody listens, or the holder has just taken its socket away.
      const isFree = ["ECONNREFUSED", "ENOENT"].includes(systemCodeOf(error) ?? "");
      resolve(isFree ? undefined : "");
    });
    socket.on("close", () => {
      clearTimeout(timer);
      resolve(answer.trim());
    });
  });
}

function listen(path: string): Promise<ReturnType<typeof createServer>> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      socket.on("error", () => {}); // whoever asked has gone; nothing depends on the answer
      socket.end(`${process.pid}\n`);
    });
    server.once("error", reject);
    server.listen(path, () => resolve(server));
  });
}

/**
 * Takes the lock of a folder; a lock left by a process that was killed is taken over.
 * @throws {PkiError} `conflict` if somebody holds it, `storage` if it cannot be made
 */
export async function takeLock(folder: string): Promise<Lock> {
  const name = "lock";
  const { path, close } = reachable(folder, name);
  try {
    return await takeSocket({ folder, path, close });
  } catch (error) {
    close();
    throw error;
  }
}

/** Tells one file from a later one of the same name; a rename does not change it. */
function identityOf(path: string): string | undefined {
  const stat = fs.lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return stat && `${stat.dev}:${stat.ino}:${stat.mtimeNs}`;
}

/**
 * Removes what a killed process left, and nothing else: somebody may have taken the lock since we
 * looked. It is moved away first, so that what is looked at is what is removed.
 */
function removeStale(path: string, found: string | undefined): void {
  const aside = `${path}.${process.pid}-${Math.random().toString(36).slice(2)}`;
  try {
    fs.renameSync(path, aside);
  } catch {
    return; // somebody else was faster
  }
  try {
    if (identityOf(aside) !== found) fs.linkSync(aside, path); // it is alive: put it back
  } finally {
    fs.rmSync(aside, { force: true });
  }
}

async function takeSocket(
  { folder, path, close }: { folder: string; path: string; close: () => void },
): Promise<Lock> {
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      const server = await listen(path);
      return {
        // Closing takes the socket away, by the path that it was bound to; removing it once more
        // might hit a successor's.
        release: () =>
          new Promise((resolve) => {
            server.close(() => {
              close();
              resolve();
            });
          }),
      };
    } catch (error) {
      if (systemCodeOf(error) !== "EADDRINUSE") {
        throw new PkiError(
          "storage",
          `cannot lock "${folder}": ${systemCodeOf(error) ?? "failed"}`,
          {
            cause: error,
          },
        );
      }
    }
    const found = identityOf(path);
    const holder = await askHolder(path);
    if (holder !== undefined) {
      throw new PkiError(
        "conflict",
        `cannot use "${folder}": process ${holder || "(unknown)"} is using it`,
        { hint: "stop that process, or give this one another --data folder" },
      );
    }
    removeStale(path, found);
  }
  throw new PkiError("conflict", `cannot lock "${folder}": other processes are trying the same`);
}
