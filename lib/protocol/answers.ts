/**
 * The answers of `pki/1`, as schemas: what a server may send. A client checks what it receives against
 * these before it looks at any field.
 */

import * as v from "valibot";
import { parseLatin1 } from "../base/bytes.ts";
import { type ErrorReport, PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { base64, count, id, serial, signature } from "./fields.ts";
import { encodeFrameText } from "./frame.ts";
import { encodeObject, parseObject } from "./json_object.ts";
import {
  announced,
  bytes32,
  crlNumber,
  der,
  note,
  opaque,
  SUCCESSIONS_MAX,
  successionSchema,
  time,
} from "./message_fields.ts";
import type { RequestType } from "./requests.ts";
import { cached } from "./schema_cache.ts";

/** The name of a log's key, which is an origin of some 250 characters, and the key. */
const VERIFIER_KEY_CHARACTERS_MAX = 512;
/** A log of 2^63 entries has no longer inclusion proof (RFC 9162, section 2.1.3); our sizes end at 2^53. */
const PROOF_HASHES_MAX = 64;
/** A leaf of the log: its public part holds a certificate in base64 and little else. */
const LEAF_BYTES_MAX = 32_768;

/** What was asked for and not taken from a request, a phrase each; some dozens say enough. */
export const IGNORED_MAX = { phrases: 64, characters: 200 } as const;

/** As much of what was ignored as an answer carries. */
export function shortenIgnored(phrases: readonly string[]): string[] {
  return phrases.slice(0, IGNORED_MAX.phrases)
    .map((phrase) => phrase.slice(0, IGNORED_MAX.characters).toWellFormed());
}

const ignored = () =>
  v.pipe(
    v.array(v.pipe(v.string(), v.maxLength(IGNORED_MAX.characters))),
    v.maxLength(IGNORED_MAX.phrases),
  );

const proof = () => v.pipe(v.array(bytes32()), v.maxLength(PROOF_HASHES_MAX));

/** The fields of an `OK` answer to each request, besides `seq` and `type`; made when they are needed. */
const ANSWERS = {
  HELLO: () =>
    v.object({
      root: der(),
      domain: v.pipe(v.string(), v.maxLength(200)),
      versions: v.array(v.pipe(v.string(), v.maxLength(32))),
      time: time(),
      log: v.object({
        key: v.pipe(v.string(), v.minLength(1), v.maxLength(VERIFIER_KEY_CHARACTERS_MAX)),
        signature: signature(),
        /** The issuing CA whose signature it is; absent where it is the root's. */
        issuer: v.optional(der()),
      }),
      successions: v.optional(
        v.pipe(v.array(successionSchema()), v.maxLength(SUCCESSIONS_MAX)),
        [],
      ),
      /** One of `REGISTRATIONS`; a later version may have others. */
      registration: v.optional(v.pipe(v.string(), v.maxLength(32))),
    }),
  REGISTER: () => v.object({ response: opaque(), suite: v.string() }),
  REGISTER_FINISH: () => v.object({}),
  LOGIN: () => v.object({ response: opaque(), suite: v.string() }),
  LOGIN_FINISH: () => v.object({ id: id() }),
  LOGIN_CERTIFICATE: () => v.object({ id: id() }),
  PASSWD: () => v.object({ response: opaque(), suite: v.string() }),
  PASSWD_FINISH: () => v.object({}),
  CSR: () =>
    v.object({
      certificate: der(),
      issuing: der(),
      index: count(),
      ignored: v.optional(ignored(), []),
    }),
  CERTUP: () => v.object({ nonce: bytes32() }),
  CERTUP_FINISH: () => v.object({}),
  CERTREQ: () => v.object({ certificate: der(), issuing: der(), index: count() }),
  PROOF: () =>
    v.object({
      checkpoint: note(),
      consistency: v.optional(proof()),
      leaf: v.optional(base64(1, LEAF_BYTES_MAX)),
      inclusion: v.optional(proof()),
    }),
  STATUS: () => v.object({ response: base64(1, LIMITS.ocspResponseBytesMax) }),
  CRL: () =>
    v.object({
      number: crlNumber(),
      bytes: count(),
      offset: count(),
      chunk: base64(0, LIMITS.crlChunkBytesMax),
    }),
  REVOKE: () => v.object({ serial: serial(), time: time() }),
  ANNOUNCE: () => v.object({}),
  LOCATE: () => v.object({ addresses: announced(), seconds: count() }),
} as const;

const answerSchema = cached((type: RequestType) => ANSWERS[type]());

export type AnswerOf<T extends RequestType> = v.InferOutput<ReturnType<(typeof ANSWERS)[T]>>;
export type Answer = { readonly [key: string]: unknown };

const makeEnvelope = () =>
  v.object({
    seq: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
    type: v.picklist(["OK", "ERROR"]),
    code: v.optional(v.pipe(v.string(), v.maxLength(64))),
    message: v.optional(v.pipe(v.string(), v.maxLength(4096))),
  });

let envelope: ReturnType<typeof makeEnvelope> | undefined;

/** The fields of an answer that were written down before, by {@link encodeFields}. */
export class WrittenFields {
  readonly json: string;

  constructor(answer: Answer) {
    this.json = JSON.stringify(answer);
  }
}

/** The fields of an `OK` answer as JSON: whoever answers need not know `seq`. */
export function encodeFields(answer: Answer | WrittenFields): string {
  return answer instanceof WrittenFields ? answer.json : JSON.stringify(answer);
}

export function encodeAnswer(
  seqNumber: number,
  answer: Answer | WrittenFields,
): Uint8Array<ArrayBuffer> {
  return encodeAnswerOf(seqNumber, encodeFields(answer));
}

/** @param fields what {@link encodeFields} made */
export function encodeAnswerOf(seqNumber: number, fields: string): Uint8Array<ArrayBuffer> {
  return parseLatin1(encodeAnswerText(seqNumber, fields));
}

/** As {@link encodeAnswerOf}, in Latin-1. */
export function encodeAnswerText(seqNumber: number, fields: string): string {
  const rest = fields === "{}" ? "}" : `,${fields.slice(1)}`;
  return encodeFrameText(`{"seq":${seqNumber},"type":"OK"${rest}`);
}

/** `seq` is 0 where the error is not the answer to a request (busy, timeout). */
export function encodeError(seqNumber: number, report: ErrorReport): Uint8Array<ArrayBuffer> {
  return encodeObject({ seq: seqNumber, type: "ERROR", ...report });
}

/** What a client receives, before it is known which request it answers. */
export type ParsedAnswer =
  | { readonly seq: number; readonly ok: true; readonly body: Record<string, unknown> }
  | { readonly seq: number; readonly ok: false; readonly error: ErrorReport };

/** @throws {PkiError} `protocol` */
export function parseAnswer(body: Uint8Array): ParsedAnswer {
  const value = parseObject(body);
  const parsed = v.safeParse(envelope ??= makeEnvelope(), value);
  if (!parsed.success) throw new PkiError("protocol", "cannot read answer: it is not an answer");
  const { seq: answered, type, code = "REFUSED", message = "refused" } = parsed.output;
  return type === "OK"
    ? { seq: answered, ok: true, body: value }
    : { seq: answered, ok: false, error: { code, message } };
}

/** Checks the fields of the answer to a request of this type. @throws {PkiError} `protocol` */
export function parseAnswerBody<T extends RequestType>(type: T, body: unknown): AnswerOf<T> {
  const parsed = v.safeParse(answerSchema(type), body);
  if (!parsed.success) {
    throw new PkiError(
      "protocol",
      `cannot read the answer to ${type}: its fields are not as they should be`,
    );
  }
  return parsed.output as AnswerOf<T>;
}
