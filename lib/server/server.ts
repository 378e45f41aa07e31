/** Starts a server on a data folder: all of its threads, and the port. Start reading at `core.ts`. */

import { messageOf, PkiError } from "../base/errors.ts";
import { FAULT_RENEW_CHECK_MS, HAS_FAULTS } from "../base/faults.ts";
import { readText } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import type {
  AdminAnswer,
  AdminBody,
  AdminRequest,
  AdminType,
} from "../protocol/admin_messages.ts";
import { fingerprintOf } from "../x509/certificate.ts";
import { checkRoot } from "../x509/chain.ts";
import { parsePemBlock } from "../x509/pem.ts";
import type { AdminListener } from "./admin.ts";
import { Core, type LiveOptions, type ServerOptions } from "./core.ts";
import { serverFiles } from "./files.ts";
import type { MetricsListener } from "./metrics_listener.ts";
import { joinAddress } from "./reachable.ts";

export interface RunningServer {
  readonly port: number;
  readonly fingerprint: string;
  readonly domain: string;
  /** Where metrics are served, as `host:port`; absent where they are not. */
  readonly metrics?: string;
  /** Whether anybody was ever registered when it started. */
  readonly hadAccounts: boolean;
  /** @throws {PkiError} what the order fails with */
  order<T extends AdminType>(type: T, body: AdminBody<T>): Promise<AdminAnswer<T>>;
  /**
   * Takes over what was changed in the data folder (CAs, profiles), then these options.
   * @throws {PkiError} if anything is wrong; then all is as before
   */
  reload(changes: LiveOptions): Promise<void>;
  /** Resolves if main thread and directory still work. */
  checkAlive(): Promise<void>;
  /** No new connections; running requests finish; the state is flushed. */
  stop(): Promise<void>;
}

/** Why a server did not start, in the words of somebody who starts one. */
export function startError(error: unknown): unknown {
  if (!(error instanceof PkiError)) return error;
  switch (error.kind) {
    case "refused":
      return wrongPassphrase(error);
    // A file of the data folder is not there, or not what it was.
    case "not-found":
    case "malformed":
    case "untrusted":
      return new PkiError("storage", `cannot start: ${error.message}`, {
        hint: "put the file back, or the whole folder, from a backup (pki restore)",
        cause: error,
      });
    default:
      return error;
  }
}

function wrongPassphrase(cause: PkiError): PkiError {
  return new PkiError("refused", "cannot open the server's keys: the passphrase does not fit", {
    hint: "it is the one of the first start, in server.passphrase if it was made then",
    cause,
  });
}

/**
 * Starts a server on a data folder that has been set up and whose lock is held.
 * @throws {PkiError} `refused` for a wrong passphrase, `storage`, `unreachable` if the port is taken
 */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  try {
    return await start(options);
  } catch (error) {
    throw startError(error);
  }
}

/** What it takes to tell metrics is only loaded where somebody wants them. */
async function listenToScrapers(
  core: Core,
  { metrics: place }: ServerOptions,
): Promise<MetricsListener | undefined> {
  if (!place) return undefined;
  const { listenMetrics } = await import("./metrics_listener.ts");
  return await listenMetrics({ place, measure: () => core.measure() });
}

async function start(options: ServerOptions): Promise<RunningServer> {
  const files = serverFiles(options.folder);
  const root = checkRoot(
    parsePemBlock(readText(files.rootCertificate), ["CERTIFICATE"], files.rootCertificate),
    Date.now(),
  );
  const core = new Core(options);
  let port: number;
  let admins: AdminListener | undefined;
  let metrics: MetricsListener | undefined;
  try {
    await core.startWorkers();
    admins = await core.listenToAdmins();
    await core.renewIfDue();
    metrics = await listenToScrapers(core, options);
    port = await core.listen();
  } catch (error) {
    metrics?.close();
    await admins?.close();
    await core.endWorkers();
    throw error;
  }
  const renewal = setInterval(() => {
    core.renewIfDue().catch((error) =>
      options.log.log({
        level: "warning",
        event: "warning",
        message: `cannot renew the server's certificate: ${messageOf(error)}`,
      })
    );
  }, HAS_FAULTS ? FAULT_RENEW_CHECK_MS : LIMITS.serverRenewCheckMs);
  return {
    port,
    fingerprint: fingerprintOf(root.der),
    domain: core.domain,
    ...(metrics ? { metrics: joinAddress(metrics) } : {}),
    hadAccounts: core.hadAccounts,
    order: async <T extends AdminType>(type: T, body: AdminBody<T>) => {
      const request = { seq: 1, type, body } as AdminRequest;
      return await core.order(request) as AdminAnswer<T>;
    },
    reload: async (changes) => {
      core.checkRoom(changes); // before anything is taken over
      await core.reload();
      await core.configure(changes);
    },
    checkAlive: () => core.checkAlive(),
    stop: async () => {
      clearInterval(renewal);
      metrics?.close();
      await admins?.close();
      await core.stop();
    },
  };
}
