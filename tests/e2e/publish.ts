/** Publishing with a {@link RawClient}, and numbers that can be had again. */

import type { KeyObject } from "node:crypto";
import { encodeBase64, parseBase64, sha256 } from "../../lib/base/bytes.ts";
import { signLabelled } from "../../lib/x509/keys.ts";
import type { RawClient } from "./raw_client.ts";

/** Publishes a certificate (base64 of DER) with its key; the code of what was refused, or `OK`. */
export async function publish(
  client: RawClient,
  certificate: string,
  key: KeyObject,
): Promise<string> {
  const started = await client.ask("CERTUP", { certificate });
  if (started.type !== "OK") return started.code ?? "";
  const nonce = String(started["nonce"]);
  const clientNonce = new Uint8Array(32);
  const signature = signLabelled(
    key,
    "pki/1 CERTUP",
    parseBase64(nonce),
    clientNonce,
    sha256(parseBase64(certificate)),
    client.leafHash,
  );
  const ended = await client.ask("CERTUP_FINISH", {
    nonce,
    clientNonce: encodeBase64(clientNonce),
    signature: encodeBase64(signature),
  });
  return ended.code ?? "OK";
}

/** Mulberry32: the same numbers for the same seed. */
export function seededRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = state + 0x6d2b79f5 | 0;
    let mixed = Math.imul(state ^ state >>> 15, 1 | state);
    mixed = mixed + Math.imul(mixed ^ mixed >>> 7, 61 | mixed) ^ mixed;
    return Math.floor(((mixed ^ mixed >>> 14) >>> 0) / 2 ** 32 * below);
  };
}
