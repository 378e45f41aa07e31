/**
 * From a command's options to a session with the server. {@link openSession} is the one way in, in
 * this order: the session that the sitting has open; the certificate, with a key that is unlocked
 * already; the certificate, with the key that the password unlocks; the account's password.
 */

import { messageOf, PkiError } from "../lib/base/errors.ts";
import { formatAddress } from "../lib/client/address.ts";
import { parseFingerprint } from "../lib/client/first_contact.ts";
import type { TlsIdentity } from "../lib/client/dial.ts";
import {
  checkOwnKey,
  isInTime,
  loadOwnCertificate,
  type OwnCertificate,
  tlsIdentityOf,
} from "../lib/client/own_identity.ts";
import { type Reached, reachServer } from "../lib/client/reach.ts";
import {
  type Credentials,
  logIn,
  logInByCertificate,
  register,
  tryLogIn,
  wrongPassword,
} from "../lib/client/login.ts";
import { isAnswer, type ServerConnection } from "../lib/client/server_connection.ts";
import { checkNewPassword } from "../lib/client/new_password.ts";
import type { Invitation } from "../lib/protocol/invitation.ts";
import { isSamePassword } from "../lib/client/password.ts";
import { fingerprintOf } from "../lib/x509/certificate.ts";
import { type GlobalFlags, type Surroundings, switchFlag, textFlag } from "./globals.ts";
import { Keyring } from "./keyring.ts";
import type { KeptSession, LoginMeans } from "./sitting.ts";

const INVITATION_HINT =
  "ask whoever runs the server for an invitation (pki invite), and join with it: pki join";

/** Options of the commands that talk to the server. */
export const SERVER_FLAGS = {
  fingerprint: textFlag("At the first contact: the root's SHA-256, 64 hexadecimal digits", "HEX"),
} as const;

export interface ServerFlags extends GlobalFlags {
  readonly fingerprint?: string;
}

/** Options of the commands that open a session. */
export const LOGIN_FLAGS = {
  ...SERVER_FLAGS,
  withPassword: switchFlag("Log in with the password, not with the certificate"),
} as const;

export interface LoginFlags extends ServerFlags {
  readonly withPassword?: boolean;
}

/** A session with the server, however it was opened. */
export interface Session extends Reached {
  readonly id: string;
  readonly by: LoginMeans;
  /** What unlocks the identity's key, where more is to be done with it. */
  readonly keyring: Keyring;
  /** Ends it, unless the sitting keeps it for the next command. */
  readonly close: () => void;
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

export interface OpenOptions {
  readonly id: string;
  /** `always`: register, or log in if the account exists; `offer`: ask at a terminal; `never`. */
  readonly registration?: "always" | "offer" | "never";
  /** What an invitation has for registering, or for a new password. */
  readonly invitation?: Pick<Invitation, "token" | "isReset">;
  /** Where the command has unlocked something before. */
  readonly keyring?: Keyring;
  /** Whether the password may be used where the server does not trust the certificate. */
  readonly isPasswordEnough?: boolean;
}

/**
 * Opens a session, or takes the one that is open.
 * @throws {PkiError} `refused` for a wrong id or password; `untrusted` if the server is not trusted,
 * or does not trust the certificate and nobody can be asked for a password ({@link isDistrusted})
 */
export async function openSession(
  surroundings: Surroundings,
  flags: LoginFlags,
  options: OpenOptions,
): Promise<Session> {
  const { id, registration = "never", isPasswordEnough = true, invitation } = options;
  const { context } = surroundings;
  const keyring = options.keyring ?? new Keyring(surroundings, id);
  // An invitation is for a dialogue of its own, which a session that is open cannot have any more.
  const kept = invitation ? undefined : findKeptSession(surroundings, flags, keyring);
  if (kept) return { ...kept, id, keyring, close: kept.connection.endOn(context.signal) };
  const opened = await openByCertificate(surroundings, flags, { keyring, isPasswordEnough }) ??
    await openByPassword(surroundings, flags, { keyring, registration, invitation });
  const { connection } = opened;
  if (!context.sitting) return { ...opened, id, keyring, close: () => connection.close() };
  keyring.unlocked.keepSession(opened);
  return { ...opened, id, keyring, close: () => {} };
}

/** The session of the sitting, if it is one with this server, opened as it is wanted. */
function findKeptSession(
  surroundings: Surroundings,
  { fingerprint, withPassword }: LoginFlags,
  { unlocked: { session } }: Keyring,
): KeptSession | undefined {
  if (!session || (withPassword && session.by !== "password")) return undefined;
  const { home, context } = surroundings;
  const pinned = home.loadAnchor(context.now());
  const root = fingerprintOf(session.anchor.root.der);
  const isSame = session.address === formatAddress(surroundings.serverAddress()) &&
    pinned !== undefined && fingerprintOf(pinned.root.der) === root &&
    (fingerprint === undefined || parseFingerprint(fingerprint) === root);
  return isSame ? session : undefined;
}

/** The certificate in the home; `undefined` where it is lost or damaged, which must not be in the way. */
export function findOwn({ home, context }: Surroundings, id: string): OwnCertificate | undefined {
  try {
    return loadOwnCertificate(home, { id, nowMs: context.now() });
  } catch (error) {
    if (error instanceof PkiError && error.kind !== "storage") return undefined;
    throw error;
  }
}

/** The key of the certificate; `undefined` if it is lost, damaged or another one. */
async function findKey(keyring: Keyring, own: OwnCertificate) {
  try {
    const key = await keyring.key();
    checkOwnKey(own, key);
    return key;
  } catch (error) {
    if (!(error instanceof PkiError)) throw error;
    const { kind, message } = error;
    if (kind === "not-found" || kind === "malformed" || kind === "conflict") return undefined;
    if (kind !== "refused") throw error;
    throw new PkiError(kind, message, {
      cause: error,
      hint: "where the account has another password than the key, log in with --with-password",
    });
  }
}

/** Errors of servers that trust no session to a certificate. */
const DISTRUSTED = new WeakSet<PkiError>();

/** Whether the server has answered that it does not trust the certificate: revoked, unknown, too old. */
export function isDistrusted(error: unknown): error is PkiError {
  return error instanceof PkiError && DISTRUSTED.has(error);
}

/** Connects and shows a certificate. @throws {PkiError} also {@link isDistrusted} */
async function reachWith(
  surroundings: Surroundings,
  flags: ServerFlags,
  identity: TlsIdentity,
): Promise<Reached> {
  try {
    return await reach(surroundings, flags, identity);
  } catch (error) {
    // What it does not trust at a login is what was remembered of its log.
    if (isAnswer(error) && error.kind === "untrusted") DISTRUSTED.add(error);
    throw error;
  }
}

/** Opens a session with the certificate of the home; `undefined` where that is not the way. */
async function openByCertificate(
  surroundings: Surroundings,
  flags: LoginFlags,
  { keyring, isPasswordEnough }: {
    readonly keyring: Keyring;
    readonly isPasswordEnough: boolean;
  },
): Promise<KeptSession | undefined> {
  const { id } = keyring;
  const own = flags.withPassword ? undefined : findOwn(surroundings, id);
  if (!own || !isInTime(own, surroundings.context.now())) return undefined;
  const key = await findKey(keyring, own);
  if (!key) return undefined;
  try {
    const reached = await reachWith(surroundings, flags, tlsIdentityOf(own, key));
    return await logInBy(reached, { id, address: formatAddress(surroundings.serverAddress()) });
  } catch (error) {
    if (!isPasswordEnough || !isDistrusted(error)) throw error;
    const why = `the certificate opens no session (${messageOf(error)})`;
    if (!keyring.hasPassword && !surroundings.context.terminal) {
      throw new PkiError("untrusted", why, {
        cause: error,
        hint: "the password may: give it with --password-file",
      });
    }
    surroundings.note(`${why}; trying the password`);
    return undefined;
  }
}

/**
 * Opens a session with a certificate whose key is unlocked: nobody is asked anything, nothing is kept,
 * and whoever opens it closes it.
 * @throws {PkiError} what is in the way, of the server or by its word
 */
export async function openByIdentity(
  surroundings: Surroundings,
  flags: ServerFlags,
  { id, tls }: { readonly id: string; readonly tls: TlsIdentity },
): Promise<KeptSession> {
  const reached = await reachWith(surroundings, flags, tls);
  return await logInBy(reached, { id, address: formatAddress(surroundings.serverAddress()) });
}

async function logInBy(
  reached: Reached,
  { id, address }: { readonly id: string; readonly address: string },
): Promise<KeptSession> {
  const { connection, log } = reached;
  try {
    await logInByCertificate(connection, { id, checkpoint: log.knownNote() });
    return { ...reached, by: "certificate", address };
  } catch (error) {
    connection.close();
    throw error;
  }
}

/** Logs in with the account's password, or registers where that is wanted. */
async function openByPassword(
  surroundings: Surroundings,
  flags: ServerFlags,
  { keyring, registration, invitation }: {
    readonly keyring: Keyring;
    readonly registration: "always" | "offer" | "never";
    readonly invitation: OpenOptions["invitation"];
  },
): Promise<KeptSession> {
  const { id } = keyring;
  const reached = await reach(surroundings, flags);
  const { connection, anchor, log } = reached;
  try {
    const password = await keyring.password();
    const credentials = { id, password, rootDer: anchor.root.der };
    const login = { ...credentials, checkpoint: log.knownNote() };
    const refusal = registration === "always"
      ? await registerUnlessTaken(surroundings, connection, { credentials, invitation })
      : undefined;
    if (!await tryLogIn(connection, login)) {
      keyring.passwordWas(false);
      if (registration === "never") throw wrongPassword();
      if (refusal) throw refusal;
      if (registration === "always") {
        throw new PkiError(
          "refused",
          `cannot log in: somebody has the id "${id}", with another password`,
          {
            hint: "choose another id; if it is yours, log in without --register, with its password",
          },
        );
      }
      await offerRegistration(surroundings, connection, credentials);
      await logIn(connection, login);
    }
    keyring.passwordWas(true, password);
    return { ...reached, by: "password", address: formatAddress(surroundings.serverAddress()) };
  } catch (error) {
    connection.close();
    throw error;
  }
}

/**
 * Registers, where that is possible; returns why it was not, as whoever comes again with the same
 * invitation and password may be registered already.
 */
async function registerUnlessTaken(
  surroundings: Surroundings,
  connection: ServerConnection,
  { credentials, invitation }: {
    readonly credentials: Credentials;
    readonly invitation: OpenOptions["invitation"];
  },
): Promise<PkiError | undefined> {
  const { id, password } = credentials;
  const { domain } = connection.anchor;
  // A newcomer types one password once: who mistypes it is invited to choose another.
  await checkNewPassword(password, { name: id, domain });
  try {
    await register(connection, credentials, invitation?.token);
    surroundings.note(invitation?.isReset ? `"${id}" has a new password` : `registered "${id}"`);
    return undefined;
  } catch (error) {
    if (!isAnswer(error)) throw error;
    if (error.kind === "conflict") return undefined;
    if (error.kind !== "refused") throw error;
    return new PkiError("refused", error.message, { cause: error, hint: INVITATION_HINT });
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
  const isOpen = (connection.registration ?? "open") === "open";
  const hint = isOpen
    ? `if "${id}" is new here, register with: pki csr --id ${id} --register`
    : `if "${id}" is new here: ${INVITATION_HINT}`;
  if (!isOpen || !terminal || surroundings.hasGivenPassword) {
    throw new PkiError(refusal.kind, refusal.message, { hint });
  }
  const isWanted = surroundings.flags.yes || await terminal.confirm(
    `The server knows no "${id}" with this password. Register "${id}" as a new user?`,
  );
  if (!isWanted) throw refusal;
  await checkNewPassword(password, { name: id, domain: connection.anchor.domain });
  const again = await terminal.askPassword("The same password again");
  if (!isSamePassword(again, password)) {
    throw new PkiError("usage", "cannot register: the two passwords are different", {
      hint: "type the same twice",
    });
  }
  await register(connection, credentials);
  surroundings.note(`registered "${id}"`);
}
