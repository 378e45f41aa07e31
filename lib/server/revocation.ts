/**
 * Revoking certificates, and saying whether one is revoked. A revocation is one entry of the log. Once
 * that is durable the certificate opens no session, and those that it opened end. Who has asked for it
 * hears so after it was remembered outside of the data folder, too, where a disk answers.
 *
 * Whether a certificate is good is answered as OCSP (RFC 6960), from the table of what was issued:
 * a serial number that is not in it is unknown, never good.
 */

import { encodeBase64 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import type { Answer } from "../protocol/answers.ts";
import type { RequestBody } from "../protocol/requests.ts";
import type { IssuedCertificate } from "../store/state.ts";
import { REVOCATION_REASONS, type RevocationReason } from "../x509/crl.ts";
import {
  encodeOcspError,
  matchesIssuer,
  type OcspAnswer,
  type OcspCertId,
  parseOcspRequest,
} from "../x509/ocsp.ts";
import type { Directory } from "./directory.ts";
import { allIssuers, keyIdHex } from "./issuers.ts";
import { type KeptResponse, KeptResponses } from "./kept_responses.ts";

export class Revocation {
  readonly #directory: Directory;
  readonly #kept = new KeptResponses();

  constructor(directory: Directory) {
    this.#directory = directory;
  }

  /** `REVOKE`: a user takes back one of the own certificates. */
  async revokeOwn(
    id: string,
    { serial, reason = "unspecified" }: RequestBody<"REVOKE">,
  ): Promise<Answer> {
    const issued = this.#directory.options.state.issued(serial);
    if (!issued || issued.id !== id || issued.profile !== "user") {
      throw new PkiError("not-found", `cannot revoke ${serial}: no such certificate of "${id}"`);
    }
    const [revoked] = await this.revoke([issued], reason);
    return { serial, time: new Date(revoked?.revokedMs ?? this.#directory.nowMs).toISOString() };
  }

  /**
   * Revokes certificates and ends the sessions that they opened; those that were revoked before stay
   * as they were.
   * @throws {PkiError} `storage` where any could not be logged; those that were are revoked all the same
   */
  async revoke(
    certificates: readonly IssuedCertificate[],
    reason: RevocationReason,
  ): Promise<readonly IssuedCertificate[]> {
    const { state, log } = this.#directory.options;
    const byOwner = Map.groupBy(certificates, ({ id, serial }) => id ?? serial);
    // Entries that are written at the same time share a sync of the disk.
    const recorded = await Promise.all(
      [...byOwner].map(([owner, some]) =>
        this.#directory.inTurn(
          owner,
          () => Promise.allSettled(some.map((one) => this.#record(one, reason))),
        )
      ),
    );
    const serials = new Set(
      certificates.map(({ serial }) => serial)
        .filter((serial) => typeof state.issued(serial)?.revokedMs === "number"),
    );
    // Not waited for: what is answered here may run in one of them.
    void this.#directory.endSessions(
      ({ shownSerial }) => shownSerial !== undefined && serials.has(shownSerial),
      new PkiError("untrusted", "the session has ended: its certificate was revoked"),
    );
    for (const [owner, some] of byOwner) {
      if (!some.some(({ serial }) => serials.has(serial))) continue;
      this.#directory.announcements.forgetRevoked(owner, serials);
    }
    // Behind all that a stolen key could still be used for: that disk may be slow.
    await log.witness();
    const failed = recorded.flat().find(({ status }) => status === "rejected");
    if (failed?.status === "rejected") throw failed.reason;
    return certificates.map((one) => state.issued(one.serial) ?? one);
  }

  /** In the owner's turn, so that nothing is revoked twice. */
  async #record(
    { serial, issuerKeyId }: IssuedCertificate,
    reason: RevocationReason,
  ): Promise<void> {
    const { state, onRevoked } = this.#directory.options;
    if (state.issued(serial)?.revokedMs !== null) return;
    await this.#directory.commit({ type: "revoked", public: { serial }, private: { reason } });
    this.#kept.forget(serial);
    onRevoked?.(issuerKeyId);
  }

  /**
   * `STATUS`: an OCSP response to an OCSP request, whatever it is.
   * @param beforeSigning called where a signature has to be made; may refuse it
   */
  async answerStatus(request: Uint8Array, beforeSigning = () => {}): Promise<Answer> {
    const asked = encodeBase64(request);
    const kept = this.#kept.get(asked);
    if (kept && this.#isGood(kept)) return { response: kept.response };
    return { response: await this.#makeStatus(request, asked, beforeSigning) };
  }

  #isGood({ untilMs, thisUpdateMs, nextUpdateMs }: KeptResponse): boolean {
    const { nowMs, elapsedMs } = this.#directory;
    return elapsedMs < untilMs && thisUpdateMs <= nowMs && nowMs < nextUpdateMs;
  }

  async #makeStatus(
    request: Uint8Array,
    asked: string,
    beforeSigning: () => void,
  ): Promise<string> {
    let parsed;
    try {
      parsed = parseOcspRequest(request);
    } catch (error) {
      if (!(error instanceof PkiError)) throw error;
      return encodeBase64(encodeOcspError("malformedRequest"));
    }
    const { certIds, nonce } = parsed;
    const [first] = certIds;
    const issuer = first &&
      allIssuers(this.#directory.issuers).find((one) =>
        certIds.every((certId) => matchesIssuer(certId, one))
      );
    // Of other CAs, also of the root, nothing is known here (RFC 6960, section 2.3).
    if (!issuer) return encodeBase64(encodeOcspError("unauthorized"));
    beforeSigning();
    const issuerKeyId = keyIdHex(issuer);
    const answers = certIds.map((certId) => this.#answer(certId, issuerKeyId));
    const signed = await this.#directory.options.authority.signStatus({
      issuerKeyId,
      answers,
      ...(nonce === undefined ? {} : { nonce }),
    });
    const response = encodeBase64(signed);
    const isStill = answers.every((answer, i) =>
      certIds[i] && this.#answer(certIds[i], issuerKeyId).status.type === answer.status.type
    );
    const [answer, ...more] = answers;
    if (nonce === undefined && answer && more.length === 0 && isStill) {
      this.#keep(asked, answer, response);
    }
    return response;
  }

  #answer(certId: OcspCertId, issuerKeyId: string): OcspAnswer {
    const { nowMs } = this.#directory;
    const thisUpdateMs = Math.floor(nowMs / 1000) * 1000;
    const common = { certId, thisUpdateMs, nextUpdateMs: thisUpdateMs + LIMITS.ocspValidityMs };
    const issued = this.#directory.options.state.issued(certId.serial);
    if (!issued || issued.issuerKeyId !== issuerKeyId) {
      return { ...common, status: { type: "unknown" } };
    }
    if (issued.revokedMs === null) return { ...common, status: { type: "good" } };
    return {
      ...common,
      status: { type: "revoked", revokedMs: issued.revokedMs, reason: reasonOf(issued) },
    };
  }

  #keep(
    asked: string,
    { certId: { serial }, thisUpdateMs, nextUpdateMs = thisUpdateMs }: OcspAnswer,
    response: string,
  ): void {
    this.#kept.set(asked, {
      response,
      serial,
      untilMs: this.#directory.elapsedMs + LIMITS.ocspReuseMs,
      thisUpdateMs,
      nextUpdateMs,
    });
  }
}

/** Why a certificate was revoked; what a later version wrote is unspecified here. */
export function reasonOf({ reason }: { readonly reason: string | null }): RevocationReason {
  return reason !== null && Object.hasOwn(REVOCATION_REASONS, reason)
    ? reason as RevocationReason
    : "unspecified";
}
