/**
 * Serves metrics over plain HTTP, to programs of this machine. It answers `GET` and `HEAD` of
 * `/metrics` and nothing else, tells nothing that is not a metric, and is bounded in every way: what
 * hangs here hangs alone.
 *
 * A web page that somebody on this machine visits could have its own name point here (DNS rebinding)
 * and read what is served; so whoever asks must have asked for an address, for `localhost`, or for the
 * name that the server was told to listen on.
 */

import { Buffer } from "node:buffer";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, isIP, type Socket } from "node:net";
import { messageOf, PkiError } from "../base/errors.ts";
import type { Measured } from "../protocol/measured.ts";
import { type MetricFormat, renderMetrics } from "./metrics.ts";
import { metricsListenError, type MetricsPlace } from "./metrics_address.ts";
import { IDLE_MS, MetricsPlaces, REQUEST_MS } from "./metrics_places.ts";

/** Where metrics are. */
const PATH = "/metrics";
/** Head of a request: a program that watches sends some 300 bytes. */
const HEADER_BYTES_MAX = 8192;
/** How often it is looked for connections that take too long. */
const CHECK_MS = 2000;
/** How long measuring for one answer may take. */
const ANSWER_MS = 10_000;

export interface MetricsOptions {
  readonly place: MetricsPlace;
  /** @throws {PkiError} if the server does not work any more */
  readonly measure: () => Promise<Measured>;
}

export interface MetricsListener {
  readonly host: string;
  readonly port: number;
  close(): void;
}

/** A host in a header, without its port; `undefined` where it is none. */
function hostIn(header: string): string | undefined {
  const [, six, name] = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::\d{1,5})?$/.exec(header) ??
    [];
  return six ?? name?.toLowerCase();
}

/** Whether a request was sent to us knowingly: to no name that somebody else could have made up. */
export function isHostMeant(header: string | undefined, ownHost: string): boolean {
  const host = header === undefined ? undefined : hostIn(header);
  if (host === undefined) return false;
  return isIP(host) !== 0 || host === "localhost" || host === ownHost.toLowerCase();
}

/** What a program that watches prefers; anything that can read text gets Prometheus' own. */
function formatFor(accept: string | undefined): MetricFormat {
  return accept?.includes("application/openmetrics-text") ? "openmetrics" : "prometheus";
}

function refuse(response: ServerResponse, status: number, why: string): void {
  response.writeHead(status, {
    "Content-Type": "text/plain; charset=utf-8",
    Connection: "close",
    ...(status === 405 ? { Allow: "GET, HEAD" } : {}),
  });
  response.end(`${why}\n`);
}

/** What is being measured: who asks meanwhile gets the same. */
export class Scrapes {
  readonly #measure: () => Promise<Measured>;
  readonly #answerMs: number;
  #running: Promise<Measured> | undefined;

  constructor(measure: () => Promise<Measured>, answerMs = ANSWER_MS) {
    this.#measure = measure;
    this.#answerMs = answerMs;
  }

  /** @throws {PkiError} `timeout` if it takes too long; what measuring fails with */
  async measure(): Promise<Measured> {
    this.#running ??= this.#measure().finally(() => this.#running = undefined);
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => late.reject(new PkiError("timeout", "the directory does not answer")),
      this.#answerMs,
    );
    try {
      return await Promise.race([this.#running, late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { scrapes, host }: { readonly scrapes: Scrapes; readonly host: string },
): Promise<void> {
  if (!isHostMeant(request.headers.host, host)) {
    return refuse(response, 421, "this server does not have that name: ask for its address");
  }
  if (request.url?.replace(/\?.*$/, "") !== PATH) {
    return refuse(response, 404, `metrics are at ${PATH}`);
  }
  const { method } = request;
  if (method !== "GET" && method !== "HEAD") return refuse(response, 405, "GET and HEAD only");
  try {
    const { contentType, text } = await renderMetrics(
      await scrapes.measure(),
      formatFor(request.headers.accept),
    );
    response.writeHead(200, {
      "Content-Type": contentType,
      "Content-Length": String(Buffer.byteLength(text)),
      "Cache-Control": "no-store",
      "X-Content-Type-Options": "nosniff",
    });
    response.end(method === "HEAD" ? undefined : text);
  } catch (error) {
    if (response.headersSent) return void response.destroy();
    refuse(response, 503, `no metrics now: ${messageOf(error)}`);
  }
}

/** Bounds connections and what each may take, whatever the engine looks after. */
class Guard {
  readonly #places = new MetricsPlaces<Socket>();
  readonly #sockets = new Set<Socket>();
  readonly #look = setInterval(() => this.#lookAround(), CHECK_MS);

  constructor() {
    this.#look.unref();
  }

  watch(server: Server): void {
    server.on("connection", (socket: Socket) => this.#arrive(socket));
    server.on("clientError", (_error, socket) => socket.destroy());
  }

  #arrive(socket: Socket): void {
    const leaving = this.#places.arrive(socket, performance.now());
    leaving?.destroy();
    if (leaving === socket) return;
    this.#sockets.add(socket);
    socket.on("error", () => {}); // it is gone; nobody else minds
    socket.once("close", () => {
      this.#sockets.delete(socket);
      this.#places.leave(socket);
    });
  }

  /** A request has come, and is about to be answered. */
  follow({ socket }: IncomingMessage, response: ServerResponse): void {
    this.#places.ask(socket, performance.now());
    let isOver = false;
    const end = () => {
      if (!isOver) this.#places.answered(socket, performance.now());
      isOver = true;
    };
    response.once("finish", end);
    response.once("close", end);
  }

  #lookAround(): void {
    for (const socket of this.#places.overdue(performance.now())) socket.destroy();
  }

  close(): void {
    clearInterval(this.#look);
    for (const socket of this.#sockets) socket.destroy();
  }
}

/** Starts to serve. @throws {PkiError} `unreachable` if the address cannot be listened on */
export async function listenMetrics(
  { place: { host, port, address }, measure }: MetricsOptions,
): Promise<MetricsListener> {
  const scrapes = new Scrapes(measure);
  const guard = new Guard();
  const server = createServer({
    maxHeaderSize: HEADER_BYTES_MAX,
    headersTimeout: REQUEST_MS,
    requestTimeout: REQUEST_MS,
    keepAliveTimeout: IDLE_MS,
    connectionsCheckingInterval: CHECK_MS,
  }, (request, response) => {
    guard.follow(request, response);
    request.resume(); // a body is thrown away
    void answer(request, response, { scrapes, host });
  });
  guard.watch(server);
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => {
      guard.close();
      reject(metricsListenError(error, { host, port }));
    });
    server.listen(port, address, resolve);
  });
  server.on("error", () => {}); // of one connection; the next one is served
  return {
    host,
    port: (server.address() as AddressInfo).port,
    close: () => {
      server.close();
      guard.close();
      server.closeAllConnections();
    },
  };
}
