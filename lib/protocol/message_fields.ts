/**
 * What the messages of `pki/1` have in them: fields as schemas, that requests and answers share, and
 * the words and bounds of some. `docs/protocol.md` describes the messages for people; they are in
 * `requests.ts` and `answers.ts`.
 */

import * as v from "valibot";
import { LIMITS } from "../base/limits.ts";
import { base64, signature } from "./fields.ts";

export const PROTOCOL = "pki/1";

/** Who may register: anybody, whoever has an invitation, nobody. */
export const REGISTRATIONS = ["open", "invite", "closed"] as const;
export type Registration = (typeof REGISTRATIONS)[number];

/** A checkpoint as a note: an origin of some 250 characters, a size, a root, a signature or a few. */
const NOTE_CHARACTERS_MAX = 2048;
/** The newest of the CAs that followed each other; one takes 5 KB where CAs have RSA keys. */
export const SUCCESSIONS_MAX = 8;

export const seq = () => v.pipe(v.number(), v.safeInteger(), v.minValue(1));

export const der = () => base64(1, LIMITS.derBytesMax);
export const bytes32 = () => base64(32, 32);
const OPAQUE_CHARACTERS_MAX = 1024;
const BASE64URL = /^[A-Za-z0-9_-]+$/;
/** OPAQUE messages travel as their library makes them: base64url without padding. */
export const opaque = () =>
  v.pipe(v.string(), v.maxLength(OPAQUE_CHARACTERS_MAX), v.regex(BASE64URL, "not base64url"));

/** What {@link opaque} looks at, without a schema. */
export function isOpaque(value: unknown): boolean {
  return typeof value === "string" && value.length <= OPAQUE_CHARACTERS_MAX &&
    BASE64URL.test(value);
}

/** SHA-256 in hex: of a CA's certificate. */
export const fingerprint = () => v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, "not a fingerprint"));
export const time = () => v.pipe(v.string(), v.isoTimestamp());

/** Why an owner revokes; the other reasons of RFC 5280 (section 5.3.1) are for administrators. */
export const OWNER_REASONS = [
  "unspecified",
  "keyCompromise",
  "affiliationChanged",
  "superseded",
  "cessationOfOperation",
] as const;

/** A CRL's number in decimal: up to 20 bytes (RFC 5280, section 5.2.3). */
export const crlNumber = () => v.pipe(v.string(), v.regex(/^\d{1,49}$/, "not a number"));
export const note = () => v.pipe(v.string(), v.minLength(1), v.maxLength(NOTE_CHARACTERS_MAX));

export function isNote(value: unknown): boolean {
  return typeof value === "string" && value.length >= 1 && value.length <= NOTE_CHARACTERS_MAX;
}

/** How a CA that comes later is vouched for by one that was there before; see `docs/protocol.md`. */
export const successionSchema = () =>
  v.object({
    kind: v.picklist(["issuing", "root"]),
    /** The CA that comes later. */
    certificate: der(),
    /** SHA-256 of the certificate of the CA that vouches, in hex. */
    by: fingerprint(),
    /** That certificate; absent where it is the root. */
    issuer: v.optional(der()),
    signature: signature(),
  });

/** What a user may announce: so many addresses of so many characters, for so long. */
export const ANNOUNCED = {
  addressesMax: 8,
  charactersMax: 262,
  secondsMin: 60,
  secondsMax: 3600,
} as const;

/**
 * `host:port` or `[v6]:port` in ASCII, as `ANNOUNCE` carries it. An address of IPv6 has no zone, which
 * means something on one machine alone.
 */
export function isAnnounceable(text: string): boolean {
  const [, port] =
    /^(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):([1-9]\d{0,4})$/.exec(text) ??
      [];
  return port !== undefined && Number(port) <= 65_535;
}

export const announced = () =>
  v.pipe(
    v.array(
      v.pipe(
        v.string(),
        v.maxLength(ANNOUNCED.charactersMax),
        v.check(isAnnounceable, "not host:port"),
      ),
    ),
    v.maxLength(ANNOUNCED.addressesMax),
  );
