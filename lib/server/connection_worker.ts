/**
 * Entry of a connection worker: the only thread that reads what its client sends. It turns bytes into
 * requests and answers into bytes, and asks the directory for everything else. It has no key, no
 * database and no ASN.1, and serves one connection in its life.
 */

import { type MessagePort, parentPort } from "node:worker_threads";
import { encodeLatin1, parseLatin1 } from "../base/bytes.ts";
import { kindOfWireCode, PkiError, reportError } from "../base/errors.ts";
import { causeFault, DIRECTORY_FAULT_ID, FAULT_LOGIN_MS, HAS_FAULTS } from "../base/faults.ts";
import { LIMITS } from "../base/limits.ts";
import { encodeError } from "../protocol/messages.ts";
import { type Outcome, ServerSession } from "../protocol/session.ts";
import type { FromConnection, FromSession, SessionEnd, Settled, ToConnection } from "./ports.ts";

/** `HAS_FAULTS` once more: the bundler leaves code out for a constant of the same file only. */
declare const PKI_FAULTS: boolean | undefined;

const main = parentPort as MessagePort;
const session = new ServerSession();
let directory: MessagePort | undefined;
/** Nothing more is read: the client broke the protocol, ran out of time, or the server stops. */
let isFinishing = false;
let isClosed = false;
/** Bytes worked on that the main thread has not been told of. */
let taken = 0;
let timer: ReturnType<typeof setTimeout> | undefined;
/** When the client's time is over, by `performance.now()`. */
let deadlineMs = Infinity;

function tell(message: FromConnection): void {
  main.postMessage(message);
}

function send(bytes: Uint8Array): void {
  tell({ type: "bytes", text: encodeLatin1(bytes), taken });
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

/** Says a last word and reads nothing more; running requests are still answered. */
function finish(error?: PkiError): void {
  if (error && !isFinishing) send(encodeError(0, reportError(error)));
  isFinishing = true;
  clearTimeout(timer);
  if (session.runningRequests === 0 && !isClosed) {
    isClosed = true;
    tell({ type: "close" });
  }
}

/** Deadlines only move on, with every request: one timer is enough, which looks whether it is time. */
function setDeadline(): void {
  const ms = session.state === "open"
    ? LIMITS.idleMs
    : HAS_FAULTS
    ? FAULT_LOGIN_MS
    : LIMITS.loginMs;
  deadlineMs = performance.now() + ms;
  timer ??= setTimeout(checkDeadline, ms);
}

function checkDeadline(): void {
  const leftMs = deadlineMs - performance.now();
  if (leftMs > 0) {
    timer = setTimeout(checkDeadline, leftMs);
    return;
  }
  const what = session.state === "open"
    ? "nothing was asked for too long"
    : "the login took too long";
  finish(new PkiError("timeout", `connection closed: ${what}`));
}

function work(): void {
  if (isFinishing) return;
  try {
    for (let action = session.next(); action; action = session.next()) {
      if (session.state === "open") setDeadline();
      if (action.do === "send") {
        send(action.bytes);
        continue;
      }
      if (
        typeof PKI_FAULTS !== "undefined" && PKI_FAULTS && action.request.type === "CERTREQ"
      ) {
        if (action.request.id !== DIRECTORY_FAULT_ID) causeFault(action.request.id);
      }
      directory?.postMessage(action.request);
    }
    acknowledge();
  } catch (error) {
    finish(
      error instanceof PkiError ? error : new PkiError("internal", "failed", { cause: error }),
    );
  }
}

function settle(settled: Settled): void {
  const stateBefore = session.state;
  const outcome: Outcome = "fields" in settled
    ? { ok: true, fields: settled.fields }
    : { ok: false, error: { code: settled.code, message: settled.message } };
  send(session.settle(settled.seq, outcome));
  if (isFinishing) return finish();
  if (session.state === "open" && session.state !== stateBefore) setDeadline();
  work();
}

/** The directory has ended this session. */
function endSession({ end: { code, message } }: SessionEnd): void {
  finish(new PkiError(kindOfWireCode(code), message));
}

main.on("message", (message: ToConnection) => {
  if (typeof message === "string") {
    session.receive(parseLatin1(message));
    return work();
  }
  switch (message.type) {
    case "start":
      directory = message.directory;
      directory.on("message", (said: FromSession) => {
        if ("end" in said) endSession(said);
        else settle(said);
      });
      setDeadline();
      return;
    case "ping":
      return tell({ type: "pong" });
    case "finish":
      return finish();
  }
});
