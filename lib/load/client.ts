/**
 * One of many clients of a load: somebody, and at most one connection at a time. What it does is an
 * operation; each is checked, and each that does not end well throws.
 */

import { parseAnswer, parseAnswerBody } from "../protocol/answers.ts";
import { bindLogin, loadOpaque, startLogin } from "../protocol/opaque.ts";
import { encodeBase64 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { fingerprintOf } from "../x509/certificate.ts";
import type { Account, Holder } from "./account.ts";
import type { Judge } from "./judge.ts";
import type { Connector } from "./target.ts";
import { prepareRequest, Wire, wrongAnswer } from "./wire.ts";

/** What a client can do. */
export const OPERATIONS = ["lookup", "issue", "login", "visit"] as const;
export type Operation = (typeof OPERATIONS)[number];

const HELLO = prepareRequest("HELLO", {});
const LOGIN_CERTIFICATE = prepareRequest("LOGIN_CERTIFICATE", {});

export interface ClientOptions {
  readonly connector: Connector;
  readonly judge: Judge;
  /** Who it is; without an account of its own it only looks up and visits. */
  readonly who: Holder | Account;
}

export class LoadClient {
  readonly #options: ClientOptions;
  #line: Wire | undefined;
  /** Every connection that is open, to be cut when time is over. */
  readonly #open = new Set<Wire>();
  readonly #closing = new AbortController();

  constructor(options: ClientOptions) {
    this.#options = options;
  }

  get #account(): Account {
    const { who } = this.#options;
    if ("credentials" in who) return who;
    throw new PkiError("internal", "this is no account of the load's");
  }

  /** @throws {PkiError} why it did not end well */
  async perform(operation: Operation): Promise<void> {
    switch (operation) {
      case "lookup":
        return await this.#lookUp(await this.openLine());
      case "issue":
        return await this.#issue(await this.openLine());
      case "login":
        return await this.#logIn();
      case "visit":
        return await this.#visit();
    }
  }

  /** The connection that stays, with a session; opened where there is none. */
  async openLine(): Promise<Wire> {
    if (this.#line?.isOpen) return this.#line;
    if (this.#line) this.#open.delete(this.#line);
    return this.#line = await this.#openSession();
  }

  /** Cuts everything, for good; what runs fails. */
  close(): void {
    this.#closing.abort();
    for (const wire of this.#open) wire.close();
    this.#open.clear();
  }

  async #connect(isShown: boolean): Promise<Wire> {
    const { connector, who } = this.#options;
    const identity = isShown ? who.identity : undefined;
    const wire = new Wire(await connector.connect(identity, this.#closing.signal));
    this.#open.add(wire);
    try {
      await wire.ask(HELLO);
      return wire;
    } catch (error) {
      this.#end(wire);
      throw error;
    }
  }

  async #openSession(): Promise<Wire> {
    const wire = await this.#connect(true);
    try {
      this.#checkId(await wire.ask(LOGIN_CERTIFICATE), "LOGIN_CERTIFICATE");
      return wire;
    } catch (error) {
      this.#end(wire);
      throw error;
    }
  }

  #end(wire: Wire): void {
    wire.leave();
    this.#open.delete(wire);
  }

  #checkId(body: Uint8Array, type: "LOGIN_CERTIFICATE" | "LOGIN_FINISH"): void {
    const answer = parseAnswer(body);
    const { id } = parseAnswerBody(type, answer.ok ? answer.body : {});
    if (id !== this.#options.who.id) throw wrongAnswer(`a session of "${id}"`);
  }

  async #lookUp(wire: Wire): Promise<void> {
    const { judge, who } = this.#options;
    judge.lookedUp(await wire.ask(who.lookUp), who.sought);
  }

  async #issue(wire: Wire): Promise<void> {
    const account = this.#account;
    this.#options.judge.issued(await wire.ask(account.csr), account);
  }

  /** Connects, logs in by certificate, looks one up, leaves. */
  async #visit(): Promise<void> {
    const wire = await this.#openSession();
    try {
      await this.#lookUp(wire);
    } finally {
      this.#end(wire);
    }
  }

  /** Connects, logs in by password (OPAQUE), leaves. */
  async #logIn(): Promise<void> {
    await loadOpaque();
    const { id, password, rootDer, isPasswordRandom } = this.#account.credentials;
    const parties = { id, rootFingerprint: fingerprintOf(rootDer), isPasswordRandom };
    const wire = await this.#connect(false);
    try {
      const dialogue = startLogin(password, parties);
      const answer = parseAnswer(
        await wire.ask(prepareRequest("LOGIN", { id, request: dialogue.request })),
      );
      const { response } = parseAnswerBody("LOGIN", answer.ok ? answer.body : {});
      const result = dialogue.finish(response);
      if (!result) throw wrongAnswer("the password does not fit");
      const binding = encodeBase64(bindLogin(result.sessionKey, this.#options.connector.leafHash));
      const finish = prepareRequest("LOGIN_FINISH", { finish: result.finish, binding });
      this.#checkId(await wire.ask(finish), "LOGIN_FINISH");
    } finally {
      this.#end(wire);
    }
  }
}
