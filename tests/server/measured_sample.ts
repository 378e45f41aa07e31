/** What a server that has something to tell of everything measures of itself. */

import * as v from "valibot";
import { BATCH_BOUNDS, Histogram, SECONDS_BOUNDS } from "../../lib/base/histogram.ts";
import { type Measured, measuredSchema } from "../../lib/protocol/measured.ts";

/** The time that it is in these tests. */
export const SAMPLE_MS = Date.UTC(2026, 10, 26, 12);
const DAY_MS = 86_400_000;

export function histogramOf(bounds: readonly number[], values: readonly number[]) {
  const histogram = new Histogram(bounds);
  for (const value of values) histogram.add(value);
  const { counts, sum } = histogram.read();
  return { counts: [...counts], sum };
}

const requestsOf = (results: Record<string, number>, seconds: readonly number[]) => ({
  results,
  seconds: histogramOf(SECONDS_BOUNDS, seconds),
});

/** Changed where a test needs it otherwise; checked by the schema, as an answer is. */
export function sampleMeasured(change: (measured: Measured) => void = () => {}): Measured {
  const measured: Measured = {
    version: "1.2.3",
    commit: "0123abc",
    domain: "pki.example.org",
    address: "127.0.0.1:7443",
    nowMs: SAMPLE_MS,
    startedMs: SAMPLE_MS - 3 * DAY_MS,
    connections: {
      ...{ open: 12, max: 1000, accepted: 345 },
      refused: { connections: 3, stopping: 0, protocol: 2, sockets: 1 },
    },
    handshakes: { underWay: 4, failed: 6 },
    workers: { inUse: 12, spare: 5, started: 360, failed: 1 },
    serverEndsMs: SAMPLE_MS + 60 * DAY_MS,
    process: {
      ...{ cpuUserSeconds: 10.5, cpuSystemSeconds: 1.25, residentBytes: 150_000_000 },
      ...{ openFiles: 42, filesMax: 1024 },
    },
    delay: histogramOf(SECONDS_BOUNDS, [0.0001, 0.003]),
    directory: {
      requests: {
        HELLO: requestsOf({ ok: 300 }, [0.0001]),
        LOGIN: requestsOf({ ok: 20, BUSY: 2 }, [0.003, 0.004]),
        LOGIN_FINISH: requestsOf({ ok: 15, REFUSED: 1 }, [0.0002]),
        LOGIN_CERTIFICATE: requestsOf({ ok: 100, UNTRUSTED: 4 }, [0.002]),
        CERTREQ: requestsOf({ ok: 1000, NOT_FOUND: 7 }, [0.0001, 0.0003, 0.004]),
        CSR: requestsOf({ ok: 0 }, []),
      },
      ...{ sessions: 9, inFlight: 3, waiting: 2, authority: 1, unfinishedLogins: 4 },
      log: {
        ...{ entries: 1234, bytes: 987_654 },
        syncSeconds: histogramOf(SECONDS_BOUNDS, [0.0007, 0.02]),
        syncEntries: histogramOf(BATCH_BOUNDS, [1, 12]),
      },
      snapshot: {
        ...{ taken: 2, failed: 1, isRunning: false },
        ...{ lastMs: SAMPLE_MS - DAY_MS, lastSeconds: 0.4 },
        ...{ bytes: 65_536, behindBytes: 1000, dueBytes: 16_777_216 },
      },
      census: {
        atMs: SAMPLE_MS - 1000,
        certificates: { valid: 100, expired: 30, revoked: 7 },
        published: 90,
        accounts: { active: 95, disabled: 2, deleted: 1 },
        publishedEndsMs: SAMPLE_MS + 2 * DAY_MS,
      },
      ends: {
        issuingMs: SAMPLE_MS + 900 * DAY_MS,
        rootMs: SAMPLE_MS + 7000 * DAY_MS,
        revocationListMs: SAMPLE_MS + DAY_MS / 2,
      },
      delay: histogramOf(SECONDS_BOUNDS, [0.0002]),
    },
  };
  change(measured);
  return v.parse(measuredSchema, measured);
}
