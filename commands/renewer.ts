/** What renews an identity for `pki renew`, once or many times. */

import type { KeyObject } from "node:crypto";
import { PkiError } from "../lib/base/errors.ts";
import type { Certified } from "../lib/client/operations.ts";
import { loadOwnCertificate, type OwnCertificate } from "../lib/client/own_identity.ts";
import { certifyAndStore, isPublished, type Margin, takeNewKey } from "../lib/client/renewal.ts";
import type { ServerConnection } from "../lib/client/server_connection.ts";
import { fetchStatus } from "../lib/client/status.ts";
import type { KeyType } from "../lib/x509/algorithms.ts";
import { keyTypeOf } from "../lib/x509/keys.ts";
import { describe, publishNew } from "./csr.ts";
import type { Surroundings } from "./globals.ts";
import type { Keyring } from "./keyring.ts";
import { isDistrusted, type LoginFlags, openSession, reach, type Session } from "./sign_in.ts";

export interface RenewFlags extends LoginFlags {
  readonly rekey?: boolean;
  readonly keyType?: KeyType;
  readonly ifExpiring?: Margin;
  readonly noPublish?: boolean;
  readonly watch?: boolean;
}

/** A certificate that is stored, and whether the directory gives it out. */
export interface Renewed {
  readonly certified: Certified;
  readonly published: boolean;
}

function revoked(id: string, why: string, cause?: unknown): PkiError {
  return new PkiError("untrusted", `cannot renew the certificate of "${id}": ${why}`, {
    cause,
    hint: `get a new one, with a new key, by your password: pki csr --id ${id} --rekey`,
  });
}

/** Renews one identity, as often as it is asked to, with one password or key. */
export class Renewer {
  readonly #surroundings: Surroundings;
  readonly #flags: RenewFlags;
  readonly #id: string;
  readonly #keyring: Keyring;
  /** What was stored and is still to be published. */
  #unpublished: { readonly certified: Certified; readonly key: KeyObject } | undefined;

  constructor(surroundings: Surroundings, flags: RenewFlags, keyring: Keyring) {
    this.#surroundings = surroundings;
    this.#flags = flags;
    this.#id = keyring.id;
    this.#keyring = keyring;
  }

  /** Asks for what has to be unlocked, while somebody is there to answer. */
  async unlock(): Promise<void> {
    await this.#keyring.keyOf(this.load());
    if (this.#flags.rekey) await this.#keyring.password(); // encrypts the new key
  }

  load(): OwnCertificate {
    const { home, context } = this.#surroundings;
    return loadOwnCertificate(home, { id: this.#id, nowMs: context.now() });
  }

  /** Whether the certificate that is there was stored by {@link renew} and could not be published. */
  get hasUnpublished(): boolean {
    return this.#unpublished?.certified.leaf.serial === this.load().leaf.serial;
  }

  /**
   * Renews the certificate that is there and publishes the new one where the old one was published;
   * or ends what an earlier call could not.
   */
  async renew(): Promise<Renewed> {
    const own = this.load();
    const key = await this.#keyring.keyOf(own);
    const session = await this.#signIn(own);
    try {
      const pending = this.#unpublished;
      this.#unpublished = undefined; // unless it fails again
      if (pending?.certified.leaf.serial === own.leaf.serial) {
        return await this.#publish(session, pending);
      }
      return await this.#renewIn(session, own, key);
    } finally {
      session.close();
    }
  }

  async #signIn(own: OwnCertificate): Promise<Session> {
    const id = this.#id;
    let session: Session;
    try {
      session = await openSession(this.#surroundings, this.#flags, {
        id,
        keyring: this.#keyring,
        isPasswordEnough: false, // to renew what the server does not trust
      });
    } catch (error) {
      if (!isDistrusted(error)) throw error;
      throw revoked(id, error.message, error);
    }
    try {
      if (session.by === "password") await this.#checkNotRevoked(session.connection, own);
      return session;
    } catch (error) {
      session.close();
      throw error;
    }
  }

  /** Asks, as anybody may, whether the certificate was revoked. @throws {PkiError} `untrusted` */
  async checkStatus(): Promise<void> {
    const { connection } = await reach(this.#surroundings, this.#flags);
    try {
      await this.#checkNotRevoked(connection, this.load());
    } finally {
      connection.close();
    }
  }

  /** A password opens sessions whatever became of the certificate; it is still not to be renewed. */
  async #checkNotRevoked(
    connection: ServerConnection,
    { leaf, issuing }: OwnCertificate,
  ): Promise<void> {
    const nowMs = this.#surroundings.context.now();
    const { judged } = await fetchStatus(connection, { leaf, issuing, nowMs });
    if (judged.status === "revoked") throw revoked(this.#id, "it is revoked");
  }

  async #renewIn(session: Session, own: OwnCertificate, key: KeyObject): Promise<Renewed> {
    const { home, context } = this.#surroundings;
    const { rekey, keyType = keyTypeOf(key), noPublish } = this.#flags;
    const { id, connection, anchor, log } = session;
    const isToBePublished = !noPublish && await isPublished(connection, own);
    const certifiedKey = rekey
      ? await takeNewKey(home, { id, password: await this.#keyring.password(), keyType })
      : key;
    const certified = await certifyAndStore(
      connection,
      {
        home,
        key: certifiedKey,
        replaced: own.pem,
        ...(rekey ? { follows: { vouching: key } } : {}),
      },
      { id, anchor, log, nowMs: context.now() },
    );
    if (!isToBePublished) return { certified, published: false };
    return await this.#publish(session, { certified, key: certifiedKey });
  }

  async #publish(
    session: Session,
    unpublished: { readonly certified: Certified; readonly key: KeyObject },
  ): Promise<Renewed> {
    try {
      await publishNew(session, { ...unpublished, done: "renewed" });
    } catch (error) {
      this.#unpublished = unpublished;
      throw error;
    }
    return { certified: unpublished.certified, published: true };
  }
}

/** Tells of a renewal. */
export function tellRenewed(
  surroundings: Surroundings,
  { certified, published }: Renewed,
  more: Readonly<Record<string, unknown>> = {},
): void {
  const { home } = surroundings;
  const { id } = certified;
  const facts = describe(certified);
  surroundings.result(
    {
      ...more,
      renewed: true,
      ...facts,
      published,
      certificate: home.certificatePath(id),
      key: home.keyPath(id),
    },
    `"${id}" is certified until ${facts.notAfter.slice(0, 10)}` +
      (published ? "; the new certificate is published, as the old one was" : ""),
  );
}
