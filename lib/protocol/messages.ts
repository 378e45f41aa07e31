/**
 * The messages of `pki/1`, as schemas: what a client may send, what a server answers. Each side
 * checks what it receives against these before it looks at any field. `docs/protocol.md` describes
 * them for people.
 */

import * as v from "valibot";
import { isAscii, parseLatin1, parseUtf8, utf8 } from "../base/bytes.ts";
import { type ErrorReport, PkiError } from "../base/errors.ts";
import { parseJson, RepeatedName } from "../base/json.ts";
import { LIMITS } from "../base/limits.ts";
import { isId } from "../x509/names.ts";
import { base64, isBase64 } from "./fields.ts";
import { encodeFrame, encodeFrameText } from "./frame.ts";
import { INVITATION_TOKEN_BYTES } from "./invitation.ts";

export const PROTOCOL = "pki/1";

/** The one OPAQUE configuration that both sides accept (RFC 9807, section 7; RFC 9106 for Argon2id). */
export const OPAQUE_SUITE = "opaque-3dh ristretto255 sha512 argon2id-t3-m65536-p4";

/** Who may register: anybody, whoever has an invitation, nobody. */
export const REGISTRATIONS = ["open", "invite", "closed"] as const;
export type Registration = (typeof REGISTRATIONS)[number];

/** A checkpoint as a note: an origin of some 250 characters, a size, a root, a signature or a few. */
const NOTE_CHARACTERS_MAX = 2048;
/** The name of a log's key and the key; see {@link NOTE_CHARACTERS_MAX}. */
const VERIFIER_KEY_CHARACTERS_MAX = 512;
/** A log of 2^63 entries has no longer inclusion proof (RFC 9162, section 2.1.3); our sizes end at 2^53. */
const PROOF_HASHES_MAX = 64;
/** The newest of the CAs that followed each other; one takes 5 KB where CAs have RSA keys. */
export const SUCCESSIONS_MAX = 8;
/** A leaf of the log: its public part holds a certificate in base64 and little else. */
const LEAF_BYTES_MAX = 32_768;

const seq = () => v.pipe(v.number(), v.safeInteger(), v.minValue(1));
const id = () => v.pipe(v.string(), v.check(isId, "not a possible id"));

const der = () => base64(1, LIMITS.derBytesMax);
const bytes32 = () => base64(32, 32);
/** OPAQUE messages travel as their library makes them: base64url without padding. */
const opaque = () =>
  v.pipe(v.string(), v.maxLength(1024), v.regex(/^[A-Za-z0-9_-]+$/, "not base64url"));
/** A serial number's content bytes in hex (RFC 5280, section 4.1.2.2). */
const serial = () =>
  v.pipe(v.string(), v.regex(/^(?:[0-9a-f]{2}){1,20}$/, "not a serial number in hex"));
/** SHA-256 in hex: of a CA's certificate. */
const fingerprint = () => v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, "not a fingerprint"));
const time = () => v.pipe(v.string(), v.isoTimestamp());
/** Why an owner revokes; the other reasons of RFC 5280 (section 5.3.1) are for administrators. */
export const OWNER_REASONS = [
  "unspecified",
  "keyCompromise",
  "affiliationChanged",
  "superseded",
  "cessationOfOperation",
] as const;
/** The size of the log, or the index of an entry. */
const count = () => v.pipe(v.number(), v.safeInteger(), v.minValue(0));
/** A CRL's number in decimal: up to 20 bytes (RFC 5280, section 5.2.3). */
const crlNumber = () => v.pipe(v.string(), v.regex(/^\d{1,49}$/, "not a number"));
const note = () => v.pipe(v.string(), v.minLength(1), v.maxLength(NOTE_CHARACTERS_MAX));
const proof = () => v.pipe(v.array(bytes32()), v.maxLength(PROOF_HASHES_MAX));
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
    signature: base64(1, 1024),
  });
/** What was asked for and not taken from a request, a phrase each; some dozens say enough. */
export const IGNORED_MAX = { phrases: 64, characters: 200 } as const;

/** As much of what was ignored as an answer carries. */
export function shortenIgnored(phrases: readonly string[]): string[] {
  return phrases.slice(0, IGNORED_MAX.phrases)
    .map((phrase) => phrase.slice(0, IGNORED_MAX.characters).toWellFormed());
}

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

const announced = () =>
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

const ignored = () =>
  v.pipe(
    v.array(v.pipe(v.string(), v.maxLength(IGNORED_MAX.characters))),
    v.maxLength(IGNORED_MAX.phrases),
  );

/**
 * Schemas are made when they are first needed: a worker serves one connection, and most connections
 * need a few of them.
 */
const REQUESTS = {
  HELLO: () => v.strictObject({ seq: seq(), type: v.literal("HELLO") }),
  REGISTER: () =>
    v.strictObject({
      seq: seq(),
      type: v.literal("REGISTER"),
      id: id(),
      request: opaque(),
      invitation: v.optional(base64(INVITATION_TOKEN_BYTES, INVITATION_TOKEN_BYTES)),
    }),
  REGISTER_FINISH: () =>
    v.strictObject({ seq: seq(), type: v.literal("REGISTER_FINISH"), record: opaque() }),
  LOGIN: () =>
    v.strictObject({ seq: seq(), type: v.literal("LOGIN"), id: id(), request: opaque() }),
  LOGIN_FINISH: () =>
    v.strictObject({
      seq: seq(),
      type: v.literal("LOGIN_FINISH"),
      finish: opaque(),
      binding: bytes32(),
      checkpoint: v.optional(note()),
    }),
  LOGIN_CERTIFICATE: () =>
    v.strictObject({
      seq: seq(),
      type: v.literal("LOGIN_CERTIFICATE"),
      checkpoint: v.optional(note()),
    }),
  PASSWD: () => v.strictObject({ seq: seq(), type: v.literal("PASSWD"), request: opaque() }),
  PASSWD_FINISH: () =>
    v.strictObject({ seq: seq(), type: v.literal("PASSWD_FINISH"), record: opaque() }),
  CSR: () => v.strictObject({ seq: seq(), type: v.literal("CSR"), csr: der() }),
  CERTUP: () => v.strictObject({ seq: seq(), type: v.literal("CERTUP"), certificate: der() }),
  CERTUP_FINISH: () =>
    v.strictObject({
      seq: seq(),
      type: v.literal("CERTUP_FINISH"),
      nonce: bytes32(),
      clientNonce: bytes32(),
      signature: base64(1, 1024),
    }),
  CERTREQ: () => v.strictObject({ seq: seq(), type: v.literal("CERTREQ"), id: id() }),
  PROOF: () =>
    v.strictObject({
      seq: seq(),
      type: v.literal("PROOF"),
      from: v.optional(count()),
      index: v.optional(count()),
    }),
  STATUS: () =>
    v.strictObject({
      seq: seq(),
      type: v.literal("STATUS"),
      request: base64(1, LIMITS.ocspRequestBytesMax),
    }),
  CRL: () =>
    v.strictObject({
      seq: seq(),
      type: v.literal("CRL"),
      issuer: v.optional(fingerprint()),
      number: v.optional(crlNumber()),
      offset: v.optional(count()),
    }),
  REVOKE: () =>
    v.strictObject({
      seq: seq(),
      type: v.literal("REVOKE"),
      serial: serial(),
      reason: v.optional(v.picklist(OWNER_REASONS)),
    }),
  ANNOUNCE: () =>
    v.strictObject({
      seq: seq(),
      type: v.literal("ANNOUNCE"),
      addresses: announced(),
      seconds: v.pipe(
        v.number(),
        v.safeInteger(),
        v.minValue(ANNOUNCED.secondsMin),
        v.maxValue(ANNOUNCED.secondsMax),
      ),
    }),
  LOCATE: () => v.strictObject({ seq: seq(), type: v.literal("LOCATE"), id: id() }),
} as const;

export type RequestType = keyof typeof REQUESTS;
type Requests = { readonly [T in RequestType]: v.InferOutput<ReturnType<(typeof REQUESTS)[T]>> };
export type Request = Requests[RequestType];
export type RequestOf<T extends RequestType> = Requests[T];
/** A request's own fields, without those that every request has. */
export type RequestBody<T extends RequestType> = Omit<RequestOf<T>, "seq" | "type">;

export const REQUEST_TYPES = Object.keys(REQUESTS) as readonly RequestType[];

/** Every schema once, as the functions above make it. */
function cached<T extends RequestType, S>(make: (type: T) => S): (type: T) => S {
  const made = new Map<T, S>();
  return (type) => {
    const schema = made.get(type) ?? make(type);
    made.set(type, schema);
    return schema;
  };
}

const requestSchema = cached((type: RequestType) => REQUESTS[type]());

const versions = () => v.array(v.pipe(v.string(), v.maxLength(32)));

/** The fields of an `OK` answer to each request, besides `seq` and `type`. */
const ANSWERS = {
  HELLO: () =>
    v.object({
      root: der(),
      domain: v.pipe(v.string(), v.maxLength(200)),
      versions: versions(),
      time: v.pipe(v.string(), v.isoTimestamp()),
      log: v.object({
        key: v.pipe(v.string(), v.minLength(1), v.maxLength(VERIFIER_KEY_CHARACTERS_MAX)),
        signature: base64(1, 1024),
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

/** JSON of one frame: an object, in strict UTF-8, no name twice. @throws {PkiError} `protocol` */
export function parseObject(body: Uint8Array): Record<string, unknown> {
  return readObject(() => parseUtf8(body));
}

function readObject(read: () => string): Record<string, unknown> {
  let value: unknown;
  try {
    value = parseJson(read());
  } catch (cause) {
    const why = cause instanceof RepeatedName ? "has a name twice" : "is not JSON in UTF-8";
    throw new PkiError("protocol", `cannot read message: it ${why}`, { cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new PkiError("protocol", "cannot read message: it is not an object");
  }
  return value as Record<string, unknown>;
}

function isNote(value: unknown): boolean {
  return typeof value === "string" && value.length >= 1 && value.length <= NOTE_CHARACTERS_MAX;
}

/**
 * Whether it is a good request of a type that a busy server does little else than answer. It looks
 * at what the schemas look at, in a tenth of the time where the engine has not compiled them yet, as
 * in a worker that serves one connection. What is not good is left to the schemas.
 */
function isFrequent(value: Readonly<Record<string, unknown>>): value is Request {
  const { seq: number, type } = value;
  if (!Number.isSafeInteger(number) || Number(number) < 1) return false;
  const fields = Object.keys(value).length - 2;
  switch (type) {
    case "HELLO":
      return fields === 0;
    case "LOGIN_CERTIFICATE":
      return fields === 0 || fields === 1 && isNote(value["checkpoint"]);
    case "CSR":
      return fields === 1 && isBase64(value["csr"], 1, LIMITS.derBytesMax);
    case "CERTREQ":
      return fields === 1 && typeof value["id"] === "string" && isId(value["id"]);
    default:
      return false;
  }
}

/** A request, or why it cannot be one although its `seq` is known. */
export type ParsedRequest =
  | { readonly ok: true; readonly request: Request }
  | { readonly ok: false; readonly seq: number; readonly error: PkiError };

/**
 * Reads one request.
 * @throws {PkiError} `protocol` where not even a `seq` can be answered
 */
export function parseRequest(body: Uint8Array): ParsedRequest {
  return checkRequest(parseObject(body));
}

/** As {@link parseRequest}, of bytes in Latin-1. @throws {PkiError} `protocol` */
export function parseRequestText(body: string): ParsedRequest {
  return checkRequest(readObject(() => isAscii(body) ? body : parseUtf8(parseLatin1(body))));
}

/**
 * Checks the fields of a request, which may come from another thread.
 * @throws {PkiError} `protocol` where not even a `seq` can be answered
 */
export function checkRequest(value: Readonly<Record<string, unknown>>): ParsedRequest {
  if (isFrequent(value)) return { ok: true, request: value };
  const parsedSeq = v.safeParse(seq(), value["seq"]);
  if (!parsedSeq.success) {
    throw new PkiError("protocol", 'cannot read message: "seq" is not a positive integer');
  }
  const refuse = (message: string): ParsedRequest => ({
    ok: false,
    seq: parsedSeq.output,
    error: new PkiError("malformed", message),
  });
  const type = value["type"];
  if (typeof type !== "string" || !Object.hasOwn(REQUESTS, type)) {
    return refuse("cannot read message: its type is unknown");
  }
  const schema = requestSchema(type as RequestType);
  const parsed = v.safeParse(schema, value);
  if (parsed.success) return { ok: true, request: parsed.output };
  const [issue] = parsed.issues;
  const field = String(issue.path?.[0].key ?? ""); // of a list, not which of its items
  return refuse(
    Object.hasOwn(schema.entries, field)
      ? `cannot read ${type}: "${field}" is missing or not as it should be`
      : `cannot read ${type}: it has a field too many`,
  );
}

export function encodeRequest<T extends RequestType>(
  seqNumber: number,
  type: T,
  body: RequestBody<T>,
): Uint8Array {
  return encodeFrame(utf8(JSON.stringify({ seq: seqNumber, type, ...body })));
}

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
  return encodeFrame(utf8(JSON.stringify({ seq: seqNumber, type: "ERROR", ...report })));
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
