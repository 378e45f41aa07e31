/**
 * What a stolen key of a CA could certify: nothing outside of its name constraints, in the eyes of our
 * path validation, OpenSSL, GnuTLS and NSS alike. The certificates are made without a lint, as a thief
 * would.
 */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { issueCertificate, type IssueRequest, prepareCertificate } from "../../lib/ca/issue.ts";
import { OID, parseCertificate } from "../../lib/x509/certificate.ts";
import { parseIp } from "../../lib/x509/wanted_names.ts";
import { encodeSpki, generatePrivateKey } from "../../lib/x509/keys.ts";
import { type CertificateTemplate, makeCertificate } from "../../lib/x509/make.ts";
import { validatePath } from "../../lib/x509/path.ts";
import { encodeCertificatesPem } from "../../lib/x509/pem.ts";
import { DOMAIN, type Holder } from "../fakes/ca.ts";
import { CSR_KEY } from "../fakes/csr.ts";
import { inFolder, runTool, without } from "../tool.ts";

/** GnuTLS can only be asked about now. */
const NOW_MS = Math.floor(Date.now() / 1000) * 1000;

async function makeCa(
  request: Pick<IssueRequest, "profile" | "permitted">,
  issuer?: Holder,
): Promise<Holder> {
  const key = await generatePrivateKey("p256");
  const template = prepareCertificate({
    ...request,
    domain: DOMAIN,
    spki: encodeSpki(key),
    nowMs: NOW_MS,
    random: randomBytes(20),
    ...(issuer ? { issuerNotAfterMs: issuer.certificate.notAfterMs } : {}),
  });
  return { key, certificate: parseCertificate(issueCertificate(template, issuer ?? { key })) };
}

const ROOT = await makeCa({ profile: "root" });
const makeOutside = (permitted: NonNullable<IssueRequest["permitted"]>) =>
  makeCa({ profile: "outside", permitted }, ROOT);

const CAS = {
  issuing: await makeCa({ profile: "issuing" }, ROOT),
  hosts: await makeOutside({ dns: ["example.org"], addresses: [] }),
  ipv4: await makeOutside({ dns: [], addresses: ["10.0.0.0/8"] }),
  both: await makeOutside({ dns: ["example.org"], addresses: ["10.1.0.0/16", "2001:db8::/32"] }),
};

interface Row {
  readonly by: keyof typeof CAS;
  readonly dns?: readonly string[];
  readonly addresses?: readonly string[];
  readonly uris?: readonly string[];
  readonly isGood: boolean;
}

const USER = `spiffe://${DOMAIN}/user/alice`;

const ROWS: readonly Row[] = [
  { by: "issuing", dns: [`alice.user.${DOMAIN}`], uris: [USER], isGood: true },
  { by: "issuing", dns: [DOMAIN, `www.${DOMAIN}`], isGood: true },
  { by: "issuing", dns: ["example.org"], isGood: false },
  { by: "issuing", dns: [`www.${DOMAIN}`, "example.org"], isGood: false },
  { by: "issuing", dns: [`not${DOMAIN}`], isGood: false },
  { by: "issuing", dns: [`www.${DOMAIN}`], addresses: ["10.0.0.1"], isGood: false },
  { by: "issuing", dns: [`www.${DOMAIN}`], addresses: ["::1"], isGood: false },
  { by: "hosts", dns: ["example.org", "a.b.example.org"], isGood: true },
  { by: "hosts", dns: ["*.example.org"], isGood: true },
  { by: "hosts", dns: [`www.${DOMAIN}`], isGood: false },
  { by: "hosts", dns: ["example.com"], isGood: false },
  { by: "hosts", dns: ["example.org"], addresses: ["10.0.0.1"], isGood: false },
  { by: "hosts", dns: ["example.org"], addresses: ["2001:db8::1"], isGood: false },
  { by: "ipv4", addresses: ["10.2.3.4"], isGood: true },
  { by: "ipv4", addresses: ["11.2.3.4"], isGood: false },
  { by: "ipv4", addresses: ["::a02:304"], isGood: false },
  { by: "ipv4", addresses: ["10.2.3.4"], dns: ["example.org"], isGood: false },
  { by: "both", dns: ["www.example.org"], addresses: ["10.1.2.3", "2001:db8:1::1"], isGood: true },
  { by: "both", addresses: ["10.2.0.1"], isGood: false },
  { by: "both", addresses: ["2001:db9::1"], isGood: false },
  // URIs are the one form in which the outside CAs exclude: no users of the domain.
  { by: "hosts", dns: ["example.org"], uris: [USER], isGood: false },
];

function make({ by, dns = [], addresses = [], uris = [] }: Row) {
  const template: CertificateTemplate = {
    serial: Uint8Array.of(0x40, 1),
    // As the profile has it; GnuTLS takes a common name for a host where there is no other.
    ...(dns[0] === undefined ? {} : { commonName: dns[0] }),
    notBeforeMs: NOW_MS - 60_000,
    notAfterMs: NOW_MS + 86_400_000,
    spki: encodeSpki(CSR_KEY),
    uris,
    dns,
    addresses: addresses.map(parseIp),
    extendedKeyUsage: [OID.serverAuth],
  };
  return parseCertificate(makeCertificate(template, CAS[by]));
}

function describe({ by, isGood, ...names }: Row): string {
  return `${isGood ? "accepts" : "refuses"} ${by}: ${Object.values(names).flat().join(" ")}`;
}

for (const row of ROWS) {
  test(`validatePath() ${describe(row)}`, () => {
    const chain = [make(row), CAS[row.by].certificate, ROOT.certificate];
    const validate = () => validatePath(chain, { nowMs: NOW_MS, purposes: [OID.serverAuth] });
    if (row.isGood) validate();
    else assert.throws(validate, { kind: "untrusted" });
  });
}

function filesOf(row: Row) {
  return {
    "root.pem": encodeCertificatesPem([ROOT.certificate.der]),
    "ca.pem": encodeCertificatesPem([CAS[row.by].certificate.der]),
    "leaf.pem": encodeCertificatesPem([make(row).der]),
    "chain.pem": encodeCertificatesPem([make(row).der, CAS[row.by].certificate.der]),
  };
}

/** What a program has to say for yes and for no; anything else is a fault of the test. */
function decide(output: string, yes: RegExp, no: RegExp): boolean {
  assert.notEqual(yes.test(output), no.test(output), output);
  return yes.test(output);
}

const TOOLS: Readonly<Record<string, (cwd: string) => boolean>> = {
  openssl(cwd) {
    const args = ["-x509_strict", "-purpose", "sslserver", "-CAfile", "root.pem"];
    const { output } = runTool("openssl", ["verify", ...args, "-untrusted", "ca.pem", "leaf.pem"], {
      cwd,
    });
    return decide(output, /^leaf\.pem: OK/m, /(?:permitted|excluded) subtree violation/);
  },
  certtool(cwd) {
    const args = ["--verify", "--load-ca-certificate", "root.pem", "--infile", "chain.pem"];
    const { output } = runTool("certtool", args, { cwd });
    const [, whole = ""] = output.split("Chain verification output:");
    return decide(whole, / Verified\./, /Not verified\..*violates the signer's constraints/);
  },
  certutil(cwd) {
    const run = (...args: readonly string[]) => runTool("certutil", [...args, "-d", "."], { cwd });
    assert.equal(run("-N", "--empty-password").status, 0);
    for (const [name, trust] of [["root", "C,,"], ["ca", ",,"], ["leaf", ",,"]] as const) {
      const { status, output } = run("-A", "-n", name, "-t", trust, "-i", `${name}.pem`);
      assert.equal(status, 0, output);
    }
    const { output } = run("-V", "-n", "leaf", "-u", "V");
    return decide(
      output,
      /certificate is valid/,
      /invalid:.*(?:permitted|name constraint|name space)/i,
    );
  },
};

for (const [program, judge] of Object.entries(TOOLS)) {
  for (const row of ROWS) {
    test(`${program} ${describe(row)}`, { skip: without(program) }, () => {
      assert.equal(inFolder(filesOf(row), judge), row.isGood);
    });
  }
}
