/// <reference lib="deno.worker" />
/**
 * Entry of a connection worker: the only thread that reads what its client sends. It turns bytes into
 * requests and answers into bytes, and asks the directory for everything else. It has no key, no
 * database and no ASN.1, and serves one connection in its life. What it imports is loaded anew for each
 * connection: `node:worker_threads` alone would take longer than everything that is here.
 */

import type { MessagePort } from "node:worker_threads";
import { encodeLatin1 } from "../base/bytes.ts";
import { kindOfWireCode, PkiError, reportError } from "../base/errors.ts";
import { causeFault, isFaultIn, keepTold } from "../base/faults.ts";
import { LIMITS } from "../base/limits.ts";
import { encodeError } from "../protocol/answers.ts";
import { type Outcome, ServerSession } from "../protocol/session.ts";
import { Deadlines } from "./deadlines.ts";
import type { FromConnection, FromSession, SessionEnd, Settled, ToConnection } from "./ports.ts";

/** `HAS_FAULTS` once more: the bundler leaves code out for a constant of the same file only. */
declare const PKI_FAULTS: boolean | undefined;

/** The thread itself, as a Web Worker. */
const main = self as unknown as DedicatedWorkerGlobalScope;
const session = new ServerSession();
let directory: MessagePort | undefined;
/** Nothing more is read: the client broke the protocol, ran out of time, or the server stops. */
let isFinishing = false;
let isClosed = false;
/** The code of the last word, if there was one. */
let endCode: string | undefined;
/** Bytes worked on that the main thread has not been told of. */
let taken = 0;
/** Set by `start`, which comes before anything of the client. */
let deadlines: Deadlines | undefined;
let timer: ReturnType<typeof setTimeout> | undefined;
/** When the timer looks, by `performance.now()`. */
let timerMs = Infinity;
let answersUnreadBytesMax = 0;
let requestSeconds = 0;
/** Bytes of answers that the client may not have taken yet. */
let unreadBytes = 0;

function tell(message: FromConnection): void {
  main.postMessage(message);
}

/** @param text a frame in Latin-1 */
function send(text: string): void {
  unreadBytes += text.length;
  tell({ type: "bytes", text, taken });
  taken = 0;
}

/**
 * Says what was worked on, where it matters: an answer that is under way takes it along, unless the
 * client goes on sending.
 */
function acknowledge(): void {
  taken += session.takeConsumedBytes();
  if (taken === 0) return;
  const canWait = session.runningRequests > 0 && session.bufferedBytes === 0;
  if (canWait && taken < LIMITS.relayBytesMax / 2) return;
  tell({ type: "taken", taken });
  taken = 0;
}

function close(): void {
  if (isClosed) return;
  isClosed = true;
  clearTimeout(timer);
  tell(endCode === undefined ? { type: "close" } : { type: "close", code: endCode });
}

/** Says a last word and reads nothing more; what runs is answered within the time of a request. */
function finish(error?: PkiError): void {
  if (error && !isFinishing) {
    const report = reportError(error);
    endCode = report.code;
    send(encodeLatin1(encodeError(0, report)));
  }
  if (!isFinishing) {
    isFinishing = true;
    clearTimeout(timer);
    timer = setTimeout(close, requestSeconds * 1000);
  }
  if (session.runningRequests === 0) close();
}

/** Deadlines mostly move on: one timer is enough, which looks whether it is time. */
function followDeadlines(nowMs = performance.now()): void {
  if (!deadlines || isFinishing) return;
  // Whoever has to read first is not given time for a frame, but for reading: that of a silence.
  const frameUnderWay = mustRead() ? undefined : session.frameUnderWay;
  deadlines.follow({ state: session.state, frameUnderWay }, nowMs);
  if (deadlines.wakeMs >= timerMs) return;
  clearTimeout(timer);
  timerMs = deadlines.wakeMs;
  timer = setTimeout(checkDeadlines, timerMs - nowMs);
}

function checkDeadlines(): void {
  timerMs = Infinity;
  const nowMs = performance.now();
  const error = deadlines?.overdue(nowMs);
  if (!error) return followDeadlines(nowMs);
  finish(error);
  if (deadlines?.isRequestOverdue(nowMs)) close(); // for that answer nobody waits
}

/** Whether the client has to read its answers before more is done for it. */
function mustRead(): boolean {
  return unreadBytes >= answersUnreadBytesMax;
}

function work(): void {
  if (isFinishing) return;
  try {
    while (!mustRead()) {
      const action = session.next();
      if (!action) break;
      if (action.do === "send") {
        send(encodeLatin1(action.bytes));
        continue;
      }
      deadlines?.requested(action.request.seq, performance.now());
      if (
        typeof PKI_FAULTS !== "undefined" && PKI_FAULTS && action.request.type === "CERTREQ"
      ) {
        if (action.request.id === "fault-connection-junk") directory?.postMessage({ type: "junk" });
        if (action.request.id === "fault-connection-stay") setTimeout(stay); // behind the request
        if (causeFault("connection", action.request.id)) continue;
        if (isFaultIn("main", action.request.id)) main.postMessage({ type: action.request.id });
      }
      directory?.postMessage(action.request);
    }
    acknowledge();
    followDeadlines();
  } catch (error) {
    // A fault of ours ends this thread: the main thread tells the client and the operator.
    if (!(error instanceof PkiError)) throw error;
    finish(error);
  }
}

function settle(settled: Settled): void {
  const outcome: Outcome = "fields" in settled
    ? { ok: true, fields: settled.fields }
    : { ok: false, error: { code: settled.code, message: settled.message } };
  send(session.settleText(settled.seq, outcome));
  deadlines?.settled(settled.seq, performance.now());
  if (isFinishing) return finish();
  work();
}

/** The directory has ended this session. */
function endSession({ end: { code, message } }: SessionEnd): void {
  finish(new PkiError(kindOfWireCode(code), message));
}

function fromDirectory({ data }: { readonly data: FromSession }): void {
  if ("end" in data) endSession(data);
  else settle(data);
}

/** A fault on purpose: has the directory end the session, and keeps that to itself. */
function stay(): void {
  if (!directory) return;
  directory.onmessage = (event: { readonly data: FromSession }) => {
    if (!("end" in event.data)) fromDirectory(event);
  };
  directory.postMessage({ type: "junk" });
}

main.onmessage = ({ data: message }: MessageEvent<ToConnection>) => {
  if (typeof PKI_FAULTS !== "undefined" && PKI_FAULTS) keepTold(message);
  if (typeof message === "string") {
    session.receiveText(message);
    return work();
  }
  switch (message.type) {
    case "start":
      directory = message.directory;
      directory.onmessage = fromDirectory;
      session.requestsInFlightMax = message.limits.requestsInFlight;
      answersUnreadBytesMax = message.limits.answersUnreadBytes;
      requestSeconds = message.limits.requestSeconds;
      deadlines = new Deadlines(message.limits, performance.now());
      return followDeadlines();
    case "read":
      unreadBytes -= message.bytes;
      return work();
    case "ping":
      return tell({ type: "pong" });
    case "finish":
      return finish();
  }
};

tell({ type: "ready" });
