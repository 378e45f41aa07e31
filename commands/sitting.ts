/**
 * What a person has unlocked in one process. The interactive session makes a {@link Sitting} and runs
 * the ordinary commands with it, so that none of them asks a second time. It lives in memory only and
 * ends with the process; what outlives a process is the agent's.
 */

import type { KeyObject } from "node:crypto";
import { type Bytes, isEqualBytes, sha256, utf8 } from "../lib/base/bytes.ts";
import type { Home } from "../lib/client/home.ts";
import type { Reached } from "../lib/client/reach.ts";

/** What opened a session. */
export type LoginMeans = "certificate" | "password";

/** A logged-in session that stays open for the next command. */
export interface KeptSession extends Reached {
  /** `host:port` of the server. */
  readonly address: string;
  readonly by: LoginMeans;
}

/** The fingerprint of a key's file: a key is used only as long as its file is what it was opened from. */
export function hashKeyPem(pem: string): Bytes {
  return sha256(utf8(pem));
}

interface KeptKey {
  readonly key: KeyObject;
  readonly pemHash: Bytes;
}

/** What is unlocked of one identity of one home. */
export class Unlocked {
  #password: string | undefined;
  #key: KeptKey | undefined;
  #session: KeptSession | undefined;

  /** A password that was found right, of the account or of the key. */
  get password(): string | undefined {
    return this.#password;
  }

  /** @param password found right, or `undefined` to forget what turned out wrong */
  keepPassword(password: string | undefined): void {
    this.#password = password;
  }

  /** The key that was opened from a file with this content; not after the file has changed. */
  keyOf(pem: string): KeyObject | undefined {
    if (!this.#key) return undefined;
    if (isEqualBytes(this.#key.pemHash, hashKeyPem(pem))) return this.#key.key;
    this.#key = undefined; // renewed with another key, or encrypted with another password
    return undefined;
  }

  keepKey(key: KeyObject, pem: string): void {
    this.#key = { key, pemHash: hashKeyPem(pem) };
  }

  /** The session that is open; `undefined` also when the server has closed it. */
  get session(): KeptSession | undefined {
    if (this.#session && !this.#session.connection.isOpen) this.#session = undefined;
    return this.#session;
  }

  keepSession(session: KeptSession): void {
    if (this.#session?.connection !== session.connection) this.#session?.connection.close();
    this.#session = session;
  }

  forget(): void {
    this.#session?.connection.close();
    this.#password = this.#key = this.#session = undefined;
  }
}

/** Everything that was unlocked; {@link close} forgets it. */
export class Sitting {
  readonly #unlocked = new Map<string, Unlocked>();

  of(home: Home, id: string): Unlocked {
    const name = JSON.stringify([home.folder, id]);
    let unlocked = this.#unlocked.get(name);
    if (!unlocked) this.#unlocked.set(name, unlocked = new Unlocked());
    return unlocked;
  }

  /** Forgets everything and closes the sessions. */
  close(): void {
    for (const unlocked of this.#unlocked.values()) unlocked.forget();
    this.#unlocked.clear();
  }
}
