/** How `pki serve` speaks: to whoever has started it, and where a program reads that, in the log. */

import * as fs from "node:fs";
import { formatAddress } from "../lib/client/address.ts";
import type { Log } from "../lib/server/log.ts";
import type { PkiContext } from "./context.ts";
import { Surroundings } from "./globals.ts";
import { INVITATION_DEFAULT_HOURS, type Invited } from "./invitation.ts";
import type { Place } from "./server_attendance.ts";

/** How the server speaks: notes are lines of the log where a program reads that. */
export class ServerSurroundings extends Surroundings {
  log: Log | undefined;

  override note(text: string): void {
    if (this.log?.format !== "json") return super.note(text);
    if (!this.flags.quiet) this.log.log({ level: "notice", event: "note", message: text });
  }

  override warn(message: string, hint?: string): void {
    if (this.log?.format !== "json") return super.warn(message, hint);
    this.log.log({ level: "warning", event: "warning", message, fields: { hint } });
  }
}

/**
 * Whether what is said goes to systemd's journal, where others may read it, today and later. The
 * variable is inherited by what runs at a terminal, too, so the streams are compared with what it
 * names (systemd.exec(5)).
 */
export function isInJournal(env: PkiContext["process"]["env"]): boolean {
  const journal = env["JOURNAL_STREAM"];
  if (!journal) return false;
  return [1, 2].some((descriptor) => {
    try {
      const { dev, ino } = fs.fstatSync(descriptor, { bigint: true });
      return `${dev}:${ino}` === journal;
    } catch {
      return false; // closed: nothing is said there
    }
  });
}

/** The line of the log that says that clients can connect. */
export function tellReady(log: Log, { host, port, domain, fingerprint, metrics }: Place): void {
  const fields = { host, port, domain, fingerprint, metrics };
  log.log({ level: "info", event: "server.ready", fields });
}

/** Says where the server is, and how the first person joins. */
export function announce(
  surroundings: Surroundings,
  { host, port, fingerprint, domain, metrics, invitation, isLogged }: Place & {
    /** For the first person, while there is nobody. */
    readonly invitation: Invited | undefined;
    /** Whether notes go into the log, where no invitation belongs. */
    readonly isLogged: boolean;
  },
): void {
  surroundings.result(
    {
      event: "ready",
      host,
      port,
      fingerprint,
      domain,
      ...(metrics === undefined ? {} : { metrics }),
      ...(invitation ? { invitation: invitation.line } : {}),
    },
    `pki server for ${domain}, ready\n  address      ${formatAddress({ host, port })}\n` +
      `  fingerprint  ${surroundings.paint.mark(fingerprint)}` +
      (metrics === undefined ? "" : `\n  metrics      http://${metrics}/metrics`),
  );
  if (!invitation || isLogged) return;
  surroundings.note(
    `Nobody is registered yet. The first person joins, within ${INVITATION_DEFAULT_HOURS} hours, ` +
      `with\n\n  pki join ${invitation.line}\n\npki invite makes the next invitation`,
  );
}
