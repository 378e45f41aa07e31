import assert from "node:assert/strict";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { encodeHex } from "../../lib/base/bytes.ts";
import { serverFiles } from "../../lib/server/files.ts";
import {
  allIssuers,
  domainIssuers,
  issuerFiles,
  issuerName,
  keyIdHex,
  loadIssuers,
} from "../../lib/server/issuers.ts";
import { type Certificate, fingerprintOf } from "../../lib/x509/certificate.ts";
import { encodePem } from "../../lib/x509/pem.ts";
import { DOMAIN, makeCa, makeOtherIssuer } from "../fakes/directory.ts";

const CA = await makeCa();
const [EARLIER, OUTSIDE, NESTED] = await Promise.all([
  makeOtherIssuer(CA, { number: 2 }),
  makeOtherIssuer(CA, { number: 3, outside: ["example.org", "example.net"] }),
  // For one name only, as the issuing CA is: but not for the domain.
  makeOtherIssuer(CA, { number: 4, outside: [`sub.${DOMAIN}`] }),
]);
const FOLDERS: string[] = [];
after(() => FOLDERS.forEach((folder) => fs.rmSync(folder, { recursive: true })));

function makeFiles(others: readonly Certificate[] | undefined) {
  const folder = fs.mkdtempSync(join(tmpdir(), "pki-issuers-"));
  FOLDERS.push(folder);
  const files = serverFiles(folder);
  fs.writeFileSync(files.rootCertificate, encodePem("CERTIFICATE", CA.root.der));
  fs.writeFileSync(files.issuingCertificate, encodePem("CERTIFICATE", CA.issuing.der));
  if (others) fs.mkdirSync(files.issuers);
  for (const other of others ?? []) {
    const { certificate } = issuerFiles(files, issuerName(other));
    fs.writeFileSync(certificate, encodePem("CERTIFICATE", other.der));
  }
  return files;
}

const namesOf = (certificates: readonly Certificate[]) =>
  certificates.map((one) => fingerprintOf(one.der)).sort();

test("loadIssuers() finds the current CA where there never was another one", () => {
  const issuers = loadIssuers(makeFiles(undefined), DOMAIN);
  assert.deepEqual(issuers.current.der, CA.issuing.der);
  assert.deepEqual([issuers.earlier, issuers.outside], [[], []]);
});

test("loadIssuers() tells CAs of the domain from those for other names", () => {
  const others = [EARLIER, OUTSIDE, NESTED].map(({ certificate }) => certificate);
  const issuers = loadIssuers(makeFiles(others), DOMAIN);
  assert.deepEqual(namesOf(issuers.earlier), namesOf([EARLIER.certificate]));
  assert.deepEqual(namesOf(issuers.outside), namesOf([OUTSIDE.certificate, NESTED.certificate]));
  assert.equal(allIssuers(issuers)[0], issuers.current);
  assert.equal(allIssuers(issuers).length, 4);
  assert.deepEqual(namesOf(domainIssuers(issuers)), namesOf([CA.issuing, EARLIER.certificate]));
});

test("loadIssuers() names the newest CA of each kind first", async () => {
  const others: Certificate[] = [];
  for (let number = 2000; number < 10_000; number += 1000) {
    others.push((await makeOtherIssuer(CA, { number, outside: ["example.org"] })).certificate);
    others.push((await makeOtherIssuer(CA, { number })).certificate);
  }
  const { earlier, outside } = loadIssuers(makeFiles(others.toReversed()), DOMAIN);
  for (const some of [earlier, outside]) {
    assert.equal(some.length, 8);
    const begins = some.map(({ notBeforeMs }) => notBeforeMs);
    assert.deepEqual(begins, begins.toSorted((a, b) => b - a));
  }
});

test("loadIssuers() counts the current CA once, and passes over other files", () => {
  const files = makeFiles([CA.issuing]);
  for (
    const name of ["note.txt", "0123.crt", `${"A".repeat(16)}.crt`, `${"a".repeat(16)}.crt.tmp`]
  ) {
    fs.writeFileSync(join(files.issuers, name), "no certificate");
  }
  assert.deepEqual(allIssuers(loadIssuers(files, DOMAIN)).length, 1);
});

test("loadIssuers() refuses what is damaged or missing", () => {
  const missing = makeFiles([]);
  fs.rmSync(missing.issuingCertificate);
  assert.throws(() => loadIssuers(missing, DOMAIN), { kind: "not-found" });
  const damaged = makeFiles([OUTSIDE.certificate]);
  const { certificate } = issuerFiles(damaged, issuerName(OUTSIDE.certificate));
  fs.writeFileSync(certificate, "no certificate");
  assert.throws(() => loadIssuers(damaged, DOMAIN), { kind: "malformed" });
  const file = makeFiles(undefined);
  fs.writeFileSync(file.issuers, "a file");
  assert.throws(() => loadIssuers(file, DOMAIN), { kind: "storage" });
});

test("keyIdHex() is what a certificate's issuer is found by", () => {
  const { subjectKeyId } = CA.issuing;
  assert.ok(subjectKeyId);
  assert.equal(keyIdHex(CA.issuing), encodeHex(subjectKeyId));
  assert.throws(() => keyIdHex({ ...CA.issuing, subjectKeyId: undefined }), {
    kind: "storage",
    message: "cannot use a CA without a key identifier",
  });
});
