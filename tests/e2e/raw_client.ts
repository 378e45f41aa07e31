/**
 * A client of `pki/1` that sends what it is told to, byte by byte if need be, and keeps what comes
 * back. Where a test wants it honest it uses the program's own frames and OPAQUE messages; nothing
 * here checks what is sent. Also a relay that ends TLS, as somebody between client and server would.
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { connect, type ConnectionOptions, createServer, type TLSSocket } from "node:tls";
import { type Bytes, concatBytes, encodeBase64, sha256, utf8 } from "../../lib/base/bytes.ts";
import { shownCertificates, TLS_OPTIONS } from "../../lib/base/tls.ts";
import { connectServer, type ServerConnection } from "../../lib/client/server_connection.ts";
import { encodeFrame, FrameReader } from "../../lib/protocol/frame.ts";
import { PROTOCOL } from "../../lib/protocol/message_fields.ts";
import { bindLogin, loadOpaque, startLogin, startRegistration } from "../../lib/protocol/opaque.ts";
import { parseCertificate } from "../../lib/x509/certificate.ts";
import type { TrustAnchor } from "../../lib/x509/chain.ts";
import { DEFAULT_DOMAIN } from "../../lib/x509/names.ts";
import { parsePemBlock } from "../../lib/x509/pem.ts";
import { PASSWORDS, type World } from "./harness.ts";
import { listenAlone } from "./place.ts";

/** How long the server may take for anything; no test asserts a time below it. */
const PATIENCE_MS = 60_000;

/** What came in one frame. */
export interface Message {
  readonly seq: number;
  readonly type: string;
  readonly code?: string;
  readonly message?: string;
  readonly [key: string]: unknown;
}

/** The four bytes that announce a frame of this length, which need not be one that is allowed. */
export function header(length: number): Bytes {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, length);
  return bytes;
}

/** A frame around text or bytes, whatever they are. */
export function frame(body: string | Uint8Array): Bytes {
  return encodeFrame(typeof body === "string" ? utf8(body) : body);
}

/** A frame of a request, with any fields. */
export function requestFrame(seq: unknown, type: unknown, body: object = {}): Bytes {
  return frame(JSON.stringify({ seq, type, ...body }));
}

/** A promise that fails when nothing has happened for too long. */
async function patiently<T>(promise: Promise<T>, what: () => string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited too long for ${what()}`)), PATIENCE_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** What the connection may have otherwise than a client's. */
export interface RawOptions extends ConnectionOptions {
  /** The address that the server sees: any of 127.0.0.0/8. */
  readonly localAddress?: string;
}

export interface Login {
  readonly finish: string;
  readonly binding: string;
}

export class RawClient {
  readonly #socket: TLSSocket;
  readonly #frames = new FrameReader();
  readonly #messages: Message[] = [];
  #wake: () => void = () => {};
  #isClosed = false;
  #seq = 0;
  /** SHA-256 of the leaf that the server showed. */
  readonly leafHash: Bytes;
  readonly #fingerprint: string;

  private constructor(socket: TLSSocket, fingerprint: string) {
    this.#socket = socket;
    this.#fingerprint = fingerprint;
    const [leaf] = shownCertificates(socket);
    this.leafHash = sha256(leaf ?? new Uint8Array());
    socket.on("data", (chunk: Uint8Array) => {
      this.#frames.push(new Uint8Array(chunk));
      for (let body = this.#frames.read(); body; body = this.#frames.read()) {
        this.#messages.push(JSON.parse(new TextDecoder().decode(body)) as Message);
      }
      this.#wake();
    });
    socket.on("error", () => {}); // "close" follows
    socket.on("close", () => {
      this.#isClosed = true;
      this.#wake();
    });
  }

  /** Connects to the server of a world. @throws what TLS refused the connection with */
  static async open(world: World, options: RawOptions = {}): Promise<RawClient> {
    await loadOpaque();
    const { port, fingerprint } = world.server;
    const socket = connect({
      ...TLS_OPTIONS,
      host: "127.0.0.1",
      port,
      ALPNProtocols: [PROTOCOL],
      ...options,
    });
    await patiently(
      new Promise<void>((resolve, reject) => {
        socket.once("secureConnect", resolve);
        socket.once("error", reject);
        socket.once("close", () => reject(new Error("closed in the handshake")));
      }),
      () => "the handshake",
    );
    socket.setNoDelay(true);
    return new RawClient(socket, fingerprint);
  }

  /** Opens, greets, and logs in. */
  static async loggedIn(world: World, id: string): Promise<RawClient> {
    const client = await RawClient.open(world);
    await client.ok("HELLO");
    const opened = await client.logIn(id);
    assert.equal(opened.type, "OK", `${id} logs in: ${opened.message}`);
    return client;
  }

  write(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** Reads nothing any more. */
  pause(): void {
    this.#socket.pause();
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Sends a request under the next number, without waiting. */
  say(type: string, body: object = {}): number {
    const seq = ++this.#seq;
    this.write(requestFrame(seq, type, body));
    return seq;
  }

  /** Resolves when a frame is there to be taken, or the server has closed the connection. */
  async heard(): Promise<void> {
    while (this.#messages.length === 0 && !this.#isClosed) {
      const woken = new Promise<void>((resolve) => this.#wake = resolve);
      await patiently(woken, () => "a frame of the server");
    }
  }

  /** The next frame, or `undefined` once the server has closed the connection. */
  async nextOrEnd(): Promise<Message | undefined> {
    await this.heard();
    return this.#messages.shift();
  }

  async next(): Promise<Message> {
    const message = await this.nextOrEnd();
    assert.ok(message, "the server closed the connection");
    return message;
  }

  /** Everything until the server closes the connection. */
  async rest(): Promise<readonly Message[]> {
    const all: Message[] = [];
    for (let next = await this.nextOrEnd(); next; next = await this.nextOrEnd()) all.push(next);
    return all;
  }

  /** One request and its answer, whatever that is. */
  async ask(type: string, body: object = {}): Promise<Message> {
    const seq = this.say(type, body);
    const answer = await this.next();
    assert.equal(answer.seq, seq, `the answer to ${type}: ${JSON.stringify(answer)}`);
    return answer;
  }

  /** One request that must succeed. */
  async ok(type: string, body: object = {}): Promise<Message> {
    const answer = await this.ask(type, body);
    assert.equal(answer.type, "OK", `${type}: ${answer.code} ${answer.message}`);
    return answer;
  }

  /** One request that must fail with this code. */
  async refused(code: string, type: string, body: object = {}): Promise<Message> {
    const answer = await this.ask(type, body);
    assert.deepEqual([answer.type, answer.code], ["ERROR", code], `${type}: ${answer.message}`);
    return answer;
  }

  /** The server reads nothing more: one last word with `seq` 0, then the end. */
  async brokeProtocol(message?: RegExp): Promise<void> {
    const said = await this.rest();
    assert.deepEqual(
      said.map(({ seq, type, code }) => ({ seq, type, code })),
      [{ seq: 0, type: "ERROR", code: "PROTOCOL" }],
    );
    if (message) assert.match(said[0]?.message ?? "", message);
  }

  #parties(id: string) {
    return { id, rootFingerprint: this.#fingerprint };
  }

  /** `REGISTER`, without its end; what comes back is the record for `REGISTER_FINISH`. */
  async startRegistration(id: string, password = PASSWORDS[id] ?? ""): Promise<string> {
    const dialogue = startRegistration(password, this.#parties(id));
    const { response } = await this.ok("REGISTER", { id, request: dialogue.request });
    return dialogue.finish(String(response));
  }

  async register(id: string, password = PASSWORDS[id] ?? ""): Promise<void> {
    const record = await this.startRegistration(id, password);
    await this.ok("REGISTER_FINISH", { record });
  }

  /** `LOGIN`, without its end; `undefined` if this password opens nothing. */
  async startLogin(
    id: string,
    password = PASSWORDS[id] ?? "",
    leafHash: Uint8Array = this.leafHash,
  ): Promise<Login | undefined> {
    const dialogue = startLogin(password, this.#parties(id));
    const { response } = await this.ok("LOGIN", { id, request: dialogue.request });
    const result = dialogue.finish(String(response));
    return result &&
      { finish: result.finish, binding: encodeBase64(bindLogin(result.sessionKey, leafHash)) };
  }

  /** The answer to `LOGIN_FINISH`. */
  async logIn(id: string, password = PASSWORDS[id] ?? ""): Promise<Message> {
    const login = await this.startLogin(id, password);
    assert.ok(login, `the password of ${id} is wrong`);
    return await this.ask("LOGIN_FINISH", login);
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** Runs a test's body with a client, which is closed at the end. */
export async function withClient<T>(
  opened: Promise<RawClient>,
  body: (client: RawClient) => Promise<T>,
): Promise<T> {
  const client = await opened;
  try {
    return await body(client);
  } finally {
    client.close();
  }
}

/** What the program itself would trust a world's server by. */
export function anchorOf(world: World): TrustAnchor {
  const path = join(world.home, "server", "root.crt");
  const der = parsePemBlock(fs.readFileSync(path, "utf8"), ["CERTIFICATE"], path);
  return { root: parseCertificate(der), domain: DEFAULT_DOMAIN };
}

/** The program's own client, connected and greeted. */
export async function connectHonestly(world: World): Promise<ServerConnection> {
  const address = { host: "127.0.0.1", port: world.server.port };
  return await connectServer(address, anchorOf(world), { nowMs: Date.now() });
}

/** Somebody between client and server who can show a certificate of the server's, and reads along. */
export interface Relay {
  /** `host:port` */
  readonly where: string;
  /** Every byte that clients sent, and that the server sent, in the clear. */
  heard(): { readonly fromClients: Bytes; readonly fromServer: Bytes };
  close(): Promise<void>;
}

export async function startRelay(
  world: World,
  identity: { readonly key: string; readonly cert: string },
): Promise<Relay> {
  const fromClients: Uint8Array[] = [];
  const fromServer: Uint8Array[] = [];
  const sockets = new Set<TLSSocket>();
  const server = createServer({ ...TLS_OPTIONS, ...identity, ALPNProtocols: [PROTOCOL] });
  server.on("secureConnection", (client: TLSSocket) => {
    const upstream = connect({
      ...TLS_OPTIONS,
      host: "127.0.0.1",
      port: world.server.port,
      ALPNProtocols: [PROTOCOL],
    });
    const pass = (from: TLSSocket, to: TLSSocket, heard: Uint8Array[]) => {
      sockets.add(from);
      from.on("data", (chunk: Uint8Array) => {
        heard.push(new Uint8Array(chunk));
        to.write(chunk);
      });
      from.on("error", () => {}); // "close" follows
      from.on("end", () => to.end());
      from.on("close", () => {
        sockets.delete(from);
        to.destroy();
      });
    };
    pass(client, upstream, fromClients);
    pass(upstream, client, fromServer);
  });
  server.on("tlsClientError", () => {}); // the client says what it did not like
  return {
    where: await listenAlone(server),
    heard: () => ({
      fromClients: concatBytes(...fromClients),
      fromServer: concatBytes(...fromServer),
    }),
    close: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
