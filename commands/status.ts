/** `pki status`: what the running server does and has done, at a glance. */

import { buildCommand } from "@stricli/core";
import { PkiError } from "../lib/base/errors.ts";
import { sleep } from "../lib/base/sleep.ts";
import { askServer } from "../lib/client/admin.ts";
import type { Measured } from "../lib/protocol/measured.ts";
import { isOpen, type PkiContext } from "./context.ts";
import { parseDuration } from "./duration.ts";
import { GLOBAL_FLAGS, type GlobalFlags, Surroundings } from "./globals.ts";
import { findDataFolder, ORDER_FLAGS } from "./orders.ts";
import { columnsOf } from "./paint.ts";
import { reportStatus, type StatusReport } from "./status_report.ts";
import { problemLines, screenLines, statusFacts, statusLine, statusLines } from "./status_view.ts";
import { watchOnScreen } from "./status_watch.ts";

interface StatusFlags extends GlobalFlags {
  readonly data?: string;
  readonly watch?: number;
}

const WHAT = "cannot show the status";
const WATCH_DEFAULT_MS = 2000;
/** More often nobody reads it, and the server would work for it. */
const WATCH_MS_MIN = 500;
const WATCH_MS_MAX = 24 * 3_600_000;

/** `--watch`, `--watch 5`, `--watch 0.5`, `--watch 1m`. @throws {PkiError} `usage` */
export function parseInterval(text: string): number {
  if (text === "") return WATCH_DEFAULT_MS;
  const ms = /^\d{1,6}(?:\.\d{1,3})?$/.test(text) ? Number(text) * 1000 : parseDuration(text);
  if (ms >= WATCH_MS_MIN && ms <= WATCH_MS_MAX) return ms;
  throw new PkiError("usage", `${JSON.stringify(text)} is not an interval from 0.5 s to a day`);
}

/** Asks the server of a folder. @throws {PkiError} `unreachable` if none runs; as `askServer` */
async function measure(folder: string, signal: AbortSignal): Promise<Measured> {
  const answer = await askServer(folder, "STATUS", {}, { signal });
  if (answer === undefined) {
    throw new PkiError("unreachable", `${WHAT}: no server runs on the data folder "${folder}"`, {
      hint: "start it with: pki serve; pki doctor looks at what is there without one",
    });
  }
  if (answer.measured === undefined) {
    throw new PkiError("protocol", `${WHAT}: the server is of an earlier version`, {
      hint: "use the version of pki that the server runs, or start it anew with this one",
    });
  }
  return answer.measured;
}

async function status(context: PkiContext, flags: StatusFlags): Promise<void> {
  const surroundings = new Surroundings(context, flags);
  const folder = await findDataFolder(surroundings, flags, WHAT);
  const { signal, process: { stdout, env } } = context;
  const { watch: intervalMs } = flags;
  if (intervalMs === undefined) {
    const report = reportStatus(await measure(folder, signal));
    const columns = columnsOf(stdout, env);
    const lines = flags.json ? [] : statusLines(report, { columns, paint: surroundings.paint });
    return surroundings.result(statusFacts(report), lines.join("\n"));
  }
  if (stdout.isTTY && !flags.json) return await watch(surroundings, { folder, intervalMs });
  let before: Measured | undefined;
  while (!signal.aborted && isOpen(stdout)) {
    const now = await measure(folder, signal);
    const report = reportStatus(now, before);
    surroundings.result(statusFacts(report), flags.json ? "" : statusLine(report));
    before = now;
    await sleep(intervalMs, signal);
  }
  // Who stops a service has what it has written; a person who presses Ctrl-C hears that it ended.
  if (signal.aborted && signal.reason !== "SIGTERM") {
    throw new PkiError("interrupted", "interrupted");
  }
}

/** Failures that may pass: the server is started again, say. */
const PASSING: readonly unknown[] = ["unreachable", "busy", "timeout", "truncated"];

async function watch(
  { context, paint }: Surroundings,
  { folder, intervalMs }: { readonly folder: string; readonly intervalMs: number },
): Promise<void> {
  const { signal, process: { stdout, env } } = context;
  let before: Measured | undefined;
  let report: StatusReport | undefined;
  await watchOnScreen({
    stdout,
    intervalMs,
    signal,
    update: async (ending) => {
      const now = await measure(folder, ending);
      report = reportStatus(now, before);
      before = now;
    },
    draw: (problem, rows) => {
      if (report === undefined) return [`asking the server of "${folder}"; q ends it`];
      // The last column stays free: what clears the rest of a line would clear it, too.
      const columns = (columnsOf(stdout, env) ?? Infinity) - 1;
      const time = new Date(report.measured.nowMs).toISOString().slice(11, 19);
      const head = problem === undefined
        ? [paint.head(`${time} UTC, every ${intervalMs / 1000} s; q ends it`)]
        : problemLines(problem, { columns, paint }).concat(`  this is of ${time} UTC`);
      return screenLines(head, report, { rows, columns, paint });
    },
    isFinal: (error) =>
      report === undefined || !(error instanceof PkiError) || !PASSING.includes(error.kind),
  });
}

export const statusCommand = buildCommand<StatusFlags, [], PkiContext>({
  func: async function (flags) {
    await status(this, flags);
  },
  parameters: {
    flags: {
      data: ORDER_FLAGS.data,
      watch: {
        kind: "parsed",
        parse: parseInterval,
        inferEmpty: true,
        optional: true,
        brief: "Show it again and again, as often as said [2s]",
        placeholder: "SPAN",
      },
      ...GLOBAL_FLAGS,
    },
  },
  docs: {
    customUsage: ["[--data DIR] [--watch [SPAN]] [options]"],
    brief: "Show what the running server does",
    fullDescription:
      "Asks the server that runs on the data folder of this machine: connections, workers,\n" +
      "queue, requests and how long they take, log, snapshot, certificates, what ends\n" +
      "first, and in words what should be looked after.\n\n" +
      "--watch shows it again and again, with rates and times of the last interval: at a\n" +
      "terminal in place, where q or Ctrl-C ends it; elsewhere as a line each time, with\n" +
      "--json as an object. pki serve --metrics tells programs the same.\n\n" +
      "Exit codes: 0 done, 5 no data folder, 8 no server runs, or it does not answer.\n\n" +
      "Examples:\n" +
      "  pki status\n" +
      "  pki status --watch\n" +
      "  pki status --data /var/lib/pki/server --watch 10s --json",
  },
});
