/** CAs that nobody shall believe: each signs a user's certificate that is good but for them. */

import { OID } from "../../lib/x509/certificate.ts";
import { encodeNull, encodeOctetString } from "../../lib/x509/der.ts";
import { keyIdOf } from "../../lib/x509/encode.ts";
import {
  extendedKeyUsage,
  type ExtensionSpec,
  generalName,
  type Holder,
  keyUsage,
  type Spec,
  subjectAltName,
} from "../fakes/paths.ts";
import { DAY_MS, DOMAIN, forge, HOUR_MS, makeAuthorities, nextKey, NOW_MS } from "./authorities.ts";
import { gnutls } from "./gnutls.ts";
import { java } from "./java.ts";
import { testRows } from "./judging.ts";
import { nss } from "./nss.ts";
import type { Difference, Row } from "./row.ts";

const { root, issuing } = await makeAuthorities("p256");

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

const UNKNOWN: ExtensionSpec = { oid: "1.3.6.1.4.1.99999.1", critical: true, value: encodeNull() };

/** A CA with a key of its own, below the root unless told otherwise. */
function makeCa(spec: Partial<Spec> = {}, issuer: Holder = root): Holder {
  const years = { notBeforeMs: NOW_MS - DAY_MS, notAfterMs: NOW_MS + 1000 * DAY_MS };
  return forge(
    { subject: `${DOMAIN} issuing CA`, key: nextKey(), ca: { pathLength: 0 }, ...years, ...spec },
    issuer,
  );
}

const caWith = (...extensions: readonly ExtensionSpec[]) => makeCa({ extensions });

/** A user below these CAs, the nearest first. */
function below(
  cas: readonly [Holder, ...Holder[]],
  row: Pick<Row, "name" | "refusedBy" | "differences"> & Partial<Row>,
): Row {
  return {
    leaf: forge(ALICE, cas[0]).certificate,
    cas: cas.map(({ certificate }) => certificate),
    root: root.certificate,
    use: "server",
    ...row,
  };
}

const expired = { notBeforeMs: NOW_MS - 9 * DAY_MS, notAfterMs: NOW_MS - HOUR_MS };
const early = { notBeforeMs: NOW_MS + 2 * DAY_MS };
const bob = forge({ subject: "bob", dns: [`bob.user.${DOMAIN}`], key: nextKey() }, issuing);
const subCa = makeCa({ subject: "sub-CA" }, issuing);
const freeCa = makeCa({ subject: "free CA", ca: {} });
const expiredRoot = makeCa(
  { ...expired, subject: `${DOMAIN} root`, key: root.key, ca: {} },
  undefined,
);
const otherRoot = forge({
  subject: root.certificate.subject,
  key: nextKey(),
  ca: { pathLength: 1 },
});

/** RFC 5280, section 6.1.1 (d): what a trust anchor's certificate says beyond that may be left aside. */
const NAME_AND_KEY: Difference = {
  accepts: true,
  because: "to it a trust anchor is a name and a key, and no certificate",
};

const LEAF_ONLY: Difference = {
  accepts: true,
  because: "RFC 5280 (4.2.1.12) speaks of the leaf's extended key usage only",
};

testRows([
  below([issuing], { name: "a user below the issuing CA", user: "alice" }),
  below([makeCa()], { name: "a user below another issuing CA of the root", user: "alice" }),
  below([makeCa(expired)], {
    name: "a user below an issuing CA that has expired",
    user: "alice",
    refusedBy: "time",
  }),
  below([makeCa(early)], {
    name: "a user below an issuing CA that is not valid yet",
    user: "alice",
    refusedBy: "time",
  }),
  below([issuing], {
    name: "a user below the issuing CA after its time",
    leaf:
      forge({ ...ALICE, notAfterMs: issuing.certificate.notAfterMs + DAY_MS }, issuing).certificate,
    atMs: issuing.certificate.notAfterMs + HOUR_MS,
    user: "alice",
    refusedBy: "time",
  }),
  below([issuing], {
    name: "a user below a root that has expired",
    root: expiredRoot.certificate,
    user: "alice",
    refusedBy: "time",
    words: {
      gnutls: gnutls.words["issuer"],
      nss: nss.words["issuer"],
    },
    differences: { java: NAME_AND_KEY },
  }),
  below([subCa, issuing], {
    name: "a user below a CA that the issuing CA has made",
    refusedBy: "path-length",
  }),
  below([makeCa({ subject: "lower CA" }, freeCa), freeCa], {
    name: "a user below two CAs, where the root may have one",
    refusedBy: "path-length",
    differences: { java: NAME_AND_KEY },
  }),
  below([bob, issuing], {
    name: "a user whose certificate a user has signed",
    refusedBy: "basic-constraints",
    words: { java: java.words["key-usage"] },
  }),
  below([makeCa({ extensions: [{ oid: OID.basicConstraints, value: null }] })], {
    name: "a user below a CA that does not say it is one",
    user: "alice",
    refusedBy: "basic-constraints",
  }),
  below([caWith(keyUsage(6))], {
    name: "a user below a CA that must not sign certificates",
    user: "alice",
    refusedBy: "key-usage",
  }),
  below([caWith(extendedKeyUsage(OID.clientAuth))], {
    name: "a user as a server below a CA for clients",
    user: "alice",
    refusedBy: "extended-key-usage",
    differences: { nss: LEAF_ONLY, java: LEAF_ONLY },
  }),
  below([caWith(UNKNOWN)], {
    name: "a user below a CA with an unknown critical extension",
    user: "alice",
    refusedBy: "critical-extension",
  }),
  below([makeCa({}, { ...root, key: nextKey() })], {
    name: "a user below a CA that another key than the root's has signed",
    user: "alice",
    refusedBy: "signature",
  }),
  below([issuing], {
    name: "a user where another root of the same name is trusted",
    root: otherRoot.certificate,
    user: "alice",
    refusedBy: "issuer",
  }),
  below([issuing], {
    name: "a user where another root of the same name and key identifier is trusted",
    root: forge({
      subject: root.certificate.subject,
      key: nextKey(),
      ca: { pathLength: 1 },
      extensions: [
        { oid: OID.subjectKeyId, value: encodeOctetString(keyIdOf(root.certificate.spki)) },
      ],
    }).certificate,
    user: "alice",
    refusedBy: "signature",
    words: { openssl: /: unable to get issuer certificate$/m },
  }),
]);
