/**
 * What unlocks one identity for a command: what the sitting has unlocked already, then the agent, then
 * the password, which is asked for once and only when something needs it.
 */

import type { KeyObject } from "node:crypto";
import { PkiError } from "../lib/base/errors.ts";
import { fetchKey } from "../lib/client/agent.ts";
import { checkOwnKey, type OwnCertificate } from "../lib/client/own_identity.ts";
import { decryptPrivateKey } from "../lib/x509/keys.ts";
import type { Surroundings } from "./globals.ts";
import { Unlocked } from "./sitting.ts";

export class Keyring {
  readonly id: string;
  readonly #surroundings: Surroundings;
  readonly #unlocked: Unlocked;
  /** What the agent has given: for this command only, since it is the agent that knows how long. */
  readonly #fetched = new Unlocked();
  /** As it was given or typed: whether it is right is not known yet. */
  #entered: string | undefined;

  constructor(surroundings: Surroundings, id: string) {
    const { context, home } = surroundings;
    this.id = id;
    this.#surroundings = surroundings;
    this.#unlocked = context.sitting?.of(home, id) ?? new Unlocked();
  }

  /** What it shares with the other commands of the sitting, if there is one. */
  get unlocked(): Unlocked {
    return this.#unlocked;
  }

  /** Whether nobody has to be asked for the password. */
  get hasPassword(): boolean {
    return this.#entered !== undefined || this.#unlocked.password !== undefined ||
      this.#surroundings.hasGivenPassword;
  }

  /**
   * The password, one for account and key; asked for where it is not known.
   * @throws {PkiError} `usage` where nobody can be asked
   */
  async password(question = `Password of ${this.id}`): Promise<string> {
    this.#entered ??= this.#unlocked.password ?? await this.#surroundings.password(question);
    return this.#entered;
  }

  /** To be told by whoever tried the password: only a right one is kept. */
  passwordWas(isRight: false): void;
  passwordWas(isRight: true, password: string): void;
  passwordWas(isRight: boolean, password?: string): void {
    this.#entered = isRight ? password : undefined;
    this.#unlocked.keepPassword(this.#entered);
  }

  /**
   * The key of the identity, if the sitting or the agent has it unlocked. An agent that cannot be
   * trusted or does not answer is none, and that is said.
   * @throws {PkiError} `not-found` if there is no key
   */
  async unlockedKey(): Promise<KeyObject | undefined> {
    const { home } = this.#surroundings;
    const pem = home.loadKeyPem(this.id);
    const unlocked = this.#unlocked.keyOf(pem) ?? this.#fetched.keyOf(pem);
    if (unlocked) return unlocked;
    try {
      const fetched = await fetchKey(home, { id: this.id, pem });
      if (fetched) this.#fetched.keepKey(fetched, pem);
      return fetched;
    } catch (error) {
      if (!(error instanceof PkiError)) throw error;
      this.#surroundings.warn(error.message);
      return undefined;
    }
  }

  /**
   * The key of the identity, with the password if need be.
   * @throws {PkiError} `not-found`, `refused` for a wrong password, `malformed`
   */
  async key(question?: string): Promise<KeyObject> {
    return await this.unlockedKey() ?? await this.keyByPassword(question);
  }

  /** The key of the identity, with the password. @throws {PkiError} as {@link key} */
  async keyByPassword(
    question = `Password of ${this.id}, which unlocks the key`,
  ): Promise<KeyObject> {
    const pem = this.#surroundings.home.loadKeyPem(this.id);
    const password = await this.password(question);
    try {
      const key = await decryptPrivateKey(pem, password, `the key of "${this.id}"`);
      this.#unlocked.keepKey(key, pem);
      this.passwordWas(true, password);
      return key;
    } catch (error) {
      if (error instanceof PkiError && error.kind === "refused") this.passwordWas(false);
      throw error;
    }
  }

  /**
   * The key of a certificate, with the password if need be.
   * @throws {PkiError} as {@link key}; `conflict` if it is another key
   */
  async keyOf(own: Pick<OwnCertificate, "id" | "leaf">, question?: string): Promise<KeyObject> {
    const key = await this.key(question);
    checkOwnKey(own, key);
    return key;
  }
}
