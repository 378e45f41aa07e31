/**
 * Which server `pki bench` puts load on, and as whom: one of its own for a while, or one that is there
 * already, which has to allow for it. Nobody is surprised: another machine's server is refused without
 * `--yes`, and so is leaving accounts in a log for ever without having been told so.
 */

import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import { isEqualBytes } from "../lib/base/bytes.ts";
import { PkiError } from "../lib/base/errors.ts";
import { readTextIfThere } from "../lib/base/files.ts";
import { type Address, formatAddress } from "../lib/client/address.ts";
import { askServer } from "../lib/client/admin.ts";
import { reasonOf } from "../lib/client/attempt.ts";
import { tlsIdentityOf } from "../lib/client/own_identity.ts";
import { isAnswer } from "../lib/client/server_connection.ts";
import {
  type Account,
  chooseName,
  type Holder,
  holderOf,
  makeAccount,
} from "../lib/load/account.ts";
import type { Load } from "../lib/load/measure.ts";
import { Connector } from "../lib/load/target.ts";
import { type Invitation, parseInvitation } from "../lib/protocol/invitation.ts";
import { isLoopback } from "../lib/server/reachable.ts";
import type { TrustAnchor } from "../lib/x509/chain.ts";
import { parsePemBlock } from "../lib/x509/pem.ts";
import { formatDuration } from "./duration.ts";
import type { GlobalFlags, Surroundings } from "./globals.ts";
import { Keyring } from "./keyring.ts";
import { count } from "./quantity.ts";
import { findOwn, reach } from "./sign_in.ts";

/** Accounts of a load, whatever the number of clients: each stays in the log for ever. */
const ACCOUNTS_MAX = 8;
/** What somebody who is not an account of the load's can do without leaving anything behind. */
const TRACELESS: readonly Load[] = ["lookup", "visit"];

export interface BenchFlags extends GlobalFlags {
  readonly load: Load;
  readonly clients: number;
  readonly seconds: number;
  readonly warmUp: number;
  readonly rate?: number;
  readonly temporary?: boolean;
  readonly inviteFile?: string;
  readonly delete?: boolean;
  readonly fingerprint?: string;
  readonly data?: string;
}

/** Who takes part, and where. */
export interface Bench {
  readonly connector: Connector;
  readonly holders: readonly [Holder | Account, ...(Holder | Account)[]];
  /** The server's process, where it runs on a folder of this machine. */
  readonly pid?: number | undefined;
}

/** The server, by any name that it has. */
export interface Place {
  readonly address: Address;
  /** As numbers, in the order in which they are tried. */
  readonly places: readonly Address[];
}

/**
 * What an address stands for.
 * @throws {PkiError} `unreachable` for an unknown name; `refused` if it is not this machine's and `--yes` is missing
 */
export async function findPlace(address: Address, { yes }: GlobalFlags): Promise<Place> {
  const { host, port } = address;
  const places = isIP(host) !== 0 ? [address] : await lookup(host, { all: true }).then(
    (found) => found.map((one) => ({ host: one.address, port })),
    (cause) => {
      throw new PkiError("unreachable", `cannot reach ${host}: ${reasonOf(cause)}`, {
        cause,
        hint: "name another server with --server, or measure this machine with --temporary",
      });
    },
  );
  if (yes || places.every((place) => isLoopback(place.host))) return { address, places };
  throw new PkiError(
    "refused",
    `cannot put load on ${formatAddress(address)}: it is not on this machine`,
    { hint: "ask whoever runs it, then say --yes; --temporary measures this machine alone" },
  );
}

/** The invitation that an option names. @throws {PkiError} `malformed`, `usage` */
export async function readInvitation(
  surroundings: Surroundings,
  { inviteFile }: BenchFlags,
): Promise<Invitation | undefined> {
  if (inviteFile === undefined) return undefined;
  const option = "--invite-file";
  const line = await surroundings.readSecret(inviteFile, { what: "the invitation", option });
  const invitation = parseInvitation(line);
  if (!invitation.isReset) return invitation;
  throw new PkiError("usage", "cannot use the invitation: it is for a new password", {
    hint: "pki invite --uses 8 makes one for accounts of a load",
  });
}

/** Reaches the server as any command does, trusts it or not, and finds out who takes part. */
export async function enter(
  surroundings: Surroundings,
  flags: BenchFlags,
  { place: { places }, invitation, onRegistered }: {
    readonly place: Place;
    readonly invitation: Invitation | undefined;
    /** Told of each account as soon as it is there, also if something fails afterwards. */
    readonly onRegistered: (id: string) => void;
  },
): Promise<Bench> {
  const { context } = surroundings;
  const fingerprint = flags.fingerprint ?? invitation?.fingerprint;
  const serverFlags = { ...flags, ...(fingerprint === undefined ? {} : { fingerprint }) };
  const { connection, anchor } = await reach(surroundings, serverFlags);
  const { registration = "open" } = connection;
  connection.close();
  const { signal, now } = context;
  const connector = await connectAny(
    places,
    (place) => new Connector({ place, anchor, signal, now }),
  );
  const folder = surroundings.dataFolder(flags.data);
  const pid = await findServerProcess(folder, anchor, signal);
  if (flags.id !== undefined) {
    return { connector, holders: [await findHolder(surroundings, flags)], pid };
  }
  if (flags.delete && pid === undefined) {
    throw new PkiError(
      "not-found",
      `cannot delete accounts afterwards: the server does not run on "${folder}" here`,
      { hint: "name its folder with --data, on its machine; or leave --delete out" },
    );
  }
  if (!flags.temporary) {
    checkRegistration(registration, { invitation, load: flags.load });
    await confirmTraces(surroundings, flags);
  }
  const make = async (id: string) => {
    const account = await makeAccount(connector, id, invitation?.token);
    onRegistered(id);
    return account;
  };
  return { connector, holders: await makeAccounts(make, flags, invitation), pid };
}

/** The first of the places at which the server answers. */
async function connectAny(
  places: readonly Address[],
  make: (place: Address) => Connector,
): Promise<Connector> {
  let failure: unknown;
  for (const place of places) {
    const connector = make(place);
    try {
      (await connector.connect()).destroy();
      return connector;
    } catch (error) {
      failure ??= error;
    }
  }
  throw failure;
}

/** Somebody of the home, who can look up and visit. */
async function findHolder(surroundings: Surroundings, { load }: BenchFlags): Promise<Holder> {
  const id = surroundings.identity();
  if (!TRACELESS.includes(load)) {
    throw new PkiError(
      "usage",
      `cannot do ${load} as "${id}": it would leave certificates of that name behind`,
      {
        hint: "leave --id out, so that accounts are registered for it; or --load lookup, or visit",
      },
    );
  }
  const own = findOwn(surroundings, id);
  if (!own) {
    throw new PkiError("not-found", `cannot find a good certificate of "${id}" in the home`, {
      hint: `get one with: pki csr --id ${id}`,
    });
  }
  const key = await new Keyring(surroundings, id).keyOf(own);
  return holderOf(id, key, tlsIdentityOf(own, key));
}

function checkRegistration(
  registration: string,
  { invitation, load }: { readonly invitation: Invitation | undefined; readonly load: Load },
): void {
  if (registration === "open" || (registration === "invite" && invitation)) return;
  const isClosed = registration === "closed";
  const alone = TRACELESS.includes(load) ? "; or go as somebody of this home with --id" : "";
  throw new PkiError(
    "refused",
    `cannot register accounts for the load: ${isClosed ? "nobody may" : "it takes an invitation"}`,
    {
      hint: isClosed
        ? `measure a server of its own with --temporary${alone}`
        : `make one with: pki invite --uses ${ACCOUNTS_MAX}; give it with --invite-file${alone}`,
    },
  );
}

/** What a load leaves behind is said before, and nobody is taken by surprise. */
async function confirmTraces(
  { flags: { yes }, context: { terminal } }: Surroundings,
  { load, clients, seconds, warmUp }: BenchFlags,
): Promise<void> {
  if (yes) return;
  if (!terminal) {
    throw new PkiError("usage", "cannot ask whether accounts may be left in the server's log", {
      hint: "answer beforehand with --yes, or measure a server of its own with --temporary",
    });
  }
  const span = formatDuration((seconds + warmUp) * 1000);
  const accounts = count(Math.min(clients, ACCOUNTS_MAX), "account");
  const isWanted = await terminal.confirm(
    `This registers ${accounts} (bench-…) and ` +
      (load === "issue" || load === "mixed"
        ? `issues as many certificates as the server can for ${span}. `
        : `issues a certificate for each, and keeps the server busy for ${span}. `) +
      "All of it stays in that server's log for ever. Go on?",
  );
  if (!isWanted) throw new PkiError("refused", "nothing was done");
}

async function makeAccounts(
  make: (id: string) => Promise<Account>,
  { clients }: BenchFlags,
  invitation: Invitation | undefined,
): Promise<readonly [Account, ...Account[]]> {
  const name = chooseName();
  const wanted = invitation?.id === undefined ? Math.min(clients, ACCOUNTS_MAX) : 1;
  const first = await make(invitation?.id ?? `${name}-1`);
  const accounts: [Account, ...Account[]] = [first];
  while (accounts.length < wanted) {
    try {
      accounts.push(await make(`${name}-${accounts.length + 1}`));
    } catch (error) {
      // Some invitations are good for fewer than that; clients share what there is.
      if (!invitation || !isAnswer(error) || error.kind !== "refused") throw error;
      break;
    }
  }
  return accounts;
}

/** How long one deletion may take: each certificate of the account is revoked. */
const DELETION_MS = 600_000;

/**
 * Deletes accounts of a load, through the socket in the server's folder; also after an interruption.
 * @throws {PkiError} `not-found` if no server runs on the folder, and what the order fails with
 */
export async function deleteAccounts(folder: string, ids: readonly string[]): Promise<void> {
  for (const id of ids) {
    const body = { id, action: "delete" } as const;
    const answer = await askServer(folder, "USER", body, { silenceMs: DELETION_MS });
    if (answer) continue;
    throw new PkiError("not-found", `cannot delete "${id}": no server runs on "${folder}"`, {
      hint: `start it, and delete it with: pki users delete ${id}`,
    });
  }
}

/** The process of the server on this machine, if it is the one whose root this is. */
async function findServerProcess(
  folder: string,
  { root }: TrustAnchor,
  signal: AbortSignal,
): Promise<number | undefined> {
  try {
    const path = join(folder, "root.crt");
    const pem = readTextIfThere(path);
    if (pem === undefined) return undefined;
    if (!isEqualBytes(parsePemBlock(pem, ["CERTIFICATE"], path), root.der)) return undefined;
    const status = await askServer(folder, "STATUS", {}, { signal });
    const pid = status?.["pid"];
    return typeof pid === "number" && Number.isSafeInteger(pid) ? pid : undefined;
  } catch (error) {
    if (error instanceof PkiError && error.kind === "interrupted") throw error;
    return undefined; // what it uses is left out
  }
}
