/** What users of a scene have, for attackers who are users themselves. */

import { createPrivateKey } from "node:crypto";
import { parseCertificatesPem } from "../../lib/x509/pem.ts";
import { Forge } from "../e2e/forge.ts";
import type { Scene } from "./scene.ts";
import type { Shown } from "./tls_client.ts";

/** A user's key, leaf and issuing CA, from the home. */
export async function shownBy({ world }: Pick<Scene, "world">, id: string): Promise<Shown> {
  const { certPem, keyPem } = await (await Forge.ofServer(world)).registered(world, id);
  return { certificates: parseCertificatesPem(certPem, id), key: createPrivateKey(keyPem) };
}
