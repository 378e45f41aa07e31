/**
 * Keeps an identity's certificate fresh for as long as the program runs: waits until it is due, has it
 * renewed, and goes on. The server may be away; another command may replace the certificate. No I/O of
 * its own: clock, waiting and renewing are passed in.
 */

import { type ErrorKind, PkiError } from "../base/errors.ts";
import { isDue, type Margin, marginMsOf, type Validity } from "./renewal.ts";

/** How often the certificate's file and the clock are looked at: a clock may jump, a machine sleep. */
const CHECK_MS = 60_000;

/** How often the server is asked whether the certificate still counts: as long as its answer does. */
const STATUS_MS = 60 * 60_000;

/** From the first failure to the next try; each further one takes twice as long, up to a bound. */
const RETRY_MS_MIN = 10_000;
const RETRY_MS_MAX = 15 * 60_000;

/** A new certificate is never due at once, however large a margin somebody asks for. */
const MARGIN_PART_MAX = 0.9;

/** Renewals of many machines are spread over this part of the margin. */
const JITTER_PART = 0.1;

/** What another try at another time may mend; everything else ends the watch. */
const TRANSIENT: ReadonlySet<ErrorKind> = new Set<ErrorKind>([
  "unreachable",
  "busy",
  "timeout",
  "truncated",
  "protocol", // something else answers at the address
  "storage",
  "internal", // the server's word for a fault of its own
  "conflict", // another command was faster
]);

/** What is known of a certificate here. */
export interface WatchedCertificate extends Validity {
  readonly serial: string;
}

export type WatchEvent =
  /** Nothing to do until then. */
  | {
    readonly event: "waiting";
    readonly until: number;
    readonly certificate: WatchedCertificate;
  }
  /** Another command has stored a certificate. */
  | { readonly event: "replaced"; readonly certificate: WatchedCertificate }
  /** It did not work and is tried again at this time; `failures` counts them in a row. */
  | {
    readonly event: "failed";
    readonly error: PkiError;
    readonly retry: number;
    readonly failures: number;
  };

/** What the watch needs from outside. */
export interface WatchPorts {
  /** The certificate that is stored now. */
  readonly load: () => WatchedCertificate;
  /** Renews and stores it; throws a `PkiError` where that fails. */
  readonly renew: () => Promise<void>;
  /** Asks whether the certificate still counts; throws `untrusted` if it was revoked. */
  readonly checkStatus: () => Promise<void>;
  /** Whether something is left to do for {@link renew} although the certificate is fresh. */
  readonly isPending: () => boolean;
  readonly now: () => number;
  /** Resolves after this time, or when the program is asked to end. */
  readonly wait: (ms: number) => Promise<void>;
  /** From 0 to 1. */
  readonly random: () => number;
  readonly tell: (event: WatchEvent) => void;
  readonly signal: AbortSignal;
  /** Shorter times, for tests of the program. */
  readonly times?: WatchTimes;
}

export interface WatchTimes {
  readonly checkMs: number;
  readonly statusMs: number;
  readonly retryMs: number;
}

const TIMES: WatchTimes = {
  checkMs: CHECK_MS,
  statusMs: STATUS_MS,
  retryMs: RETRY_MS_MIN,
};

/** When a certificate is renewed that was not there when the watch began. */
function planOf(
  certificate: Validity,
  { margin, jitter }: { margin: Margin; jitter: number },
): number {
  const { notBeforeMs, notAfterMs } = certificate;
  const marginMs = Math.min(
    marginMsOf(margin, certificate),
    (notAfterMs - notBeforeMs) * MARGIN_PART_MAX,
  );
  return Math.round(notAfterMs - marginMs * (1 - JITTER_PART * jitter));
}

/** How long to wait after so many failures in a row: between half of a bound and the whole of it. */
export function retryDelayMs(failures: number, random: number, leastMs = RETRY_MS_MIN): number {
  const bound = Math.min(leastMs * 2 ** Math.min(failures - 1, 30), RETRY_MS_MAX);
  return Math.round(bound * (0.5 + random / 2));
}

function isTransient(error: unknown): error is PkiError {
  return error instanceof PkiError && TRANSIENT.has(error.kind);
}

/**
 * Watches until the program is asked to end.
 * @throws {PkiError} what no waiting will mend: `untrusted` for a certificate that was revoked,
 * `refused`, `not-found`, …
 */
export async function keepFresh(ports: WatchPorts, margin: Margin): Promise<void> {
  const { load, renew, checkStatus, isPending, now, random, tell, signal, times = TIMES } = ports;
  let certificate = load();
  // Whoever says so has a certificate renewed at the start that would not be due again for a while.
  let dueMs = isDue(certificate, margin, now())
    ? now()
    : planOf(certificate, { margin, jitter: random() });
  let retryMs = 0;
  let statusMs = 0;
  let failures = 0;
  let isTold = false;
  const take = (found: WatchedCertificate) => {
    certificate = found;
    dueMs = planOf(found, { margin, jitter: random() });
    retryMs = failures = 0;
    isTold = false;
  };
  while (!signal.aborted) {
    const found = load();
    if (found.serial !== certificate.serial) {
      tell({ event: "replaced", certificate: found });
      take(found);
    }
    const nextMs = Math.max(isPending() ? 0 : dueMs, retryMs);
    if (now() < nextMs) {
      if (!isTold && failures === 0) tell({ event: "waiting", until: nextMs, certificate });
      isTold = true;
      if (statusMs <= now()) {
        statusMs = now() + times.statusMs;
        try {
          await checkStatus();
        } catch (error) {
          if (signal.aborted) return;
          if (!isTransient(error)) throw error; // who is away now is asked again later
        }
      }
      await ports.wait(Math.max(1, Math.min(nextMs - now(), times.checkMs)));
      continue;
    }
    try {
      await renew();
      take(load());
    } catch (error) {
      if (signal.aborted) return;
      if (!isTransient(error)) throw error;
      failures++;
      retryMs = now() + retryDelayMs(failures, random(), times.retryMs);
      tell({ event: "failed", error, retry: retryMs, failures });
    }
  }
}
