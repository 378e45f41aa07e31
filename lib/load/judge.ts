/**
 * Whether what a server answers under load is true. Every certificate of a lookup is compared with the
 * one that was judged first; of those that are issued every so-manyth is judged under the root: the
 * right user's, for the key that was sent, none of them twice, and proven to be in the log.
 */

import { Buffer } from "node:buffer";
import { type Bytes, isEqualBytes, parseBase64 } from "../base/bytes.ts";
import { messageOf } from "../base/errors.ts";
import { judgeProof } from "../client/log_proof.ts";
import type { ServerConnection } from "../client/server_connection.ts";
import type { Checkpoint } from "../log/checkpoint.ts";
import { parseAnswer, parseAnswerBody } from "../protocol/answers.ts";
import { judgeUser, type TrustAnchor } from "../x509/chain.ts";
import { FIELDS_AT, wrongAnswer } from "./wire.ts";

/** Certificates of which one is judged: a prime, so that clients take turns. */
export const JUDGED_EVERY = 251;
/** Certificates that are kept until the log is asked for proofs of them. */
const KEPT_MAX = 512;

/** What an answer of `CSR` or `CERTREQ` must be about. */
export interface Expected {
  readonly id: string;
  /** The key that must be in it. */
  readonly spki: Bytes;
}

interface Kept {
  readonly index: number;
  readonly id: string;
  readonly certificate: Bytes;
  readonly serial: string;
}

export interface JudgeOptions {
  readonly anchor: TrustAnchor;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export class Judge {
  readonly #options: JudgeOptions;
  /** The fields of the answer about each id that was judged good. */
  readonly #published = new Map<string, Buffer>();
  readonly #kept: Kept[] = [];
  readonly #serials = new Set<string>();
  #issued = 0;
  #keptEvery = 1;
  #sampled = 0;
  #judged = 0;

  constructor(options: JudgeOptions) {
    this.#options = options;
  }

  /** How many certificates were judged under the root. */
  get judged(): number {
    return this.#judged;
  }

  /** An answer to `CERTREQ`. @throws {PkiError} `protocol` if it is wrong */
  lookedUp(body: Buffer, expected: Expected): void {
    const before = this.#published.get(expected.id);
    if (before && before.equals(body.subarray(FIELDS_AT))) return;
    // Published anew, or wrong.
    this.#keep(this.#judge(body, "CERTREQ", expected));
    this.#published.set(expected.id, Buffer.from(body.subarray(FIELDS_AT)));
  }

  /** An answer to `CSR`. @throws {PkiError} `protocol` if it is one that is judged, and wrong */
  issued(body: Buffer, expected: Expected): void {
    if (this.#issued++ % JUDGED_EVERY !== 0) return;
    const issued = this.#judge(body, "CSR", expected);
    if (this.#serials.has(issued.serial)) {
      throw wrongAnswer(`serial number ${issued.serial} was given twice`);
    }
    this.#serials.add(issued.serial);
    this.#keep(issued);
  }

  #judge(body: Buffer, type: "CSR" | "CERTREQ", { id, spki }: Expected): Kept {
    const { anchor, now } = this.#options;
    try {
      const answer = parseAnswer(body);
      if (!answer.ok) throw wrongAnswer("an error that is called OK");
      const { certificate, issuing, index } = parseAnswerBody(type, answer.body);
      const der = parseBase64(certificate);
      const judged = judgeUser([der, parseBase64(issuing)], { anchor, nowMs: now() });
      if (judged.id !== id) throw wrongAnswer(`a certificate of "${judged.id}", not of "${id}"`);
      if (!isEqualBytes(judged.leaf.spki, spki)) throw wrongAnswer("a certificate for another key");
      this.#judged++;
      return { index, id, certificate: der, serial: judged.leaf.serial };
    } catch (error) {
      throw wrongAnswer(messageOf(error), error);
    }
  }

  /** Keeps some from all of the run: when there are too many, every second one is let go. */
  #keep(one: Kept): void {
    if (this.#sampled++ % this.#keptEvery !== 0) return;
    this.#kept.push(one);
    if (this.#kept.length < KEPT_MAX) return;
    for (let at = this.#kept.length - 1; at > 0; at -= 2) this.#kept.splice(at, 1);
    this.#keptEvery *= 2;
  }

  /**
   * Asks the log for proof of what was kept, and that it has only grown.
   * @param connection with an open session
   * @returns how many certificates were proven to be in it
   * @throws {PkiError} `untrusted` if one of them is not, and what asking fails with
   */
  async proveLogged(connection: ServerConnection): Promise<number> {
    let known: Checkpoint | undefined;
    for (const { index, id, certificate } of this.#kept) {
      const answer = await connection.request("PROOF", { index, from: known?.size });
      const claim = { index, id, certificate };
      known = judgeProof(answer, { key: connection.logKey, known, claim });
    }
    return this.#kept.length;
  }
}
