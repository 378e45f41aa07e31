/**
 * Accounts as a client has them: registering, logging in by password or by certificate, changing the
 * password. The password itself never leaves this side (OPAQUE, `lib/protocol/opaque.ts`).
 */

import { encodeBase64 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import {
  bindLogin,
  loadOpaque,
  OPAQUE_SUITE,
  startLogin,
  startRegistration,
} from "../protocol/opaque.ts";
import { fingerprintOf } from "../x509/certificate.ts";
import type { ServerConnection } from "./server_connection.ts";

/** Who logs in, and where. */
export interface Credentials {
  readonly id: string;
  readonly password: string;
  readonly rootDer: Uint8Array;
  /** See `lib/protocol/opaque.ts`: never of a password that a person has chosen. */
  readonly isPasswordRandom?: boolean;
}

function partiesOf({ id, rootDer, isPasswordRandom }: Credentials) {
  return { id, rootFingerprint: fingerprintOf(rootDer), isPasswordRandom };
}

function checkSuite(suite: string): void {
  if (suite !== OPAQUE_SUITE) {
    throw new PkiError("protocol", "the server asks for other password parameters than ours", {
      hint: "use a version of pki that is as old, or as new, as the server",
    });
  }
}

/**
 * Registers an id, or, with an invitation for that, chooses another password for one.
 * @param token of an invitation
 * @throws {PkiError} `conflict` if somebody has the id, or had; `refused` without a good invitation
 */
export async function register(
  connection: ServerConnection,
  credentials: Credentials,
  token?: Uint8Array,
): Promise<void> {
  await loadOpaque();
  const { id, password } = credentials;
  const dialogue = startRegistration(password, partiesOf(credentials));
  const { response, suite } = await connection.request("REGISTER", {
    id,
    request: dialogue.request,
    ...(token === undefined ? {} : { invitation: encodeBase64(token) }),
  });
  checkSuite(suite);
  await connection.request("REGISTER_FINISH", { record: dialogue.finish(response) });
}

/**
 * Changes the password of the account that a password has logged in to on this connection.
 * @param credentials.password the new one
 */
export async function changePassword(
  connection: ServerConnection,
  credentials: Credentials,
): Promise<void> {
  await loadOpaque();
  const dialogue = startRegistration(credentials.password, partiesOf(credentials));
  const { response, suite } = await connection.request("PASSWD", { request: dialogue.request });
  checkSuite(suite);
  await connection.request("PASSWD_FINISH", { record: dialogue.finish(response) });
}

/** What a login is made with. */
export interface LogInOptions extends Credentials {
  /** The newest checkpoint of the server's log that is known here; a server that lost it must say so. */
  readonly checkpoint?: string | undefined;
}

/**
 * Logs in; returns whether the password fits, which the client sees by itself. What the server says
 * against a login that fits has other reasons, and is thrown.
 */
export async function tryLogIn(
  connection: ServerConnection,
  { checkpoint, ...credentials }: LogInOptions,
): Promise<boolean> {
  await loadOpaque();
  const { id, password } = credentials;
  const dialogue = startLogin(password, partiesOf(credentials));
  const { response, suite } = await connection.request("LOGIN", { id, request: dialogue.request });
  checkSuite(suite);
  const result = dialogue.finish(response);
  // Told the server or not, this dialogue ends here; it waits for LOGIN or REGISTER again.
  if (!result) return false;
  const binding = encodeBase64(bindLogin(result.sessionKey, connection.leafHash));
  await connection.request("LOGIN_FINISH", { finish: result.finish, binding, checkpoint });
  return true;
}

/** The server does not tell which of the two it is. */
export function wrongPassword(): PkiError {
  return new PkiError("refused", "cannot log in: the id or the password is wrong", {
    hint:
      "see whether both are typed right; a forgotten password is replaced with an invitation: pki invite --id NAME --reset, by whoever runs the server",
  });
}

/** @throws {PkiError} `refused` if the id or the password is wrong */
export async function logIn(connection: ServerConnection, options: LogInOptions): Promise<void> {
  if (!await tryLogIn(connection, options)) throw wrongPassword();
}

/**
 * Logs in as whoever the certificate is of that was shown in TLS.
 * @throws {PkiError} `untrusted` if the server does not trust it any more, `protocol` if it takes it
 * for somebody else's
 */
export async function logInByCertificate(
  connection: ServerConnection,
  { id, checkpoint }: Pick<LogInOptions, "id" | "checkpoint">,
): Promise<void> {
  const answer = await connection.request("LOGIN_CERTIFICATE", { checkpoint });
  if (answer.id !== id) {
    throw new PkiError("protocol", `the server takes "${id}" for "${answer.id}"`, {
      hint: "it may be hostile or broken: tell whoever runs it",
    });
  }
}
