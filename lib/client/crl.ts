/**
 * Fetches a CA's revocation list from the server, part by part, and believes it only if that CA has
 * signed it and it is still good. Which certificates it speaks of is asked elsewhere.
 */

import { type Bytes, concatBytes, parseBase64 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import type { AnswerOf } from "../protocol/answers.ts";
import { type Certificate, fingerprintOf } from "../x509/certificate.ts";
import { type Crl, isCrlSignedBy, parseCrl } from "../x509/crl.ts";
import type { ServerConnection } from "./server_connection.ts";

/** Parts that are asked for at once: a list of 5 MB over a slow line in seconds, and 360 KB in memory. */
const PARTS_AT_ONCE = 8;

/** How often a list may be replaced while it is read; the server keeps the one before for a while. */
const RESTARTS_MAX = 3;

export interface FetchCrlOptions {
  /** The CA whose list it is: an issuing CA, or the root. It must be trusted already. */
  readonly issuer: Certificate;
  readonly nowMs: number;
}

type Part = AnswerOf<"CRL">;

/**
 * `CRL`: the newest complete list of a CA, verified. The connection need not be logged in.
 * @throws {PkiError} `not-found` if the server has none, `untrusted` if it is not this CA's or is too
 * old, `protocol` or `malformed` for an answer that is none
 */
export async function fetchCrl(
  connection: ServerConnection,
  { issuer, nowMs }: FetchCrlOptions,
): Promise<Crl> {
  const { number, der } = await downloadCrl(connection, fingerprintOf(issuer.der));
  const crl = parseCrl(der);
  if (crl.number !== BigInt(number)) {
    throw new PkiError("protocol", "the server answers with a list of another number");
  }
  checkCrl(crl, { issuer, nowMs });
  return crl;
}

interface Downloaded {
  readonly number: string;
  readonly der: Bytes;
}

/**
 * `CRL`: the newest list of a CA, whatever it is. Begins again where it is replaced by a newer one
 * meanwhile.
 * @param issuer SHA-256 of the CA's certificate, in hex
 * @throws {PkiError} `not-found` if the server has none, `protocol` for an answer that is none
 */
export async function downloadCrl(
  connection: ServerConnection,
  issuer: string,
): Promise<Downloaded> {
  for (let restarts = 0;; restarts++) {
    const first = await connection.request("CRL", { issuer });
    try {
      return await downloadRest(connection, { issuer, first });
    } catch (error) {
      const isReplaced = error instanceof PkiError && error.kind === "not-found";
      if (!isReplaced || restarts === RESTARTS_MAX) throw error;
    }
  }
}

async function downloadRest(
  connection: ServerConnection,
  { issuer, first }: { readonly issuer: string; readonly first: Part },
): Promise<Downloaded> {
  const { number, bytes } = first;
  if (bytes > LIMITS.crlBytesMax) {
    throw new PkiError(
      "protocol",
      `cannot read the list: ${bytes} bytes, at most ${LIMITS.crlBytesMax} accepted`,
    );
  }
  const start = chunkOf(first, { number, bytes, offset: 0 });
  const step = start.length;
  // A part without a byte would never come to an end.
  if (step === 0) throw new PkiError("protocol", "cannot read the list: an empty part");
  const chunks = [start];
  for (let at = step; at < bytes; at += PARTS_AT_ONCE * step) {
    const offsets = Array.from({ length: PARTS_AT_ONCE }, (_, i) => at + i * step)
      .filter((offset) => offset < bytes);
    chunks.push(
      ...await Promise.all(offsets.map(async (offset) => {
        const part = await connection.request("CRL", { issuer, number, offset });
        const chunk = chunkOf(part, { number, bytes, offset });
        if (chunk.length !== Math.min(step, bytes - offset)) {
          throw new PkiError(
            "protocol",
            "cannot read the list: its parts are of different lengths",
          );
        }
        return chunk;
      })),
    );
  }
  return { number, der: concatBytes(...chunks) };
}

function chunkOf(part: Part, asked: Omit<Part, "chunk">): Bytes {
  const chunk = parseBase64(part.chunk);
  const isAsked = part.number === asked.number && part.bytes === asked.bytes &&
    part.offset === asked.offset && chunk.length <= part.bytes - part.offset;
  if (isAsked) return chunk;
  throw new PkiError("protocol", "the server answers with another part of the list");
}

/**
 * Checks that a list is this CA's, of all that it has issued, and good now.
 * @throws {PkiError} `untrusted`
 */
export function checkCrl(crl: Crl, { issuer, nowMs }: FetchCrlOptions): void {
  const { thisUpdateMs, nextUpdateMs, deltaBase, scope } = crl;
  if (!isSignedBy(crl, issuer)) throw distrust("it is not by this CA");
  if (deltaBase !== undefined || scope !== undefined) throw distrust("it is not complete");
  // As certificates are backdated: clocks differ.
  if (thisUpdateMs > nowMs + LIMITS.backdateMs) {
    throw distrust(
      `it is of ${new Date(thisUpdateMs).toISOString()}`,
      "compare the clocks of both machines",
    );
  }
  if (nextUpdateMs === undefined) throw distrust("it does not say how long it is good");
  if (nextUpdateMs <= nowMs) {
    throw distrust(`it was good until ${new Date(nextUpdateMs).toISOString()}`);
  }
}

/** An algorithm that the CA's key cannot have signed with is as untrusted as a wrong signature. */
function isSignedBy(crl: Crl, issuer: Certificate): boolean {
  try {
    return isCrlSignedBy(crl, issuer);
  } catch (error) {
    if (error instanceof PkiError && error.kind === "malformed") return false;
    throw error;
  }
}

function distrust(why: string, hint?: string): PkiError {
  return new PkiError(
    "untrusted",
    `cannot trust the revocation list: ${why}`,
    hint === undefined ? {} : { hint },
  );
}
