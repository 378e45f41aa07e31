/** One look at a server for `pki doctor`: what anybody can ask it. Nothing is saved, nobody logs in. */

import { lookup } from "node:dns/promises";
import { connect, isIP } from "node:net";
import type { Bytes } from "../base/bytes.ts";
import { messageOf, PkiError, systemCodeOf } from "../base/errors.ts";
import type { TrustAnchor } from "../x509/chain.ts";
import type { OcspJudgement } from "../x509/ocsp_judge.ts";
import type { Address } from "./address.ts";
import { reasonOf } from "./attempt.ts";
import type { OwnCertificate } from "./own_identity.ts";
import { connectServer, greetUnknownServer } from "./server_connection.ts";
import { fetchStatus } from "./status.ts";

/** An address that the server's name stands for, and why it takes no connection, if it does not. */
export interface Place {
  readonly address: string;
  readonly failure: string | undefined;
}

/** What the server says of itself to anybody, and when it was asked. */
export interface Greeted {
  readonly rootDer: Bytes;
  readonly domain: string;
  readonly timeMs: number;
  readonly askedMs: number;
  readonly answeredMs: number;
}

export interface ServerSight {
  readonly places: readonly Place[] | PkiError;
  readonly greeted: Greeted | PkiError;
  /** What came of a connection under the pinned root; `undefined` where none is pinned. */
  readonly trusted: true | PkiError | undefined;
  /** Of each identity with a good certificate; empty where the server is not trusted. */
  readonly statuses: ReadonlyMap<string, OcspJudgement | PkiError>;
}

/** Addresses of one name that are tried; nobody has more than a few. */
const PLACES_MAX = 8;
/** For a TCP connection to one of them. */
const PLACE_MS = 3_000;

export interface LookOptions {
  readonly address: Address;
  /** What is pinned; without it nothing is asked but who the server is. */
  readonly anchor: TrustAnchor | undefined;
  /** Certificates to be asked about. */
  readonly certificates: readonly OwnCertificate[];
  readonly now: () => number;
  readonly signal: AbortSignal;
}

function tryPlace(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const settle = (failure: string | undefined) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(failure);
    };
    const timer = setTimeout(() => settle("it does not answer"), PLACE_MS);
    socket.once("connect", () => settle(undefined));
    socket.once("error", (error) => settle(reasonOf(error)));
  });
}

async function findPlaces({ host, port }: Address): Promise<readonly Place[] | PkiError> {
  if (isIP(host) !== 0) return [];
  try {
    const found = await lookup(host, { all: true });
    const addresses = [...new Set(found.map(({ address }) => address))].slice(0, PLACES_MAX);
    return await Promise.all(addresses.map(async (address) => ({
      address,
      failure: await tryPlace(address, port),
    })));
  } catch (error) {
    const why = systemCodeOf(error) === undefined ? messageOf(error) : reasonOf(error);
    return new PkiError("unreachable", `cannot look up ${host}: ${why}`, {
      cause: error,
      hint: "see whether the name is spelled right, and whether this machine is on the network",
    });
  }
}

/** An error of ours is a finding; anything else, and the end that somebody asked for, is thrown. */
async function orError<T>(work: Promise<T>): Promise<T | PkiError> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof PkiError && error.kind !== "interrupted") return error;
    throw error;
  }
}

async function greet({ address, now, signal }: LookOptions): Promise<Greeted> {
  const askedMs = now();
  const greeting = await greetUnknownServer(address, signal);
  return { ...greeting, askedMs, answeredMs: now() };
}

async function askUnderRoot(
  anchor: TrustAnchor,
  { address, certificates, now, signal }: LookOptions,
): Promise<Pick<ServerSight, "trusted" | "statuses">> {
  const statuses = new Map<string, OcspJudgement | PkiError>();
  const connection = await orError(connectServer(address, anchor, { nowMs: now(), signal }));
  if (connection instanceof PkiError) return { trusted: connection, statuses };
  try {
    for (const { id, leaf, issuing } of certificates) {
      const fetched = await orError(fetchStatus(connection, { leaf, issuing, nowMs: now() }));
      statuses.set(id, fetched instanceof PkiError ? fetched : fetched.judged);
    }
  } finally {
    connection.close();
  }
  return { trusted: true, statuses };
}

/** @throws {PkiError} `interrupted` */
export async function lookAtServer(options: LookOptions): Promise<ServerSight> {
  const { anchor } = options;
  const places = await findPlaces(options.address);
  const greeted = await orError(greet(options));
  const asked = anchor === undefined || greeted instanceof PkiError
    ? { trusted: undefined, statuses: new Map() }
    : await askUnderRoot(anchor, options);
  return { places, greeted, ...asked };
}
