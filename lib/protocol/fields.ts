/** Fields that messages of more than one protocol have, as schemas. */

import { Buffer } from "node:buffer";
import * as v from "valibot";

/**
 * Whether it is canonical base64 (RFC 4648, section 4) of so many bytes; characters alone do not tell
 * 31 from 33. More characters than that are not even decoded.
 */
export function isBase64(value: unknown, bytesMin: number, bytesMax: number): value is string {
  if (typeof value !== "string" || value.length > Math.ceil(bytesMax / 3) * 4) return false;
  const bytes = Buffer.from(value, "base64");
  return bytes.length >= bytesMin && bytes.length <= bytesMax &&
    bytes.toString("base64") === value;
}

export const base64 = (bytesMin: number, bytesMax: number) =>
  v.pipe(
    v.string(),
    v.check((text) => isBase64(text, bytesMin, bytesMax), "not base64 of the right length"),
  );
