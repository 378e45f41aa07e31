/** What a server that runs is told from outside: to end, to reload, and whether it is still alive. */

import { ENDS_WITH_STDIN } from "../lib/base/own_program.ts";
import { formatAddress } from "../lib/client/address.ts";
import { canOpenTerminal } from "../lib/client/terminal.ts";
import type { Log } from "../lib/server/log.ts";
import type { RunningServer } from "../lib/server/server.ts";
import type { Supervisor } from "../lib/server/supervisor.ts";
import type { PkiContext } from "./context.ts";
import { aborted } from "./globals.ts";
import type { Configuration, ConfigurationInput } from "./server_configuration.ts";
import { Reloader } from "./server_reload.ts";

/** With what a server was started. */
export interface Run {
  readonly input: ConfigurationInput;
  readonly configuration: Configuration;
  readonly log: Log;
}

/**
 * Hang-ups from now on. Whoever does not listen to them is ended by the first, without a word; what
 * comes before the server runs is kept until then.
 */
export class HangUps {
  #isPending = false;
  #onHangUp: () => void = () => {
    this.#isPending = true;
  };

  constructor({ onHangUp }: Pick<PkiContext, "onHangUp">) {
    onHangUp?.(() => this.#onHangUp());
  }

  /** Has them heeded from now on, and one that came before now. */
  heed(onHangUp: () => void): void {
    this.#onHangUp = onHangUp;
    if (this.#isPending) onHangUp();
  }
}

/** Resolves when nobody holds the other end any more. */
function ended(stdin: PkiContext["process"]["stdin"]): Promise<void> {
  return new Promise((resolve) => {
    stdin.once("end", () => resolve());
    stdin.once("error", () => resolve());
    stdin.once("close", () => resolve());
    stdin.resume();
  });
}

/**
 * Heeds signals and a supervisor that watches, from now on.
 * @returns `stopped` resolves when the server shall end
 */
export function attend(
  { signal, process: { stdin, stderr, env } }: PkiContext,
  { server, input, configuration, log, supervisor, hangUps }: Run & {
    readonly server: RunningServer;
    readonly supervisor: Supervisor;
    readonly hangUps: HangUps;
  },
): { readonly stopped: Promise<void>; readonly stopWatching: () => void } {
  const { port } = server;
  const reloader = new Reloader({
    ...{ input, configuration, port, log },
    apply: (changes) => server.reload(changes),
  });
  const status = statusOf({ ...server, host: configuration.settings.host });
  const hungUp = Promise.withResolvers<void>();
  hangUps.heed(() => {
    // Whose terminal was closed has hung up; what has none is asked to reload.
    if (stderr.isTTY && !canOpenTerminal()) return hungUp.resolve();
    supervisor.reloading();
    void reloader.reload().then(() => supervisor.ready(status));
  });
  const orphaned = env[ENDS_WITH_STDIN] === "1" ? [ended(stdin)] : [];
  const watch = supervisor.watchdogMs === undefined ? undefined : setInterval(() => {
    // A directory that has failed ends the server anyway, and says why.
    server.checkAlive().then(() => supervisor.alive(), () => {});
  }, supervisor.watchdogMs);
  return {
    stopped: Promise.race([aborted(signal), hungUp.promise, ...orphaned]),
    stopWatching: () => clearInterval(watch),
  };
}

/** Where and for whom it serves. */
export interface Place {
  readonly host: string;
  readonly port: number;
  readonly domain: string;
  readonly fingerprint: string;
  /** `host:port` where metrics are served, if they are. */
  readonly metrics?: string;
}

export function statusOf({ host, port, domain }: Place): string {
  return `serving ${domain} at ${formatAddress({ host, port })}`;
}
