/** The options that every command has, where their values come from, and how commands speak. */

import { join } from "node:path";
import { type Address, parseAddress } from "../lib/client/address.ts";
import { Home } from "../lib/client/home.ts";
import { preparePassword } from "../lib/client/password.ts";
import { PkiError } from "../lib/base/errors.ts";
import { printableJson } from "../lib/base/printable.ts";
import { checkId } from "../lib/x509/names.ts";
import type { PkiContext } from "./context.ts";
import { formatWarning, type Style } from "./error_text.ts";
import { choosePaint, COLOR_MODES, type ColorMode, type Paint } from "./paint.ts";
import { readSecret } from "./secret_file.ts";

export const DEFAULT_PORT = 7443;
export const DEFAULT_PEER_PORT = 7450;

export interface GlobalFlags {
  readonly home?: string;
  readonly server?: string;
  readonly id?: string;
  readonly passwordFile?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly yes?: boolean;
  readonly color?: ColorMode;
}

function textFlag(brief: string, placeholder: string) {
  return { kind: "parsed", parse: String, optional: true, brief, placeholder } as const;
}

function switchFlag(brief: string) {
  return { kind: "boolean", optional: true, withNegated: false, brief } as const;
}

export const GLOBAL_FLAGS = {
  home: textFlag(
    "Folder of keys, certificates and the pinned root [$PKI_HOME, else ~/.pki]",
    "DIR",
  ),
  server: textFlag(
    "The server [$PKI_SERVER, else the one last used, else localhost:7443]",
    "HOST:PORT",
  ),
  id: textFlag("Who you are [$PKI_ID, else as chosen by pki id use, else the only one]", "NAME"),
  passwordFile: textFlag(
    "File with the password in its first line, - for stdin [$PKI_PASSWORD_FILE; or $PKI_PASSWORD]",
    "FILE",
  ),
  json: switchFlag("Results, events and errors as JSON, one object a line"),
  quiet: switchFlag("Nothing on stderr but errors and warnings about trust"),
  yes: switchFlag("Answer questions with yes (never one about trust)"),
  color: {
    kind: "enum",
    values: COLOR_MODES,
    optional: true,
    brief: "Whether to paint [auto: at a terminal, unless $NO_COLOR is set]",
  },
} as const;

export { switchFlag, textFlag };

/** Global options that take a value, and those that do not, as typed: they may stand before the command. */
export const GLOBAL_VALUE_OPTIONS: readonly string[] = optionsWhere((kind) => kind !== "boolean");
export const GLOBAL_SWITCH_OPTIONS: readonly string[] = optionsWhere((kind) => kind === "boolean");

function optionsWhere(isMeant: (kind: string) => boolean): string[] {
  return Object.entries(GLOBAL_FLAGS).filter(([, { kind }]) => isMeant(kind))
    .map(([name]) => `--${kebab(name)}`);
}

/** An option's name as typed. */
export function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** A command's surroundings: its context, its options and their defaults. */
export class Surroundings {
  readonly context: PkiContext;
  readonly flags: GlobalFlags;
  readonly home: Home;

  constructor(context: PkiContext, flags: GlobalFlags) {
    this.context = context;
    this.flags = flags;
    const { env } = context.process;
    this.home = new Home(flags.home ?? (env["PKI_HOME"] || join(context.homeFolder, ".pki")));
  }

  /** A sentence for a person, on stderr. */
  note(text: string): void {
    const { quiet, json } = this.flags;
    if (quiet) return;
    this.context.process.stderr.write(`${json ? printableJson({ note: text }) : text}\n`);
  }

  /** What nobody shall miss, on stderr, with `--quiet` too: only what concerns trust. */
  warn(message: string, hint?: string): void {
    this.context.process.stderr.write(`${formatWarning(message, hint, this.style)}\n`);
  }

  /**
   * A secret from a file that an option names, or as `-` from stdin.
   * @param what in words of a message: `the password`
   * @throws {PkiError} as `readSecret`
   */
  async readSecret(
    path: string,
    { what, option }: { readonly what: string; readonly option: string },
  ): Promise<string> {
    const warn = (message: string, hint: string) => {
      if (!this.flags.quiet) this.warn(message, hint);
    };
    return await readSecret(this.context, path, { what, option, warn });
  }

  /** How to speak on stderr. */
  get style(): Style {
    return this.flags.json ? "json" : this.#paintOf("stderr");
  }

  /** How to paint a result. */
  get paint(): Paint {
    return this.#paintOf("stdout");
  }

  #paintOf(name: "stdout" | "stderr"): Paint {
    const { process, color } = this.context;
    return choosePaint(process[name], { mode: this.flags.color ?? color, env: process.env });
  }

  /** The result: for people as text, for programs as one line of JSON. */
  result(json: Readonly<Record<string, unknown>>, text: string): void {
    const { stdout } = this.context.process;
    if (this.flags.json) stdout.write(`${printableJson(json)}\n`);
    else if (text !== "") stdout.write(text.endsWith("\n") ? text : `${text}\n`);
  }

  /** The server's data folder: as given, else where `$PKI_DATA` says, else in the home. */
  dataFolder(given: string | undefined): string {
    return given ?? (this.context.process.env["PKI_DATA"] || this.home.serverFolder);
  }

  serverAddress(): Address {
    const { env } = this.context.process;
    const text = this.flags.server ?? (env["PKI_SERVER"] || this.home.loadConfig().server) ??
      `localhost:${DEFAULT_PORT}`;
    return parseAddress(text, DEFAULT_PORT);
  }

  /** The id as given, by option or environment. */
  givenId(): string | undefined {
    const id = this.flags.id ?? (this.context.process.env["PKI_ID"] || undefined);
    if (id !== undefined) checkId(id);
    return id;
  }

  /** Who the user is, as far as that is clear: as given, else in use, else the only one in the home. */
  findIdentity(): string | undefined {
    return this.givenId() ?? this.home.chooseId();
  }

  /** As {@link findIdentity}. @throws {PkiError} `usage` if it is not clear */
  identity(): string {
    const id = this.findIdentity();
    if (id !== undefined) return id;
    const ids = this.home.listIds();
    const isEmpty = ids.length === 0;
    throw new PkiError(
      "usage",
      isEmpty
        ? "cannot tell who you are: there is no identity in the home yet"
        : `cannot tell who you are: the home has several identities (${ids.join(", ")})`,
      {
        hint: isEmpty
          ? "name yourself with --id, or join with an invitation: pki join pki1:…"
          : "name yourself with --id, or choose one for good with: pki id use NAME",
      },
    );
  }

  get #passwordFile(): string | undefined {
    return this.flags.passwordFile ?? (this.context.process.env["PKI_PASSWORD_FILE"] || undefined);
  }

  /** The password where it was given without a prompt. */
  async #givenPassword(): Promise<string | undefined> {
    const path = this.#passwordFile;
    if (path !== undefined) {
      return await this.readSecret(path, { what: "the password", option: "--password-file" });
    }
    return this.context.process.env["PKI_PASSWORD"] || undefined;
  }

  /** Whether the password is given, so that nothing will be asked for it. */
  get hasGivenPassword(): boolean {
    return this.#passwordFile !== undefined || Boolean(this.context.process.env["PKI_PASSWORD"]);
  }

  /** The password, given or asked for, prepared. @throws {PkiError} `usage` where nobody can be asked */
  async password(question: string): Promise<string> {
    const given = await this.#givenPassword();
    if (given !== undefined) return preparePassword(given);
    const { terminal } = this.context;
    if (!terminal) {
      throw new PkiError("usage", "cannot ask for the password: there is no terminal", {
        hint: "give it with --password-file, $PKI_PASSWORD_FILE or $PKI_PASSWORD",
      });
    }
    return preparePassword(await terminal.askPassword(question) ?? "");
  }
}

/** A port, 0 for any free one. @throws {PkiError} `usage` */
export function parsePort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : NaN;
  if (port <= 65_535) return port;
  throw new PkiError("usage", `${JSON.stringify(text)} is not a port: 0 to 65535`);
}

/** Resolves when the program is asked to end. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
