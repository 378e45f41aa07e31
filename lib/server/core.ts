/**
 * The server's main thread: starts directory and authority, accepts connections, and gives each a
 * worker and a channel to the directory. It parses nothing that a client sent; its own key is the
 * server's TLS key and no other.
 */

import { createPublicKey, type KeyObject } from "node:crypto";
import { availableParallelism, hostname } from "node:os";
import process from "node:process";
import { createServer, type Server as TlsServer, type TLSSocket } from "node:tls";
import { MessageChannel, type MessagePort, type Worker } from "node:worker_threads";
import { type Bytes, sha256 } from "../base/bytes.ts";
import { Caller } from "../base/call.ts";
import { messageOf, PkiError, reportError, unpackError } from "../base/errors.ts";
import { FAULT_PULSE_MS, HAS_FAULTS } from "../base/faults.ts";
import { readText, readTextIfThere, writeFileAtomic } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import {
  type GivenLimits,
  holdsOnLoopback,
  resolveLimits,
  type ServerLimits,
} from "../base/server_limits.ts";
import { checkConnection, listenError, shownLeaf, TLS_OPTIONS } from "../base/tls.ts";
import { startWorker } from "../base/worker.ts";
import type { AdminAnswer, AdminRequest, AdminType } from "../protocol/admin_messages.ts";
import type { Measured } from "../protocol/measured.ts";
import { encodeError, PROTOCOL, type Registration } from "../protocol/messages.ts";
import { type Certificate, fingerprintOf, parseCertificate } from "../x509/certificate.ts";
import { domainOf } from "../x509/chain.ts";
import { decryptPrivateKey, encodeSpki } from "../x509/keys.ts";
import { isIssuedBy } from "../x509/path.ts";
import { encodeCertificatesPem, parseCertificatesPem, parsePemBlock } from "../x509/pem.ts";
import { type AdminListener, listenAdmin } from "./admin.ts";
import { CoreMeasures, type Refusal, type Refused, reportProcess } from "./core_report.ts";
import { Door } from "./door.ts";
import { type ServerFiles, serverFiles } from "./files.ts";
import type { EventLog, LogLevel } from "./log.ts";
import type { MetricsPlace } from "./metrics_address.ts";
import type {
  DirectoryEvent,
  DirectoryLimits,
  DirectoryOrder,
  DurableLog,
  FromAuthority,
  FromDirectory,
  ToAuthority,
  ToDirectory,
} from "./ports.ts";
import { guessAddress, joinAddress } from "./reachable.ts";
import { Relay } from "./relay.ts";
import { Pulse } from "./pulse.ts";
import { connectionsWithin, ENDING_WORKERS_MAX, findRoom, findShortage } from "./room.ts";
import {
  type ConnectionWorker,
  connectionWorkers,
  SPARES_MAX,
  type WorkerPool,
} from "./worker_pool.ts";

export interface ServerOptions {
  readonly folder: string;
  readonly passphrase: string;
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  readonly connectionsMax?: number;
  /** Bounds that are not the standard ones. */
  readonly limits?: GivenLimits;
  /** Who may register; nobody where it is not said. */
  readonly registration?: Registration;
  /** `host:port` where clients reach the server, for invitations; guessed where it is not said. */
  readonly publicAddress?: string;
  /** From which level on the directory tells of events; the log itself leaves out the rest. */
  readonly logLevel?: LogLevel;
  /** Where the newest checkpoint is remembered outside of the folder. */
  readonly witness: string;
  /** Goes on although the log has lost entries. */
  readonly acceptsLoss?: boolean;
  /** A file with the root's key, to accept a loss with, and its passphrase if it has its own. */
  readonly rootKeyPath?: string;
  readonly rootPassphrase?: string;
  /** Where metrics are served; nowhere where it is absent. */
  readonly metrics?: MetricsPlace;
  /** Which program it is, for whoever watches it. */
  readonly build?: { readonly version: string; readonly commit: string };
  /** For the operator. */
  readonly log: EventLog;
  /** The server cannot go on: a fault in the directory or the authority. */
  readonly onFault: (error: PkiError) => void;
}

/** What can change while the server runs. */
export type LiveOptions = Required<
  Pick<ServerOptions, "registration" | "publicAddress" | "connectionsMax" | "logLevel" | "limits">
>;

/** The TLS key and certificate that connections are served with. */
interface Identity {
  readonly key: KeyObject;
  certificate: Certificate;
  /** SHA-256 of the certificate. */
  leafHash: Bytes;
}

type CriticalWorker = "authority" | "directory";

export class Core {
  #options: ServerOptions;
  /** For connections from now on; those that are open keep theirs. */
  #limits: ServerLimits;
  readonly #files: ServerFiles;
  readonly #directoryWorker: Worker;
  readonly #authorityWorkers: readonly Worker[];
  readonly #directory: Caller<ToDirectory, FromDirectory>;
  readonly #relays = new Map<number, Relay>();
  readonly #door: Door;
  readonly #measures = new CoreMeasures();
  readonly #pulses: Pulse[] = [];
  readonly #pool: WorkerPool<ConnectionWorker>;
  #issuing: Certificate;
  #server: TlsServer | undefined;
  #identity: Identity | undefined;
  #port: number | undefined;
  #hadAccounts = false;
  #channels = 0;
  /** When the log may say again that a worker could not be started. */
  #workersTellMs = 0;
  /** Files and threads that the process may have. */
  readonly #room = findRoom();
  #isStopping = false;
  /** Why the server stops, if it has to. */
  #failure: PkiError | undefined;

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#limits = resolveLimits(options.limits);
    this.#door = new Door({ log: options.log, ...this.#bounds });
    this.#files = serverFiles(options.folder);
    this.checkRoom(options);
    this.#issuing = this.#readIssuing();
    this.#authorityWorkers = Array.from(
      { length: authorityCount(availableParallelism()) },
      () => this.#startCritical("authority"),
    );
    this.#directoryWorker = this.#startCritical("directory");
    this.#directory = new Caller(this.#directoryWorker as unknown as MessagePort);
    this.#pool = connectionWorkers(this.#limits.workersSpare);
  }

  /**
   * Whether there is room for what these options want; says so where it is for less.
   * @throws {PkiError} `storage` where there is no room for a single connection
   */
  checkRoom(
    { connectionsMax: wanted = LIMITS.connectionsMax, limits }: Pick<
      ServerOptions,
      "connectionsMax" | "limits"
    >,
  ): void {
    const sparesMax = sparesMaxOf(resolveLimits(limits));
    const shortage = findShortage(this.#room, wanted, sparesMax);
    if (!shortage) return;
    const { why, needed, least, hint } = shortage;
    const room = connectionsWithin(this.#room, sparesMax);
    if (room === 0) {
      throw new PkiError("storage", `cannot serve: ${why}, at least ${least} needed`, { hint });
    }
    this.#warn(
      `at most ${room} connections are taken: ${why}, and ${wanted} need ${needed}; ${hint}`,
    );
  }

  get #sparesMax(): number {
    return sparesMaxOf(this.#limits);
  }

  #readIssuing(): Certificate {
    const path = this.#files.issuingCertificate;
    return parseCertificate(parsePemBlock(readText(path), ["CERTIFICATE"], path));
  }

  /** A worker that the server cannot be without. */
  #startCritical(name: CriticalWorker): Worker {
    const worker = startWorker(name);
    worker.on("error", (error) => this.#fail(name, `failed: ${messageOf(error)}`));
    worker.on("exit", () => this.#fail(name, "ended by itself"));
    return worker;
  }

  /** The server cannot go on. */
  #fail(name: CriticalWorker, what: string): void {
    if (this.#isStopping) return;
    const error = new PkiError("internal", `the ${name} ${what}`, {
      hint: "everything that was acknowledged is in the log; start the server again",
    });
    this.#failure ??= error;
    this.#directory?.fail(error);
    this.#options.onFault(error);
  }

  /** From now on a worker that loops or waits for ever is noticed; a start may take long. */
  #watch(name: CriticalWorker, ask: () => Promise<unknown>): void {
    const pulse = new Pulse({
      ask,
      onSilent: () => this.#fail(name, "does not answer"),
      missedMax: LIMITS.pulsesMissedMax,
    });
    pulse.start(HAS_FAULTS ? FAULT_PULSE_MS : LIMITS.pulseMs);
    this.#pulses.push(pulse);
  }

  #warn(message: string): void {
    this.#options.log.log({ level: "warning", event: "warning", message });
  }

  /** A port on which the directory speaks without being asked. */
  #listenToDirectory(): MessagePort {
    const { port1, port2 } = new MessageChannel();
    port1.on("message", (event: DirectoryEvent) => {
      if (event.type === "event") this.#options.log.log(event.event);
      else if (event.type === "warning") this.#warn(event.text);
      else this.#options.onFault(unpackError(event.error));
    });
    return port2;
  }

  async startWorkers(): Promise<void> {
    const { folder, passphrase, witness, acceptsLoss = false } = this.#options;
    const { registration = "closed", logLevel = "notice" } = this.#options;
    const { rootKeyPath, rootPassphrase } = this.#options;
    const rootKey = {
      ...(rootKeyPath === undefined ? {} : { rootKeyPath }),
      ...(rootPassphrase === undefined ? {} : { rootPassphrase }),
    };
    const authorities = this.#authorityWorkers.map((worker) => ({
      caller: new Caller<ToAuthority, FromAuthority>(worker as unknown as MessagePort),
      channel: new MessageChannel(),
    }));
    const ports = authorities.map(({ channel }) => channel.port2);
    const events = this.#listenToDirectory();
    const [key, { hasAccounts = false }] = await Promise.all([
      decryptPrivateKey(readText(this.#files.serverKey), passphrase, this.#files.serverKey),
      this.#directory.ask(
        {
          ...{ type: "start", folder, passphrase, witness, acceptsLoss, ...rootKey },
          ...{ events, authorities: ports, registration, logLevel },
          limits: this.#directoryLimits(),
        },
        [events, ...ports],
      ),
      ...authorities.map(({ caller, channel: { port1 } }) =>
        caller.ask({ type: "start", folder, passphrase, directory: port1 }, [port1])
      ),
    ]);
    this.#hadAccounts = hasAccounts;
    this.#watch("directory", () => this.#directory.ask({ type: "ping" }));
    for (const { caller } of authorities) {
      this.#watch("authority", () => caller.ask({ type: "ping" }));
    }
    const pem = readTextIfThere(this.#files.serverCertificate);
    const [leaf] = pem === undefined
      ? []
      : parseCertificatesPem(pem, this.#files.serverCertificate);
    const certificate = leaf === undefined ? await this.#certifySelf(key) : parseCertificate(leaf);
    this.#identity = { key, certificate, leafHash: sha256(certificate.der) };
  }

  /** Has the server's key certified and keeps the certificate. */
  async #certifySelf(key: KeyObject): Promise<Certificate> {
    const spki = encodeSpki(createPublicKey(key));
    const { certificate } = await this.#directory.ask({ type: "certify-server", spki });
    if (!certificate) {
      throw new PkiError("internal", "the directory answered without a certificate");
    }
    writeFileAtomic(
      this.#files.serverCertificate,
      encodeCertificatesPem([certificate, this.#issuing.der]),
    );
    return parseCertificate(certificate);
  }

  #context() {
    const { key, certificate } = this.identity;
    return {
      key: key.export({ format: "pem", type: "pkcs8" }) as string,
      cert: encodeCertificatesPem([certificate.der, this.#issuing.der]),
    };
  }

  /** What an administrator may ask of a running server. */
  listenToAdmins(): Promise<AdminListener> {
    return listenAdmin(this.#files.adminSocket, (request) => this.order(request));
  }

  /** Does what an administrator asks for. */
  async order(request: AdminRequest): Promise<AdminAnswer<AdminType>> {
    const isRead = READING_ORDERS.includes(request.type);
    this.#options.log.log({
      level: isRead ? "debug" : "info",
      event: "admin.order",
      fields: { type: request.type },
    });
    switch (request.type) {
      case "BACKUP":
        return { ...await this.#describeLog() };
      case "STATUS": {
        const { size, checkpoint } = await this.#describeLog();
        const measured = await this.measure();
        return { pid: process.pid, connections: this.#relays.size, size, checkpoint, measured };
      }
      case "RELOAD":
        return { issuing: fingerprintOf((await this.reload()).der) };
      case "INVITE":
        return { ...await this.#orderDirectory(request), ...this.#reachable() };
      case "ISSUE":
      case "LIST":
      case "REVOKE":
      case "INVITATIONS":
      case "WITHDRAW":
      case "USERS":
      case "USER":
        return await this.#orderDirectory(request);
    }
  }

  async #orderDirectory(request: DirectoryOrder): Promise<AdminAnswer<AdminType>> {
    const { answer } = await this.#directory.ask({ type: "admin", request });
    if (!answer) throw new PkiError("internal", "the directory answered what was not asked");
    return answer;
  }

  /** Where clients reach the server, if it listens. */
  #reachable(): { readonly address?: string } {
    const { host, publicAddress } = this.#options;
    if (this.#port === undefined) return {};
    return { address: publicAddress ?? guessAddress({ host, port: this.#port }, hostname()) };
  }

  /** Changes what can change while the server runs, and has been checked ({@link checkRoom}). */
  async configure(changes: LiveOptions): Promise<void> {
    this.#options = { ...this.#options, ...changes };
    this.#limits = resolveLimits(changes.limits);
    this.#door.configure(this.#bounds);
    this.#pool.resize(this.#limits.workersSpare);
    const { registration, logLevel } = changes;
    const limits = this.#directoryLimits();
    await this.#directory.ask({ type: "configure", registration, logLevel, limits });
  }

  #directoryLimits(): DirectoryLimits {
    const { requestsAtWork, statusesPerMinute, entriesPerHour } = this.#limits;
    const isForAll = holdsOnLoopback("statusesPerMinute", this.#options.limits ?? {});
    return {
      ...{ requestsAtWork, statusesPerMinute, entriesPerHour },
      statusesPerMinuteOnLoopback: isForAll ? statusesPerMinute : 0,
    };
  }

  /** @throws {PkiError} if the directory does not work any more */
  async checkAlive(): Promise<void> {
    await this.#describeLog();
  }

  /** Whether anybody was ever registered when the server started. */
  get hadAccounts(): boolean {
    return this.#hadAccounts;
  }

  /** What the server measures of itself. @throws {PkiError} if the directory does not work any more */
  async measure(): Promise<Measured> {
    const [{ measured }, ownProcess] = await Promise.all([
      this.#directory.ask({ type: "measure" }),
      reportProcess(),
    ]);
    if (!measured) {
      throw new PkiError("internal", "the directory answered without what it measures");
    }
    const { startedMs, accepted, refusals, handshakesFailed, workersFailed, delay } =
      this.#measures;
    const { build: { version, commit } = UNKNOWN_BUILD, host } = this.#options;
    const { counts, sum } = delay.read();
    return {
      ...{ version, commit, domain: this.domain, nowMs: Date.now(), startedMs },
      ...(this.#port === undefined ? {} : { address: joinAddress({ host, port: this.#port }) }),
      connections: {
        ...{ open: this.#relays.size, max: this.#connectionsMax },
        ...{ accepted, refused: refusals },
      },
      handshakes: {
        underWay: this.#door.counts.handshakes,
        failed: handshakesFailed,
      },
      workers: {
        ...{ inUse: this.#relays.size, spare: this.#pool.spare, started: this.#pool.started },
        failed: workersFailed,
      },
      serverEndsMs: this.identity.certificate.notAfterMs,
      process: ownProcess,
      delay: { counts: [...counts], sum },
      directory: measured,
    };
  }

  async #describeLog(): Promise<DurableLog> {
    const { durable } = await this.#directory.ask({ type: "describe" });
    if (!durable) throw new PkiError("internal", "the directory answered without a log");
    return durable;
  }

  /** Takes over what was changed in the data folder: CAs, profiles. Returns the issuing CA. */
  async reload(): Promise<Certificate> {
    const before = this.#issuing;
    await this.#directory.ask({ type: "reload" });
    this.#issuing = this.#readIssuing();
    if (fingerprintOf(before.der) !== fingerprintOf(this.#issuing.der)) await this.#renew();
    return this.#issuing;
  }

  get domain(): string {
    return domainOf(this.#issuing);
  }

  get identity(): Identity {
    if (!this.#identity) throw new PkiError("internal", "the server has no certificate yet");
    return this.#identity;
  }

  /** Renews the server's own certificate when its time comes; connections under way keep the old one. */
  async renewIfDue(): Promise<void> {
    const { certificate } = this.identity;
    // After a rotation that a crash cut short it may be of the CA before.
    const isOfCurrent = isIssuedBy(certificate, this.#issuing);
    const leftMs = certificate.notAfterMs - Date.now();
    if (isOfCurrent && leftMs > LIMITS.serverRenewDays * LIMITS.dayMs) return;
    // A new one could not last longer than the issuing CA does.
    if (isOfCurrent && this.#issuing.notAfterMs <= certificate.notAfterMs) {
      this.#warn("the issuing CA ends soon, and the server's certificate with it");
      return;
    }
    await this.#renew();
  }

  async #renew(): Promise<void> {
    const { identity } = this;
    identity.certificate = await this.#certifySelf(identity.key);
    identity.leafHash = sha256(identity.certificate.der);
    this.#server?.setSecureContext({ ...this.#context(), ...TLS_OPTIONS });
    const { serial, notAfterMs } = identity.certificate;
    this.#options.log.log({
      level: "notice",
      event: "server.renewed",
      message: "the server's own certificate was renewed",
      fields: { serial, notAfter: new Date(notAfterMs).toISOString() },
    });
  }

  /** Returns the port. */
  listen(): Promise<number> {
    const { host, port } = this.#options;
    const server = createServer({
      ...TLS_OPTIONS,
      ...this.#context(),
      requestCert: true,
      ALPNProtocols: [PROTOCOL],
    }, (socket) => this.#accept(socket));
    this.#server = server;
    // A handshake that fails is the client's affair.
    server.on("tlsClientError", (error, socket) => {
      const fields = { address: socket.remoteAddress };
      const message = messageOf(error);
      this.#measures.handshakesFailed++;
      this.#options.log.log({ level: "debug", event: "connection.failed", message, fields });
      socket.destroy();
    });
    server.on("connection", (socket) => {
      if (!this.#door.arrive(socket)) this.#measures.refused("sockets");
    });
    return new Promise((resolve, reject) => {
      server.once("error", (error) => reject(listenError(error, { host, port })));
      server.listen(port, host, () => {
        server.on("error", (error) => this.#warn(messageOf(error)));
        const address = server.address();
        this.#port = typeof address === "object" && address ? address.port : port;
        resolve(this.#port);
      });
    });
  }

  get #connectionsMax(): number {
    const { connectionsMax = LIMITS.connectionsMax } = this.#options;
    return Math.min(connectionsMax, connectionsWithin(this.#room, this.#sparesMax));
  }

  /** What the door keeps. */
  get #bounds() {
    return { connectionsMax: this.#connectionsMax, limits: this.#options.limits ?? {} };
  }

  #refuse(socket: TLSSocket, error: PkiError, reason: Refusal): void {
    this.#measures.refused(reason);
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
    if (this.#relays.size >= this.#connectionsMax) {
      const why = `the server is busy: ${this.#relays.size} connections are open`;
      return { reason: "connections", why };
    }
    // Whoever connects and leaves at once must not have workers started faster than they end.
    if (this.#pool.alive >= this.#connectionsMax + this.#sparesMax + ENDING_WORKERS_MAX) {
      return { reason: "behind", why: "the server is busy: too many connections come and go" };
    }
    return this.#directory.waiting >= LIMITS.directoryQuestionsMax
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

  #accept(socket: TLSSocket): void {
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
    this.#measures.accepted++;
    const channel = ++this.#channels;
    const { port1, port2 } = new MessageChannel();
    const visitor = {
      address: socket.remoteAddress ?? "",
      leafHash: this.identity.leafHash,
      shown: shownLeaf(socket),
    };
    const directory = port2;
    worker.tell({ type: "start", directory, limits: this.#limits }, [directory]);
    this.#tellDirectory({ type: "open", channel, port: port1, visitor }, [port1]);
    const relay = new Relay({
      socket,
      worker,
      answersUnreadBytesMax: this.#limits.answersUnreadBytes,
      onFault: (what) => {
        this.#measures.workersFailed++;
        this.#warn(`${what}; its connection was closed`);
      },
      onClosed: (code) => {
        this.#relays.delete(channel);
        this.#tellDirectory({ type: "closed", channel, ...(code === undefined ? {} : { code }) });
      },
    });
    this.#relays.set(channel, relay);
  }

  /** Says something whose answer nobody waits for. */
  #tellDirectory(what: ToDirectory, transfer: MessagePort[] = []): void {
    this.#directory.ask(what, transfer).catch((error) => {
      if (!this.#isStopping) this.#warn(messageOf(error));
    });
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#measures.stop();
    this.#stopWatching();
    this.#server?.close();
    for (const relay of [...this.#relays.values()]) {
      if (this.#failure) relay.abandon(this.#failure);
      else relay.finish();
    }
    const deadline = Date.now() + LIMITS.drainMs;
    while (this.#relays.size > 0 && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    for (const relay of [...this.#relays.values()]) relay.destroy();
    this.#pool.close();
    try {
      await this.#directory.ask({ type: "stop" });
    } finally {
      await this.endWorkers();
    }
  }

  #stopWatching(): void {
    for (const pulse of this.#pulses) pulse.stop();
  }

  async endWorkers(): Promise<void> {
    this.#isStopping = true;
    this.#measures.stop();
    this.#door.close();
    this.#stopWatching();
    this.#pool.close();
    const workers = [this.#directoryWorker, ...this.#authorityWorkers];
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

/** Workers that may be waiting for connections. */
function sparesMaxOf({ workersSpare }: ServerLimits): number {
  return Math.max(SPARES_MAX, workersSpare);
}

const UNKNOWN_BUILD = { version: "unknown", commit: "unknown" };

/** Orders of an administrator that change nothing. */
const READING_ORDERS: readonly AdminType[] = ["STATUS", "LIST", "INVITATIONS", "USERS"];

/** Half of the cores sign; the others have the connections and the directory, which takes about as long. */
function authorityCount(cores: number): number {
  return Math.max(1, Math.min(LIMITS.authorityWorkersMax, Math.floor(cores / 2)));
}
