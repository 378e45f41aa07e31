/**
 * What one connection may ask of the directory. Which user it belongs to follows from the login on
 * this very channel, and from no field of a request.
 */

import { encodeBase64, parseBase64 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { type Answer, shortenIgnored, type WrittenFields } from "../protocol/answers.ts";
import { PROTOCOL } from "../protocol/message_fields.ts";
import type { Request, RequestBody } from "../protocol/requests.ts";
import { fingerprintOf } from "../x509/certificate.ts";
import { checkEnabled, LoginDialogue } from "./accounts.ts";
import type { Directory } from "./directory.ts";
import { SessionEvents } from "./log_events.ts";
import type { SessionEnd, Visitor } from "./ports.ts";
import { Publications } from "./publications.ts";
import { findPublished, lookUp } from "./published.ts";
import { judgeShown, type ShownCertificate } from "./shown_certificate.ts";

/** What one connection may do; its state is the proof of who it belongs to. */
export class DirectorySession {
  readonly #directory: Directory;
  readonly #visitor: Visitor;
  readonly #dialogue: LoginDialogue;
  readonly #publications: Publications;
  readonly #onEnd: (end: SessionEnd) => void;
  readonly events: SessionEvents;
  /** The certificate that the client showed, once it was judged. */
  #shown: ShownCertificate | undefined;
  #user: string | undefined;
  #isByPassword = false;
  #end: SessionEnd | undefined;
  #isLeft = false;
  /** Its user has a session less. */
  #leaveUser = () => {};
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(directory: Directory, visitor: Visitor, onEnd: (end: SessionEnd) => void) {
    this.#directory = directory;
    this.#visitor = visitor;
    this.#onEnd = onEnd;
    this.#publications = new Publications(directory, visitor.leafHash);
    const { address, connection } = visitor;
    this.events = new SessionEvents(
      directory.events,
      () => ({ connection, address, user: this.#user }),
      () => directory.measures.unfinishedLogins++,
    );
    const { secrets, root, state } = directory.options;
    this.#dialogue = new LoginDialogue({
      secrets,
      rootFingerprint: fingerprintOf(root.der),
      find: (id) => state.account(id),
      admit: (request) => {
        // An invitation that was guessed counts like one that was given.
        directory.guesses.startRegistration(visitor.address);
        return directory.passwords.admit(request);
      },
      countGuess: (id, account) => {
        const attempt = directory.guesses.startLogin({
          id,
          address: visitor.address,
          registeredFrom: account?.address,
        });
        return () => directory.guesses.finishLogin(attempt);
      },
    }, visitor.leafHash);
  }

  /** Who has logged in. */
  get user(): string | undefined {
    return this.#user;
  }

  /** Whether it was a password that opened the session. */
  get isByPassword(): boolean {
    return this.#isByPassword;
  }

  /** The serial number of the certificate that the client showed, once it was judged. */
  get shownSerial(): string | undefined {
    return this.#shown?.serial;
  }

  /** The serial number of the CA that has issued that certificate. */
  get shownIssuerSerial(): string | undefined {
    return this.#shown?.issuerSerial;
  }

  /**
   * Ends it: what runs is answered, then the client is told why and nothing more is done.
   * @returns resolves when nothing runs any more
   */
  end(end: SessionEnd): Promise<void> {
    if (!this.#end) {
      this.#end = end;
      if (this.#running === 0) this.#onEnd(end);
    }
    return this.idle();
  }

  /**
   * The connection is gone: what runs goes on, and what has not begun never does. Nobody could end it
   * any more, as for an account that is disabled.
   */
  leave(): void {
    if (!this.#isLeft) this.#leaveUser();
    this.#isLeft = true;
  }

  /** Resolves when nothing of it runs. */
  idle(): Promise<void> {
    if (this.#running === 0) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** @throws {PkiError} what goes back to the client as an error */
  async handle(request: Request): Promise<Answer | WrittenFields> {
    this.checkGoesOn();
    if (this.#isLeft) throw new PkiError("refused", "cannot do this: the connection is gone");
    this.#running++;
    try {
      const answer = await this.#carryOut(request);
      this.events.done(request);
      return answer;
    } catch (error) {
      this.events.failed(request, error);
      throw error;
    } finally {
      this.#running--;
      if (this.#running === 0) {
        for (const resolve of this.#waiting.splice(0)) resolve();
        // Behind the answer, which is posted when this promise has settled.
        if (this.#end) setTimeout(this.#onEnd, 0, this.#end);
      }
    }
  }

  async #carryOut(request: Request): Promise<Answer | WrittenFields> {
    switch (request.type) {
      case "HELLO":
        return this.#hello();
      case "REGISTER":
        this.#checkAnonymous();
        return this.#dialogue.startRegistration(request);
      case "REGISTER_FINISH":
        this.#checkAnonymous();
        await this.#directory.passwords.register(
          this.#dialogue.finishRegistration(request),
          this.#visitor.address,
        );
        return {};
      case "LOGIN":
        this.#checkAnonymous();
        return this.#dialogue.startLogin(request);
      case "LOGIN_FINISH":
        this.#checkAnonymous();
        return this.#logIn(this.#dialogue.finishLogin(request), request.checkpoint, {
          isByPassword: true,
        });
      case "LOGIN_CERTIFICATE":
        this.#checkAnonymous();
        return this.#logIn(this.#idShown(), request.checkpoint);
      case "PROOF":
        return this.#prove(request);
      case "STATUS":
        return await this.#directory.revocation.answerStatus(
          parseBase64(request.request),
          () => this.#directory.work.chargeStatus({ user: this.#user, ...this.#visitor }),
        );
      case "CRL":
        return this.#readList(request);
      case "PASSWD":
        return this.#dialogue.startChange(this.#userByPassword(), request);
      case "PASSWD_FINISH":
        this.#directory.work.chargePassword({ ...this.#visitor, user: this.#userByPassword() });
        return await this.#directory.passwords.change(
          this.#dialogue.finishChange(request),
          this,
          this.#visitor.address,
        );
      case "CSR":
        return await this.#certify(this.#writer(), request);
      case "CERTUP":
        return this.#publications.start(this.#loggedIn(), request);
      case "CERTUP_FINISH":
        return await this.#publications.finish(this.#writer(), request);
      case "CERTREQ":
        this.#loggedIn();
        return lookUp(this.#directory, request.id);
      case "REVOKE":
        return await this.#directory.revocation.revokeOwn(this.#loggedIn(), request);
      case "ANNOUNCE":
        this.#directory.announcements.announce(this.#loggedIn(), request, this.shownSerial);
        return {};
      case "LOCATE":
        this.#loggedIn(); // of who announces nothing it says no more than CERTREQ does
        return this.#directory.announcements.locate(
          request.id,
          (id) => findPublished(this.#directory, id),
        );
    }
  }

  #loggedIn(): string {
    if (this.#user === undefined) throw new PkiError("refused", "cannot do this: log in first");
    return this.#user;
  }

  /** Who has logged in and may still add to the log. */
  #writer(): string {
    const id = this.#loggedIn();
    this.#directory.work.chargeEntry({ ...this.#visitor, user: id });
    return id;
  }

  /** A key that was left unlocked must not be enough to take an account over. */
  #userByPassword(): string {
    const id = this.#loggedIn();
    if (this.#isByPassword) return id;
    throw new PkiError(
      "refused",
      "cannot change the password: log in with the password, not with the certificate",
    );
  }

  #checkAnonymous(): void {
    if (this.#user !== undefined) {
      throw new PkiError("refused", "cannot do this: this session is logged in already");
    }
  }

  /** @throws {PkiError} `refused` once it was ended from here */
  checkGoesOn(): void {
    if (this.#end) throw new PkiError("refused", "cannot do this: this session has ended");
  }

  #hello(): Answer {
    const { root, domain, logStatement } = this.#directory.options;
    // A client need not show a certificate. One that does, and cannot be trusted, hears so at once.
    const { shown } = this.#visitor;
    this.#shown = shown.length > 0 ? judgeShown(this.#directory, shown) : undefined;
    return {
      root: encodeBase64(root.der),
      domain,
      versions: [PROTOCOL],
      time: new Date(this.#directory.nowMs).toISOString(),
      log: logStatement,
      successions: this.#directory.successions,
      registration: this.#directory.passwords.registration,
    };
  }

  /** Whose certificate the client has shown; judged anew, since it may have ended or been revoked. */
  #idShown(): string {
    const { shown } = this.#visitor;
    if (shown.length === 0) {
      throw new PkiError("refused", "cannot log in: no certificate was shown");
    }
    this.#shown = judgeShown(this.#directory, shown);
    const { id } = this.#shown;
    checkEnabled(id, this.#directory.options.state.account(id));
    this.#directory.guesses.remember(id, this.#visitor.address);
    return id;
  }

  #logIn(
    id: string,
    checkpoint: string | undefined,
    { isByPassword = false }: { readonly isByPassword?: boolean } = {},
  ): Answer {
    const { log, onLoss } = this.#directory.options;
    const loss = checkpoint === undefined ? undefined : log.lossBy(checkpoint);
    if (checkpoint !== undefined && loss !== undefined) {
      onLoss(loss, checkpoint);
      throw new PkiError(
        "untrusted",
        "cannot log in: the log has lost entries that you have seen; the server stops",
      );
    }
    const { address } = this.#visitor;
    this.#leaveUser = this.#directory.userSessions.enter({ user: id, address, isByPassword });
    this.#user = id;
    this.#isByPassword = isByPassword;
    return { id };
  }

  /** What the log says of itself, to anybody; of its entries, to those who are logged in. */
  #prove({ from, index }: RequestBody<"PROOF">): Answer {
    const { log } = this.#directory.options;
    if (index !== undefined) this.#loggedIn();
    const encodeAll = (hashes: readonly Uint8Array[]) => hashes.map(encodeBase64);
    const { leaf, proof } = index === undefined ? {} : log.proveInclusion(index);
    return {
      checkpoint: log.checkpoint,
      ...(from === undefined ? {} : { consistency: encodeAll(log.proveConsistency(from)) }),
      ...(leaf && proof ? { leaf: encodeBase64(leaf), inclusion: encodeAll(proof) } : {}),
    };
  }

  #readList({ issuer, number, offset }: RequestBody<"CRL">): Answer {
    const { readList } = this.#directory.options;
    if (!readList) throw new PkiError("not-found", "cannot find the list: this server has none");
    return readList({
      ...(issuer === undefined ? {} : { issuer }),
      ...(number === undefined ? {} : { number }),
      ...(offset === undefined ? {} : { offset }),
    });
  }

  /** The request is read, checked and verified by the authority; only its length is known here. */
  async #certify(id: string, { csr }: RequestBody<"CSR">): Promise<Answer> {
    const { authority, saveCopy } = this.#directory.options;
    const { certificate: der, issuer, ignored } = await authority.certify({
      profile: "user",
      id,
      csr: parseBase64(csr),
    });
    this.checkGoesOn(); // ended meanwhile: then nothing of it is recorded
    const certificate = encodeBase64(der);
    const index = await this.#directory.commit({
      type: "issued",
      public: { profile: "user", id, certificate },
      private: null,
    });
    saveCopy(id, [der, issuer]);
    return {
      certificate,
      issuing: this.#directory.encodeIssuer(issuer),
      index,
      ignored: shortenIgnored(ignored),
    };
  }
}
