/**
 * What a server measures of itself, as `STATUS` on the administration socket tells it and metrics are
 * made of: numbers and names of our own, never an id, an address or anything else that a client sent.
 * All counters count from the server's start.
 */

import * as v from "valibot";

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const amount = v.pipe(v.number(), v.finite(), v.minValue(0));
const time = v.pipe(v.number(), v.finite());
/** A name of ours, as a metric's label has it. */
const name = v.pipe(v.string(), v.regex(/^[A-Za-z_]{1,32}$/));
const histogram = v.object({ counts: v.pipe(v.array(count), v.maxLength(64)), sum: amount });
const byName = v.record(name, count);

/** What the directory's thread knows. */
const directory = v.object({
  /** By type. */
  requests: v.record(
    name,
    v.object({
      /** `ok`, or the code of the error that was answered. */
      results: byName,
      /** From the request's arrival at the directory to its answer, whatever it waited for. */
      seconds: histogram,
    }),
  ),
  /** Connections that it keeps a session of: who has logged in, and what they may do. */
  sessions: count,
  /** Requests that have arrived and are not answered yet; those of them that wait for their turn. */
  inFlight: count,
  waiting: count,
  /** Questions to the authority that it has not answered. */
  authority: count,
  /** Logins by password that were begun and left, as after a wrong one. */
  unfinishedLogins: count,
  log: v.object({
    entries: count,
    bytes: count,
    syncSeconds: histogram,
    /** Entries that one sync has made durable. */
    syncEntries: histogram,
  }),
  snapshot: v.object({
    taken: count,
    failed: count,
    isRunning: v.boolean(),
    /** When the newest was taken, and how long that took; `null` where that is not known. */
    lastMs: v.nullable(time),
    lastSeconds: v.nullable(amount),
    bytes: count,
    /** How much the log has grown since. */
    behindBytes: count,
    /** How much it may have grown until the next one is due. */
    dueBytes: count,
  }),
  /** `null` until they have been counted for the first time. */
  census: v.nullable(v.object({
    /** When it was counted. */
    atMs: time,
    certificates: v.object({ valid: count, expired: count, revoked: count }),
    /** Users whose published certificate is valid. */
    published: count,
    accounts: v.object({ active: count, disabled: count, deleted: count }),
    /** When the first of the published certificates that are valid ends. */
    publishedEndsMs: v.nullable(time),
  })),
  /** When the first of each kind ends, in milliseconds since 1970; `null` where there is none. */
  ends: v.object({
    issuingMs: v.nullable(time),
    rootMs: v.nullable(time),
    revocationListMs: v.nullable(time),
  }),
  delay: histogram,
});

/** For the answer to `STATUS`. */
export const measuredSchema = v.object({
  version: v.pipe(v.string(), v.maxLength(64)),
  commit: v.pipe(v.string(), v.maxLength(64)),
  domain: v.pipe(v.string(), v.maxLength(253)),
  /** `host:port` that is listened on; absent before. */
  address: v.optional(v.pipe(v.string(), v.maxLength(300))),
  nowMs: time,
  startedMs: time,
  connections: v.object({ open: count, max: count, accepted: count, refused: byName }),
  handshakes: v.object({ underWay: count, failed: count }),
  workers: v.object({ inUse: count, spare: count, started: count, failed: count }),
  /** When the server's own certificate ends. */
  serverEndsMs: time,
  process: v.object({
    cpuUserSeconds: amount,
    cpuSystemSeconds: amount,
    residentBytes: count,
    /** `null` where the system does not tell. */
    openFiles: v.nullable(count),
    filesMax: v.nullable(count),
  }),
  /** How late timers of the main thread are. */
  delay: histogram,
  directory,
});

export type Measured = v.InferOutput<typeof measuredSchema>;
export type DirectoryMeasured = v.InferOutput<typeof directory>;
export type Census = NonNullable<DirectoryMeasured["census"]>;
