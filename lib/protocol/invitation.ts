/**
 * An invitation as one line: `pki1:` and base64url of where the server is, which root it must have,
 * the token that lets somebody register there, and whom it is for. The last bytes are a checksum
 * against pasting half of it; what is in it is proven by the root and checked by the server.
 *
 * | bytes | what |
 * | --- | --- |
 * | 32 | SHA-256 of the root's DER |
 * | 16 | token |
 * | 1 | length of the id, 0 for any id; the highest bit is set if it is for a new password |
 * | so many | id in ASCII |
 * | the rest but four | address of the server, `host:port` in ASCII |
 * | 4 | the first bytes of SHA-256 of all before |
 */

import { Buffer } from "node:buffer";
import { concatBytes, copyBytes, encodeHex, isEqualBytes, sha256, utf8 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { isId } from "../x509/names.ts";

/** 128 random bits: nobody guesses one. */
export const INVITATION_TOKEN_BYTES = 16;

const PREFIX = "pki1:";
const FINGERPRINT_BYTES = 32;
const CHECKSUM_BYTES = 4;
/** An id has at most 63 characters. */
const RESET_FLAG = 0x80;
/** A name of DNS has at most 253 characters, and the port follows. */
const ADDRESS_BYTES_MAX = 260;
const LINE_CHARACTERS_MAX = 600;

/** Whatever is between the prefix and white space was meant to be the invitation. */
const LINE = /^pki1:([A-Za-z0-9_-]+)$/;
const ADDRESS = /^[\x21-\x7e]+$/;

export interface Invitation {
  /** Of the server, `host:port`. */
  readonly address: string;
  /** SHA-256 of the root's DER, in hex. */
  readonly fingerprint: string;
  /** {@link INVITATION_TOKEN_BYTES} bytes. */
  readonly token: Uint8Array;
  /** The only id that may be registered with it. */
  readonly id?: string;
  /** Whether it is for somebody who has an account and chooses a new password. */
  readonly isReset?: boolean;
}

export function encodeInvitation(
  { address, fingerprint, token, id = "", isReset = false }: Invitation,
): string {
  const body = concatBytes(
    Buffer.from(fingerprint, "hex"),
    token,
    Uint8Array.of(id.length | (isReset ? RESET_FLAG : 0)),
    utf8(id),
    utf8(address),
  );
  const whole = concatBytes(body, sha256(body).subarray(0, CHECKSUM_BYTES));
  return PREFIX + Buffer.from(whole).toString("base64url");
}

/**
 * Reads the line; white space around and in it, as mail programs put there, does not matter.
 * @throws {PkiError} `malformed`
 */
export function parseInvitation(text: string): Invitation {
  if (text.length > LINE_CHARACTERS_MAX) throw unreadable("it is too long");
  const line = text.replaceAll(/\s+/g, "");
  if (!line.startsWith(PREFIX)) throw unreadable(`it does not begin with ${PREFIX}`);
  const [, encoded] = LINE.exec(line) ?? [];
  const whole = copyBytes(Buffer.from(encoded ?? "", "base64url"));
  const fixed = FINGERPRINT_BYTES + INVITATION_TOKEN_BYTES + 1;
  if (encoded === undefined || whole.length < fixed + CHECKSUM_BYTES + 1) throw incomplete();
  const body = whole.subarray(0, -CHECKSUM_BYTES);
  const checksum = sha256(body).subarray(0, CHECKSUM_BYTES);
  if (!isEqualBytes(checksum, whole.subarray(-CHECKSUM_BYTES))) throw incomplete();
  const head = body[fixed - 1] ?? 0;
  const idLength = head & ~RESET_FLAG;
  const id = Buffer.from(body.subarray(fixed, fixed + idLength)).toString("latin1");
  const address = Buffer.from(body.subarray(fixed + idLength)).toString("latin1");
  if (idLength > 0 && !isId(id)) throw unreadable("it names an impossible id");
  if (address.length > ADDRESS_BYTES_MAX || !ADDRESS.test(address)) {
    throw unreadable("it names an impossible address");
  }
  return {
    address,
    fingerprint: encodeHex(body.subarray(0, FINGERPRINT_BYTES)),
    token: copyBytes(body.subarray(FINGERPRINT_BYTES, fixed - 1)),
    ...(idLength > 0 ? { id } : {}),
    ...((head & RESET_FLAG) === 0 ? {} : { isReset: true }),
  };
}

function unreadable(why: string): PkiError {
  return new PkiError("malformed", `cannot read the invitation: ${why}`, {
    hint: `paste the whole line that begins with ${PREFIX}`,
  });
}

function incomplete(): PkiError {
  return unreadable("some of it is missing, or was changed");
}
