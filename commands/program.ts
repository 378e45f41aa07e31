/** The tree of commands, and what its errors look like. */

import {
  type ApplicationText,
  ArgumentScannerError,
  buildApplication,
  buildRouteMap,
  formatMessageForArgumentScannerError,
  text_en,
} from "@stricli/core";
import { PkiError } from "../lib/base/errors.ts";
import { backupCommand } from "./backup.ts";
import { connectCommand } from "./connect.ts";
import type { PkiContext } from "./context.ts";
import { csrCommand } from "./csr.ts";
import { passphraseCommand } from "./change_passphrase.ts";
import { exitCodeOf, formatError } from "./error_text.ts";
import { inspectCommand } from "./inspect.ts";
import { issueCommand } from "./issue.ts";
import { initCommand } from "./init.ts";
import { issuerAddCommand, issuerListCommand, issuerRevokeCommand } from "./issuer.ts";
import { listenCommand } from "./listen.ts";
import { logVerifyCommand } from "./log_verify.ts";
import { lsCommand } from "./ls.ts";
import { renewCommand } from "./renew.ts";
import { requestCommand } from "./request.ts";
import { restoreCommand } from "./restore.ts";
import { revokeCommand } from "./revoke.ts";
import { rotateCommand } from "./rotate.ts";
import { serveCommand } from "./serve.ts";
import { sessionCommand } from "./session.ts";
import { trustCommand } from "./trust.ts";
import { uploadCommand } from "./upload.ts";
import { verifyCommand } from "./verify.ts";

/** Set by `build.ts`; a program that runs from source says so. */
declare const PKI_VERSION: string | undefined;

export const VERSION = typeof PKI_VERSION === "undefined" ? "(from source)" : PKI_VERSION;

const HELP_HINT = "pki --help lists the commands, pki COMMAND --help their options";

function usage(message: string): string {
  return formatError(new PkiError("usage", message, { hint: HELP_HINT }));
}

/** Stricli's sentences begin with a capital and say what is wrong; ours begin with the program. */
function scannerMessage(error: unknown): string {
  if (error instanceof ArgumentScannerError) {
    const message = formatMessageForArgumentScannerError(error, {
      AliasNotFoundError: ({ input }) => `there is no option -${input}`,
      FlagNotFoundError: ({ input, corrections, aliasName }) =>
        `there is no option ${aliasName ? `-${aliasName}` : `--${input}`}` +
        (corrections.length > 0 ? `: did you mean --${corrections.join(" or --")}?` : ""),
      UnsatisfiedPositionalError: ({ placeholder }) => `${placeholder} is missing`,
      UnexpectedPositionalError: ({ input }) =>
        /^--[\w-]+=$/.test(input)
          ? `${input.slice(0, -1)} needs a value`
          : `cannot use ${JSON.stringify(input)}: one argument too many`,
      ArgumentParseError: ({ externalFlagNameOrPlaceholder: name, exception }) =>
        `cannot use the value of --${name}: ${
          exception instanceof Error ? exception.message : exception
        }`,
      EnumValidationError: ({ externalFlagName: name, input, values }) =>
        `cannot use the value of --${name}: ${JSON.stringify(input)} is none of ${
          values.join(", ")
        }`,
      UnsatisfiedFlagError: ({ externalFlagName: name }) => `--${name} needs a value`,
      UnexpectedFlagError: ({ externalFlagName: name }) => `--${name} is given more than once`,
    });
    return /^[A-Z][a-z]/.test(message)
      ? message.charAt(0).toLowerCase() + message.slice(1)
      : message;
  }
  return error instanceof Error ? error.message : String(error);
}

const text: ApplicationText = {
  ...text_en,
  headers: { ...text_en.headers, flags: "OPTIONS" },
  briefs: { ...text_en.briefs, help: "Show this help", version: "Show the version" },
  noCommandRegisteredForInput: ({ input, corrections }) =>
    usage(
      `there is no command ${JSON.stringify(input)}` +
        (corrections.length > 0
          ? `: did you mean ${corrections.join(" or ").replaceAll("`", "")}?`
          : ""),
    ),
  exceptionWhileParsingArguments: (error) => usage(scannerMessage(error)),
  exceptionWhileLoadingCommandFunction: (error) => formatError(error),
  exceptionWhileLoadingCommandContext: (error) => formatError(error),
  exceptionWhileRunningCommand: (error) => formatError(error),
  commandErrorResult: (error) => formatError(error),
};

const logRoutes = buildRouteMap({
  routes: { verify: logVerifyCommand },
  docs: {
    brief: "Look after the server's log",
    fullDescription: "What the server keeps of all that it did: see pki log verify --help.",
  },
});

const issuerRoutes = buildRouteMap({
  routes: { add: issuerAddCommand, ls: issuerListCommand, revoke: issuerRevokeCommand },
  docs: {
    brief: "Look after the CAs below the root",
    fullDescription:
      "The domain's issuing CAs, and CAs for other names: see pki issuer add --help.",
  },
});

export const routes = buildRouteMap({
  routes: {
    init: initCommand,
    serve: serveCommand,
    csr: csrCommand,
    upload: uploadCommand,
    request: requestCommand,
    renew: renewCommand,
    revoke: revokeCommand,
    listen: listenCommand,
    connect: connectCommand,
    inspect: inspectCommand,
    verify: verifyCommand,
    issue: issueCommand,
    ls: lsCommand,
    trust: trustCommand,
    rotate: rotateCommand,
    issuer: issuerRoutes,
    passphrase: passphraseCommand,
    backup: backupCommand,
    restore: restoreCommand,
    log: logRoutes,
    session: sessionCommand,
  },
  docs: {
    hideRoute: { session: true },
    brief: "Certificates for a group of people, and a private line between them",
    fullDescription:
      "A certificate authority and directory (serve), its client (csr, upload, request),\n" +
      "and a line between two people who hold certificates (listen, connect). Without a\n" +
      "command, at a terminal, pki logs in and asks what to do. pki COMMAND --help tells\n" +
      "more about a command and shows its options.\n\n" +
      "The first minute:\n" +
      "  pki serve                              the server, in one terminal\n" +
      "  pki csr --id alice                     register, make a key, have it certified\n" +
      "  pki upload --id alice                  publish the certificate\n" +
      "  pki request bob --id alice             look somebody up\n" +
      "  pki listen --id alice                  wait for a call\n" +
      "  pki connect localhost:7450 --id bob    call",
  },
});

export const program = buildApplication<PkiContext>(routes, {
  name: "pki",
  versionInfo: { currentVersion: VERSION },
  scanner: { caseStyle: "allow-kebab-for-camel" },
  documentation: {
    caseStyle: "convert-camel-to-kebab",
    disableAnsiColor: true,
    onlyRequiredInUsageLine: true,
  },
  localization: { text },
  determineExitCode: exitCodeOf,
});
