/** `pki bench`: how much a server can do on its machine, for whoever has to size one. */

import { buildCommand } from "@stricli/core";
import { PkiError } from "../lib/base/errors.ts";
import { formatAddress, parseAddress } from "../lib/client/address.ts";
import type { Measurement } from "../lib/load/measure.ts";
import type { PkiContext } from "./context.ts";
import type { BenchFlags, Place } from "./bench_target.ts";
import { DEFAULT_PORT, GLOBAL_FLAGS, Surroundings, switchFlag, textFlag } from "./globals.ts";
import { withProgress } from "./progress.ts";
import { count } from "./quantity.ts";

/** As many connections as a server takes; more would only measure its refusals. */
const CLIENTS_MAX = 1000;
/** A load is to be seen to its end by whoever started it. */
const SECONDS_MAX = 3600;
/** More than any server of ours does, and what timers can still keep apart. */
const RATE_MAX = 100_000;

const DEFAULTS = { load: "mixed", clients: 8, seconds: 10, warmUp: 3 } as const;

/** A whole number within bounds. @throws {PkiError} `usage` */
function parseWithin(min: number, max: number): (text: string) => number {
  return (text) => {
    const number = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
    if (number >= min && number <= max) return number;
    throw new PkiError("usage", `${JSON.stringify(text)} is not a number from ${min} to ${max}`);
  };
}

function checkFlags(flags: BenchFlags): void {
  const { temporary, server, id, inviteFile, data, fingerprint } = flags;
  const about = { server, id, inviteFile, data, fingerprint, delete: flags.delete };
  const given = Object.entries(about).find(([, value]) => value !== undefined)?.[0];
  if (temporary && given !== undefined) {
    const option = given === "inviteFile" ? "invite-file" : given;
    throw new PkiError("usage", `cannot use --${option} with --temporary`, {
      hint: "a server of its own has nothing that was there before",
    });
  }
  if (id !== undefined && inviteFile !== undefined) {
    throw new PkiError("usage", "cannot use --id with --invite-file", {
      hint: "either somebody of this home goes, or accounts are registered",
    });
  }
  if (id !== undefined && flags.delete) {
    throw new PkiError("usage", "cannot use --id with --delete", {
      hint: "only accounts that were registered for the load are deleted",
    });
  }
}

/** A terminal that is closed ends it as Ctrl-C does: no server of its own may be left behind. */
function endedByHangUp(context: PkiContext): PkiContext {
  const hungUp = new AbortController();
  context.onHangUp?.(() => hungUp.abort());
  return { ...context, signal: AbortSignal.any([context.signal, hungUp.signal]) };
}

async function bench(given: PkiContext, flags: BenchFlags): Promise<void> {
  checkFlags(flags);
  const context = endedByHangUp(given);
  const surroundings = new Surroundings(context, flags);
  const { findPlace, readInvitation } = await import("./bench_target.ts");
  if (!flags.temporary) {
    const invitation = await readInvitation(surroundings, flags);
    const server = flags.server ?? invitation?.address;
    const there = new Surroundings(context, { ...flags, ...(server ? { server } : {}) });
    const place = await findPlace(there.serverAddress(), flags);
    return await load(there, flags, { place, invitation });
  }
  const { startTemporaryServer } = await import("../lib/load/temporary_server.ts");
  const { signal } = context;
  const server = await startTemporaryServer(signal);
  try {
    const address = parseAddress(`127.0.0.1:${server.port}`, DEFAULT_PORT);
    const own = new Surroundings(context, {
      ...flags,
      quiet: true, // whose root it is, and that it is trusted, is nobody's news
      home: server.home,
      server: formatAddress(address),
    });
    const place = { address, places: [address] };
    await load(own, flags, { place, invitation: undefined, pid: server.pid });
  } finally {
    await server.stop();
  }
}

async function load(
  surroundings: Surroundings,
  flags: BenchFlags,
  { place, invitation, pid: known }: {
    readonly place: Place;
    readonly invitation: Awaited<
      ReturnType<typeof import("./bench_target.ts").readInvitation>
    >;
    readonly pid?: number;
  },
): Promise<void> {
  const { deleteAccounts, enter } = await import("./bench_target.ts");
  const { measure } = await import("../lib/load/measure.ts");
  const { tell } = await import("./bench_report.ts");
  const { checkMeasured } = await import("./bench_verdict.ts");
  const { context } = surroundings;
  const { signal } = context;
  const shown = new Surroundings(context, flags); // as the user wants to be told
  const folder = surroundings.dataFolder(flags.data);
  const registered: string[] = [];
  const run = async () => {
    const { connector, holders, pid } = await enter(surroundings, flags, {
      place,
      invitation,
      onRegistered: (id) => void registered.push(id),
    });
    const [warmUpMs, durationMs] = [flags.warmUp * 1000, flags.seconds * 1000];
    return await withProgress(
      shown,
      `${flags.load}, ${count(flags.clients, "client")}`,
      warmUpMs + durationMs,
      (tick) =>
        measure({
          ...{ connector, holders, signal, warmUpMs, durationMs, tick },
          pid: known ?? pid,
          load: flags.load,
          clients: flags.clients,
          perSecond: flags.rate,
        }),
    );
  };
  let measured: Measurement;
  try {
    measured = await run();
  } catch (error) {
    if (flags.delete) await deleteAccounts(folder, registered);
    else if (registered.length > 0 && !flags.temporary) { // no report says it then
      shown.note(`registered, and left behind: ${registered.join(", ")}`);
    }
    throw error;
  }
  // What was measured is told also where they cannot be deleted: the server may be gone.
  const [deletion] = await Promise.allSettled(
    flags.delete ? [deleteAccounts(folder, registered)] : [],
  );
  const report = {
    load: flags.load,
    server: formatAddress(place.address),
    isTemporary: flags.temporary ?? false,
    clients: flags.clients,
    rate: flags.rate,
    warmUpSeconds: flags.warmUp,
    isInterrupted: signal.aborted,
    registered,
    isDeleted: deletion?.status === "fulfilled",
    measured,
  };
  tell(shown, report);
  if (deletion?.status === "rejected") throw deletion.reason;
  checkMeasured(report);
}

export const benchCommand = buildCommand<BenchFlags, [], PkiContext>({
  func: async function (flags) {
    await bench(this, flags);
  },
  parameters: {
    flags: {
      temporary: switchFlag("Measure a server of its own, started for it and removed afterwards"),
      load: {
        kind: "enum",
        values: ["lookup", "issue", "login", "visit", "mixed"],
        default: DEFAULTS.load,
        brief: "What clients do",
      },
      clients: {
        kind: "parsed",
        parse: parseWithin(1, CLIENTS_MAX),
        default: String(DEFAULTS.clients),
        brief: "How many at once",
        placeholder: "N",
      },
      seconds: {
        kind: "parsed",
        parse: parseWithin(1, SECONDS_MAX),
        default: String(DEFAULTS.seconds),
        brief: "How long to measure",
        placeholder: "N",
      },
      warmUp: {
        kind: "parsed",
        parse: parseWithin(0, SECONDS_MAX),
        default: String(DEFAULTS.warmUp),
        brief: "How many seconds of the same before",
        placeholder: "N",
      },
      rate: {
        kind: "parsed",
        parse: parseWithin(1, RATE_MAX),
        optional: true,
        brief: "Operations that are due each second, whatever the server does (open loop)",
        placeholder: "N",
      },
      inviteFile: textFlag("File with an invitation for the accounts, - for stdin", "FILE"),
      delete: switchFlag("Delete the accounts afterwards, on the machine of the server"),
      fingerprint: textFlag("The root's SHA-256, 64 digits, at the first contact", "HEX"),
      data: textFlag("The server's folder, where it is on this machine [$PKI_DATA]", "DIR"),
      ...GLOBAL_FLAGS,
    },
  },
  docs: {
    customUsage: [
      "--temporary [--load LOAD] [--clients N] [--rate N] [options]",
      "[--server HOST:PORT] [--id NAME] [--load LOAD] [--clients N] [options]",
    ],
    brief: "Measure how much a server can do",
    fullDescription:
      "Puts load on a server and says how much it does, how long answers take, and what\n" +
      "goes wrong. With --temporary it starts a server for that on this machine, and leaves\n" +
      "nothing behind. Otherwise it registers up to eight accounts, bench-…, which stay in\n" +
      "that server's log for ever: it asks before, and without a terminal needs --yes. So\n" +
      "does a server that is not on this machine. With --id somebody of the home looks up\n" +
      "or visits, and nothing is left behind.\n\n" +
      "Loads: lookup (somebody's certificate, on a connection that stays), issue (a\n" +
      "certificate, the same way), visit (connect, log in by certificate, look up, leave),\n" +
      "login (connect, log in by password, leave), mixed (80, 5, 10 and 5 of 100).\n\n" +
      "Without --rate each client asks again as soon as it is answered (closed loop): how\n" +
      "much the server can do. With --rate so many operations are due each second, and\n" +
      "count from when they were due (open loop): how long people wait. Certificates are\n" +
      "judged meanwhile; wrong answers end it with exit code 7, a load that mostly failed\n" +
      "with that of its errors, as 8 for busy. Ctrl-C ends it early.\n\n" +
      "Examples:\n" +
      "  pki bench --temporary\n" +
      "  pki bench --load lookup --id alice --rate 500\n" +
      "  pki bench --load issue --clients 32 --yes --json",
  },
});
