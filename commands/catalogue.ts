/**
 * All commands: who needs them, what each does in a few words, and where it is. A command is loaded
 * when it is wanted, so that a program of many commands starts as fast as one of few; the help of the
 * whole is made from this table alone.
 *
 * A new command gets its row here, in the group and at the place where `pki --help` shall show it.
 */

import type { Command, RouteMap } from "@stricli/core";
import type { PkiContext } from "./context.ts";

/** A command, or several under one word (`pki issuer add`). */
export type Target = Command<PkiContext> | RouteMap<PkiContext>;

/** Heads of `pki --help`, in its order. */
export const GROUPS = {
  start: "Getting started",
  people: "People",
  certificates: "Certificates",
  line: "Private line",
  server: "Running a server",
  scripts: "For scripts",
} as const;

export interface CatalogueRow {
  readonly group: keyof typeof GROUPS;
  /** What the command's own `docs.brief` says. */
  readonly brief: string;
  readonly load: () => Promise<Target>;
}

export const CATALOGUE: Readonly<Record<string, CatalogueRow>> = {
  join: {
    group: "start",
    brief: "Join with an invitation: register and be certified",
    load: async () => (await import("./join.ts")).joinCommand,
  },
  csr: {
    group: "start",
    brief: "Have your key certified",
    load: async () => (await import("./csr.ts")).csrCommand,
  },
  upload: {
    group: "start",
    brief: "Publish your certificate",
    load: async () => (await import("./upload.ts")).uploadCommand,
  },
  request: {
    group: "start",
    brief: "Get somebody's certificate",
    load: async () => (await import("./request.ts")).requestCommand,
  },
  doctor: {
    group: "start",
    brief: "Say what is wrong, and what to do",
    load: async () => (await import("./doctor.ts")).doctorCommand,
  },
  passwd: {
    group: "people",
    brief: "Change your password",
    load: async () => (await import("./passwd.ts")).passwdCommand,
  },
  unlock: {
    group: "people",
    brief: "Keep your key at hand, so that no password is asked for",
    load: async () => (await import("./unlock.ts")).unlockCommand,
  },
  lock: {
    group: "people",
    brief: "Forget what pki unlock has unlocked",
    load: async () => (await import("./lock.ts")).lockCommand,
  },
  renew: {
    group: "certificates",
    brief: "Renew your certificate",
    load: async () => (await import("./renew.ts")).renewCommand,
  },
  revoke: {
    group: "certificates",
    brief: "Revoke your certificate, or as administrator any",
    load: async () => (await import("./revoke.ts")).revokeCommand,
  },
  inspect: {
    group: "certificates",
    brief: "Show what a certificate, request or list says",
    load: async () => (await import("./inspect.ts")).inspectCommand,
  },
  verify: {
    group: "certificates",
    brief: "Say whether a certificate is to be trusted",
    load: async () => (await import("./verify.ts")).verifyCommand,
  },
  trust: {
    group: "certificates",
    brief: "Trust another root or issuing CA than the pinned one",
    load: async () => (await import("./trust.ts")).trustCommand,
  },
  id: {
    group: "people",
    brief: "Look after your identities: list, use, export, import",
    load: async () => (await import("./id.ts")).idRoutes,
  },
  listen: {
    group: "line",
    brief: "Wait for a peer and converse",
    load: async () => (await import("./listen.ts")).listenCommand,
  },
  connect: {
    group: "line",
    brief: "Call a peer who listens",
    load: async () => (await import("./connect.ts")).connectCommand,
  },
  contacts: {
    group: "line",
    brief: "Look after whom you talk to: list, show, forget",
    load: async () => (await import("./contacts.ts")).contactsRoutes,
  },
  transcript: {
    group: "line",
    brief: "Look after transcripts of talks: verify, show",
    load: async () => (await import("./transcript_routes.ts")).transcriptRoutes,
  },
  send: {
    group: "line",
    brief: "Send files and folders to a person",
    load: async () => (await import("./send.ts")).sendCommand,
  },
  receive: {
    group: "line",
    brief: "Wait for files that people send",
    load: async () => (await import("./receive.ts")).receiveCommand,
  },
  serve: {
    group: "server",
    brief: "Run the certificate authority and directory",
    load: async () => (await import("./serve.ts")).serveCommand,
  },
  status: {
    group: "server",
    brief: "Show what the running server does",
    load: async () => (await import("./status.ts")).statusCommand,
  },
  init: {
    group: "server",
    brief: "Make the server's keys and folder, without serving",
    load: async () => (await import("./init.ts")).initCommand,
  },
  invite: {
    group: "server",
    brief: "Invite somebody to register",
    load: async () => (await import("./invite.ts")).inviteCommand,
  },
  users: {
    group: "server",
    brief: "Look after accounts",
    load: async () => (await import("./users.ts")).usersRoutes,
  },
  issue: {
    group: "server",
    brief: "Certify a server or a service",
    load: async () => (await import("./issue.ts")).issueCommand,
  },
  ls: {
    group: "server",
    brief: "List the certificates that were issued",
    load: async () => (await import("./ls.ts")).lsCommand,
  },
  rotate: {
    group: "server",
    brief: "Make a new issuing CA",
    load: async () => (await import("./rotate.ts")).rotateCommand,
  },
  issuer: {
    group: "server",
    brief: "Look after the CAs below the root",
    load: async () => (await import("./issuer.ts")).issuerRoutes,
  },
  passphrase: {
    group: "server",
    brief: "Change the passphrase of the server's keys",
    load: async () => (await import("./change_passphrase.ts")).passphraseCommand,
  },
  backup: {
    group: "server",
    brief: "Back the server's data up, also while it runs",
    load: async () => (await import("./backup.ts")).backupCommand,
  },
  restore: {
    group: "server",
    brief: "Make a data folder out of a backup",
    load: async () => (await import("./restore.ts")).restoreCommand,
  },
  log: {
    group: "server",
    brief: "Look after the server's log",
    load: async () => (await import("./log_verify.ts")).logRoutes,
  },
  ping: {
    group: "server",
    brief: "Ask the server whether it is well",
    load: async () => (await import("./ping.ts")).pingCommand,
  },
  bench: {
    group: "server",
    brief: "Measure how much a server can do",
    load: async () => (await import("./bench.ts")).benchCommand,
  },
  completion: {
    group: "scripts",
    brief: "Print a script that completes commands, options and names",
    load: async () => (await import("./completion.ts")).completionCommand,
  },
};

/** What `pki` alone does; it has a name for its help, and is in no list. */
export const SESSION = "session";

/** What `pki unlock` starts; it is in no list either. */
const AGENT = "agent";

export async function loadSession(): Promise<Target> {
  return (await import("./session.ts")).sessionCommand;
}

/** Loads what a first word means; `undefined` for a word that means nothing. */
export async function loadCommand(name: string): Promise<Target | undefined> {
  if (name === SESSION) return await loadSession();
  if (name === AGENT) return (await import("./agent.ts")).agentCommand;
  // `in` would find "constructor" too.
  return Object.hasOwn(CATALOGUE, name) ? await CATALOGUE[name]?.load() : undefined;
}
