/** What the figures of `pki bench` come to: in a sentence, and whether they are worth anything. */

import { type ErrorKind, kindOfWireCode, messageOf, PkiError } from "../lib/base/errors.ts";
import type { Measurement } from "../lib/load/measure.ts";
import type { OperationSummary } from "../lib/load/tally.ts";
import { FAULTS } from "../lib/load/wire.ts";
import {
  errorCount,
  formatMs,
  formatRate,
  isBehind,
  pluralOf,
  type Report,
  totalPerSecond,
} from "./bench_figures.ts";

/** What the log was asked for afterwards; no part of the load. */
const PROOF = "proof";
const SEE_LOG = "see in the server's log what happened";

/** Why figures do not say what a server can do. */
export interface Doubt {
  /** As part of a sentence. */
  readonly why: string;
  /** Of most of what failed. */
  readonly kind: ErrorKind;
  readonly firstError: unknown;
}

/** What failed more often than it ended well, first of all what failed most. */
function failing(operations: readonly OperationSummary[]): readonly OperationSummary[] {
  return operations.filter((row) => errorCount(row) > row.count)
    .toSorted((a, b) => errorCount(b) - errorCount(a));
}

function kindOfMost({ errors }: OperationSummary): ErrorKind {
  const [most] = Object.entries(errors).toSorted(([, a], [, b]) => b - a);
  return most ? kindOfWireCode(most[0]) : "timeout";
}

/**
 * Why not to believe the figures, if so. Clients wait longer and longer after each failure, so that few
 * failures may stand for much that was not done: what fails more often than not, or fails at last for
 * everybody, was not measured.
 */
export function findDoubt({ operations, isGivenUp }: Measurement): Doubt | undefined {
  const [worst] = failing(operations.filter(({ operation }) => operation !== PROOF));
  if (worst) {
    const [times, all] = [errorCount(worst), errorCount(worst) + worst.count];
    const { firstError } = worst;
    return {
      why: `${times} of ${all} ${pluralOf(worst.operation)} failed`,
      kind: kindOfMost(worst),
      firstError,
    };
  }
  if (!isGivenUp) return undefined;
  const [last] = operations.toSorted((a, b) => errorCount(b) - errorCount(a));
  return {
    why: "in the end nothing ended well any more",
    kind: last ? kindOfMost(last) : "timeout",
    firstError: last?.firstError,
  };
}

/** What it comes to, for somebody who has never seen such a table. */
export function summarize(report: Report): string {
  const { load, clients, rate, measured, isInterrupted } = report;
  const { operations, seconds } = measured;
  const slowest = operations.filter(({ latency }) => latency)
    .toSorted((a, b) => (b.latency?.p99Ms ?? 0) - (a.latency?.p99Ms ?? 0))[0];
  const failed = operations.reduce((sum, row) => sum + errorCount(row), 0);
  const what = pluralOf(load);
  const per = formatRate(totalPerSecond(measured));
  const how = isInterrupted ? "interrupted" : measured.isGivenUp ? "given up" : undefined;
  const when = seconds > 0 ? `after ${seconds.toFixed(1)} s` : "before anything counted";
  const cut = how ? `${how} ${when}: ` : "";
  if (!slowest?.latency) return `${cut}no ${what} ended well`;
  const doubt = findDoubt(measured);
  if (doubt) return `${cut}these figures are not what this server can do: ${doubt.why}`;
  const who = clients === 1
    ? "one client that asks again as soon as it is answered"
    : `${clients} clients that ask again as soon as they are answered`;
  const done = rate === undefined
    ? `with ${who}, this server does ${per} ${what} a second`
    : isBehind(report)
    ? `this server does not keep up with ${formatRate(rate)} ${what} a second: it does ${per}`
    : `this server keeps up with ${formatRate(rate)} ${what} a second`;
  const kind = load === "mixed" ? ` even of the slowest kind (${slowest.operation})` : "";
  const within = `; 99 of 100${kind} end within ${formatMs(slowest.latency.p99Ms)} ms`;
  return `${cut}${done}${within}${failed > 0 ? `, and ${failed} failed` : ""}`;
}

function unknownCapacity({ why, kind, firstError: cause }: Doubt): PkiError {
  const first = cause === undefined ? "" : `; the first: ${messageOf(cause)}`;
  return new PkiError(kind, `cannot say what this server can do: ${why}${first}`, {
    cause,
    hint: kind === "busy"
      ? "measure with fewer --clients, or a lower --rate; docs/limits.md says what a server refuses"
      : SEE_LOG,
  });
}

/**
 * Fails if the figures are not worth much: answers were wrong or cut off, most failed, none came any
 * more, or what was issued is not proven.
 * @throws {PkiError} `interrupted`, `protocol`, or what most failed with
 */
export function checkMeasured({ measured, isInterrupted }: Report): void {
  const { operations, firstError } = measured;
  const faults = operations.reduce(
    (sum, { errors }) => sum + FAULTS.reduce((times, code) => times + (errors[code] ?? 0), 0),
    0,
  );
  if (faults > 0) {
    throw new PkiError(
      "protocol",
      `${faults} answers were wrong or cut off: ${messageOf(firstError)}`,
      { cause: firstError, hint: SEE_LOG },
    );
  }
  if (isInterrupted) throw new PkiError("interrupted", "interrupted");
  if (operations.every(({ count }) => count === 0)) {
    if (firstError instanceof PkiError) {
      throw unknownCapacity({ why: "nothing ended well", kind: firstError.kind, firstError });
    }
    throw new PkiError("timeout", "nothing ended in time", {
      hint: "measure for longer with --seconds",
    });
  }
  const doubt = findDoubt(measured);
  if (doubt) throw unknownCapacity(doubt);
  const proof = operations.find(({ operation }) => operation === PROOF);
  if (!proof) return;
  const cause = proof.firstError;
  throw new PkiError(
    kindOfMost(proof),
    `cannot have the log prove what was looked up and issued: ${messageOf(cause)}`,
    { cause, hint: SEE_LOG },
  );
}
