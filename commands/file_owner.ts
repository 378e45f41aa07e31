/** Who a peer is for the files that it sends: what is there of one peer's is nobody else's. */

import { type Bytes, sha256, utf8 } from "../lib/base/bytes.ts";

/** @param root DER of the root under which the peer was judged */
export function fileOwner(root: Uint8Array, id: string): Bytes {
  return sha256(utf8("pki/1 files\0"), sha256(root), utf8(id));
}
