/**
 * What the holder of a stolen key of one of our CAs could sign, and that nobody would believe it: the
 * names that a CA must not certify.
 */

import { utf8 } from "../../lib/base/bytes.ts";
import { OID } from "../../lib/x509/certificate.ts";
import { encodeElement, encodeOid, encodeSequence, TAG } from "../../lib/x509/der.ts";
import {
  extendedKeyUsage,
  generalName,
  type Holder,
  nameOf,
  type Spec,
  subjectAltName,
} from "../fakes/paths.ts";
import { DOMAIN, forge, makeAuthorities } from "./authorities.ts";
import { gnutls } from "./gnutls.ts";
import { java } from "./java.ts";
import { testRows } from "./judging.ts";
import { nss } from "./nss.ts";
import { openssl } from "./openssl.ts";
import type { Difference, Referee, Row } from "./row.ts";

const { root, issuing, outside } = await makeAuthorities("p256");
const { dns, email, ip, uri, directory } = generalName;
const V6 = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7] as const;
const V6_ELSEWHERE = [0x20, 0x01, 0x0d, 0xb9, ...V6.slice(4)] as const;

interface Case {
  readonly name: string;
  readonly names: readonly Uint8Array[];
  readonly subject?: string | Uint8Array;
  readonly isGood?: boolean;
  /** By us; everybody else finds a name that the CA must not certify. */
  readonly refusedBy?: "form" | "name-constraints";
  readonly differences?: NonNullable<Row["differences"]>;
}

/**
 * @param caHost a name that the CA may certify, as the common name: others take that for a host's name where
 *   there is no DNS name
 */
function rowsOf(
  { ca, caName, caHost }: { readonly ca: Holder; readonly caName: string; readonly caHost: string },
  cases: readonly Case[],
): readonly Row[] {
  return cases.map(({ name, names, subject = caHost, isGood = false, ...more }) => {
    const spec: Spec = {
      subject,
      extensions: [
        extendedKeyUsage(OID.clientAuth, OID.serverAuth),
        ...(names.length > 0 ? [subjectAltName(...names)] : []),
      ],
    };
    return {
      name: `${name} by ${caName}`,
      leaf: forge(spec, ca).certificate,
      cas: [ca.certificate],
      root: root.certificate,
      use: "server",
      ...(isGood ? {} : { refusedBy: "name-constraints", othersSay: "name-constraints" }),
      ...more,
    };
  });
}

/** A subject with an address, in the one string type that its attribute may have. */
function mailSubject(address: string): Uint8Array {
  const attribute = encodeSequence(
    encodeOid("1.2.840.113549.1.9.1"),
    encodeElement(TAG.ia5String, utf8(address)),
  );
  return encodeSequence(encodeElement(TAG.set, attribute));
}

/** They constrain what they would take for a host's name. */
function byCommonName({ words }: Referee): Difference {
  const because = "it takes the common name for a host's where there is no DNS name";
  return { accepts: false, says: words["name-constraints"] ?? /^$/, because };
}

const A_HOST = dns(`a.${DOMAIN}`);

testRows([
  ...rowsOf({ ca: issuing, caName: "the domain's CA", caHost: `a.${DOMAIN}` }, [
    { name: "a host of the domain", names: [A_HOST], isGood: true },
    { name: "the domain itself", names: [dns(DOMAIN)], isGood: true },
    {
      name: "a host of the domain in capitals",
      names: [dns(`A.${DOMAIN.toUpperCase()}`)],
      isGood: true,
    },
    { name: "mail to the domain", names: [email(`a@${DOMAIN}`)], isGood: true },
    {
      name: "another directory name",
      names: [A_HOST, directory(nameOf([OID.commonName, "x"]))],
      isGood: true,
    },
    {
      name: "a URI, which is not constrained,",
      names: [A_HOST, uri("spiffe://example.com/x")],
      isGood: true,
    },
    { name: "a host outside", names: [dns("www.example.com")] },
    { name: "a host outside beside one of the domain", names: [A_HOST, dns("www.example.com")] },
    { name: "a host whose name ends like the domain", names: [dns(`x${DOMAIN}`)] },
    { name: "a host above the domain", names: [dns("internal")] },
    {
      name: "a wildcard above the domain",
      names: [dns("*.internal")],
      refusedBy: "form",
    },
    { name: "a host of the domain below another", names: [dns(`${DOMAIN}.example.com`)] },
    { name: "an IPv4 address", names: [ip(10, 1, 2, 3)] },
    { name: "an IPv4 address beside a host of the domain", names: [A_HOST, ip(127, 0, 0, 1)] },
    { name: "an IPv6 address", names: [A_HOST, ip(...V6)] },
    { name: "mail to elsewhere", names: [email("a@example.com")] },
    { name: "mail to a host below the domain", names: [email(`a@mail.${DOMAIN}`)] },
    { name: "mail to elsewhere in the subject", names: [], subject: mailSubject("a@example.com") },
    {
      name: "mail to elsewhere in the subject, beside a host of the domain,",
      names: [A_HOST],
      subject: mailSubject("a@example.com"),
      differences: {
        java: {
          accepts: true,
          because: "RFC 5280 (4.2.1.10) asks it only where there are no alternative names",
        },
      },
    },
    {
      name: "a common name like a host outside",
      names: [],
      subject: "www.example.com",
      isGood: true,
      differences: {
        openssl: byCommonName(openssl),
        gnutls: byCommonName(gnutls),
        nss: byCommonName(nss),
        java: byCommonName(java),
      },
    },
    {
      name: "a common name like a host outside, beside a host of the domain,",
      names: [A_HOST],
      subject: "www.example.com",
      isGood: true,
    },
  ]),
  ...rowsOf({ ca: outside, caName: "the CA for outside names", caHost: "example.org" }, [
    { name: "one of its hosts", names: [dns("www.example.org")], isGood: true },
    { name: "one of its IPv4 addresses", names: [ip(192, 0, 2, 255)], isGood: true },
    { name: "one of its IPv6 addresses", names: [ip(...V6)], isGood: true },
    { name: "a host of the domain", names: [dns(`www.${DOMAIN}`)] },
    {
      name: "the domain's server",
      names: [dns(`server.${DOMAIN}`), uri(`spiffe://${DOMAIN}/server`)],
    },
    { name: "a user's URI", names: [dns("example.org"), uri(`spiffe://${DOMAIN}/user/alice`)] },
    { name: "an IPv4 address beyond its range", names: [ip(192, 0, 3, 0)] },
    { name: "an IPv6 address beyond its range", names: [ip(...V6_ELSEWHERE)] },
    { name: "mail to the domain", names: [email(`a@${DOMAIN}`)] },
  ]),
]);
