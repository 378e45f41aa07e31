/**
 * Connections as the main thread has them: takes or refuses each, gives it a worker and a channel to
 * the directory, and ends them all when the server stops. It reads nothing that passes (`relay.ts`),
 * and knows nothing of what is asked for.
 */

import { createServer, type Server as TlsServer, type TLSSocket } from "node:tls";
import { MessageChannel, type MessagePort } from "node:worker_threads";
import type { Caller } from "../base/call.ts";
import { messageOf, PkiError, reportError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { type GivenLimits, resolveLimits, type ServerLimits } from "../base/server_limits.ts";
import { checkConnection, listenError, shownLeaf, TLS_OPTIONS } from "../base/tls.ts";
import { encodeError } from "../protocol/answers.ts";
import { PROTOCOL } from "../protocol/message_fields.ts";
import type { CoreMeasures, Refusal, Refused } from "./core_report.ts";
import { Door } from "./door.ts";
import type { EventLog } from "./log.ts";
import type { FromDirectory, ToDirectory } from "./ports.ts";
import { Relay } from "./relay.ts";
import { findRoom, findShortage, type Plan, planFor } from "./room.ts";
import { type ConnectionWorker, connectionWorkers, type WorkerPool } from "./worker_pool.ts";

/** How many there may be. */
export interface ConnectionBounds {
  /** 0 where nobody but administrators is served. */
  readonly connectionsMax?: number;
  /** Bounds that are not the standard ones. */
  readonly limits?: GivenLimits;
}

export interface ConnectionsOptions extends ConnectionBounds {
  readonly directory: Caller<ToDirectory, FromDirectory>;
  readonly measures: CoreMeasures;
  readonly log: EventLog;
}

/** What connections are served with. */
export interface ServedIdentity {
  /** PEM: the server's key, and its certificate with its issuer. */
  readonly context: { readonly key: string; readonly cert: string };
  /** SHA-256 of the certificate. */
  readonly leafHash: Uint8Array;
}

/** Files, threads and memory that the process may have. */
const ROOM = findRoom();

/** What there is room for, of what these bounds want. */
function planOf({ connectionsMax = LIMITS.connectionsMax, limits }: ConnectionBounds): Plan {
  return planFor(ROOM, connectionsMax, resolveLimits(limits).workersSpare);
}

/**
 * Whether there is room for what these bounds want; says so where it is for less.
 * @throws {PkiError} `storage` where there is no room for a single connection
 */
export function checkRoom(
  bounds: ConnectionBounds,
  warn: (text: string) => void,
): void {
  const { connectionsMax: wanted = LIMITS.connectionsMax, limits } = bounds;
  if (wanted === 0) return;
  const shortage = findShortage(ROOM, wanted, resolveLimits(limits).workersSpare);
  if (!shortage) return;
  const { why, needed, least, hint } = shortage;
  const { connections } = planOf(bounds);
  if (connections === 0) {
    throw new PkiError("storage", `cannot serve: ${why}, at least ${least} needed`, { hint });
  }
  warn(
    `at most ${connections} connections are taken: ${why}, and ${wanted} need ${needed}; ${hint}`,
  );
}

export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #relays = new Map<number, Relay>();
  readonly #door: Door;
  readonly #pool: WorkerPool<ConnectionWorker>;
  #bounds: ConnectionBounds;
  #plan: Plan;
  /** For connections from now on; those that are open keep theirs. */
  #limits: ServerLimits;
  #server: TlsServer | undefined;
  #identity: ServedIdentity | undefined;
  #channels = 0;
  /** When the log may say again that a worker could not be started, and that spare ones have ended. */
  #workersTellMs = 0;
  #sparesTellMs = 0;
  /** Spare ones of which it has not said so. */
  #sparesLost = 0;
  #isStopping = false;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
    this.#bounds = options;
    this.#plan = planOf(options);
    this.#limits = resolveLimits(options.limits);
    const { log, measures } = options;
    this.#door = new Door({
      ...{ log, ...this.#doorBounds() },
      onDropped: (why) => measures.refused(why),
    });
    this.#pool = connectionWorkers(this.#spareBounds(), (why) => this.#loseSpare(why));
  }

  #doorBounds() {
    const { connections, handshakes } = this.#plan;
    const { limits = {} } = this.#bounds;
    return { connectionsMax: connections, handshakesMax: handshakes, limits };
  }

  #spareBounds() {
    return { min: this.#limits.workersSpare, max: this.#plan.spares };
  }

  get max(): number {
    return this.#plan.connections;
  }

  get open(): number {
    return this.#relays.size;
  }

  /** Handshakes under way. */
  get handshakes(): number {
    return this.#door.handshakes;
  }

  /** Workers that wait for a connection, and how many were started so far. */
  get workers(): { readonly spare: number; readonly started: number } {
    return { spare: this.#pool.spare, started: this.#pool.started };
  }

  /** Changes how many there may be, as far as there is room ({@link checkRoom}). */
  configure(bounds: ConnectionBounds): void {
    this.#bounds = bounds;
    this.#plan = planOf(bounds);
    this.#limits = resolveLimits(bounds.limits);
    this.#door.configure(this.#doorBounds());
    this.#pool.resize(this.#spareBounds());
  }

  /** Returns the port. @throws {PkiError} `unreachable` if it is taken */
  listen(place: { readonly host: string; readonly port: number }, identity: ServedIdentity) {
    this.#identity = identity;
    const server = createServer({
      ...TLS_OPTIONS,
      ...identity.context,
      requestCert: true,
      ALPNProtocols: [PROTOCOL],
    }, (socket) => this.#accept(socket));
    this.#server = server;
    const { measures, log } = this.#options;
    // A handshake that fails is the client's affair.
    server.on("tlsClientError", (error, socket) => {
      const fields = { address: socket.remoteAddress };
      const message = messageOf(error);
      if (this.#door.hasDropped(socket)) return; // counted already, as refused
      measures.handshakesFailed++;
      log.log({ level: "debug", event: "connection.failed", message, fields });
      socket.destroy();
    });
    server.on("connection", (socket) => this.#door.arrive(socket));
    return new Promise<number>((resolve, reject) => {
      server.once("error", (error) => reject(listenError(error, place)));
      server.listen(place.port, place.host, () => {
        server.on("error", (error) => this.#warn(messageOf(error)));
        const address = server.address();
        resolve(typeof address === "object" && address ? address.port : place.port);
      });
    });
  }

  /** From now on connections are served with this; those under way keep what they were shown. */
  show(identity: ServedIdentity): void {
    this.#identity = identity;
    this.#server?.setSecureContext({ ...identity.context, ...TLS_OPTIONS });
  }

  #warn(message: string): void {
    this.#options.log.log({ level: "warning", event: "warning", message });
  }

  #refuse(socket: TLSSocket, error: PkiError, reason: Refusal): void {
    this.#options.measures.refused(reason);
    const { code, message } = reportError(error);
    this.#options.log.log({
      level: "info",
      event: "connection.refused",
      message,
      fields: { address: socket.remoteAddress, code },
    });
    socket.on("error", () => {}); // it may be gone already; it was refused anyway
    socket.end(encodeError(0, reportError(error)));
    const timer = setTimeout(() => socket.destroy(), LIMITS.drainMs);
    socket.once("close", () => clearTimeout(timer));
    socket.resume(); // what it sends is thrown away unread
  }

  /** Why nobody gets a connection now. */
  #whyNot(): Refused | undefined {
    if (this.#isStopping) return { reason: "stopping", why: "the server is stopping" };
    if (this.open >= this.max) {
      return {
        reason: "connections",
        why: `the server is busy: ${this.open} connections are open`,
      };
    }
    // Whoever connects and leaves at once must not have workers started faster than they end.
    const { connections, spares, ending } = this.#plan;
    if (this.#pool.alive >= connections + spares + ending) {
      return { reason: "behind", why: "the server is busy: too many connections come and go" };
    }
    return this.#options.directory.waiting >= LIMITS.directoryQuestionsMax
      ? { reason: "behind", why: "the server is busy: it has fallen behind" }
      : undefined;
  }

  #refuseBusy(socket: TLSSocket, { reason, why }: Refused): void {
    const message = `${why}, try again in ${LIMITS.busyRetryMs / 1000} s`;
    this.#refuse(socket, new PkiError("busy", message), reason);
  }

  /** Threads are short: whoever comes now will not be the only one. */
  #warnOfWorkers(error: unknown): void {
    if (performance.now() < this.#workersTellMs) return;
    this.#workersTellMs = performance.now() + LIMITS.dropsTellMs;
    this.#warn(`a connection was refused: ${messageOf(error)}; the system may allow more threads`);
  }

  /** Nobody was served by it: told of those of a while in one line. */
  #loseSpare(why: string): void {
    this.#options.measures.workersFailed++;
    this.#sparesLost++;
    if (performance.now() < this.#sparesTellMs) return;
    this.#sparesTellMs = performance.now() + LIMITS.dropsTellMs;
    const more = this.#sparesLost > 1 ? `, and ${this.#sparesLost - 1} before it` : "";
    this.#sparesLost = 0;
    this.#warn(`a connection worker ${why} before it was used${more}; another one is started`);
  }

  #accept(socket: TLSSocket): void {
    socket.setNoDelay(true); // as the executable's engine has it anyway
    try {
      checkConnection(socket, PROTOCOL);
    } catch (error) {
      this.#door.greet(socket);
      return this.#refuse(socket, error as PkiError, "protocol");
    }
    const refused = this.#whyNot() ?? this.#door.enter(socket);
    if (refused !== undefined) {
      this.#door.greet(socket);
      return this.#refuseBusy(socket, refused);
    }
    let worker: ConnectionWorker;
    try {
      worker = this.#pool.take();
    } catch (error) {
      this.#warnOfWorkers(error);
      const why = "the server is busy: it cannot start another thread";
      return this.#refuseBusy(socket, { reason: "threads", why });
    }
    this.#serve(socket, worker);
  }

  #serve(socket: TLSSocket, worker: ConnectionWorker): void {
    const { measures } = this.#options;
    measures.accepted++;
    const channel = ++this.#channels;
    const { port1, port2 } = new MessageChannel();
    const visitor = {
      address: socket.remoteAddress ?? "",
      leafHash: this.#identity?.leafHash ?? new Uint8Array(),
      shown: shownLeaf(socket),
    };
    worker.tell({ type: "start", directory: port2, limits: this.#limits }, [port2]);
    this.#tellDirectory({ type: "open", channel, port: port1, visitor }, [port1]);
    const relay = new Relay({
      socket,
      worker,
      limits: this.#limits,
      onFault: (what) => {
        measures.workersFailed++;
        this.#warn(`${what}; its connection was closed`);
      },
      onClosed: (code) => {
        this.#relays.delete(channel);
        this.#tellDirectory({ type: "closed", channel, ...(code === undefined ? {} : { code }) });
      },
    });
    this.#relays.set(channel, relay);
  }

  /** The directory has ended the session of a channel; its connection is to end, too. */
  sessionEnded(channel: number): void {
    this.#relays.get(channel)?.expectEnd();
  }

  /** Says something whose answer nobody waits for. */
  #tellDirectory(what: ToDirectory, transfer: MessagePort[] = []): void {
    this.#options.directory.ask(what, transfer).catch((error) => {
      if (!this.#isStopping) this.#warn(messageOf(error));
    });
  }

  /**
   * Takes nobody more and ends all: running requests are answered, for a while.
   * @param failure why none can be answered any more, which all hear
   */
  async stop(failure?: PkiError): Promise<void> {
    this.#isStopping = true;
    this.#server?.close();
    for (const relay of [...this.#relays.values()]) {
      if (failure) relay.abandon(failure);
      else relay.finish();
    }
    const endMs = performance.now() + LIMITS.drainMs;
    while (this.#relays.size > 0 && performance.now() < endMs) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    for (const relay of [...this.#relays.values()]) relay.destroy();
    this.close();
  }

  /** Lets go of what waits for connections. */
  close(): void {
    this.#isStopping = true;
    this.#door.close();
    this.#pool.close();
  }
}
