/**
 * The lines of a transcript's file: what each of them says, as JSON, and the running hash that ends
 * it. `docs/transcript.md` describes them. Here they are written and read one by one; in which order
 * they may come, and whether they are true, is for {@link file://./transcript_proof.ts}.
 */

import * as v from "valibot";
import { type Bytes, encodeHex, parseHex, parseUtf8, sha256, utf8 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { parseJson, RepeatedName } from "../base/json.ts";
import { LIMITS } from "../base/limits.ts";
import { printableJson } from "../base/printable.ts";
import { count, id, signature, TIME_MS_MAX } from "../protocol/fields.ts";
import { PEER_ROLES } from "../protocol/safety_words.ts";
import { isDomain } from "../x509/names.ts";

export const TRANSCRIPT_VERSION = 1;

/** PEM of a leaf and its issuing CA, or of a root. */
const PEM_CHARACTERS_MAX = 2 * Math.ceil(LIMITS.derBytesMax * 4 / 3 * 65 / 64) + 1024;
/** Of why a talk broke off. */
const WHY_CHARACTERS_MAX = 1024;

const place = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
const role = v.picklist(PEER_ROLES);
const hash = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, "not 64 digits of hex"));
/** As `Date` writes it, so that each time has one form. */
const time = v.pipe(
  v.string(),
  v.check((text) => {
    const ms = Date.parse(text);
    return Math.abs(ms) <= TIME_MS_MAX && new Date(ms).toISOString() === text;
  }, "not a time"),
);
const spokenTime = v.pipe(time, v.check((text) => Date.parse(text) >= 0, "not a time"));
const name = v.pipe(v.string(), v.check((text) => text.isWellFormed(), "not a name"));
const party = v.strictObject({
  id: id(),
  /** The 32 bytes that this side has committed to and revealed, from which the session is derived. */
  nonce: hash,
  /** Whether this side was willing to sign. */
  signs: v.boolean(),
  /** PEM of the leaf, then of its issuing CA. */
  certificates: v.pipe(v.string(), v.maxLength(PEM_CHARACTERS_MAX)),
});
const chainEnd = v.strictObject({ entries: count(), hash });

const LINE = v.variant("type", [
  v.strictObject({
    n: place,
    type: v.literal("transcript"),
    version: v.literal(TRANSCRIPT_VERSION),
    /** Whose file it is. */
    keeper: role,
    started: time,
    domain: v.pipe(v.string(), v.check(isDomain, "not a domain")),
    session: hash,
    caller: party,
    listener: party,
    root: v.pipe(v.string(), v.maxLength(PEM_CHARACTERS_MAX)),
  }),
  v.strictObject({
    n: place,
    type: v.literal("message"),
    from: role,
    /** Its place among what this side has said, files too. */
    number: place,
    /** By the sender's clock. */
    time: spokenTime,
    seen: count(),
    /** By the keeper's clock. */
    noted: time,
    text: v.pipe(v.string(), v.check((text) => text.isWellFormed(), "not text")),
    /** Of this side's chain after it. */
    hash,
  }),
  v.strictObject({
    n: place,
    type: v.literal("file"),
    from: role,
    number: place,
    path: v.pipe(v.array(name), v.minLength(1), v.maxLength(64)),
    size: count(),
    sha256: hash,
    noted: time,
    hash,
  }),
  v.strictObject({
    n: place,
    type: v.literal("signature"),
    by: role,
    noted: time,
    signature: signature(),
  }),
  v.strictObject({
    n: place,
    type: v.literal("end"),
    noted: time,
    /** Whether both sides said goodbye and everything was confirmed; if not, why. */
    complete: v.boolean(),
    why: v.nullable(v.pipe(v.string(), v.maxLength(WHY_CHARACTERS_MAX))),
    caller: chainEnd,
    listener: chainEnd,
  }),
  /** The keeper's signature over all lines before. */
  v.strictObject({ n: place, type: v.literal("seal"), by: role, signature: signature() }),
]);

/** What a line says, without its running hash. */
export type TranscriptLine = v.InferOutput<typeof LINE>;
/** As above, before it has its place in a file. */
export type Unplaced<T extends TranscriptLine = TranscriptLine> = T extends TranscriptLine
  ? Omit<T, "n">
  : never;
export type TranscriptHead = Extract<TranscriptLine, { type: "transcript" }>;
export type TranscriptParty = TranscriptHead["caller"];

/** Behind what a line says: the running hash over it and all lines before. */
const TAIL = /^,"line":"([0-9a-f]{64})"\}$/;
const TAIL_BYTES = ',"line":""}'.length + 64;

/**
 * The longest line: a message of 262,144 bytes of which each is escaped as six characters, or 64 names
 * of a path, or five certificates.
 */
export const TRANSCRIPT_LINE_BYTES_MAX = 2 * 1024 * 1024;

/** What the running hash is before the first line. */
export const FIRST_RUNNING_HASH = sha256(utf8("pki/1 transcript file\0"));

function runOn(before: Uint8Array, said: Uint8Array): Bytes {
  return sha256(before, said);
}

/** A line as it is written, with its end, and the running hash after it. */
export function encodeTranscriptLine(
  line: TranscriptLine,
  before: Uint8Array,
): { readonly text: string; readonly running: Bytes } {
  const said = printableJson(line).slice(0, -1);
  const running = runOn(before, utf8(said));
  return { text: `${said},"line":"${encodeHex(running)}"}\n`, running };
}

/** The running hash that a line says it has, and the one that it should have; `undefined` for no such line. */
export function runningHashesOf(
  bytes: Uint8Array,
  before: Uint8Array,
): { readonly said: Bytes; readonly right: Bytes } | undefined {
  const at = bytes.length - TAIL_BYTES;
  if (at < 0) return undefined;
  const [, hex] = TAIL.exec(new TextDecoder("latin1").decode(bytes.subarray(at))) ?? [];
  return hex === undefined
    ? undefined
    : { said: parseHex(hex), right: runOn(before, bytes.subarray(0, at)) };
}

/**
 * What a line says, whatever its running hash.
 * @throws {PkiError} `malformed` if that is not a transcript's line, with what is wrong
 */
export function parseTranscriptLine(bytes: Uint8Array): TranscriptLine {
  let value: unknown;
  try {
    value = parseJson(parseUtf8(bytes));
  } catch (cause) {
    if (cause instanceof RepeatedName) throw new PkiError("malformed", cause.message, { cause });
    throw new PkiError("malformed", "not JSON in UTF-8", { cause });
  }
  if (typeof value === "object" && value !== null && "line" in value) {
    const { line: _, ...said } = value;
    value = said;
  }
  const parsed = v.safeParse(LINE, value);
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  const field = v.getDotPath(issue);
  throw new PkiError("malformed", field === null ? "of no known type" : `its "${field}" is wrong`);
}
