/**
 * Unix sockets in a folder: listened on before they can be seen, for the owner's eyes only, and
 * reachable however long the folder's path is.
 */

import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { PkiError, systemCodeOf } from "./errors.ts";
import { FOLDER_MODE } from "./files.ts";

/** Longest path of a Unix socket on Linux is 107 bytes; macOS allows 103. */
const SOCKET_PATH_BYTES_MAX = 100;
const SOCKET_MODE = 0o600;
/** A folder for one socket that is not shown yet: `.<random>.<name>.new`. */
const NURSERY_NAME = /^\.[0-9a-f]{12}\..+\.new$/;
const NURSERY_BYTES = 6;
/** The name of a socket in there. */
const BORN_NAME = "s";

function nurseryEnding(name: string): string {
  return `.${name}.new`;
}

/** A path to something in a folder that fits: through the open folder where its own is too long. */
function openPath(folder: string, name: string): { path: string; close: () => void } {
  const path = join(folder, name);
  if (new TextEncoder().encode(path).length <= SOCKET_PATH_BYTES_MAX) {
    return { path, close: () => {} };
  }
  if (process.platform !== "linux") {
    throw new PkiError("storage", `cannot use "${path}": too long for the path of a socket`, {
      hint: "use a folder with a shorter path",
    });
  }
  const descriptor = fs.openSync(folder, "r");
  return { path: `/proc/self/fd/${descriptor}/${name}`, close: () => fs.closeSync(descriptor) };
}

/** Where a socket is: its folder, and its name in it. */
export interface SocketPlace {
  readonly folder: string;
  readonly name: string;
}

/**
 * Connects to a socket; who ends it is the caller.
 * @throws the system's error (`ECONNREFUSED`, `ENOENT`, …)
 */
export function connectUnix({ folder, name }: SocketPlace): Promise<Socket> {
  const { path, close } = openPath(folder, name);
  return new Promise<Socket>((resolve, reject) => {
    const socket = createConnection(path);
    socket.once("error", reject);
    socket.once("connect", () => resolve(socket)); // an error after it: "close" follows
  }).finally(close);
}

/** Whether an error of {@link connectUnix} says that nobody listens there; any other may be somebody. */
export function isNobodyThere(error: unknown): boolean {
  // ENOTSOCK: a file that is no socket (macOS; Linux says ECONNREFUSED).
  return ["ECONNREFUSED", "ENOENT", "ENOTSOCK"].includes(systemCodeOf(error) ?? "");
}

/**
 * Whether the system knows somebody who listens on a socket that {@link listenUnix} made, by a name
 * that is used once and anywhere; `false` also where the system does not tell (it is not Linux, it
 * is another container).
 *
 * Somebody who is stopped while more than 512 others connect refuses more, and one of our engines
 * reports that (EAGAIN) as if there were nobody.
 */
export function isListenedOn(name: string): boolean {
  try {
    return fs.readFileSync("/proc/net/unix", "utf8").includes(
      `${nurseryEnding(name)}/${BORN_NAME}\n`,
    );
  } catch {
    return false;
  }
}

export interface UnixListener {
  /** Whether whoever connects to the place reaches this listener. */
  readonly isInPlace: boolean;
  /** Takes the socket away and ends its connections. */
  close(): Promise<void>;
}

export interface ListenOptions {
  /** Whether a file that has the socket's name stays, and is an error (`EEXIST`). */
  readonly isFirst?: boolean;
}

/** What tells one file from another that has its name later. */
function identityOf(path: string): string | undefined {
  const found = fs.lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return found && `${found.dev} ${found.ino}`;
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

function removeNursery(folder: string): void {
  try {
    fs.rmSync(folder, { recursive: true, force: true });
  } catch {
    // Somebody else removes it or fills it at this moment; what stays is removed another time.
  }
}

/**
 * Listens on a socket of mode 0600, in the place of whatever file has its name (or not at all where
 * there is one, with `isFirst`).
 *
 * The socket is made in a folder that only the owner can enter and is moved to its place when its
 * mode is set and it is listened on: whoever sees it there can connect, or it is dead. (The umask
 * would be the other way to the mode. It belongs to all threads, and a folder made by another one
 * at that moment could not be entered.)
 * @throws the system's error
 */
export async function listenUnix(
  { folder, name }: SocketPlace,
  onConnection: (socket: Socket) => void,
  { isFirst = false }: ListenOptions = {},
): Promise<UnixListener> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {}); // "close" follows
    socket.once("close", () => sockets.delete(socket));
    onConnection(socket);
  });
  const closeServer = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      for (const socket of sockets) socket.destroy();
    });
  const unshown = `.${randomBytes(NURSERY_BYTES).toString("hex")}${nurseryEnding(name)}`;
  const nursery = join(folder, unshown);
  const born = join(nursery, BORN_NAME);
  const shown = join(folder, name);
  let identity: string | undefined;
  fs.mkdirSync(nursery, { mode: FOLDER_MODE });
  try {
    // The engines remove the path that was listened on when they close: it must never come again.
    const { path, close } = openPath(folder, `${unshown}/${BORN_NAME}`);
    try {
      await listen(server, path);
    } finally {
      close();
    }
    try {
      fs.chmodSync(born, SOCKET_MODE);
      identity = identityOf(born);
      if (isFirst) fs.linkSync(born, shown);
      else fs.renameSync(born, shown);
    } catch (error) {
      await closeServer();
      throw error;
    }
  } finally {
    removeNursery(nursery);
  }
  const isInPlace = () => identityOf(shown) === identity;
  return {
    get isInPlace() {
      return isInPlace();
    },
    close: async () => {
      if (isInPlace()) fs.rmSync(shown, { force: true }); // what is a successor's stays
      await closeServer();
    },
  };
}

/**
 * Removes a socket that nobody listens on any more. Should somebody have taken its place at that
 * very moment, that one is put back.
 * @returns whether there is none at the place now
 */
export async function removeDeadSocket({ folder, name }: SocketPlace): Promise<boolean> {
  const shown = join(folder, name);
  // Where what is left over by a crash is cleared away, too.
  const aside = join(
    folder,
    `.${randomBytes(NURSERY_BYTES).toString("hex")}${nurseryEnding(name)}`,
  );
  fs.mkdirSync(aside, { mode: FOLDER_MODE });
  try {
    fs.renameSync(shown, join(aside, BORN_NAME));
    (await connectUnix({ folder: aside, name: BORN_NAME })).destroy();
    fs.linkSync(join(aside, BORN_NAME), shown); // alive after all
    return false;
  } catch (error) {
    if (isNobodyThere(error)) return true; // also if somebody else was faster
    if (systemCodeOf(error) === "EEXIST") return false;
    throw error;
  } finally {
    removeNursery(aside);
  }
}

/**
 * Removes what killed processes left of sockets that were not shown yet. Somebody who is about to
 * show one fails with `ENOENT` and may try again.
 */
export function removeUnshownSockets(folder: string): void {
  for (const name of fs.readdirSync(folder)) {
    if (NURSERY_NAME.test(name)) removeNursery(join(folder, name));
  }
}
