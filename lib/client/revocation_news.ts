/** What the server says of the certificates of a chain: the leaf's status, and the root's list. */

import { randomBytes } from "node:crypto";
import { PkiError } from "../base/errors.ts";
import type { Certificate } from "../x509/certificate.ts";
import type { Crl } from "../x509/crl.ts";
import type { OcspJudgement } from "../x509/ocsp_judge.ts";
import type { RevocationOptions, RevocationStatus } from "../x509/revocation.ts";
import { fetchCrl } from "./crl.ts";
import type { ServerConnection } from "./server_connection.ts";
import { fetchStatus } from "./status.ts";

const NONCE_BYTES = 32;

function statusFrom({ status, revokedMs, reason }: OcspJudgement): RevocationStatus {
  switch (status) {
    case "good":
      return { status };
    case "revoked":
      return { status, revokedMs: revokedMs ?? 0, reason: reason ?? "unspecified" };
    case "unknown":
      return { status, why: "the server has no record of it" };
  }
}

/** The root's list; a server that has none says nothing about CAs. */
async function fetchRootList(
  connection: ServerConnection,
  root: Certificate,
  nowMs: number,
): Promise<Crl | undefined> {
  try {
    return await fetchCrl(connection, { issuer: root, nowMs });
  } catch (error) {
    if (error instanceof PkiError && error.kind === "not-found") return undefined;
    throw error;
  }
}

/**
 * Asks the server about a chain, leaf first, root last.
 * @throws {PkiError} `untrusted` for answers that are not the CAs' own; as a connection fails
 */
export async function askAbout(
  connection: ServerConnection,
  chain: readonly Certificate[],
  nowMs: number,
): Promise<RevocationOptions> {
  const [leaf, issuing] = chain;
  const root = chain.at(-1);
  if (!leaf || !issuing || !root) throw new PkiError("internal", "a chain without a root");
  const list = await fetchRootList(connection, root, nowMs);
  const crls = list ? [list] : [];
  // What the root has issued itself stands in its list alone.
  if (issuing === root) return { crls };
  const nonce = new Uint8Array(randomBytes(NONCE_BYTES));
  const { judged } = await fetchStatus(connection, { leaf, issuing, nowMs, nonce });
  const status = statusFrom(judged);
  return {
    crls,
    statusOf: (certificate) => certificate === leaf ? status : undefined,
    isLeafOnly: !list,
  };
}
