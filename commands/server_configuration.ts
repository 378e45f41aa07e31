/**
 * Where the settings of `pki serve` come from: an option goes before an environment variable, that
 * before `pki.json` in the data folder, that before the default. Described in `docs/operations.md`.
 */

import { join, resolve } from "node:path";
import { messageOf, PkiError } from "../lib/base/errors.ts";
import { readTextIfThere } from "../lib/base/files.ts";
import { parseJson } from "../lib/base/json.ts";
import { LIMITS } from "../lib/base/limits.ts";
import { resolveLimits } from "../lib/base/server_limits.ts";
import { guessAddress, isLoopback } from "../lib/server/reachable.ts";
import { printable, printableJson } from "../lib/base/printable.ts";
import { suggestName } from "../lib/base/suggestion.ts";
import { CONFIGURATION_FILE, defaultWitness } from "../lib/server/files.ts";
import { DEFAULT_PORT } from "./globals.ts";
import {
  checkSetting,
  type GivenSettings,
  isSameSetting,
  optionOf,
  parseSetting,
  type ServerSettings,
  SETTING_NAMES,
  type SettingName,
  SETTINGS,
  variableOf,
} from "./server_settings.ts";

/** Of `pki.json`: all settings and limits take less than 2 KB, the rest is room for long paths. */
const FILE_CHARACTERS_MAX = 16_384;

/** Stands for stdin wherever a file with a secret is named. */
const STDIN = "-";

export const SOURCES = ["option", "environment", "file", "default"] as const;
export type Source = typeof SOURCES[number];

/** The settings that hold, and where each comes from. */
export interface Configuration {
  readonly folder: string;
  /** The file that was read; `undefined` where there is none. */
  readonly file: string | undefined;
  readonly settings: ServerSettings;
  /** Those of them that are no defaults. */
  readonly given: GivenSettings;
  /** Of each setting that has a value. */
  readonly sources: Readonly<Partial<Record<SettingName, Source>>>;
  /** What is odd and changes nothing, as sentences. */
  readonly warnings: readonly string[];
}

export interface ConfigurationInput {
  /** The data folder; need not exist. */
  readonly folder: string;
  readonly options: GivenSettings;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The machine's name: what a server that listens on all addresses is called. */
  readonly hostName: string;
}

/** Names that people may try for a secret, which has no place in the file. */
const SECRETS = /^(?:ca)?(?:pass(?:phrase|word|wd)?|pin|secret|token)$/i;
/** What is done by one start, rather than being so. */
const ACTS: readonly string[] = ["acceptLoss", "rootKey", "rootPassphraseFile"];

function unknownKey(path: string, key: string): PkiError {
  const shown = printable(key).slice(0, 80);
  if (SECRETS.test(key)) {
    return new PkiError("malformed", `cannot use "${path}": ${shown}: no secret belongs here`, {
      hint: "put it into a file of its own, mode 600, and name that with passphraseFile",
    });
  }
  if (ACTS.includes(key)) {
    return new PkiError("malformed", `cannot use "${path}": ${shown}: this is for one start only`, {
      hint: "give it as an option to the one start that needs it",
    });
  }
  const meant = suggestName(key, SETTING_NAMES);
  return new PkiError(
    "malformed",
    `cannot use "${path}": ${shown}: no such setting${
      meant === undefined ? "" : `: did you mean ${meant}?`
    }`,
    { hint: `there are ${SETTING_NAMES.join(", ")}: see docs/operations.md` },
  );
}

/**
 * Reads what stands in `pki.json`; paths in it are from its folder on.
 * @throws {PkiError} `malformed`, naming the key
 */
export function parseConfiguration(json: string, path: string): GivenSettings {
  if (json.length > FILE_CHARACTERS_MAX) {
    throw new PkiError(
      "malformed",
      `cannot use "${path}": more than ${FILE_CHARACTERS_MAX} characters`,
      { hint: "a configuration has a line for each setting: see pki serve --print-config" },
    );
  }
  let value: unknown;
  try {
    value = parseJson(json);
  } catch (cause) {
    throw new PkiError("malformed", `cannot use "${path}": ${messageOf(cause)}`, {
      cause,
      hint: "pki serve --print-config shows what a good one looks like",
    });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new PkiError("malformed", `cannot use "${path}": not an object`, {
      hint: "pki serve --print-config shows what a good one looks like",
    });
  }
  const given: Partial<Record<SettingName, unknown>> = {};
  for (const [key, entry] of Object.entries(value)) {
    const name = SETTING_NAMES.find((one) => one === key);
    if (name === undefined) throw unknownKey(path, key);
    try {
      const checked = checkSetting(name, entry);
      given[name] = SETTINGS[name].isPath ? resolve(join(path, ".."), String(checked)) : checked;
    } catch (error) {
      throw new PkiError("malformed", `cannot use "${path}": ${name}: ${messageOf(error)}`, {
        cause: error,
        hint: (error as PkiError).hint ?? "pki serve --help says what each setting may be",
      });
    }
  }
  return given as GivenSettings;
}

/** @throws {PkiError} `usage`, naming the variable */
function readEnvironment(
  env: ConfigurationInput["env"],
): { readonly given: GivenSettings; readonly warnings: readonly string[] } {
  const given: Partial<Record<SettingName, unknown>> = {};
  const known = SETTING_NAMES.map(variableOf);
  for (const name of SETTING_NAMES) {
    const text = env[variableOf(name)];
    if (!text) continue;
    try {
      given[name] = parseSetting(name, text);
    } catch (error) {
      throw new PkiError("usage", `cannot use $${variableOf(name)}: ${messageOf(error)}`, {
        cause: error,
        hint: (error as PkiError).hint ??
          "unset it, or give it another value; pki serve --help says which",
      });
    }
  }
  const warnings = Object.keys(env)
    .filter((name) => name.startsWith("PKI_SERVE_") && !known.includes(name))
    .map((name) => {
      const meant = suggestName(name, known);
      return `$${printable(name)} says nothing${
        meant === undefined ? "" : `: did you mean $${meant}?`
      }`;
    });
  return { given: given as GivenSettings, warnings };
}

/** What holds where nothing is given; some of it follows from other settings. */
function fillDefaults(
  given: GivenSettings,
  { folder, hostName }: Pick<ConfigurationInput, "folder" | "hostName">,
  listeningPort?: number,
): ServerSettings {
  const { host = "127.0.0.1", logFormat = "text" } = given;
  const port = listeningPort ?? given.port ?? DEFAULT_PORT;
  return {
    host,
    port: given.port ?? DEFAULT_PORT,
    maxConnections: LIMITS.connectionsMax,
    witness: defaultWitness(folder),
    registration: isLoopback(host) ? "open" : "invite",
    // A port that the system chooses is not known before it has.
    ...(port === 0 ? {} : { publicAddress: guessAddress({ host, port }, hostName) }),
    logFormat,
    // People look at text when something is wrong; programs want all of it.
    logLevel: logFormat === "json" ? "info" : "notice",
    ...given,
  };
}

/**
 * Finds the settings that hold.
 * @throws {PkiError} `malformed` for the file, `usage` for the environment, `storage`
 */
export function resolveConfiguration(input: ConfigurationInput): Configuration {
  const { folder, options, env } = input;
  const path = join(resolve(folder), CONFIGURATION_FILE);
  const json = readTextIfThere(path);
  const { given: fromEnv, warnings } = readEnvironment(env);
  const fromFile = json === undefined ? {} : parseConfiguration(json, path);
  const layers: readonly (readonly [Source, GivenSettings])[] = [
    ["option", options],
    ["environment", fromEnv],
    ["file", fromFile],
  ];
  const given: Partial<Record<SettingName, unknown>> = {};
  const sources: Partial<Record<SettingName, Source>> = {};
  for (const name of SETTING_NAMES) {
    const found = layers.find(([, layer]) => layer[name] !== undefined);
    if (!found) continue;
    const [source, layer] = found;
    sources[name] = source;
    const value = layer[name];
    // A secret may come from stdin, where it is not the file that says so.
    given[name] = SETTINGS[name].isPath && value !== STDIN ? resolve(String(value)) : value;
  }
  const settings = fillDefaults(given as GivenSettings, input);
  for (const name of SETTING_NAMES) {
    if (settings[name] !== undefined) sources[name] ??= "default";
  }
  return {
    folder: resolve(folder),
    file: json === undefined ? undefined : path,
    settings,
    given: given as GivenSettings,
    sources,
    warnings,
  };
}

/**
 * The configuration that a running server goes on with. What follows from a setting that cannot
 * change follows from the one that holds, not from the one that is written now.
 * @param port on which it listens
 * @returns also which settings are written otherwise than the server runs with
 * @throws {PkiError} as {@link resolveConfiguration}
 */
export function reconfigure(
  running: Configuration,
  input: ConfigurationInput,
  port: number,
): { readonly configuration: Configuration; readonly fixed: readonly SettingName[] } {
  const written = resolveConfiguration(input);
  const fixed = SETTING_NAMES.filter((name) =>
    !SETTINGS[name].isLive && !isSameSetting(written.given[name], running.given[name])
  );
  const given = Object.fromEntries(
    SETTING_NAMES.flatMap((name) => {
      const { given } = SETTINGS[name].isLive ? written : running;
      return given[name] === undefined ? [] : [[name, given[name]]];
    }),
  ) as GivenSettings;
  const settings = fillDefaults(given, input, port);
  return { configuration: { ...written, given, settings }, fixed };
}

/**
 * The file with the passphrase of the server's keys, if a setting names one. A passphrase in the
 * environment goes before a file that only `pki.json` names.
 */
export function passphraseFileOf(
  { settings, sources }: Configuration,
  env: ConfigurationInput["env"],
): string | undefined {
  const isOutranked = sources.passphraseFile === "file" && Boolean(env["PKI_CA_PASSPHRASE"]);
  return isOutranked ? undefined : settings.passphraseFile;
}

/** The same for a data folder whose server is not started here. @throws {PkiError} as above */
export function findPassphraseFile(
  folder: string,
  env: ConfigurationInput["env"],
): string | undefined {
  return passphraseFileOf(resolveConfiguration({ folder, options: {}, env, hostName: "" }), env);
}

/** Where the server of a data folder remembers its newest checkpoint. @throws {PkiError} as above */
export function findWitness(
  folder: string,
  given: string | undefined,
  env: ConfigurationInput["env"],
): string {
  const options = given === undefined ? {} : { witness: given };
  return resolveConfiguration({ folder, options, env, hostName: "" }).settings.witness;
}

/**
 * What `--print-config` prints; `settings` of it is a good `pki.json`.
 * @param isLine whether it is to be one line, for a program
 */
export function printConfiguration(
  { folder, file, settings, sources }: Configuration,
  { isLine = false }: { readonly isLine?: boolean } = {},
): string {
  const inOrder = Object.fromEntries(
    SETTING_NAMES.flatMap((name) => settings[name] === undefined ? [] : [[name, settings[name]]]),
  );
  const from = Object.fromEntries(
    SETTING_NAMES.flatMap((name) => {
      const source = sources[name];
      if (source === undefined) return [];
      const at = source === "option"
        ? optionOf(name)
        : source === "environment"
        ? `$${variableOf(name)}`
        : source === "file"
        ? file
        : undefined;
      return [[name, at === undefined ? source : `${source} ${at}`]];
    }),
  );
  // All of them: of the settings only those that were given, so that others go on to follow the program.
  const limits = resolveLimits(settings.limits);
  const content = { folder, file: file ?? null, settings: inOrder, sources: from, limits };
  return `${isLine ? printableJson(content) : JSON.stringify(content, null, 2)}\n`;
}
