/**
 * Has the server of a data folder carry out what an administrator wants: the one that runs, through
 * its socket in the folder; where none runs, by opening the folder as a server would, under its lock.
 */

import * as fs from "node:fs";
import { hostname } from "node:os";
import process from "node:process";
import { PkiError } from "../lib/base/errors.ts";
import { askServer } from "../lib/client/admin.ts";
import type {
  AdminAnswer,
  AdminBody,
  AdminRequestOf,
  AdminType,
} from "../lib/protocol/admin_messages.ts";
import type { OfflineServer } from "../lib/server/offline.ts";
import type { Lock } from "../lib/store/lock.ts";
import { type GlobalFlags, type Surroundings, textFlag } from "./globals.ts";
import { findPassphrase, PASSPHRASE_FLAG, type PassphraseFlags } from "./passphrase.ts";

/** Options of the commands that give orders. */
export const ORDER_FLAGS = {
  data: textFlag(
    "Folder of the server's keys and state [$PKI_DATA, else server in the home]",
    "DIR",
  ),
  passphraseFile: PASSPHRASE_FLAG,
  witness: textFlag("Where the newest checkpoint is remembered [DIR.witness]", "FILE"),
} as const;

export interface OrderFlags extends GlobalFlags, PassphraseFlags {
  readonly data?: string;
  /** Only matters where no server runs. */
  readonly witness?: string;
}

/** @throws {PkiError} what the order fails with, `busy` if the server was stopped meanwhile */
export type Order = <T extends AdminType>(type: T, body: AdminBody<T>) => Promise<AdminAnswer<T>>;

/** What is wanted, in the words of an error: `cannot list certificates`. */
export interface OrderOptions {
  readonly what: string;
  /** How long a running server may keep silent. */
  readonly silenceMs?: number;
}

/** The data folder that is meant. @throws {PkiError} `not-found` if there is none */
export async function findDataFolder(
  surroundings: Surroundings,
  { data }: Pick<OrderFlags, "data">,
  what: string,
): Promise<string> {
  const folder = surroundings.dataFolder(data);
  const { isSetUp } = await import("../lib/server/setup.ts");
  if (isSetUp(folder)) return folder;
  throw new PkiError("not-found", `${what}: there is no data folder "${folder}"`, {
    hint: "name it with --data, on the machine of the server",
  });
}

/**
 * Refuses to write into a folder whose server could not read it afterwards: root can, and would make
 * files there that are its own.
 * @param uid of this process; `undefined` where there are none
 * @throws {PkiError} `conflict`
 */
export function checkFolderOwner(
  folder: string,
  { what, uid }: { readonly what: string; readonly uid: number | undefined },
): void {
  const owner = fs.statSync(folder).uid;
  if (uid === undefined || uid === owner) return;
  throw new PkiError(
    "conflict",
    `${what}: no server runs on "${folder}", which belongs to another user (${owner})`,
    { hint: "start the server, or do it as that user" },
  );
}

/** Opens the folder as a server would; the lock is let go again if that fails. */
async function open(
  surroundings: Surroundings,
  flags: OrderFlags,
  { folder, lock }: { readonly folder: string; readonly lock: Lock },
): Promise<OfflineServer> {
  try {
    const { openOffline } = await import("../lib/server/offline.ts");
    const { resolveConfiguration } = await import("./server_configuration.ts");
    const { Log } = await import("../lib/server/log.ts");
    const { process: { stderr, env }, now } = surroundings.context;
    const options = flags.witness === undefined ? {} : { witness: flags.witness };
    const { settings } = resolveConfiguration({ folder, options, env, hostName: hostname() });
    return await openOffline({
      folder,
      passphrase: await findPassphrase(surroundings, flags, folder),
      witness: settings.witness,
      registration: settings.registration,
      log: new Log({
        stream: stderr,
        format: surroundings.flags.json ? "json" : "text",
        level: surroundings.flags.quiet ? "warning" : "notice",
        now,
      }),
    });
  } catch (error) {
    await lock.release();
    throw error;
  }
}

/**
 * Does some work that consists of orders to one server. Without a running one the folder is opened
 * once, at the first of them, and nobody else has it until the work is done.
 * @throws {PkiError} `not-found` without a data folder, `busy` if somebody else has it, as
 *   `openOffline`, and what the work throws
 */
export async function withOrders<R>(
  surroundings: Surroundings,
  flags: OrderFlags,
  { what, silenceMs }: OrderOptions,
  work: (order: Order) => Promise<R>,
): Promise<R> {
  const folder = await findDataFolder(surroundings, flags, what);
  const { signal } = surroundings.context;
  const options = { signal, ...(silenceMs === undefined ? {} : { silenceMs }) };
  let isServed = false;
  let offline: { readonly lock: Lock; readonly server: OfflineServer } | undefined;
  const order: Order = async <T extends AdminType>(type: T, body: AdminBody<T>) => {
    const request = { seq: 1, type, body } as AdminRequestOf<T>;
    if (offline) return await offline.server.order<T>(request);
    const answer = await askServer(folder, type, body, options);
    if (answer !== undefined) {
      isServed = true;
      return answer;
    }
    if (isServed) {
      throw new PkiError("busy", `${what}: the server was stopped meanwhile`, {
        hint: "try again",
      });
    }
    checkFolderOwner(folder, { what, uid: process.getuid?.() });
    const { takeLock } = await import("../lib/store/lock.ts");
    // A server that is starting or stopping answers nobody, and has the lock.
    const lock = await takeLock(folder);
    offline = { lock, server: await open(surroundings, flags, { folder, lock }) };
    return await offline.server.order<T>(request);
  };
  try {
    return await work(order);
  } finally {
    if (offline) {
      const { server, lock } = offline;
      await server.close().finally(() => lock.release());
    }
  }
}

/** Gives one order. @throws {PkiError} as {@link withOrders} */
export async function giveOrder<T extends AdminType>(
  surroundings: Surroundings,
  flags: OrderFlags,
  { type, body, ...options }: OrderOptions & { readonly type: T; readonly body: AdminBody<T> },
): Promise<AdminAnswer<T>> {
  return await withOrders(surroundings, flags, options, (order) => order(type, body));
}
