/**
 * OPAQUE (RFC 9807), the password login in which the server never sees the password: the one file
 * that knows its library. Parameters are fixed ({@link OPAQUE_SUITE}); the identifiers bind a login to
 * the user's id and to the fingerprint of the server's root.
 */

import { createHmac } from "node:crypto";
import * as opaque from "@serenity-kit/opaque";
import { type Bytes, copyBytes, isEqualBytes, utf8 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";

/** The one OPAQUE configuration that both sides accept (RFC 9807, section 7; RFC 9106 for Argon2id). */
export const OPAQUE_SUITE = "opaque-3dh ristretto255 sha512 argon2id-t3-m65536-p4";

const ARGON2ID = { "argon2id-custom": { iterations: 3, memory: 65_536, parallelism: 4 } } as const;
/** The least that Argon2 can do: for a password that nobody can guess there is nothing to stretch. */
const UNSTRETCHED = { "argon2id-custom": { iterations: 1, memory: 8, parallelism: 1 } } as const;

/** Who takes part: a login made with one root's server is worth nothing at another's. */
export interface Parties {
  readonly id: string;
  /** SHA-256 of the root's DER in hex. */
  readonly rootFingerprint: string;
}

/** What a client knows besides. */
export interface ClientParties extends Parties {
  /**
   * Whether the password is 256 random bits that a program made for an account of its own, as load
   * generators do: then it is not stretched, neither at the registration nor at logins, since that
   * would measure Argon2. The server sees no difference.
   */
  readonly isPasswordRandom?: boolean | undefined;
}

const stretchingOf = ({ isPasswordRandom = false }: ClientParties) =>
  isPasswordRandom ? UNSTRETCHED : ARGON2ID;

function identifiersOf({ id, rootFingerprint }: Parties) {
  return { client: id, server: rootFingerprint };
}

/** Client: what the library throws for an answer that it cannot read is the server's fault. */
function readAnswer<T>(finish: () => T): T {
  try {
    return finish();
  } catch (cause) {
    throw new PkiError("protocol", "cannot read the server's answer: not an OPAQUE message", {
      cause,
    });
  }
}

function malformed(what: string, cause: unknown): PkiError {
  return new PkiError("malformed", `cannot read ${what}: not an OPAQUE message`, { cause });
}

/** Must have resolved before anything else here is called. */
export function loadOpaque(): Promise<void> {
  return opaque.ready;
}

/** The server's long-term secret; losing it makes every password useless. */
export function createServerSetup(): string {
  return opaque.server.createSetup();
}

/** @throws {PkiError} `malformed` */
export function answerRegistration(
  { setup, credential, request }: {
    readonly setup: string;
    readonly credential: string;
    readonly request: string;
  },
): string {
  try {
    return opaque.server.createRegistrationResponse({
      serverSetup: setup,
      userIdentifier: credential,
      registrationRequest: request,
    }).registrationResponse;
  } catch (cause) {
    throw malformed("the registration", cause);
  }
}

/**
 * Answers the first message of a login. Without a record the answer is one that nobody can finish,
 * made with the same work and of the same form.
 * @throws {PkiError} `malformed`
 */
export function answerLogin(
  { setup, credential, record, request, parties }: {
    readonly setup: string;
    readonly credential: string;
    readonly record: string | undefined;
    readonly request: string;
    readonly parties: Parties;
  },
): { readonly state: string; readonly response: string } {
  try {
    const { serverLoginState, loginResponse } = opaque.server.startLogin({
      serverSetup: setup,
      registrationRecord: record ?? null,
      startLoginRequest: request,
      userIdentifier: credential,
      identifiers: identifiersOf(parties),
    });
    return { state: serverLoginState, response: loginResponse };
  } catch (cause) {
    throw malformed("the login", cause);
  }
}

/**
 * Checks that a record is one that logins can be answered with, before it is stored.
 * @throws {PkiError} `malformed`
 */
export function checkRecord(setup: string, record: string): void {
  const { startLoginRequest: request } = opaque.client.startLogin({ password: "" });
  const parties = { id: "", rootFingerprint: "" };
  try {
    answerLogin({ setup, credential: "", record, request, parties });
  } catch (cause) {
    throw malformed("the registration", cause);
  }
}

/** What `LOGIN_FINISH` carries: proof that the login was meant for the server with this leaf. */
export function bindLogin(sessionKey: string, leafHash: Uint8Array): Bytes {
  return copyBytes(
    createHmac("sha256", utf8(sessionKey)).update(utf8("pki/1 login\0")).update(leafHash).digest(),
  );
}

/** Whether a login was finished with the right password, for this server's leaf. */
export function isLoginFinished(
  { state, finish, binding, leafHash, parties }: {
    readonly state: string;
    readonly finish: string;
    readonly binding: Uint8Array;
    readonly leafHash: Uint8Array;
    readonly parties: Parties;
  },
): boolean {
  try {
    const { sessionKey } = opaque.server.finishLogin({
      serverLoginState: state,
      finishLoginRequest: finish,
      identifiers: identifiersOf(parties),
    });
    return isEqualBytes(bindLogin(sessionKey, leafHash), binding);
  } catch {
    return false; // the library throws for every login that does not fit; all of them are one answer
  }
}

/** Client: the first message of a registration and what finishes it (@throws `protocol`). */
export function startRegistration(password: string, parties: ClientParties) {
  const { clientRegistrationState, registrationRequest } = opaque.client.startRegistration({
    password,
  });
  return {
    request: registrationRequest,
    finish: (response: string): string =>
      readAnswer(() =>
        opaque.client.finishRegistration({
          password,
          registrationResponse: response,
          clientRegistrationState,
          identifiers: identifiersOf(parties),
          keyStretching: stretchingOf(parties),
        })
      ).registrationRecord,
  };
}

/** Client: a login's first message and what finishes it (@throws `protocol`); `undefined` for a wrong password. */
export function startLogin(password: string, parties: ClientParties) {
  const { clientLoginState, startLoginRequest } = opaque.client.startLogin({ password });
  return {
    request: startLoginRequest,
    finish: (response: string): { finish: string; sessionKey: string } | undefined => {
      const result = readAnswer(() =>
        opaque.client.finishLogin({
          password,
          loginResponse: response,
          clientLoginState,
          identifiers: identifiersOf(parties),
          keyStretching: stretchingOf(parties),
        })
      );
      return result && { finish: result.finishLoginRequest, sessionKey: result.sessionKey };
    },
  };
}
