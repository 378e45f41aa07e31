/**
 * The directory: accounts, issued and published certificates, and the log that they come from. It
 * alone knows which user a connection belongs to; that follows from the channel a request arrives on
 * and from nothing in the request.
 *
 * A change is appended to the log, and durable, before the tables change and before anybody hears
 * of it. What must not happen twice at the same moment (an id registered, a certificate published)
 * goes through {@link Directory.prototype.inTurn}.
 */

import { randomBytes } from "node:crypto";
import { type Bytes, copyBytes, encodeBase64, parseBase64, sha256 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { causeFault, DIRECTORY_FAULT_ID } from "../base/faults.ts";
import { LIMITS } from "../base/limits.ts";
import type { Entry } from "../log/entry.ts";
import type { SignedLog } from "../store/signed_log.ts";
import { certificateOf, type IssuedCertificate, type State } from "../store/state.ts";
import { type Answer, PROTOCOL, type Request, type RequestBody } from "../protocol/messages.ts";
import { type Certificate, fingerprintOf, parseCertificate } from "../x509/certificate.ts";
import { judgeUser } from "../x509/chain.ts";
import { checkCsrNames, parseCsr } from "../x509/csr.ts";
import { isLabelledSignatureValid, parsePublicKey } from "../x509/keys.ts";
import type { LogStatement } from "./log_key.ts";
import { idTaken, LoginDialogue, type PasswordSecrets } from "./accounts.ts";
import type { Visitor } from "./ports.ts";

/** `HAS_FAULTS` once more: the bundler leaves code out for a constant of the same file only. */
declare const PKI_FAULTS: boolean | undefined;

/** The log, as far as the directory needs it. */
export type DirectoryLog = Pick<
  SignedLog,
  "append" | "read" | "checkpoint" | "proveInclusion" | "proveConsistency" | "lossBy"
>;

export interface DirectoryOptions {
  readonly root: Certificate;
  readonly issuing: Certificate;
  readonly domain: string;
  readonly secrets: PasswordSecrets;
  readonly state: State;
  readonly log: DirectoryLog;
  /** The log's key, certified by the root, for clients. */
  readonly logStatement: LogStatement;
  readonly certifyUser: (id: string, csr: Uint8Array) => Promise<Bytes>;
  readonly certifyServer: (spki: Uint8Array) => Promise<Bytes>;
  /** Saves the copy of a user's certificate, as PEM of leaf and issuing CA; never throws. */
  readonly saveCopy: (id: string, certificates: readonly Uint8Array[]) => void;
  /** Something was logged. */
  readonly onChange: () => void;
  /** A client has shown a checkpoint of ours that the log does not go on from. */
  readonly onLoss: (loss: string, checkpoint: string) => void;
  readonly now?: () => number;
}

export class Directory {
  readonly #options: DirectoryOptions;
  readonly #now: () => number;
  /** The last change of each user that is under way. */
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor(options: DirectoryOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** A connection's own end of the directory. */
  openSession(visitor: Visitor): DirectorySession {
    return new DirectorySession(this, this.#options, visitor);
  }

  get nowMs(): number {
    return this.#now();
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
    const { index } = await this.#options.log.append(entry);
    this.#options.state.apply(entry, index);
    this.#options.onChange();
    return index;
  }

  /** Has the server's own key certified, logged like every other certificate. */
  async certifyServer(spki: Uint8Array): Promise<Bytes> {
    const der = await this.#options.certifyServer(spki);
    await this.commit({
      type: "issued",
      public: { profile: "server", certificate: encodeBase64(der) },
      private: null,
    });
    return der;
  }
}

interface Publication extends IssuedCertificate {
  readonly der: Bytes;
}

/** What one connection may do; its state is the proof of who it belongs to. */
export class DirectorySession {
  readonly #directory: Directory;
  readonly #options: DirectoryOptions;
  readonly #visitor: Visitor;
  readonly #dialogue: LoginDialogue;
  /** Certificates waiting for their key's signature, by the nonce that it shall sign. */
  readonly #publications = new Map<string, Publication>();
  #user: string | undefined;

  constructor(directory: Directory, options: DirectoryOptions, visitor: Visitor) {
    this.#directory = directory;
    this.#options = options;
    this.#visitor = visitor;
    this.#dialogue = new LoginDialogue({
      secrets: options.secrets,
      rootFingerprint: fingerprintOf(options.root.der),
      find: (id) => options.state.account(id),
    }, visitor.leafHash);
  }

  /** @throws {PkiError} what goes back to the client as an error */
  async handle(request: Request): Promise<Answer> {
    switch (request.type) {
      case "HELLO":
        return this.#hello();
      case "REGISTER":
        this.#checkAnonymous();
        return this.#dialogue.startRegistration(request);
      case "REGISTER_FINISH":
        this.#checkAnonymous();
        return await this.#finishRegistration(request);
      case "LOGIN":
        this.#checkAnonymous();
        return this.#dialogue.startLogin(request);
      case "LOGIN_FINISH":
        this.#checkAnonymous();
        return this.#finishLogin(request);
      case "PROOF":
        return this.#prove(request);
      case "CSR":
        return await this.#certify(this.#loggedIn(), request);
      case "CERTUP":
        return this.#startPublication(this.#loggedIn(), request);
      case "CERTUP_FINISH":
        return await this.#finishPublication(this.#loggedIn(), request);
      case "CERTREQ":
        this.#loggedIn();
        return this.#lookUp(request);
    }
  }

  #loggedIn(): string {
    if (this.#user === undefined) throw new PkiError("refused", "cannot do this: log in first");
    return this.#user;
  }

  #checkAnonymous(): void {
    if (this.#user !== undefined) {
      throw new PkiError("refused", "cannot do this: this session is logged in already");
    }
  }

  #hello(): Answer {
    const { root, domain, issuing } = this.#options;
    const nowMs = this.#directory.nowMs;
    // A client need not show a certificate. One that does, and cannot be trusted, hears so at once.
    if (this.#visitor.shown.length > 0) {
      const { leaf } = judgeUser([...this.#visitor.shown, issuing.der], {
        anchor: { root, domain },
        nowMs,
      });
      this.#checkOnRecord(leaf);
    }
    return {
      root: encodeBase64(root.der),
      domain,
      versions: [PROTOCOL],
      time: new Date(nowMs).toISOString(),
      log: this.#options.logStatement,
    };
  }

  /** After a loss there may be certificates that nobody could revoke any more: they do not count. */
  #checkOnRecord({ serial }: Certificate): void {
    const issued = this.#options.state.issued(serial);
    if (!issued) {
      throw new PkiError("untrusted", "cannot trust the certificate: it is not in the log");
    }
    if (issued.revokedMs !== null) {
      throw new PkiError("untrusted", "cannot trust the certificate: it is revoked");
    }
  }

  async #finishRegistration(request: RequestBody<"REGISTER_FINISH">): Promise<Answer> {
    const { id, credential, record } = this.#dialogue.finishRegistration(request);
    await this.#directory.inTurn(id, async () => {
      // Two may have started at the same moment; whoever gets here first has the id.
      if (this.#options.state.account(id)) throw idTaken(id);
      await this.#directory.commit({
        type: "registered",
        public: {},
        private: { id, credential, record, address: this.#visitor.address },
      });
    });
    return {};
  }

  #finishLogin(request: RequestBody<"LOGIN_FINISH">): Answer {
    const id = this.#dialogue.finishLogin(request);
    const { checkpoint } = request;
    const loss = checkpoint === undefined ? undefined : this.#options.log.lossBy(checkpoint);
    if (checkpoint !== undefined && loss !== undefined) {
      this.#options.onLoss(loss, checkpoint);
      throw new PkiError(
        "untrusted",
        "cannot log in: the log has lost entries that you have seen; the server stops",
      );
    }
    this.#user = id;
    return { id };
  }

  /** What the log says of itself, to anybody; of its entries, to those who are logged in. */
  #prove({ from, index }: RequestBody<"PROOF">): Answer {
    const { log } = this.#options;
    if (index !== undefined) this.#loggedIn();
    const encodeAll = (hashes: readonly Uint8Array[]) => hashes.map(encodeBase64);
    const { leaf, proof } = index === undefined ? {} : log.proveInclusion(index);
    return {
      checkpoint: log.checkpoint,
      ...(from === undefined ? {} : { consistency: encodeAll(log.proveConsistency(from)) }),
      ...(leaf && proof ? { leaf: encodeBase64(leaf), inclusion: encodeAll(proof) } : {}),
    };
  }

  async #certify(id: string, { csr }: RequestBody<"CSR">): Promise<Answer> {
    const { domain, issuing } = this.#options;
    const request = parseCsr(parseBase64(csr));
    checkCsrNames(request, { id, domain });
    const der = await this.#options.certifyUser(id, request.der);
    const certificate = encodeBase64(der);
    const index = await this.#directory.commit({
      type: "issued",
      public: { profile: "user", id, certificate },
      private: null,
    });
    this.#options.saveCopy(id, [der, issuing.der]);
    return { certificate, issuing: encodeBase64(issuing.der), index };
  }

  /** Checks that this certificate may be published and asks for proof that its key agrees. */
  #startPublication(id: string, { certificate }: RequestBody<"CERTUP">): Answer {
    const issued = this.#findIssued(id, certificate);
    if (!issued) {
      throw new PkiError("refused", `cannot publish: no such certificate was issued to "${id}"`);
    }
    this.#checkPublishable(id, issued);
    if (this.#publications.size >= LIMITS.publishNoncesMax) {
      throw new PkiError("refused", "cannot publish: too many publications were left unfinished");
    }
    const nonce = encodeBase64(randomBytes(32));
    this.#publications.set(nonce, { ...issued, der: parseBase64(certificate) });
    return { nonce };
  }

  /** A certificate that was issued to this user, found by its whole content. */
  #findIssued(id: string, certificate: string): IssuedCertificate | undefined {
    const { serial } = parseCertificate(parseBase64(certificate));
    const issued = this.#options.state.issued(serial);
    if (!issued || issued.id !== id || issued.profile !== "user") return undefined;
    return certificateOf(this.#options.log.read(issued.entry)) === certificate ? issued : undefined;
  }

  #checkPublishable(id: string, issued: IssuedCertificate): void {
    const { state } = this.#options;
    if (issued.notAfterMs < this.#directory.nowMs) {
      throw new PkiError("refused", "cannot publish: the certificate has expired");
    }
    if (state.issued(issued.serial)?.revokedMs !== null) {
      throw new PkiError("refused", "cannot publish: the certificate is revoked");
    }
    if (issued.entry < (state.published(id)?.entry ?? 0)) {
      throw new PkiError("conflict", "cannot publish: a newer certificate is published already");
    }
  }

  async #finishPublication(id: string, request: RequestBody<"CERTUP_FINISH">): Promise<Answer> {
    const certificate = this.#publications.get(request.nonce);
    this.#publications.delete(request.nonce); // spent, whatever follows
    if (!certificate) {
      throw new PkiError("refused", "cannot publish: this nonce was not given, or is spent");
    }
    const isValid = isLabelledSignatureValid({
      key: parsePublicKey(parseCertificate(certificate.der).spki),
      signature: parseBase64(request.signature),
      label: "pki/1 CERTUP",
      parts: [
        parseBase64(request.nonce),
        parseBase64(request.clientNonce),
        sha256(certificate.der),
        this.#visitor.leafHash,
      ],
    });
    if (!isValid) {
      throw new PkiError(
        "refused",
        "cannot publish: the signature is not by the certificate's key",
      );
    }
    await this.#directory.inTurn(id, async () => {
      this.#checkPublishable(id, certificate);
      await this.#directory.commit({
        type: "published",
        public: { serial: certificate.serial },
        private: null,
      });
    });
    return {};
  }

  #lookUp({ id }: RequestBody<"CERTREQ">): Answer {
    if (typeof PKI_FAULTS !== "undefined" && PKI_FAULTS && id === DIRECTORY_FAULT_ID) {
      causeFault(id);
    }
    const published = this.#options.state.published(id);
    if (!published || published.revokedMs !== null) {
      throw new PkiError(
        "not-found",
        `cannot find "${id}": nobody has published a certificate under this id`,
      );
    }
    return {
      certificate: certificateOf(this.#options.log.read(published.entry)),
      issuing: encodeBase64(this.#options.issuing.der),
      index: published.entry,
    };
  }
}
