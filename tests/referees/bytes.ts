/** Changes of signed bytes. */

import { type Bytes, copyBytes, utf8 } from "../../lib/base/bytes.ts";

/** These bytes with one text in place of another one of the same length, which is in them. */
export function bytesWith(bytes: Uint8Array, text: string, other: string): Bytes {
  const [from, to] = [utf8(text), utf8(other)];
  const at = bytes.findIndex((_, i) => from.every((byte, j) => bytes[i + j] === byte));
  if (at < 0 || from.length !== to.length) throw new Error(`cannot replace ${text}`);
  const changed = copyBytes(bytes);
  changed.set(to, at);
  return changed;
}
