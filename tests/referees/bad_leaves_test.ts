/** End entities that nobody shall believe, or not for this use, each by one deviation from a good one. */

import { OID, parseCertificate } from "../../lib/x509/certificate.ts";
import { encodeNull } from "../../lib/x509/der.ts";
import { bytesWith } from "./bytes.ts";
import {
  extendedKeyUsage,
  type ExtensionSpec,
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
  makeAuthorities,
  nextKey,
  NOW_MS,
} from "./authorities.ts";
import { testRows } from "./judging.ts";
import type { Difference, Row } from "./row.ts";

const { root, issuing, outside, authority } = await makeAuthorities("p256");
const base = { cas: [issuing.certificate], root: root.certificate } as const;

const alice = certifyAs(authority, { profile: "user", id: "alice" });
const www = certifyAs(authority, { profile: "server", dns: ["www.pki.internal"] });
const shop = certifyAs(authority, { profile: "server", dns: ["*.shop.pki.internal"] });
const service = certifyAs(authority, { profile: "service", id: "backup" });
const host = certifyAs(authority, {
  ...{ profile: "server", dns: ["www.example.org"], addresses: ["192.0.2.7"] },
});

const NAMES = subjectAltName(
  generalName.uri(`spiffe://${DOMAIN}/user/alice`),
  generalName.dns(`alice.user.${DOMAIN}`),
);
const USAGES = extendedKeyUsage(OID.clientAuth, OID.serverAuth);

/** Alice's certificate as it should be, with other extensions instead of its own or besides. */
function aliceWith(...extensions: readonly ExtensionSpec[]): Spec {
  const replaced = new Set(extensions.map(({ oid }) => oid));
  const own = [NAMES, USAGES].filter(({ oid }) => !replaced.has(oid));
  return { subject: "alice", extensions: [...own, ...extensions] };
}

const signed = (spec: Spec) => forge(spec, issuing).certificate;

const BY_COMMON_NAME: Difference = {
  accepts: true,
  because: "it takes the common name where there is no DNS name, as RFC 9525 no longer allows",
};

const NAME_ROWS: readonly Row[] = [
  {
    ...base,
    name: "a user under another user's name",
    leaf: alice,
    use: "server",
    host: "bob.user.pki.internal",
    user: "alice",
    refusedBy: "names",
  },
  {
    ...base,
    name: "a host under another one's name",
    leaf: www,
    use: "server",
    host: "www2.pki.internal",
    refusedBy: "names",
  },
  {
    ...base,
    name: "a wildcard for two labels",
    leaf: shop,
    use: "server",
    host: "a.b.shop.pki.internal",
    refusedBy: "names",
  },
  {
    ...base,
    name: "a wildcard for no label",
    leaf: shop,
    use: "server",
    host: "shop.pki.internal",
    refusedBy: "names",
  },
  {
    ...base,
    cas: [outside.certificate],
    name: "a host at another address",
    leaf: host,
    use: "server",
    address: "192.0.2.8",
    refusedBy: "names",
  },
  {
    ...base,
    name: "a host that is named by its common name only",
    leaf: signed({ subject: "www.pki.internal", extensions: [extendedKeyUsage(OID.serverAuth)] }),
    use: "server",
    host: "www.pki.internal",
    refusedBy: "names",
    differences: { openssl: BY_COMMON_NAME, gnutls: BY_COMMON_NAME, java: BY_COMMON_NAME },
  },
];

const tomorrow = signed({
  ...aliceWith(),
  notBeforeMs: NOW_MS + DAY_MS,
  notAfterMs: NOW_MS + 2 * DAY_MS,
});

const TIME_ROWS: readonly Row[] = [
  {
    ...base,
    name: "a user whose certificate has expired",
    leaf: signed({
      ...aliceWith(),
      notBeforeMs: NOW_MS - 2 * DAY_MS,
      notAfterMs: NOW_MS - HOUR_MS,
    }),
    use: "client",
    user: "alice",
    refusedBy: "time",
  },
  {
    ...base,
    name: "a user whose certificate is not valid yet",
    leaf: signed({
      ...aliceWith(),
      notBeforeMs: NOW_MS + 2 * DAY_MS,
      notAfterMs: NOW_MS + 3 * DAY_MS,
    }),
    use: "client",
    user: "alice",
    refusedBy: "time",
  },
  {
    ...base,
    name: "a user a second before the certificate's time",
    leaf: tomorrow,
    use: "client",
    atMs: tomorrow.notBeforeMs - 1000,
    user: "alice",
    refusedBy: "time",
    differences: {
      nss: {
        accepts: true,
        because: "it lets a certificate begin a day later than its clock says",
      },
    },
  },
  {
    ...base,
    name: "a user at the first second of the certificate's time",
    leaf: tomorrow,
    use: "client",
    atMs: tomorrow.notBeforeMs,
    user: "alice",
  },
  {
    ...base,
    name: "a user at the last second of the certificate's time",
    leaf: tomorrow,
    use: "client",
    atMs: tomorrow.notAfterMs,
    user: "alice",
    differences: {
      openssl: {
        accepts: false,
        says: /: certificate has expired$/m,
        because: "it leaves out the last second, which RFC 5280 (4.1.2.5) includes",
      },
    },
  },
  {
    ...base,
    name: "a user a second after the certificate's time",
    leaf: tomorrow,
    use: "client",
    atMs: tomorrow.notAfterMs + 1000,
    user: "alice",
    refusedBy: "time",
  },
];

const NOT_ASKED: Difference = {
  accepts: true,
  because: "RFC 5280 (4.2.1.9) asks it of who makes certificates, not of who reads them",
};

const USE_ROWS: readonly Row[] = [
  {
    ...base,
    name: "a service as a server",
    leaf: service,
    use: "server",
    refusedBy: "extended-key-usage",
  },
  {
    ...base,
    name: "a host as a client",
    leaf: www,
    use: "client",
    refusedBy: "extended-key-usage",
  },
  {
    ...base,
    name: "a user without server authentication as a server",
    leaf: signed(aliceWith(extendedKeyUsage(OID.clientAuth))),
    use: "server",
    user: "alice",
    refusedBy: "extended-key-usage",
  },
  {
    ...base,
    name: "a user whose key is not for signatures",
    leaf: signed(aliceWith(keyUsage(1))),
    use: "client",
    user: "alice",
    refusedBy: "key-usage",
    differences: {
      gnutls: { accepts: true, because: "it asks about the leaf's key when the key is used" },
    },
  },
  {
    ...base,
    name: "a user whose key may sign certificates",
    leaf: signed(aliceWith(keyUsage(0, 5))),
    use: "client",
    user: "alice",
    refusedBy: "key-usage",
    differences: { gnutls: NOT_ASKED, nss: NOT_ASKED, java: NOT_ASKED },
  },
];

const UNKNOWN: ExtensionSpec = {
  oid: "1.3.6.1.4.1.99999.1",
  critical: true,
  value: encodeNull(),
};

const FORM_ROWS: readonly Row[] = [
  {
    ...base,
    name: "a user with an unknown critical extension",
    leaf: signed(aliceWith(UNKNOWN)),
    use: "client",
    user: "alice",
    refusedBy: "critical-extension",
  },
  {
    ...base,
    name: "a user with an unknown extension that is not critical",
    leaf: signed(aliceWith({ ...UNKNOWN, critical: false })),
    use: "client",
    user: "alice",
  },
  {
    ...base,
    name: "a user whose certificate another key has signed",
    leaf: forge(aliceWith(), { ...issuing, key: nextKey() }).certificate,
    use: "client",
    user: "alice",
    refusedBy: "signature",
  },
  {
    ...base,
    name: "a user whose certificate was changed",
    leaf: parseCertificate(bytesWith(alice.der, "user/alice", "user/alicf")),
    use: "client",
    user: "alice",
    refusedBy: "signature",
  },
  {
    ...base,
    name: "a user without the issuing CA",
    leaf: alice,
    cas: [],
    use: "client",
    user: "alice",
    refusedBy: "issuer",
  },
];

testRows([...NAME_ROWS, ...TIME_ROWS, ...USE_ROWS, ...FORM_ROWS]);
