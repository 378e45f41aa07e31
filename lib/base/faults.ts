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

/** A lookup of this id makes the directory throw instead of the connection's worker. */
export const DIRECTORY_FAULT_ID = "fault-directory";

/** Does what a request's id asks for: `fault-throw`, `fault-hang` or `fault-exit`. */
export function causeFault(id: string): void {
  switch (id) {
    case "fault-throw":
    case DIRECTORY_FAULT_ID:
      setTimeout(() => {
        throw new Error("a fault on purpose");
      });
      return;
    case "fault-hang":
      for (;;);
    case "fault-exit":
      process.exit(3);
  }
}
