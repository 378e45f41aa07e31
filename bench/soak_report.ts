/** What a long run comes to, as a fragment of Markdown with its curves. */

import { FAULTS } from "../lib/load/wire.ts";
import {
  BYTES_PER_ENTRY,
  BYTES_PER_THREAD,
  FLAT_SHARE,
  type Judged,
  judgeFlat,
  type Point,
} from "./soak_judgement.ts";
import { type Sample, SLACK, type Soaked } from "./soak_run.ts";

const MIB = 2 ** 20;
const HOUR_SECONDS = 3600;
/** Below that what a slope says is mostly that the engine was still settling. */
const LONG_SECONDS = 1200;

/** Of all operations so many at most may be refused, or end in a timeout. */
const FAILURES_SHARE_MAX = 0.001;

/** What has to be flat, and whether it is. */
export interface SoakJudgement {
  readonly memory: Judged;
  readonly descriptors: Judged;
  readonly threads: Judged;
  /** Whether it was long enough for a slope in an hour to mean anything. */
  readonly isLong: boolean;
  /** Threads and descriptors are as few as before, when all have left. */
  readonly isBack: boolean;
  /** Answers that were wrong or cut off. */
  readonly faults: number;
  /** All that did not end well. */
  readonly failures: number;
  /** Whether they were few enough for a server that does its work. */
  readonly isServed: boolean;
}

export function judgeSoak(soaked: Soaked): SoakJudgement {
  const { samples, options: { warmUpSeconds, seconds }, operations, before, after } = soaked;
  const points = (of: (sample: Sample) => number): readonly Point[] =>
    samples.filter((one) => one.seconds >= warmUpSeconds).map((one) => [one.seconds, of(one)]);
  const keptBytes = soaked.entries * BYTES_PER_ENTRY + soaked.workers * BYTES_PER_THREAD;
  const countOf = (codes?: readonly string[]) =>
    operations.reduce(
      (sum, { errors }) =>
        Object.entries(errors).reduce(
          (sum, [code, times]) => sum + (!codes || codes.includes(code) ? times : 0),
          sum,
        ),
      0,
    );
  const failures = countOf();
  const done = operations.reduce((sum, { count }) => sum + count, 0);
  return {
    memory: judgeFlat(points((one) => one.residentBytes), keptBytes * HOUR_SECONDS / seconds),
    // One that is open while one looks is no trend.
    descriptors: judgeFlat(points((one) => one.descriptors), 1),
    threads: judgeFlat(points((one) => one.threads), 1),
    isLong: seconds >= LONG_SECONDS,
    isBack: after.threads <= before.threads + SLACK.threads &&
      after.descriptors <= before.descriptors + SLACK.descriptors,
    faults: countOf(FAULTS),
    failures,
    isServed: failures <= (failures + done) * FAILURES_SHARE_MAX,
  };
}

const mib = (bytes: number) => (bytes / MIB).toFixed(1);

function flatRow(
  name: string,
  { line, allowedPerHour, isFlat }: Judged,
  show: (value: number) => string,
): string {
  const slope = `${line.slopePerHour < 0 ? "−" : "+"}${show(Math.abs(line.slopePerHour))}`;
  return `| ${name} | ${show(line.mean)} | ${slope} | ${show(allowedPerHour)} | ${
    isFlat ? "flat" : "**not flat**"
  } |`;
}

function spanOf(seconds: number): string {
  return seconds % HOUR_SECONDS === 0
    ? `${seconds / HOUR_SECONDS} h`
    : seconds >= 120
    ? `${Math.round(seconds / 60)} min`
    : `${seconds} s`;
}

/**
 * The fragment.
 * @param machine in words
 * @param day on which it was
 */
export function describeSoak(
  soaked: Soaked,
  { machine, day }: { readonly machine: string; readonly day: string },
): string {
  const { options, operations, before, after, entries, snapshots, judged, proven, behind } = soaked;
  const { memory, descriptors, threads, isBack, isLong, failures, faults } = judgeSoak(soaked);
  const total = operations.reduce((sum, { count }) => sum + count, 0);
  const plain = (value: number) => value.toFixed(1);
  const rows = operations.toSorted((a, b) => b.count - a.count).map(
    ({ operation, count, latency, errors }) => {
      const ms = [latency?.p50Ms, latency?.p99Ms, latency?.maxMs]
        .map((value) => value === undefined ? "" : String(Number(value.toPrecision(3))));
      const wrong = Object.entries(errors).map(([code, times]) => `${code} ${times}`).join(", ");
      return `| ${operation} | ${count} | ${ms.join(" | ")} | ${wrong || "none"} |`;
    },
  );
  return `# Mixed load for ${spanOf(options.seconds)}

Made by \`deno task soak\` on ${day}, on ${machine}, load and server on the same machine:
${options.perSecond} operations due each second, whatever the server did, by ${options.clients} clients.
The server took ${soaked.serverCores.toFixed(2)} cores, the load ${soaked.ownCores.toFixed(2)}.
${total} ended well, ${failures} did not; ${faults} answers were wrong or cut off; ${behind} operations were
due and not begun at the end. There were ${soaked.workers} connections. The
log grew to ${entries} entries, at least ${snapshots} snapshots were made, and
\`pki log verify\` ended with ${soaked.verified}. Of ${judged} certificates that were judged under the root,
the log has proven ${proven}.

| operation | count | p50 ms | p99 ms | longest ms | errors |
| --- | --- | --- | --- | --- | --- |
${rows.join("\n")}

![Latency by operation over time](soak-latency.svg)

Lines of least squares through the samples after ${
    spanOf(options.warmUpSeconds)
  } of warm-up. One counts as
flat if it rises in an hour by less than ${
    FLAT_SHARE * 100
  } % of its mean; for memory beyond what is kept
on purpose, ${BYTES_PER_ENTRY} bytes for each entry of the log, and what the engine does not give back of a
thread, ${BYTES_PER_THREAD} bytes for each connection; for descriptors and threads beyond one.${
    isLong ? "" : " **This run was too short for that to mean anything.**"
  }

| what | mean | in an hour | allowed | |
| --- | --- | --- | --- | --- |
${flatRow("memory, MiB", memory, mib as (value: number) => string)}
${flatRow("descriptors", descriptors, plain)}
${flatRow("threads", threads, plain)}

When all had left, the server had ${after.threads} threads and ${after.descriptors} descriptors, ${
    isBack ? "back to" : "**not back to**"
  } the ${before.threads} and ${before.descriptors} before they came; memory was ${
    mib(after.residentBytes)
  } MiB, and ${mib(before.residentBytes)} MiB before.

![Memory and the log over time](soak-memory.svg)

![Descriptors, threads and CPU over time](soak-resources.svg)
`;
}
