/**
 * The server's side of one connection, without any I/O: bytes go in, requests that may be carried
 * out now come out, and answers are turned into bytes. What is allowed when is one table.
 *
 * Before the session is open requests run one by one; in an open session they may overtake each
 * other, as `seq` tells the client which answer is which.
 */

import { encodeLatin1, parseLatin1 } from "../base/bytes.ts";
import { type ErrorReport, PkiError, reportError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { FRAME_HEADER_BYTES, FrameReader, isOneFrame } from "./frame.ts";
import { encodeAnswerText, encodeError } from "./answers.ts";
import {
  type ParsedRequest,
  parseRequest,
  parseRequestText,
  type Request,
  type RequestType,
} from "./requests.ts";

/** `new` until HELLO, `greeted` after it, `open` once logged in. */
export type SessionState = "new" | "greeted" | "registering" | "proving" | "open";

interface Step {
  readonly onSuccess: SessionState;
  readonly onFailure: SessionState;
}

const GREETING: Step = { onSuccess: "greeted", onFailure: "new" };
const REGISTERING: Step = { onSuccess: "registering", onFailure: "greeted" };
const GREETED: Step = { onSuccess: "greeted", onFailure: "greeted" };
const PROVING: Step = { onSuccess: "proving", onFailure: "greeted" };
const PROVEN: Step = { onSuccess: "open", onFailure: "greeted" };
const OPEN: Step = { onSuccess: "open", onFailure: "open" };
/** What anybody may ask disturbs no dialogue that is under way. */
function askIn(state: SessionState): Partial<Record<RequestType, Step>> {
  const stay: Step = { onSuccess: state, onFailure: state };
  return { PROOF: stay, STATUS: stay, CRL: stay };
}

/** What may come in which state; what is not listed is refused and changes nothing. */
export const STEPS: Readonly<Record<SessionState, Partial<Record<RequestType, Step>>>> = {
  new: { HELLO: GREETING },
  greeted: {
    HELLO: GREETED,
    REGISTER: REGISTERING,
    LOGIN: PROVING,
    LOGIN_CERTIFICATE: PROVEN,
    ...askIn("greeted"),
  },
  registering: {
    REGISTER: REGISTERING,
    REGISTER_FINISH: GREETED,
    LOGIN: PROVING,
    LOGIN_CERTIFICATE: PROVEN,
    ...askIn("registering"),
  },
  proving: {
    REGISTER: REGISTERING,
    LOGIN: PROVING,
    LOGIN_CERTIFICATE: PROVEN,
    LOGIN_FINISH: PROVEN,
    ...askIn("proving"),
  },
  open: {
    PASSWD: OPEN,
    PASSWD_FINISH: OPEN,
    CSR: OPEN,
    CERTUP: OPEN,
    CERTUP_FINISH: OPEN,
    CERTREQ: OPEN,
    REVOKE: OPEN,
    ANNOUNCE: OPEN,
    LOCATE: OPEN,
    ...askIn("open"),
  },
};

const WHY_NOT: Readonly<Record<SessionState, string>> = {
  new: "HELLO comes first",
  greeted: "log in first",
  registering: "REGISTER_FINISH or LOGIN comes next",
  proving: "LOGIN_FINISH comes next",
  open: "this session is logged in already",
};

/** How a request ended. */
export type Outcome =
  /** The answer's fields, from `encodeFields`. */
  | { readonly ok: true; readonly fields: string }
  | { readonly ok: false; readonly error: ErrorReport };

/** What to do next: carry a request out, or send these bytes (a request that was refused here). */
export type Action =
  | { readonly do: "carry-out"; readonly request: Request }
  | { readonly do: "send"; readonly bytes: Uint8Array<ArrayBuffer> };

export class ServerSession {
  readonly #frames = new FrameReader();
  /** A frame that came whole, with nothing before it and nothing behind it. */
  #frame: string | undefined;
  readonly #running = new Map<number, RequestType>();
  #state: SessionState = "new";
  #lastSeq = 0;
  #consumedBytes = 0;
  #framesRead = 0;
  #isFrameUnderWay = false;
  #error: unknown;
  /** Requests that may run at once in an open session. */
  requestsInFlightMax: number = LIMITS.requestsInFlightMax;

  get state(): SessionState {
    return this.#state;
  }

  get runningRequests(): number {
    return this.#running.size;
  }

  receive(chunk: Uint8Array): void {
    this.receiveText(encodeLatin1(chunk));
  }

  /** As {@link receive}, in Latin-1. A whole frame, as most are, is never turned into bytes. */
  receiveText(chunk: string): void {
    if (this.#frame === undefined && this.#frames.bufferedBytes === 0 && isOneFrame(chunk)) {
      this.#frame = chunk;
      return;
    }
    if (this.#frame !== undefined) this.#frames.push(parseLatin1(this.#frame));
    this.#frame = undefined;
    this.#frames.push(parseLatin1(chunk));
  }

  /** Bytes that were received and belong to no request that was read. */
  get bufferedBytes(): number {
    return this.#frames.bufferedBytes + (this.#frame?.length ?? 0);
  }

  /**
   * Which frame, counted from the first on, has begun and waits for more bytes; `undefined` between
   * frames, and while nothing is read.
   */
  get frameUnderWay(): number | undefined {
    return this.#isFrameUnderWay ? this.#framesRead : undefined;
  }

  /** Bytes read as frames since the last call: what the relay may send more of. */
  takeConsumedBytes(): number {
    const consumed = this.#consumedBytes;
    this.#consumedBytes = 0;
    return consumed;
  }

  /**
   * The next thing to do, or `undefined` until bytes or an answer arrive.
   * @throws {PkiError} `protocol`; nothing more is read after that
   */
  next(): Action | undefined {
    if (this.#error) throw this.#error;
    try {
      return this.#readAction();
    } catch (error) {
      this.#error = error;
      throw error;
    }
  }

  #readAction(): Action | undefined {
    this.#isFrameUnderWay = false;
    if (this.#running.size >= this.requestsInFlightMax || this.#isChanging()) return undefined;
    const parsed = this.#readRequest();
    if (!parsed) {
      this.#isFrameUnderWay = this.#frames.bufferedBytes > 0;
      return undefined;
    }
    this.#framesRead++;
    const seq = parsed.ok ? parsed.request.seq : parsed.seq;
    if (seq <= this.#lastSeq) {
      throw new PkiError("protocol", 'cannot read message: "seq" does not grow');
    }
    this.#lastSeq = seq;
    if (!parsed.ok) return { do: "send", bytes: encodeError(seq, reportError(parsed.error)) };
    const { type } = parsed.request;
    if (!STEPS[this.#state][type]) {
      const refusal = new PkiError("refused", `cannot do ${type} now: ${WHY_NOT[this.#state]}`);
      return { do: "send", bytes: encodeError(seq, reportError(refusal)) };
    }
    this.#running.set(seq, type);
    return { do: "carry-out", request: parsed.request };
  }

  #readRequest(): ParsedRequest | undefined {
    const frame = this.#frame;
    if (frame !== undefined) {
      this.#frame = undefined;
      this.#consumedBytes += frame.length;
      return parseRequestText(frame.slice(FRAME_HEADER_BYTES));
    }
    const body = this.#frames.read();
    if (!body) return undefined;
    this.#consumedBytes += FRAME_HEADER_BYTES + body.length;
    return parseRequest(body);
  }

  /** Until the session is open a request may change the state, so each runs alone. */
  #isChanging(): boolean {
    return this.#state !== "open" && this.#running.size > 0;
  }

  /** Notes how a request ended and returns the bytes of its answer. */
  settle(seq: number, outcome: Outcome): Uint8Array<ArrayBuffer> {
    return parseLatin1(this.settleText(seq, outcome));
  }

  /** As {@link settle}, in Latin-1. */
  settleText(seq: number, outcome: Outcome): string {
    const type = this.#running.get(seq);
    if (!type) throw new PkiError("internal", "an answer to no request");
    this.#running.delete(seq);
    const step = STEPS[this.#state][type];
    if (!step) throw new PkiError("internal", "an answer in the wrong state");
    this.#state = outcome.ok ? step.onSuccess : step.onFailure;
    return outcome.ok
      ? encodeAnswerText(seq, outcome.fields)
      : encodeLatin1(encodeError(seq, outcome.error));
  }
}
