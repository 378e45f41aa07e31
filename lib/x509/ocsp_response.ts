/**
 * Reads responses of the Online Certificate Status Protocol (RFC 6960, section 4.2): what is written
 * there. Whether to believe it is decided in `ocsp_judge.ts`.
 */

import { type Bytes, copyBytes } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import {
  contextTag,
  DerReader,
  type Element,
  parseGeneralizedTime,
  parseOid,
  parseSmallInteger,
  parseWholeBits,
  readAs,
  readWhole,
  TAG,
} from "./der.ts";
import {
  BASIC_OID,
  checkVersion1,
  type OcspAnswer,
  type OcspCertStatus,
  type OcspResponseStatus,
  parseNonce,
  readCertId,
  readOcspExtensions,
  STATUS_CODES,
} from "./ocsp.ts";
import { parseReason } from "./revocation_reason.ts";

/** A response, in bytes: eight answers, and the certificates of a responder that is not the CA. */
const RESPONSE_BYTES_MAX = 32_768;
/** Answers in one response; we answer what was asked, others may say more. */
const ANSWERS_MAX = 64;
/** Certificates that somebody may put beside the signature. */
const CERTIFICATES_MAX = 8;

/** BasicOCSPResponse. */
export interface BasicOcspResponse {
  /** The signed part. */
  readonly tbs: Uint8Array;
  readonly signatureAlgorithm: Element;
  readonly signature: Uint8Array;
  /** Who says it: SHA-1 of a key's bits, or DER of a name. */
  readonly responder:
    | { readonly type: "key"; readonly keyId: Uint8Array }
    | { readonly type: "name"; readonly name: Uint8Array };
  readonly producedAtMs: number;
  readonly answers: readonly OcspAnswer[];
  readonly nonce: Bytes | undefined;
  /** DER of what was put beside the signature. */
  readonly certificates: readonly Uint8Array[];
}

export interface OcspResponse {
  readonly der: Bytes;
  readonly status: OcspResponseStatus;
  /** With the status `successful` only. */
  readonly basic: BasicOcspResponse | undefined;
}

function malformed(what: string): PkiError {
  return new PkiError("malformed", `cannot read OCSP response: ${what}`);
}

function readCertStatus(reader: DerReader): OcspCertStatus {
  const { tag, content } = reader.read();
  if (tag === contextTag(1, true)) {
    const revoked = new DerReader(content);
    const revokedMs = parseGeneralizedTime(revoked.read());
    const reason = revoked.readOptional(contextTag(0, true));
    revoked.end();
    return {
      type: "revoked",
      revokedMs,
      reason: reason ? parseReason(reason.content) : "unspecified",
    };
  }
  const isGood = tag === contextTag(0, false);
  if (!isGood && tag !== contextTag(2, false) || content.length > 0) {
    throw malformed("a state that is none of good, revoked and unknown");
  }
  return { type: isGood ? "good" : "unknown" };
}

function readAnswer(list: DerReader): OcspAnswer {
  const reader = list.enter(TAG.sequence);
  const certId = readCertId(reader);
  const status = readCertStatus(reader);
  const thisUpdateMs = parseGeneralizedTime(reader.read());
  const nextUpdate = reader.readOptional(contextTag(0, true));
  const nextUpdateMs = nextUpdate &&
    parseGeneralizedTime(readWhole(nextUpdate.content, TAG.generalizedTime));
  const extensions = reader.readOptional(contextTag(1, true));
  if (extensions) readOcspExtensions(extensions.content);
  reader.end();
  return { certId, status, thisUpdateMs, nextUpdateMs };
}

function readResponder(reader: DerReader): BasicOcspResponse["responder"] {
  const byName = reader.readOptional(contextTag(1, true));
  if (byName) return { type: "name", name: readWhole(byName.content, TAG.sequence).whole };
  const { content } = reader.read(contextTag(2, true));
  return { type: "key", keyId: readWhole(content, TAG.octetString).content };
}

function readAll<T>(
  list: DerReader,
  { max, what, readOne }: {
    readonly max: number;
    readonly what: string;
    readonly readOne: (list: DerReader) => T;
  },
): readonly T[] {
  const all: T[] = [];
  while (!list.isAtEnd) {
    if (all.length === max) throw malformed(`more than ${max} ${what}`);
    all.push(readOne(list));
  }
  return all;
}

function readBasic(content: Uint8Array): BasicOcspResponse {
  const outer = new DerReader(readWhole(content, TAG.sequence).content);
  const tbsElement = outer.read(TAG.sequence);
  const signatureAlgorithm = outer.read(TAG.sequence);
  const signature = parseWholeBits(outer.read(TAG.bitString).content);
  const certificatesElement = outer.readOptional(contextTag(0, true));
  outer.end();

  const reader = new DerReader(tbsElement.content);
  checkVersion1(reader);
  const responder = readResponder(reader);
  const producedAtMs = parseGeneralizedTime(reader.read());
  const answers = readAll(reader.enter(TAG.sequence), {
    max: ANSWERS_MAX,
    what: "answers",
    readOne: readAnswer,
  });
  const extensions = reader.readOptional(contextTag(1, true));
  reader.end();
  const certificates = certificatesElement
    ? readAll(new DerReader(readWhole(certificatesElement.content, TAG.sequence).content), {
      max: CERTIFICATES_MAX,
      what: "certificates",
      readOne: (list) => list.read(TAG.sequence).whole,
    })
    : [];
  return {
    tbs: tbsElement.whole,
    signatureAlgorithm,
    signature,
    responder,
    producedAtMs,
    answers,
    nonce: extensions && parseNonce(readOcspExtensions(extensions.content)),
    certificates,
  };
}

function parseStatus(content: Uint8Array): OcspResponseStatus {
  const code = parseSmallInteger(content);
  const statuses = Object.keys(STATUS_CODES) as OcspResponseStatus[];
  const status = statuses.find((name) => STATUS_CODES[name] === code);
  if (!status) throw malformed("an unknown status");
  return status;
}

/**
 * Reads a response of the basic type.
 * @throws {PkiError} `malformed`
 */
export function parseOcspResponse(bytes: Uint8Array): OcspResponse {
  if (bytes.length > RESPONSE_BYTES_MAX) {
    throw malformed(`${bytes.length} bytes, at most ${RESPONSE_BYTES_MAX} accepted`);
  }
  return readAs("OCSP response", () => readResponse(copyBytes(bytes)));
}

function readResponse(der: Bytes): OcspResponse {
  const outer = new DerReader(readWhole(der, TAG.sequence).content);
  const status = parseStatus(outer.read(TAG.enumerated).content);
  const bytesElement = outer.readOptional(contextTag(0, true));
  outer.end();
  if ((status === "successful") !== (bytesElement !== undefined)) {
    throw malformed("an answer without success, or success without an answer");
  }
  if (!bytesElement) return { der, status, basic: undefined };
  const reader = new DerReader(readWhole(bytesElement.content, TAG.sequence).content);
  const type = parseOid(reader.read(TAG.oid).content);
  if (type !== BASIC_OID) throw malformed(`the type ${type}, where the basic one is accepted`);
  const { content } = reader.read(TAG.octetString);
  reader.end();
  return { der, status, basic: readBasic(content) };
}
