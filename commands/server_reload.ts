/**
 * Reloading the configuration of a running server (SIGHUP): what can change changes, what cannot is
 * named, and a configuration that cannot be used leaves everything as it was.
 */

import { messageOf } from "../lib/base/errors.ts";
import type { LiveOptions } from "../lib/server/core.ts";
import { guessAddress } from "../lib/server/reachable.ts";
import type { Log } from "../lib/server/log.ts";
import {
  type Configuration,
  type ConfigurationInput,
  reconfigure,
} from "./server_configuration.ts";
import {
  isSameSetting,
  type ServerSettings,
  SETTING_NAMES,
  showSetting,
} from "./server_settings.ts";

export interface ReloaderOptions {
  readonly input: ConfigurationInput;
  readonly configuration: Configuration;
  /** The port that is listened on. */
  readonly port: number;
  readonly log: Log;
  /** Takes over the data folder's CAs and profiles, and then these. */
  readonly apply: (changes: LiveOptions) => Promise<void>;
}

export function liveOptions(settings: ServerSettings): LiveOptions {
  const { registration, publicAddress = "", maxConnections, logLevel, limits = {} } = settings;
  return { registration, publicAddress, connectionsMax: maxConnections, logLevel, limits };
}

export class Reloader {
  readonly #options: ReloaderOptions;
  #configuration: Configuration;
  #running: Promise<void> | undefined;
  #isAskedAgain = false;

  constructor(options: ReloaderOptions) {
    this.#options = options;
    const { configuration, input: { hostName }, port } = options;
    const { settings } = configuration;
    // By now it is known, also where the system has chosen the port.
    const publicAddress = settings.publicAddress ??
      guessAddress({ host: settings.host, port }, hostName);
    this.#configuration = { ...configuration, settings: { ...settings, publicAddress } };
  }

  /** Reloads; whoever asks while it does so has it done once more. Never rejects. */
  reload(): Promise<void> {
    if (this.#running) this.#isAskedAgain = true;
    this.#running ??= this.#reloadAll().finally(() => this.#running = undefined);
    return this.#running;
  }

  async #reloadAll(): Promise<void> {
    do {
      this.#isAskedAgain = false;
      await this.#reloadOnce();
    } while (this.#isAskedAgain);
  }

  async #reloadOnce(): Promise<void> {
    const { input, port, log, apply } = this.#options;
    const before = this.#configuration;
    try {
      const { configuration, fixed } = reconfigure(before, input, port);
      await apply(liveOptions(configuration.settings));
      const { settings, warnings } = configuration;
      log.configure({ format: settings.logFormat, level: settings.logLevel });
      this.#configuration = configuration;
      for (const message of warnings) log.log({ level: "warning", event: "warning", message });
      for (const name of fixed) {
        const message = `${name} stays as it is: the server has to be started again for it`;
        log.log({ level: "warning", event: "configuration.fixed", message, fields: { name } });
      }
      const changed = SETTING_NAMES.filter((name) =>
        !isSameSetting(settings[name], before.settings[name])
      );
      const list = changed.map((name) => `${name} is ${showSetting(settings[name])}`).join(", ");
      log.log({
        level: "notice",
        event: "configuration.reloaded",
        message: `reloaded CAs, profiles and configuration: ${list || "no setting has changed"}`,
        fields: { changed: changed.join(",") },
      });
    } catch (error) {
      const message = `nothing was reloaded, all stays as it was: ${messageOf(error)}`;
      log.log({ level: "warning", event: "configuration.refused", message });
    }
  }
}
