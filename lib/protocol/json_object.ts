/** The JSON of one frame, whatever protocol it belongs to: an object, in which each name stands once. */

import { type Bytes, isAscii, parseLatin1, parseUtf8, utf8 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { parseJson, RepeatedName } from "../base/json.ts";
import { encodeFrame } from "./frame.ts";

/** A frame. @throws {PkiError} `internal` if it is too long for one */
export function encodeObject(value: Readonly<Record<string, unknown>>): Bytes {
  return encodeFrame(utf8(JSON.stringify(value)));
}

/** Reads a body in strict UTF-8. @throws {PkiError} `protocol` */
export function parseObject(body: Uint8Array): Record<string, unknown> {
  return readObject(() => parseUtf8(body));
}

/** As {@link parseObject}, of bytes in Latin-1. @throws {PkiError} `protocol` */
export function parseObjectText(body: string): Record<string, unknown> {
  return readObject(() => isAscii(body) ? body : parseUtf8(parseLatin1(body)));
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
