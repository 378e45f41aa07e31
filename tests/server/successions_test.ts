import assert from "node:assert/strict";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { serverFiles } from "../../lib/server/files.ts";
import { issuerFiles, issuerName } from "../../lib/server/issuers.ts";
import { encodeSuccession, loadSuccessions } from "../../lib/server/successions.ts";
import { vouchFor } from "../../lib/x509/succession.ts";
import { makeCa, makeOtherIssuer } from "../fakes/directory.ts";

const CA = await makeCa();
const LATER = await makeOtherIssuer(CA);
const SUCCESSION = vouchFor(LATER.certificate, {
  kind: "issuing",
  by: CA.issuing,
  key: CA.issuingKey,
  isByRoot: false,
});
const FOLDERS: string[] = [];
after(() => FOLDERS.forEach((folder) => fs.rmSync(folder, { recursive: true })));

/** A data folder with this text as a succession. */
function makeFiles(text: string | undefined) {
  const folder = fs.mkdtempSync(join(tmpdir(), "pki-successions-"));
  FOLDERS.push(folder);
  const files = serverFiles(folder);
  if (text === undefined) return files;
  fs.mkdirSync(files.issuers);
  fs.writeFileSync(issuerFiles(files, issuerName(LATER.certificate)).succession, text);
  return files;
}

test("loadSuccessions() reads what encodeSuccession() wrote, and nothing else that is there", () => {
  const files = makeFiles(encodeSuccession(SUCCESSION));
  for (
    const name of ["x.succession", `${"0".repeat(16)}.succession.tmp`, `${"0".repeat(16)}.crt`]
  ) {
    fs.writeFileSync(join(files.issuers, name), "no succession");
  }
  assert.deepEqual(loadSuccessions(files), [SUCCESSION]);
});

test("loadSuccessions() finds none where there never was another CA", () => {
  assert.deepEqual(loadSuccessions(makeFiles(undefined)), []);
});

const DAMAGED: readonly [string, string][] = [
  ["nothing", ""],
  ["no JSON", "no succession"],
  ["a list", "[]"],
  ["another kind", JSON.stringify({ ...SUCCESSION, kind: "user" })],
  ["no signature", JSON.stringify({ ...SUCCESSION, signature: "" })],
  ["a voucher that is none", JSON.stringify({ ...SUCCESSION, by: "00" })],
  ["a certificate that is not base64", JSON.stringify({ ...SUCCESSION, certificate: "?" })],
];

for (const [what, text] of DAMAGED) {
  test(`loadSuccessions() refuses ${what}`, () => {
    assert.throws(() => loadSuccessions(makeFiles(text)), {
      kind: "storage",
      message: /^cannot read ".*\.succession": not as it should be$/,
    });
  });
}

test("loadSuccessions() refuses a folder that cannot be read", () => {
  const files = makeFiles(undefined);
  fs.writeFileSync(files.issuers, "a file");
  assert.throws(() => loadSuccessions(files), { kind: "storage", message: /^cannot read / });
});
