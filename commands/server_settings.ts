/**
 * The settings of `pki serve`: one row says everything about each, wherever its value comes from.
 * Reading `pki.json`, the environment and the precedence are in `server_configuration.ts`.
 *
 * A secret is never a setting: where one is needed, the setting is the path of a file.
 */

import * as v from "valibot";
import { PkiError } from "../lib/base/errors.ts";
import { parseJson, RepeatedName } from "../lib/base/json.ts";
import { printableJson } from "../lib/base/printable.ts";
import type { GivenLimits } from "../lib/base/server_limits.ts";
import { type Address, formatAddress, parseAddress } from "../lib/client/address.ts";
import { type Registration, REGISTRATIONS } from "../lib/protocol/message_fields.ts";
import { LOG_FORMATS, LOG_LEVELS, type LogFormat, type LogLevel } from "../lib/server/log.ts";
import { isDomain } from "../lib/x509/names.ts";
import { DEFAULT_PORT } from "./globals.ts";
import { checkLimits } from "./limit_settings.ts";

/** With which settings a server runs. */
export interface ServerSettings {
  readonly host: string;
  /** 0 for any free one. */
  readonly port: number;
  /** Of the trust domain, at the first start; later the data folder knows it. */
  readonly domain?: string;
  readonly passphraseFile?: string;
  readonly maxConnections: number;
  /** Where the newest checkpoint is remembered outside of the data folder. */
  readonly witness: string;
  /** Who may have an account: anybody, whoever was invited, nobody more. */
  readonly registration: Registration;
  /** `host:port` under which clients reach the server, for invitations. */
  readonly publicAddress?: string;
  /** `host:port` where metrics are served; 0 for any free port. */
  readonly metrics?: string;
  /** Whether metrics may be served where others than this machine reach them. */
  readonly metricsExposed?: boolean;
  readonly logFormat: LogFormat;
  readonly logLevel: LogLevel;
  /** Bounds that are not the standard ones. */
  readonly limits?: GivenLimits;
}

export type SettingName = keyof ServerSettings;
export type GivenSettings = Partial<ServerSettings>;

/** A value in a message is cut after so many characters. */
const SHOWN_CHARACTERS_MAX = 80;
/** Of a path; the longest that Linux takes. */
const PATH_CHARACTERS_MAX = 4096;
/** More connections than any system lets one process have. */
const CONNECTIONS_MAX = 999_999_999;
/** A DNS name has at most as many (RFC 1035, section 2.3.4). */
const HOST_CHARACTERS_MAX = 253;

interface SettingRow<T> {
  /** How the value is written in `pki.json`, checked; or what checks it, naming what is wrong. */
  readonly schema: v.GenericSchema<unknown, T> | ((value: unknown) => T);
  /** Whether a variable, which is a text, has it as JSON; there is no option then. */
  readonly isJson?: true;
  /** Whether an option or a variable, which are texts, stand for a number. */
  readonly isNumber?: true;
  /** The same for what is on or off. */
  readonly isSwitch?: true;
  /** Whether it is a path, which in `pki.json` is one from the data folder on. */
  readonly isPath?: true;
  /** Whether a reload of a running server can change it. */
  readonly isLive: boolean;
}

function number(rule: string, from: number, to: number) {
  return v.pipe(
    v.number(rule),
    v.integer(rule),
    v.minValue(from, rule),
    v.maxValue(to, rule),
  );
}

function text(rule: string, isGood: (value: string) => boolean) {
  return v.pipe(v.string(rule), v.check(isGood, rule));
}

const path = text(
  "not a path",
  (value) => value.length > 0 && value.length <= PATH_CHARACTERS_MAX && !value.includes("\0"),
);

function oneOf<const T extends readonly string[]>(values: T) {
  return v.picklist(values, `none of ${values.join(", ")}`);
}

function isAddress(value: string): boolean {
  try {
    parseAddress(value, DEFAULT_PORT);
    return true;
  } catch {
    return false; // the rule says what is wrong
  }
}

/** Where OpenTelemetry's exporters for Prometheus listen, for want of a port of our own. */
export const DEFAULT_METRICS_PORT = 9464;

/** As any address, and `:0` behind it for a free port. @throws {PkiError} `usage` */
export function parseMetricsAddress(value: string): Address {
  // A port alone is a host to the system's resolver: 9464 is 0.0.36.248.
  if (/^\d+$/.test(value)) throw new PkiError("usage", `"${value}" is a port, and not host:port`);
  const [, host] = /^(.+):0$/.exec(value) ?? [];
  return host === undefined
    ? parseAddress(value, DEFAULT_METRICS_PORT)
    : { ...parseAddress(host, DEFAULT_METRICS_PORT), port: 0 };
}

function isMetricsAddress(value: string): boolean {
  try {
    parseMetricsAddress(value);
    return true;
  } catch {
    return false; // the rule says what is wrong
  }
}

export const SETTINGS: { readonly [N in SettingName]: SettingRow<NonNullable<ServerSettings[N]>> } =
  {
    host: {
      schema: text(
        "not an address to listen on",
        (value) => /^[^\s\0]+$/.test(value) && value.length <= HOST_CHARACTERS_MAX,
      ),
      isLive: false,
    },
    port: { schema: number("not a port: 0 to 65535", 0, 65_535), isNumber: true, isLive: false },
    domain: { schema: text("not a domain name in lower case", isDomain), isLive: false },
    passphraseFile: { schema: path, isPath: true, isLive: false },
    maxConnections: {
      schema: number("not a number from 1 on", 1, CONNECTIONS_MAX),
      isNumber: true,
      isLive: true,
    },
    witness: { schema: path, isPath: true, isLive: false },
    registration: { schema: oneOf(REGISTRATIONS), isLive: true },
    publicAddress: {
      schema: v.pipe(
        text("not host:port", isAddress),
        v.transform((value) => formatAddress(parseAddress(value, DEFAULT_PORT))),
      ),
      isLive: true,
    },
    metrics: {
      schema: v.pipe(
        text("not host:port", isMetricsAddress),
        v.transform((value) => formatAddress(parseMetricsAddress(value))),
      ),
      isLive: false,
    },
    metricsExposed: { schema: v.boolean("not true or false"), isSwitch: true, isLive: false },
    logFormat: { schema: oneOf(LOG_FORMATS), isLive: true },
    logLevel: { schema: oneOf(LOG_LEVELS), isLive: true },
    limits: { schema: checkLimits, isJson: true, isLive: true },
  };

export const SETTING_NAMES = Object.keys(SETTINGS) as SettingName[];

/** `PKI_SERVE_MAX_CONNECTIONS` for `maxConnections`. */
export function variableOf(name: SettingName): string {
  return `PKI_SERVE_${name.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

/** `--max-connections` for `maxConnections`. */
export function optionOf(name: SettingName): string {
  return `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** A value as it may stand in a message: without control characters, and not endless. */
function show(value: unknown): string {
  const shown = printableJson(value ?? null);
  return shown.length <= SHOWN_CHARACTERS_MAX ? shown : `${shown.slice(0, SHOWN_CHARACTERS_MAX)}…`;
}

/**
 * Checks a value as `pki.json` has it.
 * @param typed what is shown of it where it was written otherwise
 * @throws {PkiError} `usage`, saying what is wrong with it
 */
export function checkSetting<N extends SettingName>(
  name: N,
  value: unknown,
  typed: unknown = value,
): NonNullable<ServerSettings[N]> {
  const row: SettingRow<NonNullable<ServerSettings[N]>> = SETTINGS[name];
  if (typeof row.schema === "function") return row.schema(value);
  const result = v.safeParse(row.schema, value);
  if (result.success) return result.output;
  throw new PkiError("usage", `${show(typed)} is ${result.issues[0].message}`);
}

/** @throws {PkiError} `usage` */
function parseTyped(text: string): unknown {
  try {
    return parseJson(text);
  } catch (cause) {
    if (cause instanceof RepeatedName) throw new PkiError("usage", cause.message, { cause });
    throw new PkiError("usage", `${show(text)} is not JSON`, { cause });
  }
}

/** A setting for people. */
export function showSetting(value: ServerSettings[SettingName]): string {
  if (value === undefined) return "not set";
  return typeof value === "object" ? printableJson(value) : String(value);
}

/** Whether two values of a setting are the same. */
export function isSameSetting<N extends SettingName>(
  one: ServerSettings[N],
  other: ServerSettings[N],
): boolean {
  return one === other || JSON.stringify(one) === JSON.stringify(other);
}

/** Reads a value as options and variables have it. @throws {PkiError} `usage` */
export function parseSetting<N extends SettingName>(
  name: N,
  text: string,
): NonNullable<ServerSettings[N]> {
  const { isJson, isNumber, isSwitch } = SETTINGS[name];
  if (isJson) return checkSetting(name, parseTyped(text), text);
  const isCount = isNumber && /^\d{1,9}$/.test(text);
  const isSaid = isSwitch && (text === "true" || text === "false");
  return checkSetting(name, isCount ? Number(text) : isSaid ? text === "true" : text, text);
}
