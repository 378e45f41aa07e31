/**
 * Peers that the tests play themselves, frame by frame: over `node:tls` with any certificate, as
 * caller or as listener, and over `openssl s_client`. They send whatever they are told to.
 */

import assert from "node:assert/strict";
import { once } from "node:events";
import type { Readable, Writable } from "node:stream";
import { connect, createServer, type Server, type TLSSocket } from "node:tls";
import { concatBytes, copyBytes, encodeBase64, parseUtf8, utf8 } from "../../lib/base/bytes.ts";
import { FrameReader } from "../../lib/protocol/frame.ts";
import { commitTo, type PeerRole } from "../../lib/protocol/safety_words.ts";
import type { Credential } from "./forge.ts";
import { listenAlone } from "./place.ts";

export const TYPE = { control: 1, text: 2, data: 3, end: 4, file: 5 } as const;

/** What a frame of a peer says. */
export type Heard =
  | { readonly type: number; readonly body: Uint8Array }
  /** The connection is over. */
  | { readonly type: "closed" };

export type Control = Readonly<Record<string, unknown>>;

/** A frame with any length field: the body's unless told otherwise. */
export function rawFrame(body: Uint8Array, lengthSaid: number = body.length): Uint8Array {
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, lengthSaid);
  return concatBytes(length, body);
}

export function frame(type: number, body: Uint8Array): Uint8Array {
  return rawFrame(concatBytes(Uint8Array.of(type), body));
}

export function control(message: Control): Uint8Array {
  return frame(TYPE.control, utf8(JSON.stringify(message)));
}

export function endFrame(count: number): Uint8Array {
  const body = new Uint8Array(8);
  new DataView(body.buffer).setBigUint64(0, BigInt(count));
  return frame(TYPE.end, body);
}

/** The nonce that raw peers commit to; it protects nobody. */
export const NONCE = new Uint8Array(32).fill(0x5a);

/** A greeting that says nothing of the certificate's status; see {@link RawPeer.hello}. */
export function helloAs(role: PeerRole): Control {
  return {
    type: "HELLO",
    mode: "pipe",
    commitment: encodeBase64(commitTo(NONCE, role)),
    silence: 60_000,
  };
}
export const REVEAL = { type: "NONCE", nonce: encodeBase64(NONCE) } as const;
export const READY = { type: "READY", signs: false } as const;

/** The body of a text frame: one part of a message, or a whole one; `seen` as the protocol has it. */
export function textBody(
  text: Uint8Array,
  { isLast = true, timeMs = 1, seen = 0 }: {
    readonly isLast?: boolean;
    readonly timeMs?: number;
    readonly seen?: number;
  } = {},
): Uint8Array {
  const header = new Uint8Array(17);
  header[0] = isLast ? 0 : 1;
  const view = new DataView(header.buffer);
  view.setBigUint64(1, BigInt(timeMs));
  view.setBigUint64(9, BigInt(seen));
  return concatBytes(header, text);
}

/** No wait is longer; no test asserts a time below it. */
const PATIENCE_MS = 60_000;

/** One end of a conversation, as frames. */
export class RawPeer {
  readonly #input: Readable;
  readonly #output: Writable;
  readonly #frames = new FrameReader();
  readonly #heard: Heard[] = [];
  #waiting: (() => void) | undefined;
  #isClosed = false;
  /** Everything that came, as it came. */
  #bytesHeard = 0;
  /** A greeting with the status of the certificate that is shown, where there is one. */
  readonly hello: Control;

  constructor(
    input: Readable,
    output: Writable,
    { role = "caller", status }: { readonly role?: PeerRole; readonly status?: string } = {},
  ) {
    this.hello = { ...helloAs(role), ...(status === undefined ? {} : { status }) };
    this.#input = input;
    this.#output = output;
    input.on("data", (chunk: Uint8Array) => this.#take(copyBytes(chunk)));
    for (const stream of [input, output]) stream.on("error", () => {}); // "close" follows
    for (const event of ["end", "close"]) input.on(event, () => this.#closed());
  }

  get bytesHeard(): number {
    return this.#bytesHeard;
  }

  #take(chunk: Uint8Array): void {
    this.#bytesHeard += chunk.length;
    this.#frames.push(chunk);
    for (let body = this.#frames.read(); body; body = this.#frames.read()) {
      this.#heard.push({ type: body[0] ?? 0, body: body.subarray(1) });
    }
    this.#waiting?.();
  }

  #closed(): void {
    this.#isClosed = true;
    this.#waiting?.();
  }

  /** The next frame, or that there will be none. */
  async next(): Promise<Heard> {
    if (this.#heard.length === 0 && !this.#isClosed) {
      const something = Promise.withResolvers<void>();
      const timer = setTimeout(
        () => something.reject(new Error("the peer neither says anything nor closes")),
        PATIENCE_MS,
      );
      this.#waiting = something.resolve;
      try {
        await something.promise;
      } finally {
        this.#waiting = undefined;
        clearTimeout(timer);
      }
    }
    return this.#heard.shift() ?? { type: "closed" };
  }

  /** The next frame, which must be a control frame of this type. */
  async control(type: string): Promise<Control> {
    const heard = await this.next();
    assert.equal(heard.type, TYPE.control, `${type} comes next`);
    const message = JSON.parse(parseUtf8("body" in heard ? heard.body : utf8(""))) as Control;
    assert.equal(message["type"], type, JSON.stringify(message));
    return message;
  }

  /** Data until the end frame, whose count must be right. */
  async dataToEnd(): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    for (;;) {
      const heard = await this.next();
      assert.ok(heard.type !== "closed", "the line was cut before the end frame");
      if (heard.type === TYPE.end) {
        const data = concatBytes(...parts);
        assert.deepEqual(frame(TYPE.end, heard.body), endFrame(data.length));
        return data;
      }
      assert.equal(heard.type, TYPE.data);
      parts.push(heard.body);
    }
  }

  /** The types of all frames until the connection is over. */
  async typesToClose(): Promise<readonly number[]> {
    const types: number[] = [];
    for (;;) {
      const { type } = await this.next();
      if (type === "closed") return types;
      types.push(type);
    }
  }

  send(...parts: readonly Uint8Array[]): void {
    this.#output.write(concatBytes(...parts));
  }

  /** Sends, and resolves when the network has taken it, or will take nothing more. */
  async sendAll(...parts: readonly Uint8Array[]): Promise<void> {
    if (this.#isClosed) return;
    await new Promise<void>((resolve) => {
      this.#output.once("close", resolve);
      this.#output.write(concatBytes(...parts), () => {
        this.#output.removeListener("close", resolve);
        resolve();
      });
    });
  }

  /** Sends each byte by a write of its own, each after the one before has left. */
  async sendByteByByte(...parts: readonly Uint8Array[]): Promise<void> {
    for (const byte of concatBytes(...parts)) {
      await new Promise<void>((resolve) =>
        this.#output.write(Uint8Array.of(byte), () => resolve())
      );
    }
  }

  /** Greets, and waits until the other side has. */
  async meet(more: Control = {}): Promise<void> {
    this.send(control({ ...this.hello, ...more }));
    await this.control("HELLO");
    this.send(control(REVEAL));
    await this.control("NONCE");
  }

  /** The refusal that comes next, behind a nonce or not. */
  async refusal(): Promise<Control> {
    const heard = await this.next();
    const message = JSON.parse(parseUtf8("body" in heard ? heard.body : utf8(""))) as Control;
    if (message["type"] === "NONCE") return await this.control("REFUSED");
    assert.equal(message["type"], "REFUSED", JSON.stringify(message));
    return message;
  }

  /** Greets, and waits until the other side is ready. */
  async greet(more: Control = {}): Promise<void> {
    await this.meet(more);
    await this.control("READY");
  }

  /** Greets and opens the conversation. */
  async open(more: Control = {}): Promise<void> {
    await this.greet(more);
    this.send(control({ ...READY, signs: more["transcript"] === true }));
  }

  /** A whole conversation, good from end to end; gives what the other side sent. */
  async converse(data: Uint8Array): Promise<Uint8Array> {
    await this.open();
    this.send(frame(TYPE.data, data), endFrame(data.length));
    let received: Uint8Array | undefined;
    let isConfirmed = false;
    const parts: Uint8Array[] = [];
    while (received === undefined || !isConfirmed) {
      const heard = await this.next();
      assert.ok("body" in heard, "the line was cut before both ends were confirmed");
      if (heard.type === TYPE.data) parts.push(heard.body);
      else if (heard.type === TYPE.end) {
        received = concatBytes(...parts);
        assert.deepEqual(frame(TYPE.end, heard.body), endFrame(received.length));
        this.send(control({ type: "RECEIVED", bytes: received.length }));
      } else {
        assert.deepEqual(JSON.parse(parseUtf8(heard.body)), {
          type: "RECEIVED",
          bytes: data.length,
        });
        isConfirmed = true;
      }
    }
    this.hangUp();
    return received;
  }

  /** Says that it has sent so much and has everything, and waits for the other side to say the same. */
  async finish(bytes: number): Promise<void> {
    this.send(endFrame(bytes));
    let data = 0;
    let isEnded = false;
    let isConfirmed = false;
    while (!isEnded || !isConfirmed) {
      const heard = await this.next();
      assert.ok("body" in heard, "the line was cut before both ends were confirmed");
      if (heard.type === TYPE.data) data += heard.body.length;
      else if (heard.type === TYPE.end) {
        isEnded = true;
        this.send(control({ type: "RECEIVED", bytes: data }));
      } else if (parseUtf8(heard.body).includes('"RECEIVED"')) isConfirmed = true;
    }
    this.hangUp();
  }

  /** Sends nothing more, and lets the other side close. */
  leave(): void {
    this.#output.end();
  }

  /** Reads nothing from now on. */
  stopReading(): void {
    this.#input.pause();
  }

  hangUp(): void {
    this.#output.end();
    this.#output.destroy();
    this.#input.destroy();
  }
}

export const PEER_ALPN = "pki-peer/1";

function withStatus({ status }: Credential, role: PeerRole) {
  return { role, ...(status === undefined ? {} : { status }) };
}

/** Calls a `pki listen`, showing this certificate. */
export async function callAs(credential: Credential, port: number): Promise<RawPeer> {
  const socket = connect({
    host: "127.0.0.1",
    port,
    key: credential.keyPem,
    cert: credential.certPem,
    rejectUnauthorized: false,
    minVersion: "TLSv1.3",
    ALPNProtocols: [PEER_ALPN],
  });
  await once(socket, "secureConnect");
  socket.setNoDelay(true);
  return new RawPeer(socket, socket, withStatus(credential, "caller"));
}

/** A TLS server of the test's own, for `pki connect` or for clients of `pki serve`. */
export class RawListener {
  readonly #server: Server;
  readonly #sockets = new Set<TLSSocket>();
  /** `host:port`, where nobody else of the test has ever been. */
  readonly where: string;

  private constructor(server: Server, where: string) {
    this.#server = server;
    this.where = where;
  }

  /** @param handle is called with each caller once TLS stands */
  static async start(
    credential: Credential,
    handle: (peer: RawPeer, socket: TLSSocket) => void,
    { alpn = PEER_ALPN }: { readonly alpn?: string | null } = {},
  ): Promise<RawListener> {
    const server = createServer({
      key: credential.keyPem,
      cert: credential.certPem,
      requestCert: true,
      rejectUnauthorized: false,
      minVersion: "TLSv1.3",
      ...(alpn === null ? {} : { ALPNProtocols: [alpn] }),
    });
    server.on("tlsClientError", () => {}); // what the client says is what the test looks at
    const listener = new RawListener(server, await listenAlone(server));
    server.on("secureConnection", (socket: TLSSocket) => {
      listener.#sockets.add(socket);
      socket.setNoDelay(true);
      handle(new RawPeer(socket, socket, withStatus(credential, "listener")), socket);
    });
    return listener;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
}
