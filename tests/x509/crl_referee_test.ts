/** Other programs read our revocation lists, and we read theirs. */

import assert from "node:assert/strict";
import { createPrivateKey } from "node:crypto";
import * as fs from "node:fs";
import { test } from "node:test";
import { encodeHex, utf8 } from "../../lib/base/bytes.ts";
import type { KeyType } from "../../lib/x509/algorithms.ts";
import { encodeCrlEntry, isCrlSignedBy, parseCrl, REVOCATION_REASONS } from "../../lib/x509/crl.ts";
import { generatePrivateKey } from "../../lib/x509/keys.ts";
import { encodeCertificatesPem, encodePem } from "../../lib/x509/pem.ts";
import { x509 } from "../../lib/x509/provider.ts";
import { flipBit, HOUR_MS, issue, makeTestCa, NOW_MS, type TestCa } from "../fakes/ca.ts";
import { inFolder, runTool, without } from "../tool.ts";
import { encodeEntries, makeCrl, NEXT_MS, reasonOf, serialOf } from "./crls.ts";

const ca = await makeTestCa();

const TYPES: readonly KeyType[] = ["p256", "p384", "rsa3072", "ed25519"];
const COUNTS = [0, 1, 1000];

async function makeCaOfType(type: KeyType): Promise<TestCa> {
  const file = new URL(`../../testdata/x509/${type}.key`, import.meta.url);
  const root = createPrivateKey(fs.readFileSync(file, "utf8"));
  return makeTestCa({
    keys: { root, issuing: type === "rsa3072" ? root : await generatePrivateKey(type) },
  });
}

/** Lists of 0, 1 and 1,000 entries of one CA, beside its certificates, as files. */
function filesOf(made: TestCa): Record<string, string | Uint8Array> {
  const files: Record<string, string | Uint8Array> = {
    "root.pem": encodeCertificatesPem([made.root.certificate.der]),
    "issuing.pem": encodeCertificatesPem([made.issuing.certificate.der]),
  };
  for (const count of COUNTS) {
    // NSS takes a list only if it is newer than the one before.
    const der = makeCrl(made, encodeEntries(count), 0xabcdn, NOW_MS + count * 1000);
    files[`${count}.crl`] = der;
    files[`${count}.pem`] = encodePem("X509 CRL", der);
  }
  const bad = flipBit(makeCrl(made, encodeEntries(1), 0xabcdn, NOW_MS + HOUR_MS), -1);
  files["bad.crl"] = bad;
  files["bad.pem"] = encodePem("X509 CRL", bad);
  return files;
}

/** Each says yes to a list of its CA, and no to one whose signature's last bit is flipped. */
const REFEREES: Readonly<
  Record<string, {
    readonly programs: readonly string[];
    readonly types: readonly KeyType[];
    readonly setUp?: readonly (readonly string[])[];
    readonly judge: (name: string) => readonly string[];
    readonly good: RegExp;
    readonly bad: RegExp;
    /** What it prints of the list, by number of entries. */
    readonly shows: (count: number) => RegExp;
  }>
> = {
  openssl: {
    programs: ["openssl"],
    types: TYPES,
    judge: (
      name,
    ) => ["openssl", "crl", "-in", `${name}.pem`, "-CAfile", "issuing.pem", "-text", "-noout"],
    good: /verify OK/,
    bad: /verify failure/,
    shows: (count) => count === 0 ? /No Revoked Certificates/ : /X509v3 CRL Number: \n *43981/,
  },
  certtool: {
    programs: ["certtool"],
    types: TYPES,
    judge: (name) => [
      "certtool",
      ...["--verify-crl", "--load-ca-certificate", "issuing.pem", "--infile", `${name}.pem`],
    ],
    good: /Verification output: Verified/,
    bad: /Verification output: Not verified/,
    shows: (count) =>
      count === 0 ? /No revoked certificates/ : new RegExp(`Revoked certificates \\(${count}\\)`),
  },
  // NSS has no Ed25519 signatures in certificates and lists.
  crlutil: {
    programs: ["certutil", "crlutil"],
    types: TYPES.filter((type) => type !== "ed25519"),
    setUp: [
      ["certutil", "-N", "-d", "sql:.", "--empty-password"],
      ["certutil", "-A", "-d", "sql:.", "-n", "root", "-t", "CT,C,C", "-a", "-i", "root.pem"],
      ["certutil", "-A", "-d", "sql:.", "-n", "issuing", "-t", ",,", "-a", "-i", "issuing.pem"],
    ],
    judge: (name) => ["crlutil", "-I", "-d", "sql:.", "-f", "/dev/null", "-i", `${name}.crl`],
    good: /^$/,
    bad: /unable to import CRL/,
    shows: () => /^$/,
  },
  keytool: {
    programs: ["keytool"],
    types: TYPES,
    setUp: [[
      ...["keytool", "-importcert", "-noprompt", "-alias", "issuing", "-file", "issuing.pem"],
      ...["-keystore", "trust.p12", "-storepass", "changeit"],
    ]],
    judge: (name) => [
      ...["keytool", "-printcrl", "-file", `${name}.crl`],
      ...["-keystore", "trust.p12", "-storepass", "changeit"],
    ],
    good: /Verified by issuing in keystore/,
    bad: /Warning: not verified/i,
    shows: (count) =>
      count === 0
        ? /NO certificates have been revoked/
        : new RegExp(`Revoked Certificates: ${count}`),
  },
};

for (const [name, referee] of Object.entries(REFEREES)) {
  for (const type of referee.types) {
    test(`${name} verifies lists of ${COUNTS.join(", ")} entries by a CA with ${type}`, {
      skip: without(...referee.programs),
    }, async () => {
      inFolder(filesOf(await makeCaOfType(type)), (cwd) => {
        const run = ([program = "", ...args]: readonly string[]) =>
          runTool(program, args, { cwd }).output;
        for (const command of referee.setUp ?? []) run(command);
        for (const count of COUNTS) {
          const good = run(referee.judge(`${count}`));
          assert.match(good, referee.good);
          assert.match(good, referee.shows(count));
        }
        assert.match(run(referee.judge("bad")), referee.bad);
      });
    });
  }
}

for (const type of TYPES) {
  test(`openssl verify -crl_check -x509_strict knows the revoked from the others, with ${type}`, {
    skip: without("openssl"),
  }, async () => {
    const made = await makeCaOfType(type);
    const key = await generatePrivateKey("p256");
    const [good, revoked] = await Promise.all(
      ["good", "revoked"].map((id) => issue("user", { key, issuer: made.issuing, id })),
    );
    assert.ok(good && revoked);
    const { serial } = revoked.certificate;
    const entry = encodeCrlEntry({ serial, revokedMs: NOW_MS, reason: "keyCompromise" });
    const files = {
      ...filesOf(made),
      "list.pem": encodePem("X509 CRL", makeCrl(made, [...encodeEntries(5), entry])),
      "good.pem": encodeCertificatesPem([good.certificate.der]),
      "revoked.pem": encodeCertificatesPem([revoked.certificate.der]),
    };
    inFolder(files, (cwd) => {
      const verify = (file: string, ...args: readonly string[]) =>
        runTool("openssl", [
          ...["verify", "-x509_strict", "-crl_check", "-attime", String(NOW_MS / 1000 + 60)],
          ...["-CAfile", "root.pem", "-untrusted", "issuing.pem", ...args, file],
        ], { cwd });
      const list = ["-CRLfile", "list.pem"];
      assert.deepEqual(verify("good.pem", ...list), { status: 0, output: "good.pem: OK\n" });
      assert.match(verify("revoked.pem", ...list).output, /certificate revoked/);
      assert.match(verify("good.pem").output, /unable to get certificate CRL/);
    });
  });
}

test("@peculiar/x509 reads every field of our lists", async () => {
  const read = new x509.X509Crl(makeCrl(ca, encodeEntries(12)));
  assert.equal(read.issuer, `CN=${ca.issuing.certificate.commonNames[0]}`);
  assert.equal(read.thisUpdate.getTime(), NOW_MS);
  assert.equal(read.nextUpdate?.getTime(), NEXT_MS);
  const entries = read.entries.map(({ serialNumber, revocationDate, reason }) => ({
    serialNumber,
    revokedMs: revocationDate.getTime(),
    code: Number(reason ?? 0),
  }));
  assert.deepEqual(
    entries,
    Array.from({ length: 12 }, (_, i) => ({
      serialNumber: encodeHex(serialOf(i)),
      revokedMs: NOW_MS - i * HOUR_MS,
      code: REVOCATION_REASONS[reasonOf(i)],
    })),
  );
  const issuing = new x509.X509Certificate(ca.issuing.certificate.der);
  assert.equal(await read.verify({ publicKey: issuing.publicKey }), true);
});

/** `openssl ca` as the issuer of lists. */
const CA_CONFIG = `
[ca]
default_ca = it
[it]
database = index.txt
crlnumber = number
default_md = sha256
default_crl_days = 7
crl_extensions = extensions
[extensions]
authorityKeyIdentifier = keyid:always
`;

test("parseCrl() reads the lists of openssl ca", { skip: without("openssl") }, () => {
  const { certificate, key } = ca.issuing;
  const line = (serial: string, reason: string) =>
    `R\t301101120000Z\t261101120000Z${reason}\t${serial.toUpperCase()}\tunknown\t/CN=x\n`;
  const files = {
    "ca.pem": encodeCertificatesPem([certificate.der]),
    "ca.key": key.export({ format: "pem", type: "pkcs8" }) as string,
    "openssl.cnf": CA_CONFIG,
    number: "1A2B\n",
    "index.txt": line("7f01", ",keyCompromise") + line("02", "") + line("03", ",superseded"),
  };
  inFolder(files, (cwd) => {
    const { status, output } = runTool("openssl", [
      ...["ca", "-gencrl", "-config", "openssl.cnf", "-cert", "ca.pem", "-keyfile", "ca.key"],
      ...["-out", "list.pem"],
    ], { cwd });
    assert.equal(status, 0, output);
    const pem = fs.readFileSync(`${cwd}/list.pem`, "utf8");
    const der = Uint8Array.from(
      atob(pem.replace(/-----[A-Z0-9 ]+-----|\n/g, "")),
      (character) => character.charCodeAt(0),
    );
    const crl = parseCrl(der);
    assert.equal(crl.number, 0x1a2bn);
    assert.equal(isCrlSignedBy(crl, certificate), true);
    const revokedMs = NOW_MS;
    assert.deepEqual([...crl.entries()], [
      { serial: "02", revokedMs, reason: "unspecified" },
      { serial: "03", revokedMs, reason: "superseded" },
      { serial: "7f01", revokedMs, reason: "keyCompromise" },
    ]);
  });
});

const CERTTOOL_TEMPLATE = "crl_next_update = 43\ncrl_number = 5\n";

for (const isEmpty of [true, false]) {
  test(`parseCrl() reads ${isEmpty ? "an empty list" : "a list"} of certtool`, {
    skip: without("certtool"),
  }, async () => {
    const { certificate, key } = ca.issuing;
    const user = await issue("user", { key, issuer: ca.issuing, id: "alice" });
    const files = {
      "ca.pem": encodeCertificatesPem([certificate.der]),
      "ca.key": key.export({ format: "pem", type: "pkcs8" }) as string,
      "user.pem": encodeCertificatesPem([user.certificate.der]),
      template: utf8(CERTTOOL_TEMPLATE),
    };
    inFolder(files, (cwd) => {
      const { status, output } = runTool("certtool", [
        ...["--generate-crl", "--load-ca-certificate", "ca.pem", "--load-ca-privkey", "ca.key"],
        ...["--template", "template", "--outder", "--outfile", "list.crl"],
        ...(isEmpty ? [] : ["--load-certificate", "user.pem"]),
      ], { cwd });
      assert.equal(status, 0, output);
      const crl = parseCrl(fs.readFileSync(`${cwd}/list.crl`));
      assert.equal(crl.number, 5n);
      assert.equal(isCrlSignedBy(crl, certificate), true);
      const { serial } = user.certificate;
      assert.deepEqual([...crl.entries()].map((entry) => entry.serial), isEmpty ? [] : [serial]);
    });
  });
}
