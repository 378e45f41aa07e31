/** `pki ping`: whether the server is well, for people and for health checks. */

import { buildCommand } from "@stricli/core";
import { formatAddress } from "../lib/client/address.ts";
import { parseFingerprint } from "../lib/client/first_contact.ts";
import type { Voucher } from "../lib/client/ping.ts";
import { LIMITS } from "../lib/base/limits.ts";
import type { PkiContext } from "./context.ts";
import { formatDuration, parseDuration } from "./duration.ts";
import { GLOBAL_FLAGS, type GlobalFlags, Surroundings, textFlag } from "./globals.ts";

interface PingFlags extends GlobalFlags {
  readonly fingerprint?: string;
  readonly timeout?: number;
}

/** Less than this between two clocks is what asking costs. */
const SAME_CLOCK_MS = 1000;

function describeVoucher(voucher: Voucher, folder: string): string {
  switch (voucher) {
    case "pinned":
      return "its certificate is good under the pinned root";
    case "fingerprint":
      return "its certificate is good under the root of that fingerprint";
    case "this-machine":
      return `its certificate is good under the root in "${folder}"`;
    case "nobody":
      return "not known: no root is pinned here, so anybody could answer";
  }
}

function describeClock(offsetMs: number): string {
  const apartMs = Math.abs(offsetMs);
  if (apartMs < SAME_CLOCK_MS) return "as here";
  return `${formatDuration(apartMs)} ${offsetMs > 0 ? "ahead of" : "behind"} this machine's`;
}

const milliseconds = (ms: number) => Number(ms.toFixed(1));

export async function pingServer(context: PkiContext, flags: PingFlags): Promise<void> {
  const surroundings = new Surroundings(context, flags);
  const { ping } = await import("../lib/client/ping.ts");
  const { home } = surroundings;
  const { now, signal } = context;
  const address = surroundings.serverAddress();
  const pong = await ping({
    ...{ home, address, now, signal },
    fingerprint: flags.fingerprint === undefined ? undefined : parseFingerprint(flags.fingerprint),
    timeoutMs: flags.timeout ?? LIMITS.connectMs,
  });
  const { domain, root, voucher, serverTimeMs, offsetMs, notAfterMs } = pong;
  const [connectMs, answerMs] = [milliseconds(pong.connectMs), milliseconds(pong.answerMs)];
  const leftMs = notAfterMs - now();
  const [time, notAfter] = [serverTimeMs, notAfterMs].map((ms) => new Date(ms).toISOString());
  surroundings.result(
    {
      event: "alive",
      address: formatAddress(address),
      domain,
      root,
      trusted: voucher !== "nobody",
      voucher,
      connectMs,
      answerMs,
      time,
      offsetMs: Math.round(offsetMs),
      notAfter,
      daysLeft: Math.floor(leftMs / LIMITS.dayMs),
    },
    `the server of ${domain} at ${formatAddress(address)} is well\n` +
      `  trusted      ${describeVoucher(voucher, home.serverFolder)}\n` +
      `  answers in   ${answerMs} ms, once connected, which takes ${connectMs} ms\n` +
      `  clock        ${describeClock(offsetMs)}\n` +
      `  certificate  for ${formatDuration(leftMs)} more\n`,
  );
}

export const pingCommand = buildCommand<PingFlags, [], PkiContext>({
  func: async function (flags) {
    await pingServer(this, flags);
  },
  parameters: {
    flags: {
      fingerprint: textFlag("The root's SHA-256, 64 digits, where none is pinned", "HEX"),
      timeout: {
        kind: "parsed",
        parse: parseDuration,
        optional: true,
        brief: `How long to wait [${LIMITS.connectMs / 1000}s]`,
        placeholder: "SPAN",
      },
      ...GLOBAL_FLAGS,
    },
  },
  docs: {
    customUsage: ["[--server HOST:PORT] [--fingerprint HEX] [--timeout SPAN] [options]"],
    brief: "Ask the server whether it is well",
    fullDescription:
      "Connects, judges the server's certificate under the pinned root, and asks for the\n" +
      "time. It needs no identity, no password and no terminal, and saves nothing. Where no\n" +
      "root is pinned it takes the one of this machine's data folder or of the fingerprint,\n" +
      "and else says that anybody could have answered.\n\n" +
      "Exit codes: 0 it is well, 6 not to be trusted, 7 something else listens there, 8 out\n" +
      "of reach, busy, or too slow.\n\n" +
      "Examples:\n" +
      "  pki ping\n" +
      "  pki ping --server pki.example.org:7443 --timeout 3s --json",
  },
});
