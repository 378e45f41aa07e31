/**
 * The server's main thread: has directory and authority started and watched (`critical_threads.ts`),
 * connections taken (`connections.ts`) and the server's certificate renewed (`own_certificate.ts`), and
 * does what administrators ask for. It parses nothing that a client sent; its own key is the server's
 * TLS key and no other.
 */

import { hostname } from "node:os";
import process from "node:process";
import { MessageChannel, type MessagePort } from "node:worker_threads";
import type { Caller } from "../base/call.ts";
import { messageOf, PkiError, unpackError } from "../base/errors.ts";
import { readText } from "../base/files.ts";
import { holdsOnLoopback, resolveLimits, type ServerLimitName } from "../base/server_limits.ts";
import type { AdminAnswer, AdminRequest, AdminType } from "../protocol/admin_messages.ts";
import type { Measured } from "../protocol/measured.ts";
import type { Registration } from "../protocol/message_fields.ts";
import { type Certificate, fingerprintOf, parseCertificate } from "../x509/certificate.ts";
import { domainOf } from "../x509/chain.ts";
import { decryptPrivateKey } from "../x509/keys.ts";
import { type AdminListener, listenAdmin } from "./admin.ts";
import { checkRoom, type ConnectionBounds, Connections } from "./connections.ts";
import { CoreMeasures, reportProcess } from "./core_report.ts";
import { CriticalThreads } from "./critical_threads.ts";
import { type ServerFiles, serverFiles } from "./files.ts";
import { loadIssuing } from "./issuers.ts";
import type { EventLog, LogLevel } from "./log.ts";
import type { MetricsPlace } from "./metrics_address.ts";
import type {
  DirectoryEvent,
  DirectoryLimits,
  DirectoryOrder,
  DurableLog,
  FromDirectory,
  ToDirectory,
} from "./ports.ts";
import { OwnCertificate } from "./own_certificate.ts";
import { guessAddress, joinAddress } from "./reachable.ts";

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

export class Core {
  #options: ServerOptions;
  readonly #files: ServerFiles;
  readonly #threads: CriticalThreads;
  readonly #directory: Caller<ToDirectory, FromDirectory>;
  readonly #connections: Connections;
  readonly #own: OwnCertificate;
  readonly #measures = new CoreMeasures();
  #port: number | undefined;
  #hadAccounts = false;

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#files = serverFiles(options.folder);
    this.checkRoom(options);
    const issuing = loadIssuing(this.#files); // before there are threads that would have to be ended
    this.#threads = new CriticalThreads(options.onFault);
    const { directory } = this.#threads;
    this.#directory = directory;
    const { log, connectionsMax, limits } = options;
    this.#connections = new Connections({
      ...{ directory, log, measures: this.#measures },
      ...(connectionsMax === undefined ? {} : { connectionsMax }),
      ...(limits === undefined ? {} : { limits }),
    });
    this.#own = new OwnCertificate({
      ...{ files: this.#files, issuing, directory, log },
      onRenewed: (identity) => this.#connections.show(identity),
    });
  }

  /** Before anything is taken over. @throws {PkiError} `storage` without room for a connection */
  checkRoom(bounds: ConnectionBounds): void {
    checkRoom(bounds, (text) => this.#warn(text));
  }

  #warn(message: string): void {
    this.#options.log.log({ level: "warning", event: "warning", message });
  }

  /** A port on which the directory speaks without being asked. */
  #listenToDirectory(): MessagePort {
    const { port1, port2 } = new MessageChannel();
    port1.on("message", (event: DirectoryEvent) => {
      if (event.type === "event") return this.#options.log.log(event.event);
      if (event.type === "session-ended") return this.#connections.sessionEnded(event.channel);
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
    const path = this.#files.serverKey;
    const [key, hadAccounts] = await Promise.all([
      decryptPrivateKey(readText(path), passphrase, path),
      this.#threads.start({
        ...{ folder, passphrase, witness, acceptsLoss, ...rootKey, registration, logLevel },
        events: this.#listenToDirectory(),
        limits: this.#directoryLimits(),
      }),
    ]);
    this.#hadAccounts = hadAccounts;
    this.#threads.watch();
    await this.#own.load(key);
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
    const { requestsAtWork, addressesPerSite } = all;
    const { statusesPerMinute, entriesPerHour, connectionsPerUser } = all;
    const onLoopback = (name: ServerLimitName) => holdsOnLoopback(name, limits) ? all[name] : 0;
    return {
      ...{ requestsAtWork, addressesPerSite },
      ...{ statusesPerMinute, entriesPerHour, connectionsPerUser },
      statusesPerMinuteOnLoopback: onLoopback("statusesPerMinute"),
      entriesPerHourOnLoopback: onLoopback("entriesPerHour"),
      connectionsPerUserOnLoopback: onLoopback("connectionsPerUser"),
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
      connections: { open, max, accepted, refused: refusals },
      handshakes: { underWay: handshakes, failed: handshakesFailed },
      workers: { inUse: open, ...workers, failed: workersFailed },
      serverEndsMs: this.#own.notAfterMs,
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
    if (this.#own.useIssuing(parseCertificate(certificate))) {
      // The new CA is in use: it does not depend on this whether it was taken over.
      await this.#own.renew().catch((error) =>
        this.#warn(
          `cannot renew the server's certificate: ${
            messageOf(error)
          }; it is tried again within an hour`,
        )
      );
    }
    return this.#own.issuing;
  }

  get domain(): string {
    return domainOf(this.#own.issuing);
  }

  /**
   * Renews the server's own certificate when its time comes; connections under way keep the old one.
   * @throws {PkiError} if that fails and there is none that anybody accepts
   */
  async renewIfDue(): Promise<void> {
    await this.#own.renewIfDue();
  }

  /** Returns the port. @throws {PkiError} `unreachable` if it is taken */
  async listen(): Promise<number> {
    const { host, port } = this.#options;
    this.#port = await this.#connections.listen({ host, port }, this.#own.served);
    return this.#port;
  }

  async stop(): Promise<void> {
    this.#measures.stop();
    this.#threads.stopWatching();
    try {
      await this.#connections.stop(this.#threads.failure);
      await this.#threads.finish();
    } finally {
      await this.endWorkers();
    }
  }

  async endWorkers(): Promise<void> {
    this.#measures.stop();
    this.#connections.close();
    await this.#threads.end();
  }
}

const UNKNOWN_BUILD = { version: "unknown", commit: "unknown" };

/** Orders of an administrator that change nothing. */
const READING_ORDERS: readonly AdminType[] = ["STATUS", "LIST", "INVITATIONS", "USERS"];
