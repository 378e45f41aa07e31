/** `pki serve`: the certificate authority and the directory. */

import { buildCommand } from "@stricli/core";
import { hostname } from "node:os";
import process from "node:process";
import { PkiError } from "../lib/base/errors.ts";
import { LIMITS } from "../lib/base/limits.ts";
import { Log, LOG_FORMATS, LOG_LEVELS } from "../lib/server/log.ts";
import type { MetricsPlace } from "../lib/server/metrics_address.ts";
import { Supervisor } from "../lib/server/supervisor.ts";
import { REGISTRATIONS } from "../lib/protocol/message_fields.ts";
import { checkDomain, DEFAULT_DOMAIN } from "../lib/x509/names.ts";
import type { PkiContext } from "./context.ts";
import {
  DEFAULT_PORT,
  GLOBAL_FLAGS,
  type GlobalFlags,
  Surroundings,
  switchFlag,
  textFlag,
} from "./globals.ts";
import { makeInvitation } from "./invitation.ts";
import { PASSPHRASE_FLAG, type PassphraseFlags } from "./passphrase.ts";
import { readRootPassphrase, ROOT_KEY_FLAGS } from "./root_key.ts";
import { attend, HangUps, type Run, statusOf } from "./server_attendance.ts";
import {
  type Configuration,
  printConfiguration,
  resolveConfiguration,
} from "./server_configuration.ts";
import { announce, isInJournal, ServerSurroundings, tellReady } from "./server_speech.ts";
import { prepareFolder, type StartFlags } from "./server_start.ts";
import { printUnit } from "./systemd_unit.ts";
import { BUILD } from "./version.ts";
import {
  DEFAULT_METRICS_PORT,
  type GivenSettings,
  parseMetricsAddress,
  parseSetting,
  SETTING_NAMES,
  type SettingName,
} from "./server_settings.ts";

/** The settings that there is an option for. */
type OptionSettings = Omit<GivenSettings, "limits">;

interface ServeFlags extends GlobalFlags, PassphraseFlags, StartFlags, OptionSettings {
  readonly data?: string;
  readonly passphraseFile?: string;
  readonly printConfig?: boolean;
  readonly printUnit?: boolean;
}

/** An option that is a setting as well: the environment and `pki.json` have it, too. */
function settingFlag<N extends SettingName>(name: N, brief: string, placeholder: string) {
  return {
    kind: "parsed",
    parse: (text: string) => parseSetting(name, text),
    optional: true,
    brief,
    placeholder,
  } as const;
}

/** The settings that were given as options. */
function givenSettings(flags: ServeFlags): GivenSettings {
  return Object.fromEntries(
    SETTING_NAMES.flatMap((name) =>
      name === "limits" || flags[name] === undefined ? [] : [[name, flags[name]]]
    ),
  );
}

export async function serve(context: PkiContext, flags: ServeFlags): Promise<void> {
  const surroundings = new ServerSurroundings(context, flags);
  if (flags.domain !== undefined) checkDomain(flags.domain);
  const { env, stdout, stderr } = context.process;
  const input = {
    folder: surroundings.dataFolder(flags.data),
    options: givenSettings(flags),
    env,
    hostName: hostname(),
  };
  if (flags.printUnit) {
    checkUnitFlags(flags);
    stdout.write(printUnit(input.options));
    return;
  }
  if (flags.printConfig) {
    const configuration = resolveConfiguration(input);
    for (const text of configuration.warnings) surroundings.warn(text);
    stdout.write(printConfiguration(configuration, { isLine: flags.json ?? false }));
    return;
  }
  const { settleFolder } = await import("../lib/server/setup.ts");
  settleFolder(input.folder);
  const configuration = resolveConfiguration(input);
  const { logFormat: format, logLevel: level } = configuration.settings;
  const log = new Log({ stream: stderr, format, level, now: context.now });
  surroundings.log = log;
  for (const text of configuration.warnings) surroundings.warn(text);
  try {
    await run(surroundings, flags, { input, configuration, log });
  } finally {
    await log.close();
  }
}

/** Sets the folder up if it is new, and serves until the program is asked to end. */
async function run(
  surroundings: Surroundings,
  flags: ServeFlags,
  { input, configuration, log }: Run,
): Promise<void> {
  const { context } = surroundings;
  const { folder, settings } = configuration;
  const metrics = await findMetrics(configuration);
  const { serverFiles } = await import("../lib/server/files.ts");
  const { checkProfiles } = await import("../lib/server/profiles_file.ts");
  const { checkPorts } = await import("../lib/server/port_probe.ts");
  const { startServer } = await import("../lib/server/server.ts");
  const { takeLock } = await import("../lib/store/lock.ts");
  const { publicAddress, host, port, witness, limits = {} } = settings;
  const canStart = async () => {
    checkProfiles(serverFiles(folder).profiles);
    await checkPorts({ host, port, metrics });
  };
  const passphrase = await prepareFolder(surroundings, flags, { configuration, canStart });
  const rootPassphrase = await readRootPassphrase(surroundings, flags);
  const hangUps = new HangUps(context);
  const lock = await takeLock(folder);
  const { env } = context.process;
  const supervisor = new Supervisor({ env, pid: process.pid, warn: (text) => warn(log, text) });
  try {
    // Behind the lock: a server that has it is the one that listens there.
    await canStart();
    const fault = Promise.withResolvers<never>();
    fault.promise.catch(() => {}); // until somebody waits for it, what is under way fails by it
    const server = await startServer({
      ...{ folder, passphrase, host, port, witness, log, limits },
      connectionsMax: settings.maxConnections,
      registration: settings.registration,
      logLevel: settings.logLevel,
      build: BUILD,
      ...(metrics === undefined ? {} : { metrics }),
      ...(publicAddress === undefined ? {} : { publicAddress }),
      acceptsLoss: flags.acceptLoss ?? false,
      ...(flags.rootKey === undefined ? {} : { rootKeyPath: flags.rootKey }),
      ...(rootPassphrase === undefined ? {} : { rootPassphrase }),
      onFault: fault.reject,
    });
    try {
      checkDomainFits(settings.domain, server.domain);
      const { stopped, stopWatching } = attend(context, {
        server,
        input,
        configuration,
        log,
        supervisor,
        hangUps,
      });
      try {
        const isFirstWanted = !server.hadAccounts && settings.registration !== "closed";
        const invitation = isFirstWanted && !isInJournal(env)
          ? await makeInvitation((type, body) => server.order(type, body), {
            fingerprint: server.fingerprint,
          })
          : undefined;
        announce(surroundings, { ...server, host, invitation, isLogged: log.format === "json" });
        if (isFirstWanted && !invitation) {
          surroundings.note("nobody is registered yet; pki invite makes the first invitation");
        }
        tellReady(log, { ...server, host });
        supervisor.ready(statusOf({ ...server, host }));
        await Promise.race([fault.promise, stopped]);
      } finally {
        stopWatching();
        supervisor.stopping();
      }
      log.log({ level: "info", event: "server.stopping" });
      if (log.format === "text") surroundings.note("stopping: running requests finish");
    } finally {
      await server.stop();
    }
    log.log({ level: "info", event: "server.stopped" });
  } finally {
    await lock.release();
    await supervisor.close();
  }
}

function warn(log: Log, message: string): void {
  log.log({ level: "warning", event: "warning", message });
}

/** Where metrics are wanted. @throws {PkiError} `usage` where they may not be served */
async function findMetrics(
  { settings: { metrics, metricsExposed: isExposed = false } }: Configuration,
): Promise<MetricsPlace | undefined> {
  if (metrics === undefined) return undefined;
  const { settleMetrics } = await import("../lib/server/metrics_address.ts");
  return await settleMetrics({ ...parseMetricsAddress(metrics), isExposed });
}

/** The unit says itself where the data is, and starts the same way each time. */
function checkUnitFlags({ data, home, acceptLoss, printConfig }: ServeFlags): void {
  if ([data, home, acceptLoss, printConfig].every((flag) => flag === undefined)) return;
  throw new PkiError(
    "usage",
    "cannot print a unit with --data, --home, --accept-loss or --print-config",
    { hint: "the unit keeps its data in /var/lib/pki" },
  );
}

function checkDomainFits(wanted: string | undefined, found: string): void {
  if (wanted === undefined || wanted === found) return;
  throw new PkiError("conflict", `cannot serve ${wanted}: this data folder is for ${found}`, {
    hint: "name another folder with --data for another trust domain",
  });
}

export const serveCommand = buildCommand<ServeFlags, [], PkiContext>({
  func: async function (flags) {
    await serve(this, flags);
  },
  parameters: {
    flags: {
      data: textFlag(
        "Folder of the server's keys and state [$PKI_DATA, else server in the home]",
        "DIR",
      ),
      host: settingFlag("host", "Address to listen on [127.0.0.1]", "ADDRESS"),
      port: settingFlag("port", `Port, 0 for any free one [${DEFAULT_PORT}]`, "PORT"),
      publicAddress: settingFlag(
        "publicAddress",
        "Where clients reach it, for invitations [address and port that it listens on]",
        "HOST:PORT",
      ),
      registration: {
        kind: "enum",
        values: REGISTRATIONS,
        optional: true,
        brief: "Who may register [open on a loopback address, else invite]",
      },
      passphraseFile: PASSPHRASE_FLAG,
      maxConnections: settingFlag(
        "maxConnections",
        `Connections held at once [${LIMITS.connectionsMax}]`,
        "N",
      ),
      metrics: settingFlag(
        "metrics",
        `Loopback address of metrics for Prometheus, as 127.0.0.1:${DEFAULT_METRICS_PORT} [none]`,
        "HOST:PORT",
      ),
      metricsExposed: switchFlag("Let --metrics be an address that other machines reach"),
      witness: settingFlag(
        "witness",
        "Where to remember the newest checkpoint, outside of the data folder [DIR.witness]",
        "FILE",
      ),
      acceptLoss: switchFlag("Go on although the log has lost entries; it gets a new key"),
      rootKey: textFlag("With --accept-loss: file with the root's key [root.key there]", "FILE"),
      rootPassphraseFile: ROOT_KEY_FLAGS.rootPassphraseFile,
      domain: textFlag(`At the first start: the trust domain [${DEFAULT_DOMAIN}]`, "DOMAIN"),
      logFormat: {
        kind: "enum",
        values: LOG_FORMATS,
        optional: true,
        brief: "How events are told on stderr [text]",
      },
      logLevel: {
        kind: "enum",
        values: LOG_LEVELS,
        optional: true,
        brief: "Which of them, from the gravest on [notice; info for json]",
      },
      printConfig: switchFlag("Print the settings that hold, and where each comes from; then end"),
      printUnit: switchFlag("Print a systemd unit for a server with these options; then end"),
      ...GLOBAL_FLAGS,
    },
  },
  docs: {
    customUsage: ["[--data DIR] [--host ADDRESS] [--port PORT] [options]"],
    brief: "Run the certificate authority and directory",
    fullDescription:
      "The first start makes a root, an issuing CA and, where none is given, a passphrase\n" +
      "that encrypts their keys. It shows the root's fingerprint, which people compare at\n" +
      "their first contact. It runs until it is told to end (Ctrl-C, SIGTERM).\n\n" +
      "Everything that was acknowledged is in the folder's log. Of that the server keeps a\n" +
      "signed record outside of the folder (--witness), and does not start on a folder that\n" +
      "has lost entries since.\n\n" +
      "Settings may also stand in pki.json in the folder, or in the environment (--host is\n" +
      "PKI_SERVE_HOST there); an option goes before both. What clients may take of the\n" +
      'server is set there alone, as "limits": --print-config shows them.\n\n' +
      "Examples:\n" +
      "  pki serve\n" +
      "  pki serve --host 0.0.0.0 --domain pki.example.org\n" +
      "  pki serve --data /var/lib/pki --passphrase-file /run/credentials/pki --json",
  },
});
