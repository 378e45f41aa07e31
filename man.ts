/**
 * The manual page, made from the table of commands and from what each says of itself. Run with
 * `deno task man`, which writes `docs/pki.1`; a test says when that is out of date.
 */

import { type Command, text_en } from "@stricli/core";
import * as fs from "node:fs";
import { join } from "node:path";
import { CATALOGUE, GROUPS, loadCommand, type Target } from "./commands/catalogue.ts";
import { isRouteMap } from "./commands/command_line.ts";
import type { PkiContext } from "./commands/context.ts";
import { GLOBAL_FLAGS, kebab } from "./commands/globals.ts";
import config from "./deno.json" with { type: "json" };
import { ERROR_KINDS } from "./lib/base/errors.ts";

export const MAN_PATH = join(import.meta.dirname ?? ".", "docs", "pki.1");
/** Of the version in `deno.json`; the page must not change by itself from day to day. */
const DATE = "2026-11-26";

/** What the environment says; everything of it that a help text mentions is here. */
export const ENVIRONMENT: Readonly<Record<string, string>> = {
  PKI_HOME: "The home folder: keys, certificates and the pinned root. --home goes before it.",
  PKI_SERVER: "The server, as HOST:PORT. --server goes before it.",
  PKI_ID: "Who you are. --id goes before it.",
  PKI_PASSWORD_FILE: "A file with the password in its first line. --password-file goes before it.",
  PKI_PASSWORD: "The password itself. It is not handed on to anything that pki starts.",
  PKI_DATA: "The server's data folder. --data goes before it.",
  PKI_CA_PASSPHRASE: "The passphrase of the server's keys. It is not handed on either.",
  PKI_SERVE_HOST:
    "A setting of pki serve, here --host, which goes before it; and so for each of them.",
  PKI_PEER_ID: "Who calls, for what pki listen --exec runs; it is set, not read.",
  PKI_PEER_FINGERPRINT: "The SHA-256 of the caller's certificate, for the same.",
  NO_COLOR: "Set to anything: no colour, unless --color asks for it.",
  FORCE_COLOR: "Set: colour, also where there is no terminal; 0: none. CLICOLOR_FORCE is the same.",
  COLUMNS: "The width of the terminal, whatever it says itself.",
};

const FILES: Readonly<Record<string, string>> = {
  "~/.pki": "The home folder, unless --home or PKI_HOME names another. Only its owner may look in.",
  "~/.pki/root.crt": "The root that everything is judged by, pinned at the first contact.",
  "~/.pki/config.json": "The server, the trust domain, and who answered at which address.",
  "~/.pki/ids/NAME/key.pem": "A private key, encrypted with the password.",
  "~/.pki/ids/NAME/cert.pem": "Its certificate, then the issuing CA's.",
  "~/.pki/ids/NAME/endorsements.json": "What earlier keys have signed for the keys that followed.",
  "~/.pki/contacts/NAME.pem": "Whom you talked to: certificate, issuing CA and root of that day.",
  "~/.pki/agent.sock": "Where pki unlock keeps keys at hand, for their owner only.",
  "~/.pki/server": "The data folder of pki serve, unless --data names another.",
  "~/.pki/server.passphrase": "The passphrase of the server's keys, where none was given.",
};

/** What a process that ended so says; one code stands for several kinds of errors. */
const EXIT_STATUS: Readonly<Record<number, string>> = {
  0: "Done.",
  1: "A fault in pki.",
  2: "The command line cannot be: an unknown command or option, an impossible value, or something is missing and nobody can be asked.",
  3: "Malformed input.",
  4: "Refused: a login, by policy, or by the peer.",
  5: "Not found, or in conflict with what is there.",
  6: "Not trusted: a certificate, a root, or something that was revoked.",
  7: "The other side broke the protocol, or the stream was cut.",
  8: "Unreachable, busy, or out of time.",
  9: "Cannot read or write what must be stored.",
  130: "Interrupted.",
};

/** Text as troff takes it to the letter. */
function escape(text: string): string {
  return text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replaceAll("'", "\\(aq")
    .replaceAll("`", "\\(ga").replaceAll("~", "\\(ti").replaceAll("^", "\\(ha")
    .replace(/^\./gm, "\\&.");
}

/** One argument of a macro. */
const quoted = (text: string) => `"${escape(text).replaceAll('"', "\\(dq")}"`;

/** Prose, and in it lines that stand as they are. */
function paragraphs(text: string): string {
  return text.split(/\n\n+/).map((block) =>
    /^ {2}/.test(block) ? literal(block.replace(/^ {2}/gm, "")) : `.PP\n${escape(block)}\n`
  ).join("");
}

function literal(text: string): string {
  return `.PP\n.RS 4\n.nf\n${escape(text)}\n.fi\n.RE\n`;
}

function row(term: string, text: string): string {
  return `.TP\n${term}\n${escape(text)}\n`;
}

type Flags = NonNullable<Command<PkiContext>["parameters"]["flags"]>;

function optionRows(flags: Flags): string {
  return Object.entries(flags).filter(([, { hidden }]) => hidden !== true).map(([name, flag]) => {
    const option = `--${kebab(name)}`;
    const value = flag.kind === "enum"
      ? flag.values.join("|")
      : flag.kind === "parsed"
      ? flag.placeholder ?? "VALUE"
      : undefined;
    const term = value === undefined
      ? `.B ${escape(option)}`
      : `.BI ${quoted(`${option} `)} ${quoted(value)}`;
    const preset = "default" in flag && flag.default !== undefined && flag.default !== false
      ? ` [${flag.default}]`
      : "";
    return row(term, `${flag.brief}${preset}`);
  }).join("");
}

/** How a command is called, a line each, as its help has it. */
function usageLines(command: Command<PkiContext>, path: readonly string[]): readonly string[] {
  const help = command.formatHelp({
    prefix: ["pki", ...path],
    config: {
      useAliasInUsageLine: false,
      onlyRequiredInUsageLine: true,
      caseStyle: "convert-camel-to-kebab",
    },
    text: text_en,
    additionalFlags: [],
    includeArgumentEscapeSequenceFlag: false,
    includeHidden: false,
    ansiColor: false,
  });
  const [usage = ""] = help.split("\n\n");
  return usage.split("\n").slice(1).map((line) => line.trim());
}

function commandSection(command: Command<PkiContext>, path: readonly string[]): string {
  const [prose = "", examples] = (command.fullDescription ?? command.brief).split(
    /\n\nExamples:\n/,
  );
  const { flags = {} } = command.parameters;
  const own = Object.fromEntries(
    Object.entries(flags).filter(([name]) => !Object.hasOwn(GLOBAL_FLAGS, name)),
  );
  return `.SS ${quoted(`pki ${path.join(" ")}`)}\n${escape(command.brief)}.\n` +
    literal(usageLines(command, path).join("\n")) +
    paragraphs(prose) +
    optionRows(own) +
    (examples === undefined ? "" : `.PP\nExamples:\n${literal(examples.replace(/^ {2}/gm, ""))}`);
}

function* listSections(target: Target, path: readonly string[]): Generator<string> {
  if (!isRouteMap(target)) return yield commandSection(target, path);
  for (const { name, target: below, hidden } of target.getAllEntries()) {
    if (!hidden) yield* listSections(below, [...path, name["convert-camel-to-kebab"]]);
  }
}

const table = (rows: Readonly<Record<string, string>>) =>
  Object.entries(rows).map(([term, text]) => row(`.B ${escape(term)}`, text)).join("");

/** The manual page, in man(7). */
export async function manPage(): Promise<string> {
  const groups: string[] = [];
  for (const [group, head] of Object.entries(GROUPS)) {
    const names = Object.keys(CATALOGUE).filter((name) => CATALOGUE[name]?.group === group);
    const sections: string[] = [];
    for (const name of names) {
      const target = await loadCommand(name);
      if (target !== undefined) sections.push(...listSections(target, [name]));
    }
    if (sections.length > 0) {
      groups.push(`.SH ${quoted(head.toUpperCase())}\n${sections.join("")}`);
    }
  }
  const codes = new Set(Object.values(ERROR_KINDS).map(({ exitCode }) => exitCode));
  for (const code of codes) {
    if (!(code in EXIT_STATUS)) throw new Error(`exit code ${code} is not in the manual`);
  }
  const page = `.\\" Made by "deno task man" from the commands themselves: change those.\n` +
    `.TH PKI 1 "${DATE}" ${quoted(`pki ${config.version}`)} "User Commands"\n` +
    `.SH NAME\npki \\- certificates for a group of people, and a private line between them\n` +
    `.SH SYNOPSIS\n.B pki\n.I COMMAND\n.RI [ options ]\n.br\n.B pki\n` +
    `.RB [ \\-\\-help | \\-\\-version ]\n` +
    `.SH DESCRIPTION\n` +
    paragraphs(
      "pki serve is a certificate authority and directory. Its clients register, have a key " +
        "certified, publish the certificate and look up others. pki listen and pki connect are a " +
        "private line between two people who hold certificates: both sides authenticated, " +
        "encrypted, with nobody in between.\n\n" +
        "Without a command, at a terminal, pki logs in and asks what to do.\n\n" +
        "Results go to stdout and everything else to stderr. Without a terminal nothing is asked: " +
        "what is missing is an error that names the option. Secrets are never arguments.",
    ) +
    groups.join("") +
    `.SH OPTIONS\n.PP\nEvery command takes these, before or behind it.\n` +
    optionRows(GLOBAL_FLAGS) +
    row('.BR \\-h ", " \\-\\-help', "Show help, of pki or of a command.") +
    row(
      '.BR \\-v ", " \\-\\-version',
      "Show version, commit and engine; with --json for programs.",
    ) +
    `.SH ENVIRONMENT\n${table(ENVIRONMENT)}` +
    `.SH FILES\n${table(FILES)}` +
    `.SH "EXIT STATUS"\n${table(EXIT_STATUS)}` +
    `.SH "SEE ALSO"\n.BR openssl (1),\n.BR ssh\\-agent (1)\n`;
  return page.replace(/^(\.SH .*\n)\.PP\n/gm, "$1"); // the head of a section begins a paragraph
}

if (import.meta.main) fs.writeFileSync(MAN_PATH, await manPage());
