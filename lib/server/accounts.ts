/**
 * Registration and login of one connection: the OPAQUE dialogue, and which user the connection
 * belongs to. Every answer about an id that does not exist has the form and the work of one about an
 * id that does.
 */

import { createHmac, randomBytes } from "node:crypto";
import { encodeHex, parseBase64 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { parseJson } from "../base/json.ts";
import type { RequestBody } from "../protocol/requests.ts";
import {
  answerLogin,
  answerRegistration,
  checkRecord,
  isLoginFinished,
  OPAQUE_SUITE,
} from "../protocol/opaque.ts";
import type { Account } from "../store/accounts.ts";

/** The server's secrets for passwords, as `opaque.key` holds them. */
export interface PasswordSecrets {
  /** OPAQUE server setup. */
  readonly setup: string;
  /** Makes the credential identifiers of ids that nobody has. */
  readonly unknown: string;
}

/** Reads what was decrypted, which may be damaged all the same. @throws {PkiError} `malformed` */
export function parseSecrets(text: string, path: string): PasswordSecrets {
  try {
    const { setup, unknown } = parseJson(text) as Partial<PasswordSecrets>;
    if (/^[\w-]+$/.test(String(setup)) && /^[0-9a-f]{64}$/.test(String(unknown))) {
      return { setup: String(setup), unknown: String(unknown) };
    }
  } catch {
    // The same words for every way in which it is not what we wrote.
  }
  throw new PkiError("malformed", `cannot read "${path}": it is damaged`);
}

export interface AccountsOptions {
  readonly secrets: PasswordSecrets;
  readonly rootFingerprint: string;
  readonly find: (id: string) => Account | undefined;
  /** Decides whether the id may be registered. @throws {PkiError} why not */
  readonly admit: (request: Pick<RequestBody<"REGISTER">, "id" | "invitation">) => Admission;
  /**
   * Counts a login that begins as a guess, before any work is done for it.
   * @returns what to call if it was none
   * @throws {PkiError} `busy` if it is one too many
   */
  readonly countGuess: (id: string, account: Account | undefined) => () => void;
}

/** By what somebody may register, or choose a new password. */
export interface Admission {
  /** The number of the invitation. */
  readonly invitation?: number;
  /** Whether there is an account, which gets a new password. */
  readonly isReset: boolean;
}

/** A password that was chosen; what it is for is decided where it is stored. */
export interface ChosenPassword {
  readonly id: string;
  readonly credential: string;
  readonly record: string;
}

interface PendingPassword {
  readonly id: string;
  readonly credential: string;
}

interface PendingRegistration extends PendingPassword {
  readonly admission: Admission;
}

interface PendingLogin {
  readonly id: string;
  /** Of the account, if there is one: of the password that is being tried. */
  readonly credential: string | undefined;
  readonly state: string;
  readonly wasNoGuess: () => void;
}

/** The dialogues of one connection; each starts over with its first message. */
export class LoginDialogue {
  readonly #options: AccountsOptions;
  readonly #leafHash: Uint8Array;
  #registration: PendingRegistration | undefined;
  #login: PendingLogin | undefined;
  #change: PendingPassword | undefined;

  constructor(options: AccountsOptions, leafHash: Uint8Array) {
    this.#options = options;
    this.#leafHash = leafHash;
  }

  /** @throws {PkiError} `conflict`, `refused`, before anything is evaluated */
  startRegistration({ id, request, invitation }: RequestBody<"REGISTER">) {
    this.#login = undefined;
    this.#registration = undefined;
    const admission = this.#options.admit({ id, invitation });
    const { credential, response } = this.#choosePassword(request);
    this.#registration = { id, credential, admission };
    return { response, suite: OPAQUE_SUITE };
  }

  /** The account that the client asks for; whether it may have it is decided where it is stored. */
  finishRegistration(
    { record }: RequestBody<"REGISTER_FINISH">,
  ): ChosenPassword & { readonly admission: Admission } {
    const pending = this.#registration;
    this.#registration = undefined;
    if (!pending) throw new PkiError("refused", "cannot finish: no registration was started");
    checkRecord(this.#options.secrets.setup, record);
    return { ...pending, record };
  }

  /** Another password for an account whose owner is logged in. */
  startChange(id: string, { request }: RequestBody<"PASSWD">) {
    const { credential, response } = this.#choosePassword(request);
    this.#change = { id, credential };
    return { response, suite: OPAQUE_SUITE };
  }

  finishChange({ record }: RequestBody<"PASSWD_FINISH">): ChosenPassword {
    const pending = this.#change;
    this.#change = undefined;
    if (!pending) throw new PkiError("refused", "cannot finish: no new password was begun");
    checkRecord(this.#options.secrets.setup, record);
    return { ...pending, record };
  }

  /** Every password that is chosen has a credential identifier of its own. */
  #choosePassword(request: string) {
    const credential = encodeHex(randomBytes(32));
    const { setup } = this.#options.secrets;
    return { credential, response: answerRegistration({ setup, credential, request }) };
  }

  /** @throws {PkiError} `busy`, before anything is evaluated */
  startLogin({ id, request }: RequestBody<"LOGIN">) {
    this.#registration = undefined;
    this.#login = undefined;
    const { secrets } = this.#options;
    const account = this.#options.find(id);
    const wasNoGuess = this.#options.countGuess(id, account);
    const madeUp = encodeHex(createHmac("sha256", secrets.unknown).update(id).digest());
    const { state, response } = answerLogin({
      setup: secrets.setup,
      credential: account?.credential ?? madeUp,
      record: account?.record,
      request,
      parties: this.#partiesOf(id),
    });
    this.#login = { id, credential: account?.credential, state, wasNoGuess };
    return { response, suite: OPAQUE_SUITE };
  }

  /**
   * Returns the id that has logged in.
   * @throws {PkiError} `refused`, always with the same words but to whoever knows the password
   */
  finishLogin({ finish, binding }: RequestBody<"LOGIN_FINISH">): string {
    const pending = this.#login;
    this.#login = undefined;
    const isFinished = pending !== undefined && isLoginFinished({
      state: pending.state,
      finish,
      binding: parseBase64(binding),
      leafHash: this.#leafHash,
      parties: this.#partiesOf(pending.id),
    });
    if (!isFinished) {
      throw new PkiError("refused", "cannot log in: the id or the password is wrong");
    }
    const account = this.#options.find(pending.id);
    // Who knows the password before must not have begun in time to come in with it.
    const isCurrent = account?.credential === pending.credential;
    if (isCurrent) pending.wasNoGuess();
    checkEnabled(pending.id, account);
    if (!isCurrent) {
      throw new PkiError("refused", "cannot log in: the password was changed a moment ago");
    }
    return pending.id;
  }

  #partiesOf(id: string) {
    return { id, rootFingerprint: this.#options.rootFingerprint };
  }
}

/** @throws {PkiError} `refused` if the account is not there any more, or may not log in */
export function checkEnabled(id: string, account: Account | undefined): void {
  if (!account) throw new PkiError("refused", `cannot log in: there is no account "${id}"`);
  if (account.disabledMs !== null) {
    throw new PkiError("refused", `cannot log in: the account "${id}" is disabled`);
  }
}

export function idTaken(id: string): PkiError {
  return new PkiError("conflict", `cannot register "${id}": somebody has this id already`);
}
