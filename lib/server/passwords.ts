/**
 * Who may register, and what happens when a password was chosen: an account, or another password for
 * one. An id that was ever registered is never handed out again. The dialogue in which the password
 * is chosen, and not seen here, is in `accounts.ts`.
 */

import { encodeHex, parseBase64, sha256 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import type { Answer } from "../protocol/answers.ts";
import type { Registration } from "../protocol/message_fields.ts";
import type { RequestBody } from "../protocol/requests.ts";
import {
  findInvitation,
  findInvitationByNumber,
  type Invitation,
  isIdTaken,
} from "../store/accounts.ts";
import { type Admission, type ChosenPassword, idTaken } from "./accounts.ts";
import type { Directory } from "./directory.ts";
import type { DirectorySession } from "./directory_session.ts";

/** What the tables know a token by. */
export function hashToken(token: Uint8Array): string {
  return encodeHex(sha256(token));
}

export class Passwords {
  readonly #directory: Directory;
  /** Who may register; an administrator changes it while the server runs. */
  registration: Registration;

  constructor(directory: Directory, registration: Registration) {
    this.#directory = directory;
    this.registration = registration;
  }

  /** @throws {PkiError} `conflict` if the id is taken, `refused` without an invitation that is good */
  admit(
    { id, invitation: token }: Pick<RequestBody<"REGISTER">, "id" | "invitation">,
  ): Admission {
    const invitation = token === undefined ? undefined : this.#find(token);
    // Whether somebody has an id, no stranger is told who could not have it anyway.
    if (token === undefined) this.#checkOpen(id);
    else if (!invitation) this.#check(invitation, id);
    const isTaken = isIdTaken(this.#directory.options.state.database, id);
    // Whoever comes again with a line that was used up is told that the id is theirs already.
    if (isTaken && !invitation?.isReset) throw idTaken(id);
    if (token === undefined) return { isReset: false };
    const good = this.#check(invitation, id);
    if (good.isReset && !this.#directory.options.state.account(id)) throw idTaken(id);
    return { invitation: good.number, isReset: good.isReset };
  }

  /** @throws {PkiError} `refused` if nobody registers without an invitation */
  #checkOpen(id: string): void {
    if (this.registration === "open") return;
    throw new PkiError(
      "refused",
      this.registration === "invite"
        ? `cannot register "${id}": this server wants an invitation`
        : `cannot register "${id}": this server registers nobody`,
    );
  }

  #find(token: string): Invitation | undefined {
    return findInvitation(this.#directory.options.state.database, hashToken(parseBase64(token)));
  }

  /** @throws {PkiError} `refused` */
  #check(invitation: Invitation | undefined, id: string): Invitation {
    const refuse = (why: string) => new PkiError("refused", `cannot use the invitation: ${why}`);
    if (!invitation) throw refuse("this server has not made it");
    if (invitation.expiresMs <= this.#directory.nowMs) {
      throw refuse(`it has expired on ${new Date(invitation.expiresMs).toISOString()}`);
    }
    if (invitation.usesLeft <= 0) throw refuse("it was used already, or withdrawn");
    if (invitation.id !== null && invitation.id !== id) {
      throw refuse(`it is for somebody else than "${id}"`);
    }
    if (this.registration === "closed" && !invitation.isReset) {
      throw refuse("this server registers nobody any more");
    }
    return invitation;
  }

  /** Makes the account, or changes its password, once the password was chosen. */
  async register(
    { admission, ...chosen }: ChosenPassword & { readonly admission: Admission },
    address: string,
  ): Promise<void> {
    const { id } = chosen;
    await this.#inTurnOf(admission, id, async () => {
      const { state } = this.#directory.options;
      // Two may have started at the same moment; whoever gets here first has the id.
      const isThere = admission.isReset
        ? state.account(id) !== undefined
        : !isIdTaken(state.database, id);
      if (!isThere) throw idTaken(id);
      await this.#directory.commit({
        type: admission.isReset ? "credentials" : "registered",
        public: admission.invitation === undefined ? {} : { invitation: admission.invitation },
        private: { ...chosen, address },
      });
      if (admission.isReset) this.#endSessions(id);
    });
  }

  /** An invitation is used as often as it may be, by whoever comes first. */
  async #inTurnOf(
    { invitation }: Admission,
    id: string,
    change: () => Promise<void>,
  ): Promise<void> {
    await this.#directory.inTurn(id, async () => {
      if (invitation === undefined) {
        this.#checkOpen(id); // it may have been closed since the dialogue began
        return await change();
      }
      // No id has a colon. Always in this order, so nobody waits for each other.
      await this.#directory.inTurn(`invitation:${invitation}`, async () => {
        const { state } = this.#directory.options;
        this.#check(findInvitationByNumber(state.database, invitation), id);
        await change();
      });
    });
  }

  /** Another password for the user of a session; every other session of the user ends. */
  async change(
    chosen: ChosenPassword,
    session: DirectorySession,
    address: string,
  ): Promise<Answer> {
    const { id } = chosen;
    await this.#directory.inTurn(id, async () => {
      // Whoever waited for a turn may have been shut out by the one before.
      session.checkGoesOn();
      if (!this.#directory.options.state.account(id)) {
        throw new PkiError("refused", `cannot change the password: there is no account "${id}"`);
      }
      await this.#directory.commit({
        type: "credentials",
        public: {},
        private: { ...chosen, address },
      });
      this.#endSessions(id, session);
    });
    return {};
  }

  /** What a password opened, whoever knew the one before, is over. */
  #endSessions(id: string, but?: DirectorySession): void {
    // Not waited for: one of them may wait for us.
    void this.#directory.endSessions(
      (session) => session !== but && session.user === id && session.isByPassword,
      new PkiError("refused", "the session has ended: the password was changed"),
    );
  }
}
