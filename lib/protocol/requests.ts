/**
 * The requests of `pki/1`, as schemas: what a client may send. A server checks what it receives
 * against these before it looks at any field. When each may come is in `session.ts`.
 *
 * A new request is a new row of `REQUESTS`, of `ANSWERS` in `answers.ts`, and of `STEPS`.
 */

import * as v from "valibot";
import { PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { isId } from "../x509/names.ts";
import { base64, count, id, isBase64, serial, signature } from "./fields.ts";
import { INVITATION_TOKEN_BYTES } from "./invitation.ts";
import { encodeObject, parseObject, parseObjectText } from "./json_object.ts";
import {
  ANNOUNCED,
  announced,
  bytes32,
  crlNumber,
  der,
  fingerprint,
  isNote,
  isOpaque,
  note,
  opaque,
  OWNER_REASONS,
  seq,
} from "./message_fields.ts";
import { cached } from "./schema_cache.ts";

/** By type; made when they are needed. */
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
      signature: signature(),
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

const requestSchema = cached((type: RequestType) => REQUESTS[type]());

/**
 * Whether it is a good request of a type that a busy server does little else than answer. It looks
 * at what the schemas look at, in a tenth of the time where the engine has not compiled them yet, as
 * in a worker that serves one connection. What is not good is left to the schemas.
 */
function isFrequent(value: Readonly<Record<string, unknown>>): value is Request {
  const { seq: number, type } = value;
  if (!Number.isSafeInteger(number) || Number(number) < 1) return false;
  const fields = Object.keys(value).length - 2;
  const isName = () => typeof value["id"] === "string" && isId(value["id"]);
  /** No checkpoint beside so many other fields, or a good one. */
  const hasNoteBeside = (others: number) =>
    fields === others || fields === others + 1 && isNote(value["checkpoint"]);
  switch (type) {
    case "HELLO":
      return fields === 0;
    case "LOGIN":
      return fields === 2 && isName() && isOpaque(value["request"]);
    case "LOGIN_FINISH":
      return isOpaque(value["finish"]) && isBase64(value["binding"], 32, 32) && hasNoteBeside(2);
    case "LOGIN_CERTIFICATE":
      return hasNoteBeside(0);
    case "CSR":
      return fields === 1 && isBase64(value["csr"], 1, LIMITS.derBytesMax);
    case "CERTREQ":
      return fields === 1 && isName();
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
  return checkRequest(parseObjectText(body));
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
  return encodeObject({ seq: seqNumber, type, ...body });
}
