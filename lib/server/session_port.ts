/**
 * The directory's end of a connection's channel. The connection worker at the other end has checked
 * every request before it came here. All of it is checked again: that worker has read a stranger's
 * bytes, and what it could post if they had taken it over must neither stop the directory nor be
 * carried out twice or under a name that cannot be.
 */

import { PkiError, reportError } from "../base/errors.ts";
import { SERVER_LIMITS } from "../base/server_limits.ts";
import { type Answer, encodeFields, type WrittenFields } from "../protocol/answers.ts";
import { checkRequest, type Request } from "../protocol/requests.ts";
import { type DirectoryMeasures, OK } from "./measures.ts";
import type { FromSession, SessionEnd, Settled } from "./ports.ts";

/** A connection worker keeps to what an operator has set, which is no more than this. */
const REQUESTS_MAX = SERVER_LIMITS.requestsInFlight.max;

/** What is needed of a `MessagePort`. */
export interface SessionPort {
  on(event: "message" | "messageerror", listener: (message: unknown) => void): unknown;
  postMessage(message: FromSession): void;
}

/** What is needed of a `DirectorySession`. */
export interface PortSession {
  handle(request: Request): Promise<Answer | WrittenFields>;
  end(end: SessionEnd): Promise<void>;
}

/** @throws {PkiError} `protocol` for what no connection worker of ours posts */
function parsePosted(message: unknown, lastSeq: number): Request {
  if (typeof message !== "object" || message === null) {
    throw new PkiError("protocol", "what it posted is not an object");
  }
  const parsed = checkRequest(message as Record<string, unknown>);
  if (!parsed.ok) throw parsed.error;
  if (parsed.request.seq <= lastSeq) throw new PkiError("protocol", '"seq" does not grow');
  return parsed.request;
}

/**
 * Has a session carry out what comes through a port. The first thing that a connection worker of ours
 * would not post ends the session, and nothing more is read.
 * @param onBroken told why the session was ended
 * @param inTurn does a request, which never fails, when it may be done; at once where it is not said
 * @param measures where requests are counted
 */
export function serveSession(
  port: SessionPort,
  session: PortSession,
  { onBroken, inTurn = (work) => void work(), measures }: {
    readonly onBroken: (why: string) => void;
    readonly inTurn?: (work: () => Promise<void>) => void;
    readonly measures?: DirectoryMeasures;
  },
): void {
  let lastSeq = 0;
  let running = 0;
  let isBroken = false;

  const breakOff = (error: unknown) => {
    isBroken = true;
    onBroken(error instanceof PkiError ? error.message : "what it posted cannot be read");
    const why = new PkiError("internal", "the session was ended: its worker has failed");
    void session.end({ end: reportError(why) });
  };

  const take = (message: unknown): Request | undefined => {
    if (isBroken) return undefined;
    try {
      if (running >= REQUESTS_MAX) {
        throw new PkiError("protocol", `more than ${running} requests at once`);
      }
      return parsePosted(message, lastSeq);
    } catch (error) {
      breakOff(error);
      return undefined;
    }
  };

  port.on("messageerror", () => {
    if (!isBroken) breakOff(undefined);
  });
  const carryOut = async (request: Request, arrivedMs: number) => {
    const { seq } = request;
    let settled: Settled;
    try {
      settled = { seq, fields: encodeFields(await session.handle(request)) };
    } catch (error) {
      settled = { seq, ...reportError(error) };
    }
    running--;
    port.postMessage(settled);
    if (!measures) return;
    measures.inFlight--;
    const result = "code" in settled ? settled.code : OK;
    measures.answered(request.type, result, performance.now() - arrivedMs);
  };
  port.on("message", (message) => {
    const request = take(message);
    if (!request) return;
    lastSeq = request.seq;
    running++;
    if (measures) measures.inFlight++;
    const arrivedMs = performance.now();
    inTurn(() => carryOut(request, arrivedMs));
  });
}
