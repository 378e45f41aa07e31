/**
 * The messages of the administration socket (`admin.sock` in the data folder): frames and JSON as on
 * the wire (`json_object.ts`), one request at a time. Whoever can connect owns the folder, so an error
 * is told with all its detail.
 *
 * A new request is a new row of {@link MESSAGES}.
 */

import * as v from "valibot";
import { LIMITS } from "../base/limits.ts";
import { ERROR_KINDS, kindOfWireCode, packError, PkiError } from "../base/errors.ts";
import { base64, count, id, serial } from "./fields.ts";
import { INVITATION_TOKEN_BYTES } from "./invitation.ts";
import { encodeObject, parseObject } from "./json_object.ts";
import { measuredSchema } from "./measured.ts";
import { REGISTRATIONS } from "./message_fields.ts";

export const ADMIN_SOCKET_NAME = "admin.sock";

/** Why an administrator revokes; `certificateHold` and `removeFromCRL` would need a way back. */
export const ADMIN_REASONS = [
  "unspecified",
  "keyCompromise",
  "cACompromise",
  "affiliationChanged",
  "superseded",
  "cessationOfOperation",
  "privilegeWithdrawn",
  "aACompromise",
] as const;

/** Enough for any sentence of ours with a path in it; an answer has to fit into a frame. */
const MESSAGE_CHARACTERS_MAX = 8192;

/** An invitation is for people who are waited for, not for a company poster. */
export const INVITATION_MS_MAX = 365 * LIMITS.dayMs;
export const INVITATION_USES_MAX = 10_000;

/** Rows of a list in one answer; fewer where they would not fit into a frame. */
export const LIST_ROWS_MAX = 150;
/** Names in one certificate. */
const NAMES_MAX = 100;

const names = v.pipe(v.array(v.pipe(v.string(), v.maxLength(253))), v.maxLength(NAMES_MAX));
const der = v.pipe(v.string(), v.maxLength(Math.ceil(LIMITS.derBytesMax / 3) * 4));
const milliseconds = count();
const index = count();
const row = v.object({
  entry: index,
  serial: serial(),
  profile: v.string(),
  id: v.nullable(v.string()),
  /** Whom or what it is for, where that is no user. */
  subject: v.nullable(v.string()),
  issuedMs: milliseconds,
  notAfterMs: milliseconds,
  revokedMs: v.nullable(milliseconds),
  reason: v.nullable(v.string()),
  issuerKeyId: v.string(),
});
/** Where the next page of a list begins. */
const place = v.strictObject({ notAfterMs: milliseconds, entry: index });

/** `host:port`, as an invitation carries it. */
const ADDRESS_CHARACTERS_MAX = 255;

const accountRow = v.object({
  id: id(),
  registeredMs: v.nullable(milliseconds),
  disabledMs: v.nullable(milliseconds),
  deletedMs: v.nullable(milliseconds),
  valid: index,
  notAfterMs: v.nullable(milliseconds),
});
const invitationRow = v.object({
  number: index,
  id: v.nullable(id()),
  isReset: v.boolean(),
  uses: index,
  usesLeft: index,
  madeMs: milliseconds,
  expiresMs: milliseconds,
});

/** What each request carries besides `seq` and `type`, and what its `OK` answer does. */
const MESSAGES = {
  /** What the server does and has done; `measured` is absent where an earlier version answers. */
  STATUS: {
    body: v.strictObject({}),
    answer: v.looseObject({ measured: v.optional(measuredSchema) }),
  },
  BACKUP: { body: v.strictObject({}), answer: v.looseObject({}) },
  /** Certifies a key for names that no user can ask for. */
  ISSUE: {
    body: v.strictObject({
      profile: v.picklist(["server", "service"]),
      /** Of a service. */
      name: v.optional(v.pipe(v.string(), v.maxLength(63))),
      dns: v.optional(names),
      addresses: v.optional(names),
      /** One of both, DER in base64: a request, or a public key. */
      csr: v.optional(der),
      spki: v.optional(der),
      days: v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(1))),
    }),
    answer: v.object({
      certificate: v.string(),
      issuing: v.string(),
      index,
      ignored: v.array(v.string()),
    }),
  },
  /** A page of certificates. */
  LIST: {
    body: v.strictObject({
      id: v.optional(v.pipe(v.string(), v.maxLength(63))),
      serial: v.optional(serial()),
      profile: v.optional(v.pipe(v.string(), v.maxLength(32))),
      state: v.optional(v.picklist(["valid", "expired", "revoked"])),
      endsBeforeMs: v.optional(milliseconds),
      after: v.optional(place),
      limit: v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(1))),
    }),
    answer: v.object({ certificates: v.array(row), next: v.optional(place) }),
  },
  /** Revokes a certificate, or all of a user. */
  REVOKE: {
    body: v.strictObject({
      serial: v.optional(serial()),
      id: v.optional(v.pipe(v.string(), v.maxLength(63))),
      reason: v.picklist(ADMIN_REASONS),
    }),
    answer: v.object({ revoked: v.array(row), more: index }),
  },
  /** Makes an invitation to register; see `docs/protocol.md`. */
  INVITE: {
    body: v.strictObject({
      /** The only id that may be registered with it. */
      id: v.optional(id()),
      /** For somebody who has an account, and no password any more. */
      isReset: v.optional(v.boolean(), false),
      /** How long it can be used. */
      forMs: v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.maxValue(INVITATION_MS_MAX)),
      uses: v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.maxValue(INVITATION_USES_MAX)),
    }),
    answer: v.object({
      number: index,
      token: base64(INVITATION_TOKEN_BYTES, INVITATION_TOKEN_BYTES),
      expiresMs: milliseconds,
      /** Where clients reach the server, as it was told; absent where it does not know. */
      address: v.optional(v.pipe(v.string(), v.maxLength(ADDRESS_CHARACTERS_MAX))),
      registration: v.picklist(REGISTRATIONS),
    }),
  },
  /** A page of the invitations that can still be used. */
  INVITATIONS: {
    body: v.strictObject({ after: v.optional(index) }),
    answer: v.object({ invitations: v.array(invitationRow), next: v.optional(index) }),
  },
  /** Ends an invitation. */
  WITHDRAW: {
    body: v.strictObject({ number: index }),
    answer: v.object({ number: index }),
  },
  /** A page of accounts. */
  USERS: {
    body: v.strictObject({
      id: v.optional(id()),
      state: v.optional(v.picklist(["active", "disabled", "deleted"])),
      after: v.optional(id()),
      limit: v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(1))),
    }),
    answer: v.object({ users: v.array(accountRow), next: v.optional(id()) }),
  },
  /** Changes what an account may do. */
  USER: {
    body: v.strictObject({ id: id(), action: v.picklist(["disable", "enable", "delete"]) }),
    answer: v.object({
      user: accountRow,
      /** Certificates that were revoked with it, and entries of the log that were redacted. */
      revoked: index,
      redacted: index,
    }),
  },
  /** The CAs or the profiles of the data folder have changed. */
  RELOAD: { body: v.strictObject({}), answer: v.object({ issuing: v.string() }) },
} as const;

/** An account, and an invitation, of a list. */
export type ListedAccount = v.InferOutput<typeof accountRow>;
export type ListedInvitation = v.InferOutput<typeof invitationRow>;
/** A certificate of a list. */
export type ListedCertificate = v.InferOutput<typeof row>;
export type AdminType = keyof typeof MESSAGES;
export type AdminBody<T extends AdminType> = v.InferOutput<(typeof MESSAGES)[T]["body"]>;
export type AdminAnswer<T extends AdminType> = v.InferOutput<(typeof MESSAGES)[T]["answer"]>;
export type AdminRequestOf<T extends AdminType> = {
  readonly [U in T]: { readonly seq: number; readonly type: U; readonly body: AdminBody<U> };
}[T];
/** Any request: its `type` tells what its `body` is. */
export type AdminRequest = AdminRequestOf<AdminType>;

const seqSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(1));

/** A request, or why it cannot be one although its `seq` is known. */
export type ParsedAdminRequest =
  | { readonly ok: true; readonly request: AdminRequest }
  | { readonly ok: false; readonly seq: number; readonly error: PkiError };

/** @throws {PkiError} `protocol` where not even a `seq` can be answered */
export function parseAdminRequest(frame: Uint8Array): ParsedAdminRequest {
  const { seq, type, ...body } = parseObject(frame);
  if (!v.is(seqSchema, seq)) {
    throw new PkiError("protocol", 'cannot read message: "seq" is not a positive integer');
  }
  const refuse = (message: string): ParsedAdminRequest => ({
    ok: false,
    seq,
    error: new PkiError("malformed", message),
  });
  if (typeof type !== "string" || !Object.hasOwn(MESSAGES, type)) {
    return refuse("cannot read message: its type is unknown");
  }
  const parsed = v.safeParse(MESSAGES[type as AdminType].body, body);
  if (parsed.success) {
    return { ok: true, request: { seq, type, body: parsed.output } as AdminRequest };
  }
  const field = parsed.issues[0].path?.[0]?.key;
  return refuse(`cannot read ${type}: ${JSON.stringify(field)} is not as it should be`);
}

export function encodeAdminRequest(request: AdminRequest): Uint8Array<ArrayBuffer> {
  const { seq, type, body } = request;
  return encodeObject({ ...body, seq, type });
}

/** @throws {PkiError} `internal` if it does not fit into a frame */
export function encodeAdminAnswer(
  seq: number,
  answer: Readonly<Record<string, unknown>>,
): Uint8Array<ArrayBuffer> {
  return encodeObject({ ...answer, seq, type: "OK" });
}

/** How far a request is that takes long: parts of `total`, in a unit of its own. */
export interface AdminProgress {
  readonly done: number;
  readonly total: number;
}

export function encodeAdminProgress(
  seq: number,
  { done, total }: AdminProgress,
): Uint8Array<ArrayBuffer> {
  return encodeObject({ seq, type: "PROGRESS", done, total });
}

/** `seq` is 0 where the error is not the answer to a request. */
export function encodeAdminError(seq: number, error: unknown): Uint8Array<ArrayBuffer> {
  const { kind, message, hint } = packError(error);
  return encodeObject({
    seq,
    type: "ERROR",
    code: ERROR_KINDS[kind].wireCode,
    message: message.slice(0, MESSAGE_CHARACTERS_MAX),
    ...(hint === undefined ? {} : { hint: hint.slice(0, MESSAGE_CHARACTERS_MAX) }),
  });
}

const answeredSeq = count();
const text = v.pipe(v.string(), v.maxLength(MESSAGE_CHARACTERS_MAX));
const RESPONSE = v.variant("type", [
  v.looseObject({ seq: answeredSeq, type: v.literal("OK") }),
  v.object({ seq: answeredSeq, type: v.literal("PROGRESS"), done: count(), total: count() }),
  v.object({
    seq: answeredSeq,
    type: v.literal("ERROR"),
    code: v.pipe(v.string(), v.maxLength(64)),
    message: text,
    hint: v.optional(text),
  }),
]);

/** What comes back for a request, once or, with progress, several times. */
export type AdminResponse<T extends AdminType> =
  | { readonly type: "OK"; readonly answer: AdminAnswer<T> }
  | { readonly type: "PROGRESS"; readonly progress: AdminProgress }
  | { readonly type: "ERROR"; readonly error: PkiError };

/** @throws {PkiError} `protocol` where it answers nothing that was asked, or not as it should */
export function parseAdminResponse<T extends AdminType>(
  frame: Uint8Array,
  { seq: asked, type }: { readonly seq: number; readonly type: T },
): AdminResponse<T> {
  const parsed = v.safeParse(RESPONSE, parseObject(frame));
  if (!parsed.success) throw new PkiError("protocol", "cannot read answer: it is not an answer");
  const response = parsed.output;
  if (response.type === "ERROR" && (response.seq === asked || response.seq === 0)) {
    const { code, message, hint } = response;
    const options = hint === undefined ? {} : { hint };
    return { type: "ERROR", error: new PkiError(kindOfWireCode(code), message, options) };
  }
  if (response.seq !== asked) {
    throw new PkiError("protocol", "cannot read answer: it answers what was not asked");
  }
  if (response.type === "PROGRESS") return { type: "PROGRESS", progress: response };
  const { seq: _seq, type: _type, ...fields } = response;
  const answer = v.safeParse(MESSAGES[type].answer, fields);
  if (answer.success) return { type: "OK", answer: answer.output as AdminAnswer<T> };
  throw new PkiError(
    "protocol",
    `cannot read the answer to ${type}: its fields are not as they should be`,
  );
}
