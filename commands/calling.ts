/**
 * Calling somebody, for `connect` and for `/call` of a listener: where it is, whether it is who is
 * meant, and a line to it. What is said on the line is for others.
 */

import { PkiError } from "../lib/base/errors.ts";
import { formatAddress } from "../lib/client/address.ts";
import { callPeer } from "../lib/peer/call.ts";
import type { Line, LineHandlers } from "../lib/peer/line.ts";
import type { ContactCheck } from "./contact_check.ts";
import { type Conversing, withWaitHint } from "./converse.ts";
import { expectedOf, findDestination } from "./finding.ts";
import type { Surroundings } from "./globals.ts";
import { checkPlace, rememberPlace } from "./known_place.ts";
import type { Participant } from "./participant.ts";
import type { Target } from "./target.ts";
import type { Transcripts } from "./transcript.ts";

export interface CallerOptions {
  readonly surroundings: Surroundings;
  readonly participant: Participant;
  readonly conversing: Conversing;
  readonly contacts: ContactCheck;
  readonly transcripts: Transcripts;
}

export interface CallOptions {
  /** Who must answer, where the target does not say. */
  readonly expect?: string | undefined;
  /** Whether to wait for somebody who is busy. */
  readonly wait: boolean;
  /** Ends the search and the dialling. */
  readonly signal: AbortSignal;
  /** Both sides are ready. */
  readonly onOpen?: (line: Line) => void;
}

export interface Call {
  readonly line: Line;
  /** Resolves when it has ended well. @throws {PkiError} why it has not, and what to do about it */
  readonly over: Promise<void>;
}

export class Caller {
  readonly #options: CallerOptions;

  constructor(options: CallerOptions) {
    this.#options = options;
  }

  /**
   * Calls; resolves when it is known who answers.
   * @throws {PkiError} why nobody can be reached who was meant
   */
  async call(target: Target, { expect, wait, signal, onOpen }: CallOptions): Promise<Call> {
    const { surroundings, participant, conversing, contacts, transcripts } = this.#options;
    const { identity, isOffline } = participant;
    const expected = expectedOf(target, { expect, isOffline });
    /** Why we turned the peer away, with its hint, which does not travel. */
    let refusal: PkiError | undefined;
    const destination = await findDestination(surroundings, target, {
      identity,
      expect,
      isOffline,
      tell: conversing.tell,
    });
    const line = await callPeer(destination, identity, {
      mode: conversing.mode,
      greeting: { ...participant.greeting(), wait, ...transcripts.greeting },
      isOffline,
      signal,
      handle: (getLine, address) => {
        const where = formatAddress(address);
        const handlers = conversing.handle(getLine, async (peer) => {
          try {
            await checkPlace(surroundings, where, { peer, line: getLine(), expected });
          } catch (error) {
            if (error instanceof PkiError) refusal = error;
            throw error;
          }
        });
        const onLineOpen: LineHandlers["onOpen"] = (peer, opening) => {
          onOpen?.(getLine());
          rememberPlace(surroundings, where, peer);
          handlers.onOpen(peer, opening);
        };
        return transcripts.keep(
          { role: "caller", line: getLine },
          contacts.guard(getLine, { ...handlers, onOpen: onLineOpen }),
        );
      },
    });
    const over = line.over.catch((error) => {
      throw refusal ?? withWaitHint(error, wait);
    });
    over.catch(() => {}); // whoever has the call hears of it
    return { line, over };
  }
}
