/**
 * Whether a server is well, as far as anybody can see who has no account: it is reached, speaks TLS
 * and the protocol, and shows a certificate that is good. Nothing is pinned and nothing is saved.
 */

import { PkiError } from "../base/errors.ts";
import { fingerprintOf, parseCertificate } from "../x509/certificate.ts";
import { formatAddress } from "./address.ts";
import { findAnchor, type FirstContactOptions } from "./first_contact.ts";
import { connectServer } from "./server_connection.ts";

/** Who vouches for the server's root: it is pinned, was named, or is in this machine's data folder. */
export type Voucher = "pinned" | "fingerprint" | "this-machine" | "nobody";

export interface PingOptions extends Pick<FirstContactOptions, "home" | "address" | "fingerprint"> {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly timeoutMs: number;
  /** Ends the waiting. */
  readonly signal: AbortSignal;
}

export interface Pong {
  readonly domain: string;
  /** SHA-256 of the root that the server's certificate was judged under. */
  readonly root: string;
  readonly voucher: Voucher;
  /** From the first packet to a greeted connection. */
  readonly connectMs: number;
  /** One request and its answer. */
  readonly answerMs: number;
  readonly serverTimeMs: number;
  /** The server's clock less ours; as exact as half of `answerMs`. */
  readonly offsetMs: number;
  /** The end of the server's own certificate. */
  readonly notAfterMs: number;
}

/**
 * Asks a server whether it is well.
 * @throws {PkiError} `untrusted`, `unreachable`, `busy`, `timeout`, `protocol`, `interrupted`
 */
export async function ping(options: PingOptions): Promise<Pong> {
  const { address, timeoutMs, signal } = options;
  const limit = AbortSignal.timeout(timeoutMs);
  try {
    return await exchange({ ...options, signal: AbortSignal.any([signal, limit]) });
  } catch (error) {
    const isOver = limit.aborted && !signal.aborted;
    if (!isOver || !(error instanceof PkiError) || error.kind !== "interrupted") throw error;
    const seconds = timeoutMs / 1000;
    throw new PkiError(
      "timeout",
      `cannot reach ${formatAddress(address)}: it does not answer within ${seconds} s`,
      { cause: error, hint: "see with pki doctor what is in between; --timeout waits longer" },
    );
  }
}

async function exchange(
  { home, address, fingerprint, now, signal }: PingOptions,
): Promise<Pong> {
  let isVouchedFor = true;
  const { anchor, isNew } = await findAnchor({
    ...{ home, address, fingerprint, signal },
    nowMs: now(),
    // Nobody is asked: what nobody vouches for is looked at all the same, and said to be so.
    ask: () => {
      isVouchedFor = false;
      return Promise.resolve(true);
    },
    note: () => {},
  });
  const startMs = performance.now();
  const connection = await connectServer(address, anchor, { nowMs: now(), signal });
  try {
    const connectMs = performance.now() - startMs;
    const askedMs = performance.now();
    const askedAtMs = now();
    const { time } = await connection.request("HELLO", {});
    const answerMs = performance.now() - askedMs;
    const serverTimeMs = Date.parse(time);
    return {
      domain: anchor.domain,
      root: fingerprintOf(anchor.root.der),
      voucher: !isNew
        ? "pinned"
        : !isVouchedFor
        ? "nobody"
        : fingerprint !== undefined
        ? "fingerprint"
        : "this-machine",
      connectMs,
      answerMs,
      serverTimeMs,
      offsetMs: serverTimeMs - (askedAtMs + answerMs / 2),
      notAfterMs: parseCertificate(connection.leafDer).notAfterMs,
    };
  } finally {
    connection.close();
  }
}
