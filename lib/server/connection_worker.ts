/**
 * Entry of a connection worker: the only thread that reads what its client sends. It turns bytes into
 * requests and answers into bytes, and asks the directory for everything else. It has no key, no
 * database and no ASN.1, and serves one connection in its life.
 */

import { type MessagePort, parentPort } from "node:worker_threads";
import { kindOfWireCode, PkiError, reportError } from "../base/errors.ts";
import { causeFault, DIRECTORY_FAULT_ID, FAULT_LOGIN_MS, HAS_FAULTS } from "../base/faults.ts";
import { LIMITS } from "../base/limits.ts";
import { encodeError } from "../protocol/messages.ts";
import { ServerSession } from "../protocol/session.ts";
import type { FromConnection, FromSession, SessionEnd, Settled, ToConnection } from "./ports.ts";

/** `HAS_FAULTS` once more: the bundler leaves code out for a constant of the same file only. */
declare const PKI_FAULTS: boolean | undefined;

const main = parentPort as MessagePort;
const session = new ServerSession();
let directory: MessagePort | undefined;
/** Nothing more is read: the client broke the protocol, ran out of time, or the server stops. */
let isFinishing = false;
let isClosed = false;
let deadline: ReturnType<typeof setTimeout> | undefined;

function tell(message: FromConnection): void {
  main.postMessage(message);
}

function send(bytes: Uint8Array<ArrayBuffer>): void {
  main.postMessage({ type: "bytes", bytes } satisfies FromConnection, [bytes.buffer]);
}

/** Says a last word and reads nothing more; running requests are still answered. */
function finish(error?: PkiError): void {
  if (error && !isFinishing) send(encodeError(0, reportError(error)));
  isFinishing = true;
  clearTimeout(deadline);
  if (session.runningRequests === 0 && !isClosed) {
    isClosed = true;
    tell({ type: "close" });
  }
}

function setDeadline(): void {
  clearTimeout(deadline);
  const [ms, what] = session.state === "open"
    ? [LIMITS.idleMs, "nothing was asked for too long"]
    : [HAS_FAULTS ? FAULT_LOGIN_MS : LIMITS.loginMs, "the login took too long"];
  deadline = setTimeout(() => finish(new PkiError("timeout", `connection closed: ${what}`)), ms);
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
    const count = session.takeConsumedBytes();
    if (count > 0) tell({ type: "taken", count });
  } catch (error) {
    finish(
      error instanceof PkiError ? error : new PkiError("internal", "failed", { cause: error }),
    );
  }
}

function settle({ seq, outcome }: Settled): void {
  const stateBefore = session.state;
  send(session.settle(seq, outcome));
  if (isFinishing) return finish();
  if (session.state === "open" && session.state !== stateBefore) setDeadline();
  work();
}

/** The directory has ended this session. */
function endSession({ end: { code, message } }: SessionEnd): void {
  finish(new PkiError(kindOfWireCode(code), message));
}

main.on("message", (message: ToConnection) => {
  switch (message.type) {
    case "start":
      directory = message.directory;
      directory.on("message", (said: FromSession) => {
        if ("end" in said) endSession(said);
        else settle(said);
      });
      setDeadline();
      return;
    case "bytes":
      session.receive(message.bytes);
      return work();
    case "ping":
      return tell({ type: "pong" });
    case "finish":
      return finish();
  }
});
