/**
 * The client's end of a connection to the server: requests and answers. Nothing but
 * `HELLO` is sent before the server's certificate was judged under the pinned root.
 */

import { randomBytes } from "node:crypto";
import type { TLSSocket } from "node:tls";
import { type Bytes, isEqualBytes, parseBase64, sha256 } from "../base/bytes.ts";
import { type ErrorReport, kindOfWireCode, PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { printable } from "../base/printable.ts";
import { shownCertificates } from "../base/tls.ts";
import { FrameReader } from "../protocol/frame.ts";
import { type AnswerOf, parseAnswer, parseAnswerBody } from "../protocol/answers.ts";
import { PROTOCOL } from "../protocol/message_fields.ts";
import { encodeRequest, type RequestBody, type RequestType } from "../protocol/requests.ts";
import { type Certificate, fingerprintOf } from "../x509/certificate.ts";
import { checkPinned, judgeServer, type TrustAnchor } from "../x509/chain.ts";
import { isCrlSignedBy, parseCrl } from "../x509/crl.ts";
import { serverDns } from "../x509/names.ts";
import { learnIssuers, serialsIn, type Succession } from "../x509/succession.ts";
import { type Address, formatAddress } from "./address.ts";
import { hintOfAnswer } from "./answer_hints.ts";
import { downloadCrl } from "./crl.ts";
import { dial, type TlsIdentity } from "./dial.ts";
import { judgeLogKey, type LogKey } from "./log_key.ts";

const HINT = "start one with: pki serve, or name another with --server";

/**
 * Serial numbers that are kept of the root's list, besides those of CAs that are shown: an outside
 * root may have revoked more than the home's configuration can hold.
 */
export const REVOKED_ISSUERS_MAX = 1000;

/** Errors that a server has answered. */
const ANSWERED = new WeakSet<PkiError>();

/** Whether an error is what the server answered, not what is thought of the server here. */
export function isAnswer(error: unknown): error is PkiError {
  return error instanceof PkiError && ANSWERED.has(error);
}

function answerError({ code, message }: ErrorReport): PkiError {
  const kind = kindOfWireCode(code);
  const hint = hintOfAnswer(kind, message);
  return new PkiError(kind, `the server says: ${printable(message)}`, hint ? { hint } : {});
}

interface Waiting {
  readonly resolve: (body: Record<string, unknown>) => void;
  readonly reject: (error: PkiError) => void;
}

export class ServerConnection {
  readonly #socket: TLSSocket;
  readonly #frames = new FrameReader();
  readonly #waiting = new Map<number, Waiting>();
  /** The leaf that the server showed. */
  readonly leafDer: Uint8Array;
  /** SHA-256 of it. */
  readonly leafHash: Bytes;
  #seq = 0;
  #error: PkiError | undefined;
  #logKey: LogKey | undefined;
  #anchor: TrustAnchor | undefined;
  #registration: string | undefined;

  constructor(socket: TLSSocket, leafDer: Uint8Array, signal?: AbortSignal) {
    this.#socket = socket;
    this.leafDer = leafDer;
    this.leafHash = sha256(leafDer);
    if (signal) socket.once("close", this.endOn(signal));
    socket.on("data", (chunk: Uint8Array) => this.#receive(chunk));
    socket.on("error", () => {}); // "close" follows
    socket.on("close", () => {
      this.#fail(
        new PkiError("truncated", "the server closed the connection before it answered", {
          hint: "try again; if it goes on, ask whoever runs the server to look into its log",
        }),
      );
    });
  }

  /** Lets a signal end the connection, until the function that is returned is called. */
  endOn(signal: AbortSignal): () => void {
    const onAbort = () => this.#fail(new PkiError("interrupted", "interrupted"));
    signal.addEventListener("abort", onAbort);
    return () => signal.removeEventListener("abort", onAbort);
  }

  #receive(chunk: Uint8Array): void {
    try {
      this.#frames.push(new Uint8Array(chunk));
      for (let body = this.#frames.read(); body; body = this.#frames.read()) this.#answered(body);
    } catch (error) {
      this.#fail(error as PkiError);
    }
  }

  #answered(body: Uint8Array): void {
    const answer = parseAnswer(body);
    const error = answer.ok ? undefined : answerError(answer.error);
    if (error) ANSWERED.add(error);
    if (answer.seq === 0) {
      return this.#fail(
        error ??
          new PkiError("protocol", "the server answers what was not asked", {
            hint: "it may be hostile or broken: tell whoever runs it",
          }),
      );
    }
    const waiting = this.#waiting.get(answer.seq);
    if (!waiting) {
      return this.#fail(
        new PkiError("protocol", "the server answers what was not asked", {
          hint: "it may be hostile or broken: tell whoever runs it",
        }),
      );
    }
    this.#waiting.delete(answer.seq);
    if (error) waiting.reject(error);
    else if (answer.ok) waiting.resolve(answer.body);
  }

  #fail(error: PkiError): void {
    this.#error ??= error;
    for (const { reject } of this.#waiting.values()) reject(this.#error);
    this.#waiting.clear();
    this.#socket.destroy();
  }

  /** @throws {PkiError} what the server answered, or `protocol`, `truncated`, `timeout` */
  async request<T extends RequestType>(type: T, body: RequestBody<T>): Promise<AnswerOf<T>> {
    if (this.#error) throw this.#error;
    const seq = ++this.#seq;
    const frame = encodeRequest(seq, type, body); // throws before anything waits for an answer
    const answered = new Promise<Record<string, unknown>>((resolve, reject) => {
      this.#waiting.set(seq, { resolve, reject });
    });
    const timer = setTimeout(
      () =>
        this.#fail(
          new PkiError("timeout", `the server does not answer ${type}`, {
            hint: "try again later; pki ping says whether it is well",
          }),
        ),
      LIMITS.answerMs,
    );
    this.#socket.write(frame);
    try {
      return parseAnswerBody(type, await answered);
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Says `HELLO` to a server whose certificate was judged under the root, learns which issuing CAs
   * the pinned ones vouch for, and judges the server once more by these, and what it says of itself.
   * Nothing else is sent before.
   * @param current the issuing CA of the server's certificate
   * @throws {PkiError} `untrusted`, `protocol`
   */
  async greet(
    known: TrustAnchor,
    { current, nowMs }: { readonly current: Certificate; readonly nowMs: number },
  ): Promise<void> {
    const { root, versions, log, successions, registration } = await this.request("HELLO", {});
    this.#registration = registration;
    if (!isEqualBytes(parseBase64(root), known.root.der)) {
      throw new PkiError("untrusted", "the server names another root than the one that is pinned", {
        hint: "it may be hostile or broken: tell whoever runs it",
      });
    }
    if (!versions.includes(PROTOCOL)) {
      throw new PkiError("protocol", `the server does not speak ${PROTOCOL}`, {
        hint: "use a version of pki that is as old, or as new, as the server",
      });
    }
    const learn = (anchor: TrustAnchor) => {
      const issuers = learnIssuers({ anchor, successions, current, nowMs });
      const learnt = { ...anchor, issuers };
      checkPinned(current, learnt);
      return learnt;
    };
    let anchor = learn(known);
    if (successions.length > 0) {
      // Only where one CA has followed another there is one that may have been revoked.
      const shown = new Set([current.serial, ...serialsIn(successions)]);
      const revokedIssuers = await this.#askRevokedIssuers(anchor, shown);
      anchor = learn({ ...known, revokedIssuers });
    }
    this.#anchor = anchor;
    this.#logKey = judgeLogKey(log, anchor);
  }

  /** Serial numbers of the CAs that are known, or said in the root's list, to be revoked. */
  async #askRevokedIssuers(
    { root, revokedIssuers = new Set() }: TrustAnchor,
    shown: ReadonlySet<string>,
  ): Promise<ReadonlySet<string>> {
    try {
      const list = parseCrl((await downloadCrl(this, fingerprintOf(root.der))).der);
      // A server that hides the list, or shows an old one, could as well not be asked.
      if (!isCrlSignedBy(list, root)) throw new PkiError("untrusted", "it is not the root's");
      const serials = [...list.entries()].map(({ serial }) => serial);
      const revoked = new Set([...revokedIssuers, ...serials.filter((one) => shown.has(one))]);
      for (const serial of serials) {
        if (revoked.size >= REVOKED_ISSUERS_MAX) break;
        revoked.add(serial);
      }
      return revoked;
    } catch (error) {
      if (error instanceof PkiError && error.kind === "not-found") return revokedIssuers;
      if (!(error instanceof PkiError) || !["malformed", "untrusted"].includes(error.kind)) {
        throw error;
      }
      throw new PkiError("untrusted", `cannot use the root's revocation list: ${error.message}`, {
        cause: error,
        hint: "it may be hostile or broken: tell whoever runs it",
      });
    }
  }

  /** What is trusted: as it was pinned, and what the server's greeting has proven beyond it. */
  get anchor(): TrustAnchor {
    if (!this.#anchor) throw new PkiError("internal", "the server was not greeted");
    return this.#anchor;
  }

  /** Who may register, as the server says (see `REGISTRATIONS`); one of before does not say. */
  get registration(): string | undefined {
    return this.#registration;
  }

  /** The key of the server's log, which the pinned root has signed; known once greeted. */
  get logKey(): LogKey {
    if (!this.#logKey) throw new PkiError("internal", "the server was not greeted");
    return this.#logKey;
  }

  get isOpen(): boolean {
    return this.#error === undefined;
  }

  close(): void {
    this.#error ??= new PkiError("internal", "the connection was closed by us");
    this.#socket.end();
    this.#socket.destroySoon?.();
  }
}

/** What a server says of itself to somebody who does not know its root yet. */
export interface Greeting {
  readonly rootDer: Bytes;
  readonly domain: string;
  readonly successions: readonly Succession[];
  /** The server's clock, in milliseconds since 1970. */
  readonly timeMs: number;
}

/**
 * First contact: a connection for `HELLO` only. What comes back is not trusted by this; the caller
 * compares the root's fingerprint with one that it got another way.
 */
export async function greetUnknownServer(
  address: Address,
  signal?: AbortSignal,
): Promise<Greeting> {
  const socket = await dial({ address, protocol: PROTOCOL, hint: HINT, signal });
  const [leaf] = shownCertificates(socket);
  const connection = new ServerConnection(socket, leaf ?? new Uint8Array(), signal);
  try {
    const { root, domain, successions, time } = await connection.request("HELLO", {});
    return { rootDer: parseBase64(root), domain, successions, timeMs: Date.parse(time) };
  } finally {
    connection.close();
  }
}

export interface ConnectOptions {
  readonly nowMs: number;
  /**
   * PEM of the user's key and certificates, shown in TLS. Whoever listens at the address sees the
   * certificates, since the handshake ends before anybody is judged; the key's signature is over that
   * handshake and of no use elsewhere.
   */
  readonly identity?: TlsIdentity | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Connects to the server of a pinned root and greets it.
 * @throws {PkiError} `untrusted` if it cannot show a certificate, and a log's key, under that root; or
 * if it does not trust the one that was shown (see {@link isAnswer})
 */
export async function connectServer(
  address: Address,
  anchor: TrustAnchor,
  { nowMs, identity, signal }: ConnectOptions,
): Promise<ServerConnection> {
  const socket = await dial({
    address,
    protocol: PROTOCOL,
    serverName: serverDns(anchor.domain),
    ...(identity ? { identity } : {}),
    hint: HINT,
    signal,
  });
  const shown = shownCertificates(socket);
  const { root, domain } = anchor;
  let connection: ServerConnection;
  let current: Certificate;
  try {
    // Under the root only: who follows the pinned issuing CA is known from HELLO.
    const { leaf, issuing } = judgeServer(shown, { anchor: { root, domain }, nowMs });
    current = issuing;
    connection = new ServerConnection(socket, leaf.der, signal);
  } catch (error) {
    socket.destroy();
    throw distrust(error, { address, anchor });
  }
  try {
    await connection.greet(anchor, { current, nowMs });
    return connection;
  } catch (error) {
    connection.close();
    throw error;
  }
}

function distrust(
  error: unknown,
  { address, anchor }: { readonly address: Address; readonly anchor: TrustAnchor },
): PkiError {
  const why = error instanceof PkiError ? error.message : "its certificate cannot be judged";
  return new PkiError("untrusted", `cannot trust the server at ${formatAddress(address)}: ${why}`, {
    cause: error,
    hint:
      `the pinned root is ${fingerprintOf(anchor.root.der)}; if the server was set up anew on ` +
      "purpose, use another home folder (--home), or replace the root with pki trust",
  });
}

/** A nonce of ours, for what a key signs. */
export function makeNonce(): Bytes {
  return new Uint8Array(randomBytes(32));
}
