/**
 * What the server tells of what happens, one event a line: for people as text, for programs as JSON.
 * The events and their fields are listed in `docs/operations.md`; whoever reads them by program
 * relies on the names.
 *
 * No secret is ever given to this file: no password, token, passphrase, key or message of OPAQUE. What
 * came from outside is escaped and cut. Writing never makes the server wait, and never ends it: lines
 * that nobody takes are dropped, and counted.
 */

import type { Writable } from "node:stream";
import { printable, printableJson } from "../base/printable.ts";

export const LOG_FORMATS = ["text", "json"] as const;
/** From the gravest on; each includes those before it. */
export const LOG_LEVELS = ["error", "warning", "notice", "info", "debug"] as const;

export type LogFormat = typeof LOG_FORMATS[number];
export type LogLevel = typeof LOG_LEVELS[number];

export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** Something that happened; the time is that of the line. */
export interface LogEvent {
  readonly level: LogLevel;
  /** `certificate.issued`: never another name for the same thing. */
  readonly event: string;
  /** A sentence for a person; all from `notice` up have one. */
  readonly message?: string;
  readonly fields?: LogFields;
}

/** Whoever may tell of something, from whichever thread. */
export interface EventLog {
  /** Whether it would be written: so that nobody works for nothing. */
  isLogged(level: LogLevel): boolean;
  log(event: LogEvent): void;
}

export const SILENT: EventLog = { isLogged: () => false, log: () => {} };

/** A text in a line is cut after so many characters. */
const TEXT_CHARACTERS_MAX = 2000;
/** Lines that wait for whoever reads them; some 5,000 events. */
const WAITING_CHARACTERS_MAX = 1024 * 1024;
/** What is written at once. */
const BATCH_LINES_MAX = 500;
/** How long the end waits for a reader that does not read. */
const CLOSE_MS = 2000;

export function includesLevel(threshold: LogLevel, level: LogLevel): boolean {
  return LOG_LEVELS.indexOf(level) <= LOG_LEVELS.indexOf(threshold);
}

/** One line of it: no control characters, not endless. */
function oneLine(text: string): string {
  const line = printable(text.replaceAll(/\s*[\r\n]+\s*/g, " "));
  return line.length <= TEXT_CHARACTERS_MAX ? line : `${line.slice(0, TEXT_CHARACTERS_MAX)}…`;
}

/** What needs no quotes in `key=value`. */
const PLAIN_VALUE = /^[\w.:/@+[\]-]+$/;

function showValue(value: string | number | boolean): string {
  const text = oneLine(String(value));
  return PLAIN_VALUE.test(text) ? text : printableJson(text);
}

/** For people: sentences, as the program says them elsewhere; details with their time and fields. */
function formatText({ level, event, message, fields = {} }: LogEvent, nowMs: number): string {
  const text = message === undefined ? undefined : oneLine(message);
  if (text !== undefined && (level === "error" || level === "warning")) {
    return `pki: ${level}: ${text}\n`;
  }
  if (text !== undefined && level === "notice") return `pki: ${text}\n`;
  const words = Object.entries(fields).flatMap(([key, value]) =>
    value === undefined ? [] : [` ${key}=${showValue(value)}`]
  );
  const why = text === undefined ? "" : `: ${text}`;
  return `pki: ${new Date(nowMs).toISOString()} ${event}${words.join("")}${why}\n`;
}

function formatJson({ level, event, message, fields = {} }: LogEvent, nowMs: number): string {
  const cut = Object.fromEntries(
    Object.entries(fields).map(([key, value]) =>
      [key, typeof value === "string" ? value.slice(0, TEXT_CHARACTERS_MAX) : value] as const
    ),
  );
  return `${
    printableJson({
      ...{ time: new Date(nowMs).toISOString(), level, event },
      ...(message === undefined ? {} : { message: message.slice(0, TEXT_CHARACTERS_MAX) }),
      ...cut,
    })
  }\n`;
}

/** A line for an event, with its end. */
export function formatLine(event: LogEvent, format: LogFormat, nowMs: number): string {
  return format === "json" ? formatJson(event, nowMs) : formatText(event, nowMs);
}

export interface LogOptions {
  readonly stream: Writable;
  readonly format: LogFormat;
  readonly level: LogLevel;
  readonly now: () => number;
}

/** The lines of one server, on their way to a stream. */
export class Log implements EventLog {
  readonly #stream: Writable;
  readonly #now: () => number;
  #format: LogFormat;
  #level: LogLevel;
  #waiting: string[] = [];
  #waitingCharacters = 0;
  #dropped = 0;
  #isWriting = false;
  #isGone = false;
  #whenIdle: (() => void) | undefined;

  constructor({ stream, format, level, now }: LogOptions) {
    this.#stream = stream;
    this.#format = format;
    this.#level = level;
    this.#now = now;
  }

  /** From now on. */
  configure({ format, level }: { readonly format: LogFormat; readonly level: LogLevel }): void {
    this.#format = format;
    this.#level = level;
  }

  get format(): LogFormat {
    return this.#format;
  }

  isLogged(level: LogLevel): boolean {
    return includesLevel(this.#level, level);
  }

  log(event: LogEvent): void {
    if (this.#isGone || !this.isLogged(event.level)) return;
    const line = formatLine(event, this.#format, this.#now());
    if (this.#waitingCharacters + line.length > WAITING_CHARACTERS_MAX) {
      this.#dropped++;
      return;
    }
    this.#waiting.push(line);
    this.#waitingCharacters += line.length;
    this.#flush();
  }

  /** One write at a time: what comes meanwhile goes with the next. */
  #flush(): void {
    if (this.#isWriting) return;
    if (this.#stream.destroyed || !this.#stream.writable) this.#isGone = true;
    if (this.#isGone || this.#waiting.length === 0) return this.#whenIdle?.();
    const lines = this.#waiting.splice(0, BATCH_LINES_MAX);
    const batch = lines.join("");
    this.#isWriting = true;
    this.#stream.write(batch, (error) => {
      this.#isWriting = false;
      this.#waitingCharacters -= batch.length;
      if (error) this.#isGone = true;
      else if (this.#waiting.length === 0) this.#tellDropped();
      this.#flush();
    });
  }

  #tellDropped(): void {
    if (this.#dropped === 0) return;
    const lines = this.#dropped;
    this.#dropped = 0;
    const message = `${lines} lines of the log were dropped: nobody took them`;
    this.log({ level: "warning", event: "log.dropped", message, fields: { lines } });
  }

  /** Waits for what is on its way, and not for ever: then the stream is given up. */
  async close(): Promise<void> {
    if (!this.#isWriting) return;
    const idle = Promise.withResolvers<void>();
    this.#whenIdle = idle.resolve;
    const timer = setTimeout(() => {
      this.#isGone = true;
      // A standard stream cannot be destroyed: whoever waits for it to drain has to hear of it.
      this.#stream.emit("error", new Error("nobody reads the log"));
      idle.resolve();
    }, CLOSE_MS);
    await idle.promise;
    clearTimeout(timer);
  }
}
