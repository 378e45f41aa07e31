/** From a command's options to a session with the server: who, where, with which password. */

import { PkiError } from "../lib/base/errors.ts";
import { parseFingerprint } from "../lib/client/first_contact.ts";
import type { TlsIdentity } from "../lib/client/dial.ts";
import { type Reached, reachServer } from "../lib/client/reach.ts";
import {
  type Credentials,
  logIn,
  logInByCertificate,
  register,
  type ServerConnection,
  tryLogIn,
  wrongPassword,
} from "../lib/client/server_connection.ts";
import { checkNewPassword, type GlobalFlags, type Surroundings, textFlag } from "./globals.ts";

/** Options of the commands that talk to the server. */
export const SERVER_FLAGS = {
  fingerprint: textFlag("At the first contact: the root's SHA-256, 64 hexadecimal digits", "HEX"),
} as const;

export interface ServerFlags extends GlobalFlags {
  readonly fingerprint?: string;
}

/** A session with the server, however it was opened. */
export interface Session extends Reached {
  readonly id: string;
}

/** A session that was opened with a password. */
export interface SignedIn extends Session {
  /** Of the account, and of the key at rest. */
  readonly password: string;
}

/**
 * Connects to the server, which is trusted or refused before anything else happens.
 * @param identity shown in TLS
 */
export function reach(
  surroundings: Surroundings,
  flags: ServerFlags,
  identity?: TlsIdentity,
): Promise<Reached> {
  const { context, home } = surroundings;
  const { terminal } = context;
  return reachServer({
    home,
    address: surroundings.serverAddress(),
    nowMs: context.now(),
    fingerprint: flags.fingerprint === undefined ? undefined : parseFingerprint(flags.fingerprint),
    ask: terminal && ((fingerprint, where) =>
      terminal.confirm(
        `First contact with ${where}. The fingerprint of its root is\n${fingerprint}\n` +
          "Compare it with what pki serve shows. Is it the same?",
      )),
    note: (text) => surroundings.note(text),
    now: context.now,
    warn: (text) => surroundings.warn(text),
    identity,
    signal: context.signal,
  });
}

/**
 * Opens a session with a certificate instead of the password.
 * @throws {PkiError} `untrusted` if the server does not trust it (see {@link isAnswer}), or is not
 * trusted itself
 */
export async function signInByCertificate(
  surroundings: Surroundings,
  flags: ServerFlags,
  { id, identity }: { readonly id: string; readonly identity: TlsIdentity },
): Promise<Session> {
  const reached = await reach(surroundings, flags, identity);
  try {
    await logInByCertificate(reached.connection, { id, checkpoint: reached.log.knownNote() });
    return { ...reached, id };
  } catch (error) {
    reached.connection.close();
    throw error;
  }
}

export interface SignInOptions {
  readonly id: string;
  /** `always`: register, or log in if the account exists; `offer`: ask at a terminal; `never`. */
  readonly registration: "always" | "offer" | "never";
  /** Where it is known already; asked for else. */
  readonly password?: string;
}

/**
 * Logs in, or registers where that is wanted.
 * @throws {PkiError} `refused` for a wrong id or password
 */
export async function signIn(
  surroundings: Surroundings,
  flags: ServerFlags,
  { id, registration, password: known }: SignInOptions,
): Promise<SignedIn> {
  const { connection, anchor, log } = await reach(surroundings, flags);
  const rootDer = anchor.root.der;
  try {
    const password = known ?? await surroundings.password(`Password of ${id}`);
    const credentials = { id, password, rootDer };
    const login = { ...credentials, checkpoint: log.knownNote() };
    if (registration === "always") await registerUnlessTaken(surroundings, connection, credentials);
    if (!await tryLogIn(connection, login)) {
      if (registration === "never") throw wrongPassword();
      if (registration === "always") {
        throw new PkiError(
          "refused",
          `cannot log in: somebody has the id "${id}", with another password`,
        );
      }
      await offerRegistration(surroundings, connection, credentials);
      await logIn(connection, login);
    }
    return { id, password, connection, anchor, log };
  } catch (error) {
    connection.close();
    throw error;
  }
}

async function registerUnlessTaken(
  surroundings: Surroundings,
  connection: ServerConnection,
  credentials: Credentials,
): Promise<void> {
  checkNewPassword(credentials.password);
  try {
    await register(connection, credentials);
    surroundings.note(`registered "${credentials.id}"`);
  } catch (error) {
    if (!(error instanceof PkiError && error.kind === "conflict")) throw error;
  }
}

async function offerRegistration(
  surroundings: Surroundings,
  connection: ServerConnection,
  credentials: Credentials,
): Promise<void> {
  const { terminal } = surroundings.context;
  const { id, password } = credentials;
  const refusal = wrongPassword();
  const hint = `if "${id}" is new here, register with: pki csr --id ${id} --register`;
  if (!terminal || surroundings.hasGivenPassword) {
    throw new PkiError(refusal.kind, refusal.message, { hint });
  }
  const isWanted = surroundings.flags.yes || await terminal.confirm(
    `The server knows no "${id}" with this password. Register "${id}" as a new user?`,
  );
  if (!isWanted) throw refusal;
  checkNewPassword(password);
  const again = await terminal.askPassword("The same password again");
  if (again.normalize("NFC") !== password) {
    throw new PkiError("usage", "cannot register: the two passwords are different");
  }
  await register(connection, credentials);
  surroundings.note(`registered "${id}"`);
}
