/**
 * The messages of the agent that keeps unlocked keys (`agent.sock` in the home folder): a frame with
 * JSON each way, one request a connection. The first request reaches an agent through its stdin.
 *
 * A new request is a new row of {@link MESSAGES}.
 */

import * as v from "valibot";
import type { Bytes } from "../base/bytes.ts";
import { ERROR_KINDS, kindOfWireCode, PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { base64, count, id } from "./fields.ts";
import { encodeObject, parseObject } from "./json_object.ts";

export const AGENT_SOCKET_NAME = "agent.sock";

/** Any sentence of ours. */
const MESSAGE_CHARACTERS_MAX = 1024;

const milliseconds = count();
/** SHA-256 of the key's file: the key counts as long as the file stays what it is. */
const pemHash = base64(32, 32);
/** PKCS #8, not encrypted. */
const key = base64(1, LIMITS.derBytesMax);

/** What each request carries besides its `type`, and what its `OK` answer does. */
const MESSAGES = {
  /** Keep a key for a while; the one that was there is replaced. */
  ADD: {
    body: v.strictObject({
      id: id(),
      key,
      pemHash,
      forMs: v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.maxValue(LIMITS.unlockMsMax)),
    }),
    answer: v.object({ untilMs: milliseconds }),
  },
  KEY: {
    body: v.strictObject({ id: id() }),
    answer: v.object({ key, pemHash, untilMs: milliseconds }),
  },
  LIST: {
    body: v.strictObject({}),
    answer: v.object({
      kept: v.pipe(
        v.array(v.object({ id: id(), untilMs: milliseconds })),
        v.maxLength(LIMITS.unlockedKeysMax),
      ),
    }),
  },
  /** Forget a key, or all. */
  LOCK: {
    body: v.strictObject({ id: v.optional(id()) }),
    answer: v.object({ forgotten: v.pipe(v.array(id()), v.maxLength(LIMITS.unlockedKeysMax)) }),
  },
} as const;

export type AgentType = keyof typeof MESSAGES;
export type AgentBody<T extends AgentType> = v.InferOutput<(typeof MESSAGES)[T]["body"]>;
export type AgentAnswer<T extends AgentType> = v.InferOutput<(typeof MESSAGES)[T]["answer"]>;
/** Any request: its `type` tells what its `body` is. */
export type AgentRequest = {
  readonly [T in AgentType]: { readonly type: T; readonly body: AgentBody<T> };
}[AgentType];

export function encodeAgentRequest({ type, body }: AgentRequest): Bytes {
  return encodeObject({ ...body, type });
}

/** @throws {PkiError} `protocol` */
export function parseAgentRequest(frame: Uint8Array): AgentRequest {
  const { type, ...body } = parseObject(frame);
  if (typeof type !== "string" || !Object.hasOwn(MESSAGES, type)) {
    throw new PkiError("protocol", "cannot read message: its type is unknown");
  }
  const parsed = v.safeParse(MESSAGES[type as AgentType].body, body);
  if (parsed.success) return { type, body: parsed.output } as AgentRequest;
  throw new PkiError("protocol", `cannot read ${type}: its fields are not as they should be`);
}

export function encodeAgentAnswer(answer: Readonly<Record<string, unknown>>): Bytes {
  return encodeObject({ ...answer, type: "OK" });
}

export function encodeAgentError({ kind, message }: PkiError): Bytes {
  return encodeObject({
    type: "ERROR",
    code: ERROR_KINDS[kind].wireCode,
    message: message.slice(0, MESSAGE_CHARACTERS_MAX),
  });
}

const RESPONSE = v.variant("type", [
  v.looseObject({ type: v.literal("OK") }),
  v.object({
    type: v.literal("ERROR"),
    code: v.pipe(v.string(), v.maxLength(64)),
    message: v.pipe(v.string(), v.maxLength(MESSAGE_CHARACTERS_MAX)),
  }),
]);

/** @throws {PkiError} what the agent says, or `protocol` */
export function parseAgentAnswer<T extends AgentType>(frame: Uint8Array, type: T): AgentAnswer<T> {
  const response = v.safeParse(RESPONSE, parseObject(frame));
  if (!response.success) throw new PkiError("protocol", "cannot read answer: it is not an answer");
  const { type: outcome, ...fields } = response.output;
  if (outcome === "ERROR") {
    const { code, message } = fields as { code: string; message: string };
    throw new PkiError(kindOfWireCode(code), message);
  }
  const answer = v.safeParse(MESSAGES[type].answer, fields);
  if (answer.success) return answer.output as AgentAnswer<T>;
  throw new PkiError(
    "protocol",
    `cannot read the answer to ${type}: its fields are not as they should be`,
  );
}
