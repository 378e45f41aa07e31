/**
 * The lock on a data folder. `node:` has no file locks, so a Unix socket that is listened on is one:
 * it ends with its process, whatever ends that, and it can say who holds it.
 *
 * Each claimant shows a socket of its own, `lock-<pid>-<random>`, that is listened on from the first
 * moment that it can be seen. Then it looks at all others in the folder. Who finds nobody alive owns
 * the folder and says so from then on.
 *
 * **At most one owns it.** Let A and B be alive and own it both, A having shown its socket first. B
 * looked after it had shown its own, so A's was there before B looked. It was there still: A takes
 * it away when it gives up, and others remove a socket only when nobody listens on it any more. It was listened on already, since it was before it
 * was shown. So B found A alive, and cannot own the folder.
 *
 * **A dead socket can be removed** at any time after it was found dead: its name has 64 random bits
 * and is not used again, so what is removed is what was looked at.
 *
 * **Somebody gets it.** Of claimants that see each other, those with a greater number than another
 * withdraw; the one with the smallest stays and looks again until they are gone. Who comes later
 * shows nothing until that is decided.
 */

import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { PkiError, systemCodeOf } from "../base/errors.ts";
import { storageError } from "../base/files.ts";
import {
  connectUnix,
  isListenedOn,
  isNobodyThere,
  listenUnix,
  removeUnshownSockets,
  type SocketPlace,
  type UnixListener,
} from "../base/unix_socket.ts";

/** `lock` alone is the socket of version 0.1, which says nothing but its process id. */
const LOCK_NAME = /^lock(?:-(?<pid>\d{1,10})-(?<number>[0-9a-f]{16}))?$/;
const CLAIMING = "claiming";
/** Time for a holder to answer; one that has no time for it holds the lock all the same. */
const ANSWER_MS = 2000;
/** Somebody who hangs up without an answer is taking its socket away, most likely: ask again. */
const ASKS_MAX = 5;
/** Between two looks, at most; each wait is random, so that claimants do not keep step. */
const LOOK_AGAIN_MS = 40;
/** Twenty processes on two cores that never stopped trying needed 39 at most. */
const LOOKS_MAX = 200;

export interface Lock {
  release(): Promise<void>;
}

/** What is found behind a name: nobody, somebody who claims too, or an owner with its process id. */
type Found = "dead" | "claimant" | { readonly owner: string };

/** What whoever listens says of itself; `undefined` if it hangs up first, "" if it keeps silent. */
async function readAnswer(place: SocketPlace): Promise<string | undefined> {
  const socket = await connectUnix(place);
  return await new Promise((resolve) => {
    let answer = "";
    const timer = setTimeout(() => {
      resolve(answer.trim());
      socket.destroy();
    }, ANSWER_MS);
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => answer += text);
    socket.once("close", () => {
      clearTimeout(timer);
      resolve(answer.trim() || undefined);
    });
  });
}

async function ask(place: SocketPlace): Promise<Found> {
  const pid = LOCK_NAME.exec(place.name)?.groups?.["pid"] ?? "(unknown)";
  for (let asked = 0; asked < ASKS_MAX; asked++) {
    let answer: string | undefined;
    try {
      answer = await readAnswer(place);
    } catch (error) {
      // Any other error (too many callers at once, no permission) tells nothing: it counts as alive.
      if (isNobodyThere(error) && !isListenedOn(place.name)) return "dead";
    }
    if (answer === CLAIMING) return "claimant";
    if (answer !== undefined) return { owner: answer || pid };
    await wait(Math.random() * LOOK_AGAIN_MS);
  }
  return { owner: pid };
}

/** A socket of ours in the folder, as everybody can see it. */
class Claim {
  readonly #folder: string;
  readonly #name: string;
  readonly #number: string;
  #listener: UnixListener | undefined;
  #isOwner = false;

  constructor(folder: string) {
    this.#folder = folder;
    this.#number = randomBytes(8).toString("hex");
    this.#name = `lock-${process.pid}-${this.#number}`;
  }

  async show(): Promise<void> {
    this.#listener = await listenUnix({ folder: this.#folder, name: this.#name }, (socket) => {
      socket.resume();
      socket.end(this.#isOwner ? `${process.pid}\n` : `${CLAIMING}\n`);
    });
  }

  /**
   * Looks at all others: the owner's process id, the numbers of those who claim too, or, where
   * nobody is alive, none; what the dead have left is gone then.
   */
  async look(): Promise<{ owner?: string; rivals: readonly string[] }> {
    const others = fs.readdirSync(this.#folder).filter((name) =>
      name !== this.#name && LOCK_NAME.test(name)
    );
    const rivals: string[] = [];
    for (const name of others) {
      const found = await ask({ folder: this.#folder, name });
      if (found === "dead") fs.rmSync(join(this.#folder, name), { force: true });
      else if (found === "claimant") rivals.push(LOCK_NAME.exec(name)?.groups?.["number"] ?? "");
      else return { owner: found.owner, rivals };
    }
    return { rivals };
  }

  /** Only after a look that found nobody. */
  own(): void {
    this.#isOwner = true;
  }

  isBefore(rivals: readonly string[]): boolean {
    return rivals.every((number) => this.#number < number);
  }

  async withdraw(): Promise<void> {
    await this.#listener?.close();
    this.#listener = undefined;
  }
}

interface Turn {
  readonly folder: string;
  readonly claim: Claim;
  readonly looks: { left: number };
}

/** Looks, waiting in between, until nobody else is alive or it has to be left to somebody else. */
async function isFree(
  { folder, claim, looks }: Turn,
  mayStay: (rivals: readonly string[]) => boolean,
): Promise<boolean> {
  while (looks.left-- > 0) {
    const { owner, rivals } = await claim.look();
    if (owner !== undefined) {
      throw new PkiError(
        "conflict",
        `cannot use "${folder}": process ${owner} is using it`,
        { hint: "stop that process, or give this one another --data folder" },
      );
    }
    if (rivals.length === 0) return true;
    if (!mayStay(rivals)) return false;
    await wait(Math.random() * LOOK_AGAIN_MS);
  }
  return false;
}

/** One claim, from first look to lock; `undefined` if others had to be let through. */
async function takeTurn(turn: Turn): Promise<Lock | undefined> {
  const { folder, claim } = turn;
  // Unseen at first: who comes later does not disturb those who are deciding it among themselves.
  if (!(await isFree(turn, () => true))) return undefined;
  await claim.show();
  if (!(await isFree(turn, (rivals) => claim.isBefore(rivals)))) return undefined;
  claim.own();
  removeUnshownSockets(folder);
  return { release: () => claim.withdraw() };
}

function lockError(folder: string, cause: unknown): PkiError {
  return storageError(`cannot lock "${folder}"`, cause);
}

/**
 * Takes the lock of a folder; a lock left by a process that was killed is taken over.
 * @throws {PkiError} `conflict` if somebody holds it, `storage` if it cannot be made
 */
export async function takeLock(folder: string): Promise<Lock> {
  const looks = { left: LOOKS_MAX };
  while (looks.left > 0) {
    const claim = new Claim(folder);
    let lock: Lock | undefined;
    try {
      lock = await takeTurn({ folder, claim, looks });
    } catch (error) {
      // An owner tidied away a socket of ours that it could not see yet: meet it the next time.
      const isTidiedAway = systemCodeOf(error) === "ENOENT" && fs.existsSync(folder);
      if (!isTidiedAway) throw lockError(folder, error);
    } finally {
      if (!lock) await claim.withdraw();
    }
    if (lock) return lock;
    await wait(Math.random() * LOOK_AGAIN_MS);
  }
  throw new PkiError("conflict", `cannot lock "${folder}": other processes are trying the same`, {
    hint: "try again",
  });
}
