/**
 * TLS 1.3 (RFC 8446) as only an attacker speaks it: a handshake of one suite (X25519,
 * TLS_AES_128_GCM_SHA256) in which every message and every record can be another than it should be,
 * left out, sent twice or cut. It believes whatever the server shows. What the libraries of the machine
 * can say is tested with these elsewhere; this is for what they refuse to send.
 */

import { Buffer } from "node:buffer";
import {
  createHash,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
  sign,
} from "node:crypto";
import { type Bytes, concatBytes, sha256, utf8 } from "../../lib/base/bytes.ts";
import { CIPHERS, Direction, expandLabel, extract, type Heard } from "./tls_keys.ts";
import {
  clientHello,
  CONTENT,
  HANDSHAKE,
  handshakeMessage,
  list16,
  list24,
  list8,
  type Offer,
  record,
  u16,
} from "./tls_hello.ts";
import { Wire, type WireOptions } from "./wire.ts";

/** RFC 8446, section 6. */
const ALERTS: Readonly<Record<number, string>> = {
  0: "close_notify",
  10: "unexpected_message",
  20: "bad_record_mac",
  22: "record_overflow",
  40: "handshake_failure",
  42: "bad_certificate",
  43: "unsupported_certificate",
  47: "illegal_parameter",
  50: "decode_error",
  51: "decrypt_error",
  70: "protocol_version",
  80: "internal_error",
  109: "missing_extension",
  110: "unsupported_extension",
  116: "certificate_required",
  120: "no_application_protocol",
};

/** What a client shows of itself: any bytes as certificates, and a key that signs. */
export interface Shown {
  readonly certificates: readonly Uint8Array[];
  readonly key: KeyObject;
}

export interface HandshakeOptions {
  readonly offer?: Offer;
  readonly shown?: Shown;
  /** Stops before its own messages of the second flight. */
  readonly stopsEarly?: boolean;
}

/** What fits into records. */
function piecesOf(message: Uint8Array): readonly Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < message.length; at += 16_000) {
    pieces.push(message.subarray(at, at + 16_000));
  }
  return pieces;
}

const EMPTY_HASH = createHash("sha256").digest();

export class TlsClient {
  readonly wire: Wire;
  readonly #keys = generateKeyPairSync("x25519");
  #transcript: Bytes[] = [];
  #writing: Direction | undefined;
  #reading: Direction | undefined;
  /** Of handshake messages, which need not end where a record does. */
  #pending: Bytes = new Uint8Array();
  /** DER of the certificate that the server showed. */
  leaf: Bytes = new Uint8Array();

  private constructor(wire: Wire) {
    this.wire = wire;
  }

  static async connect(options: WireOptions): Promise<TlsClient> {
    return new TlsClient(await Wire.open(options));
  }

  /** A connection on which the handshake is done. */
  static async open(options: WireOptions, handshake: HandshakeOptions = {}): Promise<TlsClient> {
    const client = await TlsClient.connect(options);
    client.hello(handshake.offer);
    await client.finishHandshake(handshake);
    return client;
  }

  get publicKey(): Uint8Array {
    const { x = "" } = createPublicKey(this.#keys.privateKey).export({ format: "jwk" });
    return new Uint8Array(Buffer.from(x, "base64url"));
  }

  /** The ClientHello as it would be sent, in its record. */
  helloRecord(offer: Offer = {}): Bytes {
    const message = clientHello(this.publicKey, offer);
    this.#transcript = [message];
    return concatBytes(
      ...piecesOf(message).map((piece) => record(CONTENT.handshake, piece)),
    );
  }

  hello(offer: Offer = {}): void {
    this.wire.write(this.helloRecord(offer));
  }

  /** @throws if the server does not agree; then {@link hear} says what it said */
  async finishHandshake({ shown, stopsEarly = false }: HandshakeOptions = {}): Promise<void> {
    const serverHello = await this.#message(HANDSHAKE.serverHello);
    const { share, suite } = readServerHello(serverHello);
    const cipher = CIPHERS[suite as keyof typeof CIPHERS];
    const shared = diffieHellman({
      privateKey: this.#keys.privateKey,
      publicKey: createPublicKey({
        key: { kty: "OKP", crv: "X25519", x: Buffer.from(share).toString("base64url") },
        format: "jwk",
      }),
    });
    const early = extract(new Uint8Array(32), new Uint8Array(32));
    const handshake = extract(expandLabel(early, "derived", EMPTY_HASH, 32), shared);
    const hello = this.#hash();
    const client = new Direction(expandLabel(handshake, "c hs traffic", hello, 32), cipher);
    const server = new Direction(expandLabel(handshake, "s hs traffic", hello, 32), cipher);
    [this.#writing, this.#reading] = [client, server];
    let isAsked = false;
    for (;;) {
      const message = await this.#message();
      if (message[0] === HANDSHAKE.certificateRequest) isAsked = true;
      if (message[0] === HANDSHAKE.certificate) this.leaf = firstCertificate(message);
      if (message[0] === HANDSHAKE.finished) break;
    }
    if (stopsEarly) return;
    const main = extract(expandLabel(handshake, "derived", EMPTY_HASH, 32), new Uint8Array(32));
    const done = this.#hash();
    this.wire.socket.cork(); // at once, so that nothing comes behind what the server does not take
    if (isAsked) this.#show(shown);
    this.#say(handshakeMessage(
      HANDSHAKE.finished,
      createHmac("sha256", client.finishedKey).update(this.#hash()).digest(),
    ));
    this.wire.socket.uncork();
    this.#writing = new Direction(expandLabel(main, "c ap traffic", done, 32), cipher);
    this.#reading = new Direction(expandLabel(main, "s ap traffic", done, 32), cipher);
  }

  #show(shown: Shown | undefined): void {
    const entries = (shown?.certificates ?? []).map((der) => concatBytes(list24(der), list16()));
    this.#say(handshakeMessage(HANDSHAKE.certificate, concatBytes(list8(), list24(...entries))));
    if (!shown) return;
    const signed = concatBytes(
      utf8(" ".repeat(64)),
      utf8("TLS 1.3, client CertificateVerify\0"),
      this.#hash(),
    );
    const signature = list16(sign("sha256", signed, shown.key));
    this.#say(handshakeMessage(HANDSHAKE.certificateVerify, concatBytes(u16(0x0403), signature)));
  }

  #hash(): Bytes {
    return sha256(concatBytes(...this.#transcript));
  }

  /** Sends a handshake message, in as many records as it takes, and remembers it. */
  #say(message: Bytes): void {
    this.#transcript.push(message);
    for (const piece of piecesOf(message)) this.send(CONTENT.handshake, piece);
  }

  /** A record under the keys of the moment; it may be empty, and of any type. */
  send(type: number, body: Uint8Array, padding = 0): void {
    const sealed = this.#writing?.seal(type, body, padding) ?? record(type, body);
    this.wire.write(sealed);
  }

  sealData(body: Uint8Array): Bytes {
    return this.seal(CONTENT.data, body);
  }

  /** As {@link send}, for what was encrypted and comes to be written later, or never. */
  seal(type: number, body: Uint8Array, padding = 0): Bytes {
    return this.#writing?.seal(type, body, padding) ?? record(type, body);
  }

  /** Data in as many records as it takes. */
  data(bytes: Uint8Array): void {
    if (bytes.length === 0) return this.send(CONTENT.data, bytes);
    for (const piece of piecesOf(bytes)) this.send(CONTENT.data, piece);
  }

  /** KeyUpdate (section 4.6.3): new keys from here on, and the other side's too where it is asked. */
  updateKeys(asks: boolean): void {
    this.send(
      CONTENT.handshake,
      handshakeMessage(HANDSHAKE.keyUpdate, Uint8Array.of(asks ? 1 : 0)),
    );
    this.#writing?.update();
  }

  /** The next record, or `undefined` when the connection has ended. */
  async next(): Promise<Heard | undefined> {
    for (;;) {
      const head = await this.wire.take(5);
      if (!head) return undefined;
      const body = await this.wire.take(new DataView(head.buffer).getUint16(3));
      if (!body) return undefined;
      const type = head[0] ?? 0;
      if (type === CONTENT.changeCipherSpec) continue;
      if (type !== CONTENT.data) return { type, body };
      if (!this.#reading) return { type, body };
      const heard = this.#reading.open(body);
      const isUpdate = heard.type === CONTENT.handshake && heard.body[0] === HANDSHAKE.keyUpdate;
      if (isUpdate && this.#pending.length === 0) this.#reading.update();
      return heard;
    }
  }

  /** The next handshake message, of this type where one is named. */
  async #message(type?: number): Promise<Bytes> {
    for (;;) {
      const length = this.#pending.length < 4
        ? Infinity
        : new DataView(this.#pending.buffer, this.#pending.byteOffset).getUint32(0) & 0xffffff;
      if (this.#pending.length >= 4 + length) {
        const message = this.#pending.slice(0, 4 + length);
        this.#pending = this.#pending.slice(4 + length);
        if (type !== undefined && message[0] !== type) {
          throw new Error(`handshake message ${message[0]}, not ${type}`);
        }
        this.#transcript.push(message);
        return message;
      }
      const heard = await this.next();
      if (heard?.type !== CONTENT.handshake) throw new Error(describe(heard));
      this.#pending = concatBytes(this.#pending, heard.body);
    }
  }

  /** The next frames' text, decrypted, until the connection or what is wanted of it ends. */
  async readData(length: number): Promise<Bytes> {
    let data: Bytes = new Uint8Array();
    while (data.length < length) {
      const heard = await this.next();
      if (!heard) throw new Error("closed");
      if (heard.type === CONTENT.alert) throw new Error(describe(heard));
      if (heard.type === CONTENT.data) data = concatBytes(data, heard.body);
    }
    return data;
  }

  /** Everything until the end, in words: `alert decode_error, closed`. */
  async hear(): Promise<string> {
    const words: string[] = [];
    for (let heard = await this.next(); heard; heard = await this.next()) {
      if (heard.type === CONTENT.alert && heard.body[1] === 0) continue; // it comes with the end
      if (heard.type === CONTENT.handshake) continue;
      words.push(describe(heard));
    }
    return [...words, "closed"].join(", ");
  }
}

function describe(heard: Heard | undefined): string {
  if (!heard) return "closed";
  const { type, body } = heard;
  if (type === CONTENT.alert) return `alert ${ALERTS[body[1] ?? 0] ?? body[1]}`;
  if (type !== CONTENT.data) return `record of type ${type}`;
  const [, code] = /"code":"([A-Z_]+)"/.exec(new TextDecoder().decode(body)) ?? [];
  return code ?? "data";
}

/** The server's X25519 key, and the suite, of a ServerHello (section 4.1.3). */
function readServerHello(message: Uint8Array) {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  let at = 4 + 2 + 32;
  at += 1 + (message[at] ?? 0); // session id
  const suite = view.getUint16(at);
  at += 2 + 1; // suite, compression
  const end = at + 2 + view.getUint16(at);
  for (at += 2; at < end; at += 4 + view.getUint16(at + 2)) {
    if (view.getUint16(at) === 51) return { suite, share: message.subarray(at + 8, at + 8 + 32) };
  }
  throw new Error("the server has not chosen X25519");
}

/** The leaf of a server's Certificate message (section 4.4.2), whose context is empty. */
function firstCertificate(message: Uint8Array): Bytes {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  const at = 4 + 1 + 3;
  return message.slice(at + 3, at + 3 + (view.getUint32(at) >>> 8)) as Bytes;
}
