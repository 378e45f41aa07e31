/** `pki ls`: what was issued, for the administrator. */

import { buildCommand } from "@stricli/core";
import { once } from "node:events";
import { PkiError } from "../lib/base/errors.ts";
import {
  type AdminBody,
  LIST_ROWS_MAX,
  type ListedCertificate,
} from "../lib/protocol/admin_messages.ts";
import { checkId } from "../lib/x509/names.ts";
import { jsonLine, makeCertificateTable } from "./certificate_table.ts";
import { isOpen, type OutputStream, type PkiContext } from "./context.ts";
import { parseDuration } from "./duration.ts";
import { GLOBAL_FLAGS, Surroundings, textFlag } from "./globals.ts";
import { type Order, ORDER_FLAGS, type OrderFlags, withOrders } from "./orders.ts";
import { columnsOf } from "./paint.ts";
import { parseSerial } from "./serial.ts";

interface LsFlags extends OrderFlags {
  readonly user?: string;
  readonly serial?: string;
  readonly profile?: string;
  readonly state?: "valid" | "expired" | "revoked";
  readonly expiring?: number;
  readonly limit?: number;
}

/** The pages of a list, one after the other. */
async function* listPages(
  order: Order,
  filter: Omit<AdminBody<"LIST">, "after" | "limit">,
  limit: number,
): AsyncGenerator<readonly ListedCertificate[]> {
  let after: AdminBody<"LIST">["after"];
  for (let left = limit; left > 0;) {
    const { certificates, next } = await order("LIST", {
      ...filter,
      ...(after === undefined ? {} : { after }),
      limit: Math.min(left, LIST_ROWS_MAX),
    });
    yield certificates;
    if (!next) return;
    left -= certificates.length;
    after = next;
  }
}

/** Waits where the reader is slower than we are; the list may be longer than the memory. */
async function write(stream: OutputStream, text: string): Promise<void> {
  if (!isOpen(stream) || stream.write(text)) return;
  const left = new AbortController();
  const options = { signal: left.signal };
  try {
    await Promise.race(["drain", "close", "error"].map((event) => once(stream, event, options)));
  } catch {
    // It failed: whoever ends the program says so.
  } finally {
    left.abort();
  }
}

export async function ls(context: PkiContext, flags: LsFlags): Promise<void> {
  const surroundings = new Surroundings(context, flags);
  const { process: { stdout } } = context;
  const { user, serial, profile, state, expiring, limit = Infinity } = flags;
  if (user !== undefined) checkId(user);
  if (expiring !== undefined && state !== undefined && state !== "valid") {
    throw new PkiError("usage", `cannot list: what is ${state} is not expiring any more`, {
      hint: "leave out --state or --expiring",
    });
  }
  const nowMs = context.now();
  const filter = {
    ...(user === undefined ? {} : { id: user }),
    ...(serial === undefined ? {} : { serial }),
    ...(profile === undefined ? {} : { profile }),
    ...(state === undefined ? {} : { state }),
    ...(expiring === undefined ? {} : { endsBeforeMs: nowMs + expiring }),
  };
  const columns = columnsOf(stdout, context.process.env);
  let count = 0;
  await withOrders(surroundings, flags, { what: "cannot list certificates" }, async (order) => {
    let table: ReturnType<typeof makeCertificateTable> | undefined;
    for await (const page of listPages(order, filter, limit)) {
      count += page.length;
      if (flags.json) {
        await write(stdout, page.map((row) => jsonLine(row, nowMs)).join(""));
      } else if (page.length > 0) {
        const isFirst = table === undefined;
        table ??= makeCertificateTable(page, { nowMs, columns, paint: surroundings.paint });
        const lines = page.map((row) => `${table?.line(row)}\n`);
        await write(stdout, (isFirst ? `${table.header}\n` : "") + lines.join(""));
      }
      if (context.signal.aborted) throw new PkiError("interrupted", "interrupted");
      if (!isOpen(stdout)) return;
    }
  });
  if (!flags.json) surroundings.note(count === 1 ? "1 certificate" : `${count} certificates`);
}

function parseLimit(text: string): number {
  const limit = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
  if (limit >= 1) return limit;
  throw new PkiError("usage", `${JSON.stringify(text)} is not a number from 1 on`);
}

export const lsCommand = buildCommand<LsFlags, [], PkiContext>({
  func: async function (flags) {
    await ls(this, flags);
  },
  parameters: {
    flags: {
      user: textFlag("Only those of this user", "NAME"),
      serial: {
        kind: "parsed",
        parse: parseSerial,
        optional: true,
        brief: "Only the one with this serial number",
        placeholder: "HEX",
      },
      profile: textFlag("Only those of a profile: user, server, service, issuing", "PROFILE"),
      state: {
        kind: "enum",
        values: ["valid", "expired", "revoked"],
        optional: true,
        brief: "Only what is valid, expired or revoked",
      },
      expiring: {
        kind: "parsed",
        parse: parseDuration,
        optional: true,
        brief: "Only what is valid and ends within this time: 36h, 14d, 2w",
        placeholder: "TIME",
      },
      limit: {
        kind: "parsed",
        parse: parseLimit,
        optional: true,
        brief: "At most so many",
        placeholder: "N",
      },
      ...ORDER_FLAGS,
      ...GLOBAL_FLAGS,
    },
  },
  docs: {
    customUsage: ["[--user NAME] [--state STATE] [--expiring TIME] [options]"],
    brief: "List the certificates that were issued",
    fullDescription:
      "For the administrator, on the server's machine: lists what was issued, also while\n" +
      "the server runs. With a user or a profile, in the order of issuing; with a state or\n" +
      "--expiring, by what ends first. With --json each certificate is a line of its own.\n\n" +
      "Examples:\n" +
      "  pki ls --expiring 14d\n" +
      "  pki ls --user alice --state valid\n" +
      "  pki ls --state revoked --json | jq -r .serial",
  },
});
