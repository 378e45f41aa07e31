/**
 * `pki` alone, at a terminal: log in or register, then choose an operation by its name, as the
 * system that this one replaces did. One login serves all of them.
 */

import { buildCommand } from "@stricli/core";
import { ERROR_KINDS, PkiError } from "../lib/base/errors.ts";
import { checkId } from "../lib/x509/names.ts";
import { connect } from "./connect.ts";
import type { PkiContext } from "./context.ts";
import { csr } from "./csr.ts";
import { formatError } from "./error_text.ts";
import { DEFAULT_PEER_PORT, GLOBAL_FLAGS, parsePort, Surroundings } from "./globals.ts";
import { listen } from "./listen.ts";
import { renew } from "./renew.ts";
import { request } from "./request.ts";
import { revoke } from "./revoke.ts";
import { openSession, SERVER_FLAGS, type ServerFlags } from "./sign_in.ts";
import { Sitting } from "./sitting.ts";
import { upload } from "./upload.ts";

interface Operation {
  readonly names: readonly string[];
  /** What may stand behind the name; it is asked for, or has a default. */
  readonly argument?: string;
  readonly brief: string;
  readonly run: (session: InteractiveSession, argument: string) => Promise<void>;
}

const OPERATIONS: readonly Operation[] = [
  {
    names: ["csr"],
    brief: "have your key certified",
    run: async (session) => await csr(session.context, session.flags),
  },
  {
    names: ["certup", "upload"],
    brief: "publish your certificate",
    run: async (session) => await upload(session.context, session.flags),
  },
  {
    names: ["certreq", "request"],
    argument: "[name]",
    brief: "get somebody's certificate",
    run: async (session, argument) => {
      const id = argument || await session.ask("Whose certificate?");
      await request(session.context, session.flags, id);
    },
  },
  {
    names: ["renew"],
    brief: "renew your certificate",
    run: async (session) => await renew(session.context, session.flags),
  },
  {
    names: ["revoke"],
    brief: "revoke your certificate",
    run: async (session) => await revoke(session.context, session.flags),
  },
  {
    names: ["listen"],
    argument: "[port]",
    brief: "wait for a peer and talk",
    run: async (session, argument) => {
      await listen(session.context, {
        ...session.flags,
        host: "0.0.0.0",
        port: argument === "" ? DEFAULT_PEER_PORT : parsePort(argument),
        once: true,
      });
    },
  },
  {
    names: ["connect"],
    argument: "[host:port]",
    brief: "call a peer and talk",
    run: async (session, argument) => {
      const target = argument || await session.ask("Where? (host:port)");
      await connect(session.context, session.flags, target);
    },
  },
];

const HELP = [
  ...OPERATIONS.map(({ names, argument = "", brief }) =>
    `  ${`${names.join(", ").toUpperCase()} ${argument}`.padEnd(23)}  ${brief}`
  ),
  `  ${"HELP".padEnd(23)}  this list`,
  `  ${"QUIT".padEnd(23)}  leave`,
].join("\n");

/** Who asks for operations, and what they are run with. */
interface InteractiveSession {
  /** With what was unlocked in this sitting. */
  readonly context: PkiContext;
  /** The options, with who this session is for. */
  readonly flags: ServerFlags & { readonly id: string };
  readonly ask: (question: string) => Promise<string>;
}

async function runOperation(session: InteractiveSession, typed: string): Promise<void> {
  const [word = "", argument = ""] = typed.split(/\s+/);
  const operation = OPERATIONS.find(({ names }) => names.includes(word.toLowerCase()));
  if (!operation) {
    throw new PkiError("usage", `there is no operation ${JSON.stringify(word)}`, {
      hint: "type HELP",
    });
  }
  await operation.run(session, argument);
}

export async function interact(context: PkiContext, flags: ServerFlags): Promise<void> {
  const surroundings = new Surroundings(context, flags);
  const { terminal } = context;
  if (!terminal || !context.process.stdin.isTTY) {
    throw new PkiError("usage", "cannot ask what to do: there is no terminal", {
      hint: "name a command; pki --help lists them",
    });
  }
  const ids = surroundings.home.listIds();
  const id = surroundings.findIdentity() ??
    (await terminal.askText("Who are you?", ids.join(", ") || "alice")).trim();
  checkId(id);
  const sitting = new Sitting();
  const session: InteractiveSession = {
    context: { ...context, sitting },
    flags: { ...flags, id },
    ask: async (question) => (await terminal.askText(question) ?? "").trim(),
  };
  try {
    await openSession(new Surroundings(session.context, flags), flags, {
      id,
      registration: "offer",
    });
    surroundings.note(`logged in as ${id}; choose an operation:\n${HELP}`);
    await loop(session.context, session);
  } finally {
    sitting.close();
  }
}

async function loop(context: PkiContext, session: InteractiveSession): Promise<void> {
  for (;;) {
    const typed = await session.ask("Operation");
    if (typed === "") continue;
    if (/^(quit|exit)$/i.test(typed)) return;
    if (/^help$/i.test(typed)) {
      context.process.stderr.write(`${HELP}\n`);
      continue;
    }
    try {
      await runOperation(session, typed);
    } catch (error) {
      // An operation that fails does not end the session; only the end of the program does.
      if (!(error instanceof PkiError) || context.signal.aborted) throw error;
      if (error.exitCode === ERROR_KINDS.interrupted.exitCode) continue;
      context.process.stderr.write(`${formatError(error)}\n`);
    }
  }
}

export const sessionCommand = buildCommand<ServerFlags, [], PkiContext>({
  func: async function (flags) {
    await interact(this, flags);
  },
  parameters: { flags: { ...SERVER_FLAGS, ...GLOBAL_FLAGS } },
  docs: {
    customUsage: ["[--id NAME] [options]"],
    brief: "Log in and choose operations by name",
    fullDescription:
      "What pki alone does at a terminal: log in or register, then CSR, CERTUP, CERTREQ,\n" +
      "RENEW, REVOKE, LISTEN or CONNECT, as often as you like, with one login.\n\n" +
      "Examples:\n" +
      "  pki\n" +
      "  pki --id alice\n" +
      "  pki --id alice --server ca.example.org",
  },
});
