/** Roots that openssl made, with our issuing CA below them: what somebody may bring along. */

import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { test } from "node:test";
import { parseCertificate } from "../../lib/x509/certificate.ts";
import { checkRoot, judgeUser } from "../../lib/x509/chain.ts";
import { isCrlSignedBy, parseCrl } from "../../lib/x509/crl.ts";
import { generatePrivateKey } from "../../lib/x509/keys.ts";
import { encodeCertificatesPem, parsePemBlock } from "../../lib/x509/pem.ts";
import { DOMAIN, draftUser, HOUR_MS, signDraft } from "../fakes/ca.ts";
import { runOpenssl, WITHOUT_OPENSSL } from "./openssl.ts";

const rsa = (modulusLength: number) => generateKeyPairSync("rsa", { modulusLength }).privateKey;
const ec = (namedCurve: string) => generateKeyPairSync("ec", { namedCurve }).privateKey;
const CA = "basicConstraints=critical,CA:TRUE";
const USAGE = "keyUsage=critical,keyCertSign,cRLSign";
const WITHOUT_USAGE = "cannot trust certificate: the root must not sign certificates";

interface Row {
  readonly name: string;
  readonly key: () => KeyObject;
  readonly subject?: string;
  readonly extensions?: readonly string[];
  readonly args?: readonly string[];
  readonly refused?: string;
}

const p256 = () => ec("P-256");

const ROWS: readonly Row[] = [
  { name: "RSA of 2048 bits", key: () => rsa(2048) },
  { name: "RSA of 4096 bits with SHA-512", key: () => rsa(4096), args: ["-sha512"] },
  ...["sha256", "sha384", "sha512"].map((hash) => ({
    name: `RSASSA-PSS and ${hash}`,
    key: () => rsa(2048),
    args: [`-${hash}`, "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"],
  })),
  {
    name: "RSASSA-PSS without a salt",
    key: () => rsa(2048),
    args: ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:0"],
    refused:
      "cannot trust certificate: the root: cannot verify: RSASSA-PSS with these parameters is not accepted",
  },
  { name: "P-256", key: p256 },
  { name: "P-384 with SHA-384", key: () => ec("P-384"), args: ["-sha384"] },
  { name: "P-521 with SHA-512", key: () => ec("P-521"), args: ["-sha512"] },
  { name: "Ed25519", key: () => generateKeyPairSync("ed25519").privateKey },
  { name: "a path length of 1", key: p256, extensions: [`${CA},pathlen:1`, USAGE] },
  { name: "a path length of 5", key: p256, extensions: [`${CA},pathlen:5`, USAGE] },
  {
    name: "a path length of 0",
    key: p256,
    extensions: [`${CA},pathlen:0`, USAGE],
    refused: "cannot trust certificate: the root must not have a CA below it",
  },
  {
    name: "many attributes",
    key: p256,
    subject:
      "/DC=org/DC=example/C=DE/O=Some Body \\/ \u00dc/OU=a+OU=b/emailAddress=a@example.com/CN=R",
    args: ["-utf8", "-multivalue-rdn"],
  },
  { name: "no common name", key: p256, subject: "/O=Some Body" },
  { name: "the serial number 0", key: p256, args: ["-set_serial", "0"] },
  {
    name: "more uses of its key",
    key: p256,
    extensions: [CA, "keyUsage=critical,digitalSignature,keyCertSign,cRLSign"],
  },
  {
    name: "extensions that say where to look",
    key: p256,
    extensions: [
      CA,
      USAGE,
      "authorityInfoAccess=OCSP;URI:http://a.example/,caIssuers;URI:http://a.example/ca",
      "crlDistributionPoints=URI:http://a.example/crl",
      "certificatePolicies=1.2.3",
    ],
  },
  {
    name: "name constraints with our domain among others",
    key: p256,
    extensions: [
      CA,
      USAGE,
      `nameConstraints=critical,permitted;DNS:${DOMAIN},permitted;DNS:example.org`,
    ],
  },
  {
    name: "name constraints without our domain",
    key: p256,
    extensions: [CA, USAGE, "nameConstraints=critical,permitted;DNS:example.org"],
    refused: "cannot trust certificate: it has a name that the root must not certify",
  },
  {
    name: "uses that ours is among",
    key: p256,
    extensions: [CA, USAGE, "extendedKeyUsage=serverAuth,clientAuth,emailProtection"],
  },
  {
    name: "uses that ours is not among",
    key: p256,
    extensions: [CA, USAGE, "extendedKeyUsage=serverAuth"],
    refused: "cannot trust certificate: the root is not meant for this use",
  },
  { name: "no key usage", key: p256, extensions: [CA], refused: WITHOUT_USAGE },
  {
    name: "no key identifier",
    key: p256,
    extensions: [CA, USAGE, "subjectKeyIdentifier=none"],
    args: ["-config", "bare.cnf"],
    refused: "cannot trust certificate: the root has no key identifier",
  },
  {
    name: "RSA of 1024 bits",
    key: () => rsa(1024),
    refused:
      "cannot trust certificate: the root: cannot use the key: RSA of 1024 bits, 2048 to 16384 needed",
  },
  {
    name: "SHA-1",
    key: () => rsa(2048),
    args: ["-sha1"],
    refused:
      "cannot trust certificate: the root: cannot verify: signature algorithm 1.2.840.113549.1.1.5 is not accepted",
  },
];

const BARE_CONFIG = "[req]\ndistinguished_name=dn\n[dn]\n";
const ISSUING_EXTENSIONS = [
  "basicConstraints=critical,CA:TRUE,pathlen:0",
  USAGE,
  "subjectKeyIdentifier=hash",
  "authorityKeyIdentifier=keyid:always,issuer",
  `nameConstraints=critical,permitted;DNS:${DOMAIN}`,
].join("\n");

const pemOf = (key: KeyObject) => key.export({ format: "pem", type: "pkcs8" }).toString();

function run(args: readonly string[], files: Record<string, string>) {
  const { status, output } = runOpenssl(args, files);
  assert.equal(status, 0, output);
  return output;
}

const certificateIn = (output: string) =>
  parseCertificate(parsePemBlock(output, ["CERTIFICATE"], "it"));

function makeRoot(
  { subject = "/O=Some Body/CN=Root", extensions = [CA, USAGE], args = [] }: Row,
  key: KeyObject,
) {
  const output = run([
    ...["req", "-x509", "-new", "-key", "root.key", "-subj", subject, "-days", "3650", ...args],
    ...extensions.flatMap((extension) => ["-addext", extension]),
  ], { "root.key": pemOf(key), "bare.cnf": BARE_CONFIG });
  return certificateIn(output);
}

function makeIssuing(
  { args = [] }: Row,
  root: Uint8Array,
  rootKey: KeyObject,
  key: KeyObject,
) {
  const files = {
    "root.pem": encodeCertificatesPem([root]),
    "root.key": pemOf(rootKey),
    "issuing.key": pemOf(key),
    "issuing.ext": ISSUING_EXTENSIONS,
  };
  const request = run(["req", "-new", "-key", "issuing.key", "-subj", "/CN=issuing"], files);
  return certificateIn(run([
    ...["x509", "-req", "-in", "issuing.csr", "-CA", "root.pem", "-CAkey", "root.key"],
    ...["-set_serial", "5", "-days", "365", "-extfile", "issuing.ext"],
    ...args.filter((arg) => /^-sha|^-sigopt$|^rsa_/.test(arg)),
  ], { ...files, "issuing.csr": request }));
}

for (const row of ROWS) {
  const verb = row.refused === undefined ? "accept" : "refuse";
  test(
    `checkRoot() and judgeUser() ${verb} a root of openssl's with ${row.name}`,
    { skip: WITHOUT_OPENSSL },
    async () => {
      const rootKey = row.key();
      const { der, notBeforeMs } = makeRoot(row, rootKey);
      const nowMs = notBeforeMs + HOUR_MS;
      const judge = async () => {
        const root = checkRoot(der, nowMs);
        const key = await generatePrivateKey("p256");
        const issuing = { key, certificate: makeIssuing(row, der, rootKey, key) };
        const user = {
          ...draftUser("alice", key),
          notBeforeMs: nowMs - HOUR_MS,
          notAfterMs: nowMs + HOUR_MS,
        };
        const shown = [await signDraft(user, issuing), issuing.certificate.der];
        return judgeUser(shown, { anchor: { root, domain: DOMAIN }, nowMs }).id;
      };
      if (row.refused === undefined) assert.equal(await judge(), "alice");
      else await assert.rejects(judge, { kind: "untrusted", message: row.refused });
    },
  );
}

/** `openssl ca` as the root, which says what it has revoked. */
const CA_CONFIG = `
[ca]
default_ca = it
[it]
database = index.txt
crlnumber = number
default_md = sha512
default_crl_days = 7
crl_extensions = extensions
[extensions]
authorityKeyIdentifier = keyid:always
`;

for (const row of ROWS.filter(({ name }) => /sha384$|P-521/.test(name))) {
  test(
    `isCrlSignedBy() believes a list of a root of openssl's with ${row.name}`,
    { skip: WITHOUT_OPENSSL },
    () => {
      const key = row.key();
      const root = makeRoot(row, key);
      const pem = run([
        ...["ca", "-gencrl", "-config", "ca.cnf", "-cert", "root.pem", "-keyfile", "root.key"],
        ...(row.args ?? []).filter((arg) => /^-sigopt$|^rsa_/.test(arg)),
      ], {
        "root.pem": encodeCertificatesPem([root.der]),
        "root.key": pemOf(key),
        "ca.cnf": CA_CONFIG,
        number: "01\n",
        "index.txt": "R\t301101120000Z\t261101120000Z\t7F01\tunknown\t/CN=x\n",
      });
      const list = parseCrl(
        parsePemBlock(pem.slice(pem.indexOf("-----BEGIN")), ["X509 CRL"], "it"),
      );
      assert.equal(isCrlSignedBy(list, root), true);
      assert.equal(isCrlSignedBy(list, makeRoot(row, row.key())), false);
    },
  );
}
