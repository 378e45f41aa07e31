/** `pki renew --watch`: keeps an identity fresh, and says what happens. */

import { PkiError } from "../lib/base/errors.ts";
import { FAULT_WATCH_TIMES, HAS_FAULTS } from "../lib/base/faults.ts";
import { sleep } from "../lib/base/sleep.ts";
import type { Margin } from "../lib/client/renewal.ts";
import { keepFresh, type WatchEvent } from "../lib/client/renewal_watch.ts";
import { formatDuration } from "./duration.ts";
import type { Surroundings } from "./globals.ts";
import { type Renewer, tellRenewed } from "./renewer.ts";

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}

function tellEvent(surroundings: Surroundings, id: string, told: WatchEvent): void {
  const { event } = told;
  const nowMs = surroundings.context.now();
  switch (event) {
    case "waiting":
    case "replaced": {
      const { serial, notAfterMs } = told.certificate;
      const notAfter = timeOf(notAfterMs);
      if (event === "waiting") {
        const until = timeOf(told.until);
        surroundings.result({ event, id, until, serial, notAfter }, "");
        surroundings.note(
          `"${id}" is certified until ${notAfter}; ` +
            `the certificate is renewed in ${formatDuration(told.until - nowMs)}`,
        );
      } else {
        surroundings.result({ event, id, serial, notAfter }, "");
        surroundings.note(`the certificate of "${id}" was replaced by another command`);
      }
      return;
    }
    case "failed": {
      const { error, retry, failures } = told;
      const { kind, message } = error;
      surroundings.result({ event, id, kind, message, retry: timeOf(retry) }, "");
      // Once, until it works again: who is away for a night is not news every quarter of an hour.
      if (failures === 1 && !surroundings.flags.json) {
        surroundings.note(`not renewed: ${message}; it is tried again until it works`);
      }
      return;
    }
  }
}

/**
 * Renews until the program is asked to end.
 * @throws {PkiError} `interrupted` for Ctrl-C; what ends the watch (see {@link keepFresh})
 */
export async function watchIdentity(
  surroundings: Surroundings,
  renewer: Renewer,
  margin: Margin,
): Promise<void> {
  const { signal, now } = surroundings.context;
  const { id } = renewer.load();
  await keepFresh({
    load: () => {
      const { leaf } = renewer.load();
      const { serial, notBeforeMs, notAfterMs } = leaf;
      return { serial, notBeforeMs, notAfterMs };
    },
    renew: async () => tellRenewed(surroundings, await renewer.renew(), { event: "renewed" }),
    checkStatus: () => renewer.checkStatus(),
    isPending: () => renewer.hasUnpublished,
    now,
    wait: (ms) => sleep(ms, signal),
    random: Math.random,
    tell: (event) => tellEvent(surroundings, id, event),
    signal,
    ...(HAS_FAULTS ? { times: FAULT_WATCH_TIMES } : {}),
  }, margin);
  // A service that is stopped has done its work; a person who presses Ctrl-C hears that it ended.
  if (signal.reason !== "SIGTERM") throw new PkiError("interrupted", "interrupted");
}
