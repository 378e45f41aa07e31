/**
 * Whether a server will be able to listen where it is to: found out before a first start makes keys,
 * and before any start takes a second for threads, so that a port that is taken costs nothing.
 *
 * The ports are not held until the server listens. Engines give a TLS server no socket that listens
 * already, so that a moment between the two would stay; and on a port that is held clients would
 * connect and be cut off, where now they hear that nobody listens yet. Somebody else may still be
 * quicker: the server then says so itself, in the same words, and the next start uses what was made.
 */

import { createServer, type Server } from "node:net";
import { PkiError } from "../base/errors.ts";
import { listenError } from "../base/tls.ts";
import { metricsListenError, type MetricsPlace } from "./metrics_address.ts";
import { joinAddress } from "./reachable.ts";

export interface WantedPorts {
  readonly host: string;
  /** 0 for any free one: then only the address is tried. */
  readonly port: number;
  readonly metrics?: MetricsPlace | undefined;
}

/** Listens, and serves nobody. */
function listen(host: string, port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once("error", reject);
    server.listen(port, host, () => resolve(server));
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

/** @throws {PkiError} why metrics cannot be served where clients can */
async function checkMetrics(metrics: MetricsPlace, clients: Server): Promise<void> {
  const { host, port, address } = metrics;
  try {
    return await close(await listen(address, port));
  } catch (error) {
    await close(clients);
    // Taken by somebody else it still is without the other one.
    const alone = await listen(address, port).catch(() => undefined);
    if (!alone) throw metricsListenError(error, { host, port });
    await close(alone);
    throw new PkiError(
      "usage",
      `cannot serve metrics on ${joinAddress({ host, port })}: clients connect there`,
      { hint: "choose another port for --metrics" },
    );
  }
}

/**
 * Tries to listen on both addresses at once.
 * @throws {PkiError} `unreachable`, naming the one that cannot be had; `usage` if both are the same
 */
export async function checkPorts({ host, port, metrics }: WantedPorts): Promise<void> {
  let clients: Server;
  try {
    clients = await listen(host, port);
  } catch (error) {
    throw listenError(error, { host, port });
  }
  if (metrics) await checkMetrics(metrics, clients);
  await close(clients);
}
