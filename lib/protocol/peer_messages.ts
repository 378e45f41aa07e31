/**
 * What peers say to each other, frame by frame: the types of frames and the control messages of
 * `pki-peer/1`, as schemas. What may come when is in `peer.ts`; how it is sent in `peer_sender.ts`.
 */

import * as v from "valibot";
import { type Bytes, parseUtf8, utf8 } from "../base/bytes.ts";
import { type ErrorReport, PkiError } from "../base/errors.ts";
import { parseJson, RepeatedName } from "../base/json.ts";
import { LIMITS } from "../base/limits.ts";
import { ENDORSEMENT_FIELDS, ENDORSEMENTS_MAX } from "./endorsement.ts";
import { base64, count, signature } from "./fields.ts";
import { encodeFrame } from "./frame.ts";
import { NONCE_BYTES } from "./safety_words.ts";

export const PEER_PROTOCOL = "pki-peer/1";

export const FRAME_TYPE = { control: 1, text: 2, data: 3, end: 4, file: 5 } as const;

/** Frames of this type and above are skipped: room for later versions. */
export const SKIPPED_TYPE_MIN = 128;

/** A talk has messages and files, a pipe bytes; each side says which it sends. */
export type LineMode = "talk" | "pipe" | "files";

/** Whether somebody who converses in this mode offers and takes files. */
export function hasFiles(mode: LineMode): boolean {
  return mode !== "pipe";
}

/** What stands before the bytes in a frame of a file: its type, and the number of the file. */
export const FILE_HEAD_BYTES = 5;

/** What a part of a message begins with. */
export const PART = { last: 0, more: 1 } as const;

const SHA256_BYTES = 32;
const NUMBER_MAX = 0xffff_ffff;
export const NAME_BYTES_MAX = 255;
export const PATH_NAMES_MAX = 64;
const PERMISSIONS_MAX = 0o777;
const CODE_CHARACTERS_MAX = 64;
export const MESSAGE_CHARACTERS_MAX = 1024;

/** What a side hears that is refused and shall not learn why. */
export const NO_REASON: ErrorReport = { code: "REFUSED", message: "no reason is given" };

const number = v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.maxValue(NUMBER_MAX));
const sha256 = base64(SHA256_BYTES, SHA256_BYTES);
const code = v.pipe(v.string(), v.maxLength(CODE_CHARACTERS_MAX));
const message = v.pipe(v.string(), v.maxLength(MESSAGE_CHARACTERS_MAX));
/** Half of a character would be another name for each side. */
const name = v.pipe(
  v.string(),
  v.minLength(1),
  v.maxLength(NAME_BYTES_MAX),
  v.check((text) => text.isWellFormed() && utf8(text).length <= NAME_BYTES_MAX, "not a name"),
);
const path = v.pipe(v.array(name), v.minLength(1), v.maxLength(PATH_NAMES_MAX), v.readonly());

const ENDORSEMENT = v.object(ENDORSEMENT_FIELDS);

const HELLO = v.object({
  type: v.literal("HELLO"),
  mode: v.picklist(["talk", "pipe", "files"]),
  commitment: sha256,
  /** An OCSP response (RFC 6960) about the certificate that this side shows in TLS. */
  status: v.optional(base64(1, LIMITS.ocspResponseBytesMax)),
  silence: v.pipe(
    v.number(),
    v.safeInteger(),
    v.minValue(LIMITS.silenceMsMin),
    v.maxValue(LIMITS.silenceMsMax),
  ),
  wait: v.optional(v.boolean()),
  endorsements: v.optional(v.pipe(v.array(ENDORSEMENT), v.maxLength(ENDORSEMENTS_MAX))),
  transcript: v.optional(v.boolean()),
});

const FILE_CONTROLS = [
  v.object({ type: v.literal("OFFER"), transfer: number, name, files: number, bytes: count() }),
  v.object({ type: v.literal("ACCEPT"), transfer: number }),
  v.object({ type: v.literal("DECLINE"), transfer: number, code, message }),
  v.object({
    type: v.literal("FILE"),
    file: number,
    path,
    kind: v.picklist(["file", "folder"]),
    size: count(),
    permissions: v.pipe(count(), v.maxValue(PERMISSIONS_MAX)),
    modified: v.pipe(v.number(), v.safeInteger()),
  }),
  v.object({ type: v.literal("HAVE"), file: number, bytes: count(), sha256 }),
  v.object({ type: v.literal("FROM"), file: number, offset: count() }),
  v.object({ type: v.literal("FILE_END"), file: number, path, size: count(), sha256 }),
  v.object({ type: v.literal("STORED"), file: number }),
  v.object({ type: v.literal("FAILED"), file: number, code, message }),
  v.object({ type: v.literal("DONE"), transfer: number }),
  v.object({
    type: v.literal("CANCEL"),
    transfer: number,
    side: v.picklist(["sender", "receiver"]),
    message,
  }),
] as const;

const FILE_CONTROL = v.variant("type", FILE_CONTROLS);

const CONTROL = v.variant("type", [
  HELLO,
  v.object({ type: v.literal("NONCE"), nonce: base64(NONCE_BYTES, NONCE_BYTES) }),
  v.object({ type: v.literal("WAIT"), reason: v.picklist(["asked", "busy"]) }),
  v.object({ type: v.literal("READY"), signs: v.boolean() }),
  v.object({ type: v.literal("REFUSED"), code, message }),
  v.object({ type: v.literal("DELIVERED"), messages: count() }),
  v.object({ type: v.literal("RECEIVED"), bytes: count() }),
  v.object({ type: v.literal("SIGNATURE"), signature: signature() }),
  v.object({ type: v.literal("ALIVE") }),
  v.object({ type: v.literal("LEAVING"), code, message }),
  ...FILE_CONTROLS,
]);

export type Control = v.InferOutput<typeof CONTROL>;
export type Hello = v.InferOutput<typeof HELLO>;
export type WaitReason = "asked" | "busy";
/** What is said about files: an offer, a file of it, what came of it. Hashes are base64. */
export type FileControl = v.InferOutput<typeof FILE_CONTROL>;

const FILE_TYPES: ReadonlySet<string> = new Set(
  FILE_CONTROLS.map(({ entries }) => entries.type.literal),
);

export function isFileControl(control: Control): control is FileControl {
  return FILE_TYPES.has(control.type);
}

export function broke(what: string): PkiError {
  return new PkiError("protocol", `the peer broke the protocol: ${what}`);
}

export function encodeControl(control: Control): Bytes {
  return encodeFrame(Uint8Array.of(FRAME_TYPE.control), utf8(JSON.stringify(control)));
}

/** Types with a small letter are of later versions, and may be skipped by who does not know them. */
function isSkippable(value: unknown): boolean {
  return typeof value === "object" && value !== null && "type" in value &&
    typeof value.type === "string" && /^[a-z]/.test(value.type);
}

/**
 * Reads the body of a control frame; `undefined` for one that is to be skipped.
 * @throws {PkiError} `protocol`
 */
export function parseControl(body: Uint8Array): Control | undefined {
  let value: unknown;
  try {
    value = parseJson(parseUtf8(body));
  } catch (cause) {
    throw broke(
      cause instanceof RepeatedName
        ? "a control frame with a name twice"
        : "a control frame that is not JSON in UTF-8",
    );
  }
  if (isSkippable(value)) return undefined;
  const parsed = v.safeParse(CONTROL, value);
  if (!parsed.success) throw broke("an unknown control frame");
  return parsed.output;
}
