/**
 * Renewing an identity: a new certificate for the key that is there or for a new one, stored so that
 * certificate and key fit whatever happens in between (`identity_files.ts` says how). And when a
 * certificate is due for that.
 */

import type { KeyObject } from "node:crypto";
import { type Bytes, encodeBase64 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { endorse } from "../protocol/endorsement.ts";
import type { KeyType } from "../x509/algorithms.ts";
import type { Certificate } from "../x509/certificate.ts";
import {
  decryptPrivateKey,
  encodeSpki,
  encryptPrivateKey,
  generatePrivateKey,
  keyTypeOf,
} from "../x509/keys.ts";
import { encodeCertificatesPem } from "../x509/pem.ts";
import type { Home } from "./home.ts";
import { type Asking, type Certified, certify } from "./operations.ts";
import type { ServerConnection } from "./server_connection.ts";

/** How much of a certificate's life must be left for it not to be due: a span, or a part of the whole. */
export type Margin = { readonly ms: number } | { readonly part: number };

/** What is left of most certificates when they are renewed without anybody having said when. */
export const DEFAULT_MARGIN: Margin = { part: 1 / 3 };

export type Validity = Pick<Certificate, "notBeforeMs" | "notAfterMs">;

/** How long before its end a certificate is due, in milliseconds. */
export function marginMsOf(margin: Margin, { notBeforeMs, notAfterMs }: Validity): number {
  return "ms" in margin ? margin.ms : (notAfterMs - notBeforeMs) * margin.part;
}

export function isDue(validity: Validity, margin: Margin, nowMs: number): boolean {
  return validity.notAfterMs - nowMs <= marginMsOf(margin, validity);
}

/**
 * A new key, kept before it is certified. One that was kept for a certificate that never came (the
 * server was away, refused, or the program ended) is taken again, so that none is lost or left over.
 */
export async function takeNewKey(
  home: Home,
  { id, password, keyType }: {
    readonly id: string;
    readonly password: string;
    readonly keyType: KeyType;
  },
): Promise<KeyObject> {
  const files = home.files(id);
  const kept = await openKept(files.loadNewKey(), password);
  if (kept && keyTypeOf(kept) === keyType) return kept;
  const key = await generatePrivateKey(keyType);
  files.saveNewKey(await encryptPrivateKey(key, password), encodeSpki(key));
  return key;
}

async function openKept(pem: string | undefined, password: string): Promise<KeyObject | undefined> {
  if (pem === undefined) return undefined;
  try {
    return await decryptPrivateKey(pem, password, "the new key");
  } catch (error) {
    if (error instanceof PkiError) return undefined; // of another password, or damaged: no use
    throw error;
  }
}

export interface CertifyAndStore {
  readonly home: Home;
  /** Of the identity, or from {@link takeNewKey}. */
  readonly key: KeyObject;
  /** PEM of the certificate that the new one replaces; `undefined` where there was none. */
  readonly replaced: string | undefined;
  /**
   * Where the key is a new one: the key that it takes the place of, if that is to vouch for it. One that
   * may be somebody else's by now must not.
   */
  readonly follows?: { readonly vouching: KeyObject | undefined };
}

/**
 * Has a key certified and stores the certificate once it was judged and found in the log. What vouches
 * for a new key is stored before: see `own_endorsements.ts`.
 * @throws {PkiError} `conflict` if another command has stored a certificate meanwhile
 */
export async function certifyAndStore(
  connection: ServerConnection,
  { home, key, replaced, follows }: CertifyAndStore,
  asking: Asking,
): Promise<Certified> {
  const { makeCsr } = await import("../x509/make_csr.ts"); // slow to load
  const { id } = asking;
  const files = home.files(id);
  files.checkWritable();
  const spki = encodeSpki(key);
  files.endorsements.leadingTo(spki); // a file that cannot be read is noticed before anybody is asked
  const csr = await makeCsr(key, id);
  const certified = await certify(connection, { csr, spki }, asking);
  if (follows) vouchFor(spki, { home, ...follows }, asking);
  const pem = encodeCertificatesPem(certified.ders);
  if (!files.replaceCertificate(pem, replaced)) {
    throw new PkiError(
      "conflict",
      `cannot keep the new certificate of "${id}": another command has stored one meanwhile`,
      { hint: "run one of them at a time; what the other has stored is there" },
    );
  }
  return certified;
}

/** Keeps the old key's word for a new one, or sees to it that there is none. */
function vouchFor(
  spki: Bytes,
  { home, vouching }: { readonly home: Home; readonly vouching: KeyObject | undefined },
  { id, anchor, nowMs }: Asking,
): void {
  const { endorsements } = home.files(id);
  if (!vouching) return endorsements.drop(spki); // an earlier try may have made one
  const scope = { root: anchor.root.der, id };
  endorsements.add(
    encodeSpki(vouching),
    endorse(scope, { by: vouching, key: spki, timeMs: nowMs }),
  );
}

/**
 * Whether this very certificate is the one that the directory gives out. That is the server's word,
 * and decides only whether the next one is to be published, too.
 */
export async function isPublished(
  connection: ServerConnection,
  { id, leaf }: { readonly id: string; readonly leaf: Certificate },
): Promise<boolean> {
  try {
    const { certificate } = await connection.request("CERTREQ", { id });
    return certificate === encodeBase64(leaf.der);
  } catch (error) {
    if (error instanceof PkiError && error.kind === "not-found") return false;
    throw error;
  }
}
