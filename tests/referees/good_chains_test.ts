/** Chains as this program makes them: everybody believes them. */

import type { KeyType } from "../../lib/x509/algorithms.ts";
import type { Certification } from "../../lib/ca/authority.ts";
import {
  type Authorities,
  certifyAs,
  DAY_MS,
  listOf,
  makeAuthorities,
  NOW_MS,
} from "./authorities.ts";
import { testRows } from "./judging.ts";
import type { Difference, Row } from "./row.ts";

const LONG_ID = `${"a".repeat(30)}.${"b".repeat(32)}`;

type Kind = Omit<Certification, "csr" | "spki">;
const USER: Kind = { profile: "user", id: "alice" };
const SERVER: Kind = { profile: "server", dns: ["www.pki.internal", "*.shop.pki.internal"] };
const OUTSIDE: Kind = {
  profile: "server",
  dns: ["www.example.org", "example.org"],
  addresses: ["192.0.2.7", "2001:db8::7"],
};
const SERVICE: Kind = { profile: "service", id: "backup" };

/** What is asked of a chain, besides the CAs that it is made by. */
interface Case extends Pick<Row, "name" | "use" | "host" | "address" | "user" | "atMs"> {
  readonly made: Kind;
  /** With policies and locations in the certificate. */
  readonly isFull?: boolean;
  readonly isListed?: boolean;
}

const CASES: readonly Case[] = [
  { name: "a user as a client", made: USER, use: "client", user: "alice" },
  {
    name: "a user as a server",
    made: USER,
    use: "server",
    host: "alice.user.pki.internal",
    user: "alice",
  },
  {
    name: "a user that no list has",
    made: USER,
    use: "server",
    user: "alice",
    isListed: true,
  },
  {
    name: "a user in 29 days",
    made: USER,
    use: "client",
    user: "alice",
    atMs: NOW_MS + 29 * DAY_MS,
  },
  {
    name: "a user with dots in the id",
    made: { profile: "user", id: "a.b-c.0" },
    use: "server",
    host: "a.b-c.0.user.pki.internal",
    user: "a.b-c.0",
  },
  {
    name: "a user with an id of 63 characters",
    made: { profile: "user", id: LONG_ID },
    use: "server",
    host: `${LONG_ID}.user.pki.internal`,
    user: LONG_ID,
  },
  {
    name: "a user with an id of one label of 63 characters",
    made: { profile: "user", id: "x".repeat(63) },
    use: "server",
    host: `${"x".repeat(63)}.user.pki.internal`,
    user: "x".repeat(63),
  },
  { name: "a host of the domain", made: SERVER, use: "server", host: "www.pki.internal" },
  {
    name: "a host of the domain by a wildcard",
    made: SERVER,
    use: "server",
    host: "a.shop.pki.internal",
  },
  {
    name: "a host with policies and locations",
    made: SERVER,
    use: "server",
    host: "www.pki.internal",
    isFull: true,
    isListed: true,
  },
  { name: "a host outside the domain", made: OUTSIDE, use: "server", host: "www.example.org" },
  {
    name: "an IPv4 address outside the domain",
    made: OUTSIDE,
    use: "server",
    address: "192.0.2.7",
  },
  {
    name: "an IPv6 address outside the domain",
    made: OUTSIDE,
    use: "server",
    address: "2001:db8::7",
  },
  {
    name: "a host with nothing but an address",
    made: { profile: "server", addresses: ["192.0.2.8"] },
    use: "server",
    address: "192.0.2.8",
  },
  {
    name: "a host without a common name",
    made: { profile: "server", dns: [`${"y".repeat(60)}.pki.internal`] },
    use: "server",
    host: `${"y".repeat(60)}.pki.internal`,
  },
  { name: "a service", made: SERVICE, use: "client", isListed: true },
];

const NO_ED25519: Difference = {
  accepts: false,
  says: /^certutil: could not add certificate/m,
  because: "it has no Ed25519",
};

function makeRow(keyType: KeyType, cas: Authorities, one: Case): Row {
  const { name, made, isFull = false, isListed = false, ...asked } = one;
  const issuer = made.addresses ? cas.outside : cas.issuing;
  return {
    ...asked,
    name: `${name}, by a CA with ${keyType}`,
    leaf: certifyAs(isFull ? cas.fullAuthority : cas.authority, made),
    cas: [issuer.certificate],
    root: cas.root.certificate,
    ...(isListed ? { crls: [listOf(cas.root), listOf(issuer)] } : {}),
    ...(keyType === "ed25519" ? { differences: { nss: NO_ED25519 } } : {}),
  };
}

const KEY_TYPES: readonly KeyType[] = ["p256", "p384", "rsa3072", "ed25519"];
const made = await Promise.all(KEY_TYPES.map(async (keyType) => {
  const cas = await makeAuthorities(keyType);
  // All cases by one CA; by the others what differs with the key.
  const cases = keyType === "p256"
    ? CASES
    : CASES.filter(({ isListed, host }) =>
      isListed || host === "www.example.org" || host === "alice.user.pki.internal"
    );
  return cases.map((one) => makeRow(keyType, cas, one));
}));

testRows(made.flat());
