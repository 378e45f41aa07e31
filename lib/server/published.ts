/** Published certificates, as anybody who has logged in may look them up (`CERTREQ`). */

import { encodeBase64 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { causeFault, isFaultIn } from "../base/faults.ts";
import { WrittenFields } from "../protocol/answers.ts";
import { certificateOf, type IssuedCertificate } from "../store/state.ts";
import type { Directory } from "./directory.ts";
import { allIssuers, keyIdHex } from "./issuers.ts";

/** `HAS_FAULTS` once more: the bundler leaves code out for a constant of the same file only. */
declare const PKI_FAULTS: boolean | undefined;

/**
 * The certificate that somebody has published.
 * @throws {PkiError} `not-found`, in the same words whether there is such an id or not
 */
export function findPublished({ options }: Directory, id: string): IssuedCertificate {
  const { state } = options;
  const published = state.published(id);
  const isGivenOut = published?.revokedMs === null && state.account(id)?.disabledMs === null;
  if (!published || !isGivenOut) {
    throw new PkiError(
      "not-found",
      `cannot find "${id}": nobody has published a certificate under this id`,
    );
  }
  return published;
}

/** The answer to `CERTREQ`. @throws {PkiError} as {@link findPublished}, and `storage` */
export function lookUp(directory: Directory, id: string): WrittenFields {
  if (typeof PKI_FAULTS !== "undefined" && PKI_FAULTS) {
    causeFault("directory", id);
    if (isFaultIn("authority", id)) {
      const { authority } = directory.options;
      const asked = authority.certify({ profile: "user", id, csr: new Uint8Array() });
      asked.catch(() => {}); // the request is none; what matters is what the authority does at it
    }
  }
  const published = findPublished(directory, id);
  return directory.lookups.get(published.entry, () =>
    new WrittenFields({
      certificate: certificateOf(directory.options.log.read(published.entry)),
      issuing: encodeBase64(issuerOf(directory, published)),
      index: published.entry,
    }));
}

function issuerOf({ issuers }: Directory, { issuerKeyId }: IssuedCertificate): Uint8Array {
  const issuer = allIssuers(issuers).find((one) => keyIdHex(one) === issuerKeyId);
  if (!issuer) throw new PkiError("storage", "cannot find the CA that signed a certificate");
  return issuer.der;
}
