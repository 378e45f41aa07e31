/** `pki serve`: the certificate authority and the directory. */

import { buildCommand } from "@stricli/core";
import { PkiError } from "../lib/base/errors.ts";
import { readFirstLine } from "../lib/base/files.ts";
import { LIMITS } from "../lib/base/limits.ts";
import { DEFAULT_DOMAIN } from "../lib/x509/names.ts";
import type { PkiContext } from "./context.ts";
import {
  aborted,
  DEFAULT_PORT,
  GLOBAL_FLAGS,
  type GlobalFlags,
  parsePort,
  Surroundings,
  switchFlag,
  textFlag,
} from "./globals.ts";
import { noteRootKey } from "./folder_change.ts";
import { checkNoWitness } from "./init.ts";
import {
  choosePassphrase,
  findPassphrase,
  PASSPHRASE_FLAG,
  type PassphraseFlags,
} from "./passphrase.ts";
import { ROOT_KEY_FLAGS, type RootKeyFlags } from "./root_key.ts";

interface ServeFlags extends GlobalFlags, PassphraseFlags, RootKeyFlags {
  readonly data?: string;
  readonly host: string;
  readonly port: number;
  readonly domain?: string;
  readonly maxConnections?: number;
  readonly witness?: string;
  readonly acceptLoss?: boolean;
}

function parseCount(text: string): number {
  const count = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
  if (count >= 1) return count;
  throw new PkiError("usage", `${JSON.stringify(text)} is not a number from 1 on`);
}

export async function serve(context: PkiContext, flags: ServeFlags): Promise<void> {
  const surroundings = new Surroundings(context, flags);
  const folder = flags.data ?? surroundings.home.serverFolder;
  const { checkPassphrase, isSetUp, setUp } = await import("../lib/server/setup.ts");
  const { defaultWitness } = await import("../lib/server/files.ts");
  const { startServer } = await import("../lib/server/server.ts");
  const { takeLock } = await import("../lib/store/lock.ts");
  const { checkNotPending } = await import("../lib/server/outside_root.ts");
  checkNotPending(folder);
  checkRootKeyUse(flags);
  const isFirstStart = !isSetUp(folder);
  const witness = flags.witness ?? defaultWitness(folder);
  if (isFirstStart) checkNoWitness(folder, witness);
  const passphrase = isFirstStart
    ? await choosePassphrase(surroundings, flags)
    : await findPassphrase(surroundings, flags);
  checkPassphrase(passphrase);
  if (isFirstStart) {
    const domain = flags.domain ?? DEFAULT_DOMAIN;
    await setUp(folder, { domain, passphrase, nowMs: context.now() });
    surroundings.note(
      `made a root and an issuing CA for the trust domain ${domain}, in "${folder}"`,
    );
    noteRootKey(surroundings, folder);
  }
  const lock = await takeLock(folder);
  try {
    const fault = Promise.withResolvers<never>();
    const server = await startServer({
      folder,
      passphrase,
      host: flags.host,
      port: flags.port,
      witness,
      acceptsLoss: flags.acceptLoss ?? false,
      ...(flags.rootKey === undefined ? {} : { rootKeyPath: flags.rootKey }),
      ...(flags.rootPassphraseFile === undefined
        ? {}
        : { rootPassphrase: readFirstLine(flags.rootPassphraseFile) }),
      ...(flags.maxConnections === undefined ? {} : { connectionsMax: flags.maxConnections }),
      log: (line) => context.process.stderr.write(`pki: ${line}\n`),
      onFault: fault.reject,
    });
    try {
      checkDomainFits(flags.domain, server.domain);
      announce(surroundings, flags.host, server);
      await Promise.race([fault.promise, aborted(context.signal)]);
      surroundings.note("stopping: running requests finish");
    } finally {
      await server.stop();
    }
  } finally {
    await lock.release();
  }
}

function checkRootKeyUse({ acceptLoss, rootKey, rootPassphraseFile }: ServeFlags): void {
  if (acceptLoss || (rootKey ?? rootPassphraseFile) === undefined) return;
  throw new PkiError(
    "usage",
    "cannot use the root's key: the server needs it to accept a loss only",
  );
}

function checkDomainFits(wanted: string | undefined, found: string): void {
  if (wanted === undefined || wanted === found) return;
  throw new PkiError("conflict", `cannot serve ${wanted}: this data folder is for ${found}`, {
    hint: "name another folder with --data for another trust domain",
  });
}

function announce(
  surroundings: Surroundings,
  host: string,
  server: { readonly port: number; readonly fingerprint: string; readonly domain: string },
): void {
  const { port, fingerprint, domain } = server;
  const shownHost = host.includes(":") ? `[${host}]` : host;
  surroundings.result(
    { event: "ready", host, port, fingerprint, domain },
    `pki server for ${domain}, ready\n  address      ${shownHost}:${port}\n` +
      `  fingerprint  ${fingerprint}`,
  );
  surroundings.note(
    port === DEFAULT_PORT
      ? "next, in another terminal: pki csr --id alice"
      : `next, in another terminal: pki csr --id alice --server ${shownHost}:${port}`,
  );
}

export const serveCommand = buildCommand<ServeFlags, [], PkiContext>({
  func: async function (flags) {
    await serve(this, flags);
  },
  parameters: {
    flags: {
      data: textFlag("Folder of the server's keys and state [server, in the home]", "DIR"),
      host: {
        kind: "parsed",
        parse: String,
        default: "127.0.0.1",
        brief: "Address to listen on",
        placeholder: "ADDRESS",
      },
      port: {
        kind: "parsed",
        parse: parsePort,
        default: String(DEFAULT_PORT),
        brief: "Port, 0 for any free one",
        placeholder: "PORT",
      },
      passphraseFile: PASSPHRASE_FLAG,
      maxConnections: {
        kind: "parsed",
        parse: parseCount,
        optional: true,
        brief: `Connections held at once [${LIMITS.connectionsMax}]`,
        placeholder: "N",
      },
      witness: textFlag(
        "Where to remember the newest checkpoint, outside of the data folder [DIR.witness]",
        "FILE",
      ),
      acceptLoss: switchFlag("Go on although the log has lost entries; it gets a new key"),
      rootKey: textFlag("With --accept-loss: file with the root's key [root.key there]", "FILE"),
      rootPassphraseFile: ROOT_KEY_FLAGS.rootPassphraseFile,
      domain: textFlag(`At the first start: the trust domain [${DEFAULT_DOMAIN}]`, "DOMAIN"),
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
      "Examples:\n" +
      "  pki serve\n" +
      "  pki serve --host 0.0.0.0 --domain pki.example.org\n" +
      "  pki serve --data /var/lib/pki --passphrase-file /run/credentials/pki --json",
  },
});
