/**
 * Faults on purpose, for tests. They exist only in what `build.ts --faults` builds: in the shipped
 * executable the constant is false and the bundler leaves the code out.
 */

import process from "node:process";

/** Set by `build.ts`; not there when the program runs from source. */
declare const PKI_FAULTS: boolean | undefined;

export const HAS_FAULTS: boolean = typeof PKI_FAULTS !== "undefined" && PKI_FAULTS;

/** How often the server looks whether its own certificate is due, for a test that waits for it. */
export const FAULT_RENEW_CHECK_MS = 200;

/** How often `pki renew --watch` looks at things and tries again, for a test that waits for it. */
export const FAULT_WATCH_TIMES = { checkMs: 200, statusMs: 400, retryMs: 200 } as const;

/** How far the log grows before a snapshot, in bytes, for a test that waits for one. */
export const FAULT_SNAPSHOT_BYTES_MIN = 16_384;

/** How often directory and authority are asked whether they are alive, for tests of what loops. */
export const FAULT_PULSE_MS = 1500;

/** How long the directory may take to end, for a test of one that does not. */
export const FAULT_DIRECTORY_END_MS = 1500;

/** By how much a connection worker may be late to end, for a test of one that does not. */
export const FAULT_WORKER_LATE_MS = 1;

/** The thread that fails: a lookup of `fault-<place>-<kind>` reaches it. */
export type FaultPlace = "connection" | "directory" | "authority" | "main";

/** Fails in a moment; nothing else is to be done until then. */
const later = (fail: () => void): true => {
  setTimeout(fail);
  return true;
};
const fail = (message = "a fault on purpose"): never => {
  throw new Error(message);
};
/** What a worker was told, without the values of texts. */
const told: string[] = [];

/** What the second part of the id asks for. */
const FAULTS: Readonly<Record<string, () => true | void>> = {
  throw: () => fail(),
  "throw-later": () => later(fail),
  reject: () => {
    Promise.reject(new Error("a fault on purpose"));
    return true;
  },
  exit: () => process.exit(3),
  // Meanwhile the server may have been told to end.
  "exit-soon": () => void setTimeout(() => process.exit(3), 2000),
  stack: () => later(recurse),
  loop: () => loop(),
  "loop-soon": () => void setTimeout(loop, 2000),
  // An attempt more for each character: for ever.
  regexp: () => void /^(?:a+)+$/.test(`${"a".repeat(60)}!`),
  json: () => {
    const text = JSON.stringify(Array.from({ length: 100_000 }, (_, i) => [i]));
    for (;;) JSON.stringify(JSON.parse(text));
  },
  /** Nobody ever answers. */
  forget: () => true,
  memory: () => later(() => void new ArrayBuffer(2 ** 40)),
  /** Not a fault: says what the worker knows. */
  told: () =>
    later(() => fail(`environment ${JSON.stringify(process.env)}, told ${told.join(" ")}`)),
};

function loop(): never {
  for (;;);
}

function recurse(): number {
  return 1 + recurse();
}

/** Keeps what a worker is told, for `told`. */
export function keepTold(message: unknown): void {
  const shape = JSON.stringify(
    message,
    (name, value) => typeof value === "string" && name !== "type" ? "…" : value,
  );
  if (!told.includes(shape)) told.push(shape);
}

/** Whether a lookup of this id is to fail in this thread. */
export function isFaultIn(place: FaultPlace, id: string): boolean {
  return id.startsWith(`fault-${place}-`);
}

/**
 * Does what a looked-up id asks for, if it asks it of this thread.
 * @returns whether it comes in a moment, and the lookup is not to be answered
 */
export function causeFault(place: FaultPlace, id: string): boolean {
  return isFaultIn(place, id) && FAULTS[id.slice(`fault-${place}-`.length)]?.() === true;
}
