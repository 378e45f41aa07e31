/** Publishing with a {@link RawClient}. */

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
  const ended = await client.ask("CERTUP_FINISH", prove(client, { key, certificate, nonce }));
  return ended.code ?? "OK";
}

/** What `CERTUP_FINISH` carries for a certificate (base64 of DER), its key, and a nonce of the server. */
export function prove(
  { leafHash }: { readonly leafHash: Uint8Array },
  { key, certificate, nonce }: {
    readonly key: KeyObject;
    readonly certificate: string;
    readonly nonce: string;
  },
): { readonly nonce: string; readonly clientNonce: string; readonly signature: string } {
  const clientNonce = new Uint8Array(32);
  const signature = signLabelled(
    key,
    "pki/1 CERTUP",
    parseBase64(nonce),
    clientNonce,
    sha256(parseBase64(certificate)),
    leafHash,
  );
  return { nonce, clientNonce: encodeBase64(clientNonce), signature: encodeBase64(signature) };
}
