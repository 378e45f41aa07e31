/**
 * The directory: accounts, issued and published certificates, and the log that they come from. It
 * alone knows which user a connection belongs to; that follows from the channel a request arrives on
 * and from nothing in the request.
 *
 * A change is appended to the log, and durable, before the tables change and before anybody hears
 * of it. What must not happen twice at the same moment (an id registered, a certificate published)
 * goes through {@link Directory.prototype.inTurn}. What a connection may do is in
 * `directory_session.ts`, what an administrator may do in `directory_orders.ts`.
 */

import { randomBytes } from "node:crypto";
import { type Bytes, copyBytes, encodeBase64 } from "../base/bytes.ts";
import { messageOf, PkiError, reportError } from "../base/errors.ts";
import type { Certification, Certified } from "../ca/authority.ts";
import type { Entry } from "../log/entry.ts";
import type { AnswerOf } from "../protocol/answers.ts";
import type { Registration } from "../protocol/message_fields.ts";
import type { SignedLog } from "../store/signed_log.ts";
import type { State } from "../store/state.ts";
import type { Certificate } from "../x509/certificate.ts";
import type { PasswordSecrets } from "./accounts.ts";
import { Announcements } from "./announcements.ts";
import { DirectorySession } from "./directory_session.ts";
import { GuessLimits } from "./guess_limits.ts";
import type { Issuers } from "./issuers.ts";
import { PreparedAnswers } from "./prepared_answers.ts";
import type { LogStatement } from "./log_key.ts";
import type { ListToSign, SessionEnd, StatusToSign, Visitor } from "./ports.ts";
import { type EventLog, SILENT } from "./log.ts";
import { describeEntry } from "./log_events.ts";
import { DirectoryMeasures } from "./measures.ts";
import { Passwords } from "./passwords.ts";
import { Revocation } from "./revocation.ts";
import { type SessionBounds, UserSessions } from "./user_sessions.ts";
import { NO_WORK_LIMITS, WorkLimits, type WorkRates } from "./work_limits.ts";

/** The log, as far as the directory needs it. */
export type DirectoryLog = Pick<
  SignedLog,
  | "append"
  | "read"
  | "checkpoint"
  | "proveInclusion"
  | "proveConsistency"
  | "lossBy"
  | "witness"
  | "redact"
>;

/** What the directory has signed, by whoever has the keys. */
export interface DirectoryAuthority {
  /** Questions that are not answered yet. */
  readonly waiting?: number;
  certify(certification: Certification): Promise<Certified>;
  certifyServer(spki: Uint8Array): Promise<Bytes>;
  signStatus(status: StatusToSign): Promise<Bytes>;
  signList(list: ListToSign): Promise<Bytes>;
  /** Reads CAs and profiles of the folder anew, and uses none of it yet. */
  prepareReload(): Promise<void>;
  /** From now on what was prepared is used. */
  reload(): Promise<void>;
}

export interface DirectoryOptions {
  readonly root: Certificate;
  readonly issuers: Issuers;
  readonly domain: string;
  readonly secrets: PasswordSecrets;
  readonly state: State;
  readonly log: DirectoryLog;
  /** The log's key, certified by the root, for clients. */
  readonly logStatement: LogStatement;
  /** How later CAs are vouched for by earlier ones, for clients. */
  readonly successions?: AnswerOf<"HELLO">["successions"];
  readonly authority: DirectoryAuthority;
  /** Who may register; nobody where it is not said. */
  readonly registration?: Registration;
  /** Saves the copy of a user's certificate, as PEM of leaf and issuing CA; never throws. */
  readonly saveCopy: (id: string, certificates: readonly Uint8Array[]) => void;
  /** Removes the copy of a user's certificate; never throws. */
  readonly removeCopy: (id: string) => void;
  /** Something was logged. */
  readonly onChange: () => void;
  /** A client has shown a checkpoint of ours that the log does not go on from. */
  readonly onLoss: (loss: string, checkpoint: string) => void;
  /** The tables are not what the log says: nothing may go on. */
  readonly onFault: (error: PkiError) => void;
  /** Something was revoked: lists of this CA, by its key identifier, are out of date. */
  readonly onRevoked?: (issuerKeyId: string) => void;
  /** A part of a revocation list, for whoever asks; see `revocation_lists.ts`. */
  readonly readList?: (
    question: { readonly issuer?: string; readonly number?: string; readonly offset?: number },
  ) => AnswerOf<"CRL">;
  /** How much anybody may have done; no bound where it is not said. */
  readonly workRates?: WorkRates;
  /** How many sessions a user may have; no bound where it is not said. */
  readonly sessionBounds?: SessionBounds;
  readonly now?: () => number;
  /** A clock that nobody sets, in milliseconds. */
  readonly elapsed?: () => number;
  /** For whoever runs the server. */
  readonly events?: EventLog;
  /** Where it is counted what is done. */
  readonly measures?: DirectoryMeasures;
}

export class Directory {
  readonly options: DirectoryOptions;
  readonly revocation: Revocation;
  readonly passwords: Passwords;
  readonly guesses: GuessLimits;
  readonly work: WorkLimits;
  readonly userSessions: UserSessions;
  /** Where users are; forgotten when the server stops. */
  readonly announcements: Announcements;
  /** Answers to `CERTREQ`. */
  readonly lookups = new PreparedAnswers();
  readonly measures: DirectoryMeasures;
  readonly #now: () => number;
  readonly #elapsed: () => number;
  /** The CA that signed last, and its base64. */
  #issuer: { readonly der: Uint8Array; readonly base64: string } | undefined;
  readonly #sessions = new Set<DirectorySession>();
  #issuers: Issuers;
  #successions: AnswerOf<"HELLO">["successions"];
  /** The last change of each user that is under way. */
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor(options: DirectoryOptions) {
    this.options = options;
    this.#now = options.now ?? Date.now;
    this.measures = options.measures ?? new DirectoryMeasures();
    this.#issuers = options.issuers;
    this.#successions = options.successions ?? [];
    this.revocation = new Revocation(this);
    this.passwords = new Passwords(this, options.registration ?? "closed");
    // Not by the time of day, which may be set back.
    const now = options.elapsed ?? options.now ?? (() => performance.now());
    this.#elapsed = now;
    this.guesses = new GuessLimits({ key: randomBytes(32), now });
    this.work = new WorkLimits({ key: randomBytes(32), now });
    this.work.configure(options.workRates ?? NO_WORK_LIMITS);
    this.userSessions = new UserSessions(options.sessionBounds);
    this.announcements = new Announcements({
      now,
      isEnabled: (id) => options.state.account(id)?.disabledMs === null,
    });
  }

  /**
   * A connection's own end of the directory.
   * @param onEnd told when the session is ended from here
   */
  openSession(visitor: Visitor, onEnd: (end: SessionEnd) => void = () => {}): DirectorySession {
    const session = new DirectorySession(this, visitor, onEnd);
    this.#sessions.add(session);
    return session;
  }

  /** The connection is gone; what runs of what it has asked for goes on. */
  closeSession(session: DirectorySession): void {
    session.leave();
    session.events.end();
    void session.idle().then(() => this.#sessions.delete(session));
  }

  /**
   * Ends sessions from here; each is told why and closed.
   * @returns resolves when nothing runs any more that one of them has asked for
   */
  async endSessions(
    isMeant: (session: DirectorySession) => boolean,
    why: PkiError,
  ): Promise<void> {
    const meant = [...this.#sessions].filter(isMeant);
    await Promise.all(meant.map((session) => session.end({ end: reportError(why) })));
  }

  get events(): EventLog {
    return this.options.events ?? SILENT;
  }

  get nowMs(): number {
    return this.#now();
  }

  /** By a clock that nobody sets: for how long something takes or is kept. */
  get elapsedMs(): number {
    return this.#elapsed();
  }

  get issuers(): Issuers {
    return this.#issuers;
  }

  get successions(): AnswerOf<"HELLO">["successions"] {
    return this.#successions;
  }

  /** From now on certificates come from other CAs; what one has opened that is revoked now, ends. */
  useIssuers(issuers: Issuers, successions: AnswerOf<"HELLO">["successions"]): void {
    this.#issuers = issuers;
    this.#successions = successions;
    this.lookups.clear();
    void this.endSessions(
      ({ shownIssuerSerial: serial }) => serial !== undefined && issuers.revoked.has(serial),
      new PkiError("untrusted", "the session has ended: the CA of its certificate was revoked"),
    );
  }

  /** Base64 of a CA's DER; mostly it is the same one again. */
  encodeIssuer(der: Uint8Array): string {
    if (this.#issuer?.der !== der) this.#issuer = { der, base64: encodeBase64(der) };
    return this.#issuer.base64;
  }

  /** Runs changes of one user one after the other. */
  async inTurn<T>(id: string, change: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(id) ?? Promise.resolve();
    const turn = before.then(change, change);
    this.#turns.set(id, turn);
    try {
      return await turn;
    } finally {
      if (this.#turns.get(id) === turn) this.#turns.delete(id);
    }
  }

  /**
   * Makes a change: first durable in the log, then in the tables. Returns the entry's index.
   * @throws {PkiError} `storage`
   */
  async commit(change: Pick<Entry, "type" | "public" | "private">): Promise<number> {
    const entry: Entry = {
      ...change,
      timeMs: this.#now(),
      salt: change.private === null ? null : copyBytes(randomBytes(32)),
    };
    const { index } = await this.options.log.append(entry);
    this.#apply(entry, index);
    this.options.onChange();
    if (this.events.isLogged("info")) {
      const { state } = this.options;
      const ownerOf = (serial: string) => state.issued(serial)?.id ?? undefined;
      this.events.log(describeEntry(entry, index, ownerOf));
    }
    return index;
  }

  /** What is in the log and not in the tables is there again after a start, and not before. */
  #apply(entry: Entry, index: number): void {
    try {
      this.options.state.apply(entry, index);
    } catch (error) {
      const fault = new PkiError(
        "internal",
        `cannot keep what was logged: entry ${index}: ${messageOf(error)}`,
        { cause: error },
      );
      this.options.onFault(fault);
      throw fault;
    }
  }

  /** Has the server's own key certified, logged like every other certificate. */
  async certifyServer(spki: Uint8Array): Promise<Bytes> {
    const der = await this.options.authority.certifyServer(spki);
    await this.commit({
      type: "issued",
      public: { profile: "server", certificate: encodeBase64(der) },
      private: null,
    });
    return der;
  }
}
