/**
 * The server's main thread: starts directory and authority, has them watched, shows the server's
 * certificate and does what administrators ask for. Connections are taken in `connections.ts`. It
 * parses nothing that a client sent; its own key is the server's TLS key and no other.
 */

import { createPublicKey, type KeyObject } from "node:crypto";
import { availableParallelism, hostname } from "node:os";
import process from "node:process";
import { MessageChannel, type MessagePort, type Worker } from "node:worker_threads";
import { sha256 } from "../base/bytes.ts";
import { Caller } from "../base/call.ts";
import { messageOf, PkiError, unpackError } from "../base/errors.ts";
import { FAULT_PULSE_MS, HAS_FAULTS } from "../base/faults.ts";
import { readText, readTextIfThere, writeFileAtomic } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { holdsOnLoopback, resolveLimits } from "../base/server_limits.ts";
import { startWorker } from "../base/worker.ts";
import type { AdminAnswer, AdminRequest, AdminType } from "../protocol/admin_messages.ts";
import type { Measured } from "../protocol/measured.ts";
import type { Registration } from "../protocol/message_fields.ts";
import { type Certificate, fingerprintOf, parseCertificate } from "../x509/certificate.ts";
import { domainOf } from "../x509/chain.ts";
import { decryptPrivateKey, encodeSpki } from "../x509/keys.ts";
import { isIssuedBy } from "../x509/path.ts";
import { encodeCertificatesPem, parseCertificatesPem, parsePemBlock } from "../x509/pem.ts";
import { type AdminListener, listenAdmin } from "./admin.ts";
import {
  checkRoom,
  type ConnectionBounds,
  Connections,
  type ServedIdentity,
} from "./connections.ts";
import { CoreMeasures, reportProcess } from "./core_report.ts";
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
import { Pulse } from "./pulse.ts";

export interface ServerOptions extends ConnectionBounds {
  readonly folder: string;
  readonly passphrase: string;
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
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
}

type CriticalWorker = "authority" | "directory";

export class Core {
  #options: ServerOptions;
  readonly #files: ServerFiles;
  readonly #directoryWorker: Worker;
  readonly #authorityWorkers: readonly Worker[];
  readonly #directory: Caller<ToDirectory, FromDirectory>;
  readonly #connections: Connections;
  readonly #measures = new CoreMeasures();
  readonly #pulses: Pulse[] = [];
  #issuing: Certificate;
  #identity: Identity | undefined;
  #port: number | undefined;
  #hadAccounts = false;
  #isStopping = false;
  /** Why the server stops, if it has to. */
  #failure: PkiError | undefined;

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#files = serverFiles(options.folder);
    this.checkRoom(options);
    this.#issuing = this.#readIssuing();
    this.#authorityWorkers = Array.from(
      { length: authorityCount(availableParallelism()) },
      () => this.#startCritical("authority"),
    );
    this.#directoryWorker = this.#startCritical("directory");
    const directory = new Caller<ToDirectory, FromDirectory>(
      this.#directoryWorker as unknown as MessagePort,
    );
    this.#directory = directory;
    const { log, connectionsMax, limits } = options;
    this.#connections = new Connections({
      ...{ directory, log, measures: this.#measures },
      ...(connectionsMax === undefined ? {} : { connectionsMax }),
      ...(limits === undefined ? {} : { limits }),
    });
  }

  /** Before anything is taken over. @throws {PkiError} `storage` without room for a connection */
  checkRoom(bounds: ConnectionBounds): void {
    checkRoom(bounds, (text) => this.#warn(text));
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
    const error = new PkiError("internal", `the ${name} ${what}`, {
      hint: "everything that was acknowledged is in the log; start the server again",
    });
    this.#directory?.fail(error); // also at the end, which waits for an answer
    if (this.#isStopping) return;
    this.#failure ??= error;
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
      if (event.type === "event") return this.#options.log.log(event.event);
      if (event.type === "fault") return this.#options.onFault(unpackError(event.error));
      if (event.type === "broken-worker") this.#measures.workersFailed++;
      this.#warn(event.text);
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
    this.#identity = { key, certificate };
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

  #served(): ServedIdentity {
    const { key, certificate } = this.identity;
    return {
      context: {
        key: key.export({ format: "pem", type: "pkcs8" }) as string,
        cert: encodeCertificatesPem([certificate.der, this.#issuing.der]),
      },
      leafHash: sha256(certificate.der),
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
        const { open } = this.#connections;
        return { pid: process.pid, connections: open, size, checkpoint, measured };
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
    this.#connections.configure(changes);
    const { registration, logLevel } = changes;
    const limits = this.#directoryLimits();
    await this.#directory.ask({ type: "configure", registration, logLevel, limits });
  }

  #directoryLimits(): DirectoryLimits {
    const { limits = {} } = this.#options;
    const all = resolveLimits(limits);
    const { requestsAtWork, addressesPerSite, statusesPerMinute, entriesPerHour } = all;
    const onLoopback = (name: "statusesPerMinute" | "entriesPerHour", count: number) =>
      holdsOnLoopback(name, limits) ? count : 0;
    return {
      ...{ requestsAtWork, addressesPerSite, statusesPerMinute, entriesPerHour },
      statusesPerMinuteOnLoopback: onLoopback("statusesPerMinute", statusesPerMinute),
      entriesPerHourOnLoopback: onLoopback("entriesPerHour", entriesPerHour),
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
    const { open, max, handshakes, workers } = this.#connections;
    return {
      ...{ version, commit, domain: this.domain, nowMs: Date.now(), startedMs },
      ...(this.#port === undefined ? {} : { address: joinAddress({ host, port: this.#port }) }),
      connections: {
        ...{ open, max, accepted, refused: refusals },
      },
      handshakes: { underWay: handshakes, failed: handshakesFailed },
      workers: { inUse: open, ...workers, failed: workersFailed },
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

  /**
   * Takes over what was changed in the data folder: CAs, profiles. Returns the issuing CA.
   * @throws {PkiError} if anything is wrong; then all is as before
   */
  async reload(): Promise<Certificate> {
    const { certificate } = await this.#directory.ask({ type: "reload" });
    if (!certificate) throw new PkiError("internal", "the directory answered without its CA");
    const before = this.#issuing;
    this.#issuing = parseCertificate(certificate);
    if (fingerprintOf(before.der) !== fingerprintOf(this.#issuing.der)) {
      // The new CA is in use: it does not depend on this whether it was taken over.
      await this.#renew().catch((error) =>
        this.#warn(
          `cannot renew the server's certificate: ${
            messageOf(error)
          }; it is tried again within an hour`,
        )
      );
    }
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
    const nowMs = Date.now();
    // It is of a time to come where the clock was wrong: nobody accepts it until then.
    const isGood = isOfCurrent && certificate.notBeforeMs <= nowMs;
    const leftMs = certificate.notAfterMs - nowMs;
    if (isGood && leftMs > LIMITS.serverRenewDays * LIMITS.dayMs) return;
    // A new one could not last longer than the issuing CA does.
    if (isGood && this.#issuing.notAfterMs <= certificate.notAfterMs) {
      this.#warn("the issuing CA ends soon, and the server's certificate with it");
      return;
    }
    await this.#renew();
  }

  async #renew(): Promise<void> {
    const { identity } = this;
    identity.certificate = await this.#certifySelf(identity.key);
    this.#connections.show(this.#served());
    const { serial, notAfterMs } = identity.certificate;
    this.#options.log.log({
      level: "notice",
      event: "server.renewed",
      message: "the server's own certificate was renewed",
      fields: { serial, notAfter: new Date(notAfterMs).toISOString() },
    });
  }

  /** Returns the port. @throws {PkiError} `unreachable` if it is taken */
  async listen(): Promise<number> {
    const { host, port } = this.#options;
    this.#port = await this.#connections.listen({ host, port }, this.#served());
    return this.#port;
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#measures.stop();
    this.#stopWatching();
    try {
      await this.#connections.stop(this.#failure);
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
    this.#stopWatching();
    this.#connections.close();
    const workers = [this.#directoryWorker, ...this.#authorityWorkers];
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

const UNKNOWN_BUILD = { version: "unknown", commit: "unknown" };

/** Orders of an administrator that change nothing. */
const READING_ORDERS: readonly AdminType[] = ["STATUS", "LIST", "INVITATIONS", "USERS"];

/** Half of the cores sign; the others have the connections and the directory, which takes about as long. */
function authorityCount(cores: number): number {
  return Math.max(1, Math.min(LIMITS.authorityWorkersMax, Math.floor(cores / 2)));
}
