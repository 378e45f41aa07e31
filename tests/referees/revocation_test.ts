/** Certificates that CRLs say something of: ours as the server makes them, and such as nobody shall use. */

import type { Bytes } from "../../lib/base/bytes.ts";
import { REVOCATION_REASONS, type RevocationReason } from "../../lib/x509/crl.ts";
import { OID } from "../../lib/x509/certificate.ts";
import {
  extendedKeyUsage,
  generalName,
  keyUsage,
  type Spec,
  subjectAltName,
} from "../fakes/paths.ts";
import {
  certifyAs,
  DAY_MS,
  DOMAIN,
  forge,
  HOUR_MS,
  listOf,
  makeAuthorities,
  nextKey,
  NOW_MS,
} from "./authorities.ts";
import { testRows } from "./judging.ts";
import type { Difference, Row } from "./row.ts";

const { root, issuing, outside, authority } = await makeAuthorities("p256");
const other = await makeAuthorities("p256");
const alice = certifyAs(authority, { profile: "user", id: "alice" });
const bob = certifyAs(authority, { profile: "user", id: "bob" });
const many = Array.from(
  { length: 200 },
  (_, i) => certifyAs(authority, { profile: "user", id: `user-${i}` }),
);

const ROOT_LIST = listOf(root);
const LIST = listOf(issuing);
const STALE = { thisUpdateMs: NOW_MS - 9 * DAY_MS, nextUpdateMs: NOW_MS - DAY_MS };

/** Alice as a client, and what these lists say of her certificate. */
function withLists(
  name: string,
  crls: readonly Bytes[],
  more: Partial<Row> = {},
): Row {
  return {
    name,
    leaf: alice,
    cas: [issuing.certificate],
    root: root.certificate,
    use: "client",
    user: "alice",
    crls,
    ...more,
  };
}

const SOFT: Difference = {
  accepts: true,
  because: "to it a certificate that no list it can use is about is not revoked",
};
const UNKNOWN_TO_JAVA = /^refuse Could not determine revocation status$/;
const MISSING = /: unable to get certificate CRL$/m;
const EXPIRED = /: CRL has expired$/m;

/** Alice where there is no list that may be used; who must know her status refuses. */
function withoutStatus(
  where: string,
  crls: readonly Bytes[],
  openssl: RegExp,
  more: Partial<Row> = {},
): Row {
  return withLists(`a user where ${where}`, crls, {
    refusedBy: "revocation",
    words: { openssl, java: UNKNOWN_TO_JAVA },
    differences: { gnutls: SOFT, nss: SOFT },
    ...more,
  });
}

const revokedBy = (reason: RevocationReason) =>
  withLists(`a user who is revoked, ${reason}`, [
    ROOT_LIST,
    listOf(issuing, { revoked: [bob, alice], reason }),
  ], { refusedBy: "revocation" });

const REASONS = (Object.keys(REVOCATION_REASONS) as RevocationReason[])
  .filter((reason) => reason !== "removeFromCRL");

const revokedCa = listOf(root, { revoked: [issuing.certificate], reason: "cACompromise" });
const signsNoLists = forge(
  {
    subject: `${DOMAIN} issuing CA`,
    key: nextKey(),
    ca: { pathLength: 0 },
    extensions: [keyUsage(5)],
    notAfterMs: NOW_MS + 9 * DAY_MS,
  },
  root,
);

const ALICE: Spec = {
  subject: "alice",
  extensions: [
    subjectAltName(
      generalName.uri(`spiffe://${DOMAIN}/user/alice`),
      generalName.dns(`alice.user.${DOMAIN}`),
    ),
    extendedKeyUsage(OID.clientAuth, OID.serverAuth),
  ],
};

testRows([
  withLists("a user where nobody is revoked", [ROOT_LIST, LIST]),
  withLists("a user where others are revoked", [
    ROOT_LIST,
    listOf(issuing, { revoked: [bob, ...many] }),
  ]),
  ...REASONS.map(revokedBy),
  withLists("a user who is revoked among many", [
    ROOT_LIST,
    listOf(issuing, { revoked: [...many.slice(0, 100), alice, ...many.slice(100)] }),
  ], { refusedBy: "revocation" }),
  withLists("a user whose issuing CA is revoked", [revokedCa, LIST], { refusedBy: "revocation" }),
  withLists("a user where the CA for outside names is revoked", [
    listOf(root, { revoked: [outside.certificate] }),
    LIST,
  ]),
  withLists("a user whom a newer list by another key revokes, beside the CA's own", [
    ROOT_LIST,
    LIST,
    listOf({ ...issuing, key: nextKey() }, {
      revoked: [alice],
      thisUpdateMs: NOW_MS - HOUR_MS / 2,
    }),
  ], {
    differences: {
      openssl: {
        accepts: false,
        says: /: CRL signature failure$/m,
        because: "it looks at the newest list, and at no other where that one is forged",
      },
      gnutls: {
        accepts: false,
        says: /^Chain .* The certificate chain is revoked\./m,
        because: "certtool does not verify who has signed a list",
      },
    },
  }),
  withLists("a user who is revoked by a stale list", [
    ROOT_LIST,
    listOf(issuing, { ...STALE, revoked: [alice] }),
  ], { refusedBy: "revocation", words: { java: UNKNOWN_TO_JAVA } }),
  withoutStatus("the issuing CA's list is missing", [ROOT_LIST], MISSING),
  withoutStatus("the root's list is missing", [LIST], MISSING),
  withoutStatus("the issuing CA's list is stale", [ROOT_LIST, listOf(issuing, STALE)], EXPIRED),
  withoutStatus("the root's list is stale", [listOf(root, STALE), LIST], EXPIRED),
  withoutStatus("the list is for later", [
    ROOT_LIST,
    listOf(issuing, { thisUpdateMs: NOW_MS + 2 * DAY_MS, nextUpdateMs: NOW_MS + 3 * DAY_MS }),
  ], /: CRL is not yet valid$/m),
  withoutStatus("the list was good two days ago", [ROOT_LIST, LIST], EXPIRED, {
    atMs: NOW_MS + 2 * DAY_MS,
  }),
  withoutStatus("another key has signed the list", [
    ROOT_LIST,
    listOf({ ...issuing, key: nextKey() }),
  ], /: CRL signature failure$/m),
  withoutStatus("the list is another CA's of the same name", [
    ROOT_LIST,
    listOf(other.issuing),
  ], MISSING),
  withoutStatus(
    "the CA must not sign lists",
    [ROOT_LIST, listOf(signsNoLists)],
    /: key usage does not include CRL signing$/m,
    { leaf: forge(ALICE, signsNoLists).certificate, cas: [signsNoLists.certificate] },
  ),
]);
