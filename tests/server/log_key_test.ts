import assert from "node:assert/strict";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { randomBytes } from "node:crypto";
import { encodeBase64 } from "../../lib/base/bytes.ts";
import { issueCertificate, prepareCertificate } from "../../lib/ca/issue.ts";
import { openNote, signNote } from "../../lib/log/note.ts";
import { type ServerFiles, serverFiles } from "../../lib/server/files.ts";
import {
  certifyLogKey,
  generationOf,
  loadLogKey,
  loadLogStatement,
  loadRoot,
  makeLogKey,
} from "../../lib/server/log_key.ts";
import { issueIssuing } from "../../lib/server/make_ca.ts";
import { fingerprintOf, parseCertificate } from "../../lib/x509/certificate.ts";
import { encodeSpki, encryptPrivateKey, generatePrivateKey } from "../../lib/x509/keys.ts";
import { encodePem } from "../../lib/x509/pem.ts";
import { encryptCheaply } from "../fakes/cheap_key.ts";
import { assertFails, DOMAIN, NOW_MS } from "../fakes/directory.ts";

encryptCheaply();

const PASSPHRASE = "a passphrase of the tests";

async function makeRoot() {
  const rootKey = await generatePrivateKey("p256");
  const spki = encodeSpki(rootKey);
  const root = parseCertificate(issueCertificate(
    prepareCertificate({
      profile: "root",
      domain: DOMAIN,
      nowMs: NOW_MS,
      spki,
      random: randomBytes(20),
    }),
    { key: rootKey },
  ));
  return { root, rootKey };
}

const ROOT = await makeRoot();
const OTHER_ROOT = await makeRoot();
const KEEPING = { root: ROOT.root, passphrase: PASSPHRASE };
const MAKING = {
  root: ROOT.root,
  signer: { key: ROOT.rootKey },
  domain: DOMAIN,
  generation: 1,
  passphrase: PASSPHRASE,
};

async function inFolder(body: (files: ServerFiles) => Promise<void>): Promise<void> {
  const folder = fs.mkdtempSync(join(tmpdir(), "pki-log-key-"));
  try {
    await body(serverFiles(folder));
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

test("loadLogKey() gives the key that makeLogKey() made, under the origin of domain, root and generation", () =>
  inFolder(async (files) => {
    await makeLogKey(files, MAKING);
    const { key, verifier, statement } = await loadLogKey(files, KEEPING);
    const fingerprint = fingerprintOf(ROOT.root.der);
    assert.equal(verifier.name, `${DOMAIN}/${fingerprint.slice(0, 16)}/1`);
    assert.equal(generationOf(verifier), 1);
    const text = "something\n";
    assert.equal(openNote(signNote(text, { name: verifier.name, key }), verifier), text);
    assert.equal(
      fs.readFileSync(files.logPublic, "utf8"),
      `${statement.key}\n${statement.signature}\n`,
    );
    assert.deepEqual(loadLogStatement(files, ROOT.root).statement, statement);
    assert.match(fs.readFileSync(files.logKey, "utf8"), /^-----BEGIN ENCRYPTED PRIVATE KEY-----/);
  }));

test("makeLogKey() has another generation signed, and an issuing CA where it is given", () =>
  inFolder(async (files) => {
    fs.writeFileSync(files.rootCertificate, encodePem("CERTIFICATE", ROOT.root.der));
    await makeLogKey(files, MAKING);
    const before = await loadLogKey(files, KEEPING);
    const key = await generatePrivateKey("p384");
    const issuing = issueIssuing({ certificate: ROOT.root, key: ROOT.rootKey }, {
      domain: DOMAIN,
      spki: encodeSpki(key),
      number: 1,
      nowMs: NOW_MS,
    });
    await makeLogKey(files, { ...MAKING, signer: { key, issuing }, generation: 2 });
    const after = await loadLogKey(files, { ...KEEPING, root: loadRoot(files) });
    assert.equal(generationOf(after.verifier), 2);
    assert.notDeepEqual(encodeSpki(after.key), encodeSpki(before.key));
    const { statement } = after;
    assert.equal(statement.issuer, encodeBase64(issuing.der));
    assert.equal(
      fs.readFileSync(files.logPublic, "utf8"),
      `${statement.key}\n${statement.signature}\n${statement.issuer}\n`,
    );
    // A CA of another root, or for another trust domain, vouches for nothing.
    const stranger = issueIssuing({ certificate: OTHER_ROOT.root, key: OTHER_ROOT.rootKey }, {
      domain: DOMAIN,
      spki: encodeSpki(key),
      number: 1,
      nowMs: NOW_MS,
    });
    certifyLogKey(files, statement.key, { key, issuing: stranger });
    await assertFails(loadLogKey(files, KEEPING), "storage", /a CA of this root has signed$/);
    certifyLogKey(files, statement.key, { key, issuing });
    await loadLogKey(files, KEEPING);
  }));

test("loadLogKey() refuses what the root has not signed, and a key that is another one", () =>
  inFolder(async (files) => {
    await makeLogKey(files, MAKING);
    const [goodKey, goodPublic] = [files.logKey, files.logPublic].map((path) =>
      fs.readFileSync(path, "utf8")
    );
    assert.ok(goodKey !== undefined && goodPublic !== undefined);
    const [verifierKey = "", signature = ""] = goodPublic.split("\n");
    const stranger = await encryptPrivateKey(await generatePrivateKey("ed25519"), PASSPHRASE);
    const notSigned =
      `cannot sign the log: "${files.logPublic}" is not a key that a CA of this root has signed`;
    const rows: readonly (readonly [what: string, key: string, text: string, message: string])[] = [
      ["empty", goodKey, "", notSigned],
      ["without a signature", goodKey, `${verifierKey}\n`, notSigned],
      ["with a short signature", goodKey, `${verifierKey}\n${signature.slice(0, -4)}\n`, notSigned],
      ["not base64", goodKey, `${verifierKey}\n!\n`, notSigned],
      ["another generation", goodKey, goodPublic.replace("/1+", "/2+"), notSigned],
      ["another domain", goodKey, goodPublic.replace(DOMAIN, "other.test"), notSigned],
      [
        "another private key",
        stranger,
        goodPublic,
        `cannot sign the log: "${files.logKey}" is not the key of "${files.logPublic}"`,
      ],
    ];
    for (const [what, key, text, message] of rows) {
      fs.writeFileSync(files.logKey, key);
      fs.writeFileSync(files.logPublic, text);
      await assertFails(loadLogKey(files, KEEPING), "storage", message).catch((error) =>
        assert.fail(`${what}: ${error.message}`)
      );
    }
    fs.writeFileSync(files.logKey, goodKey);
    fs.writeFileSync(files.logPublic, goodPublic);
    await assertFails(
      loadLogKey(files, { ...KEEPING, root: OTHER_ROOT.root }),
      "storage",
      notSigned,
    );
    await assertFails(
      loadLogKey(files, { ...KEEPING, passphrase: "wrong passphrase" }),
      "refused",
      /./,
    );
    await loadLogKey(files, KEEPING);
  }));
