/** Setting a folder up: with a root of one's own, and with one whose key is with somebody else. */

import assert from "node:assert/strict";
import { createPublicKey, type KeyObject } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { PkiError } from "../../lib/base/errors.ts";
import { serverFiles } from "../../lib/server/files.ts";
import { loadIssuing } from "../../lib/server/issuers.ts";
import { loadLogStatement, loadRoot } from "../../lib/server/log_key.ts";
import { makeRoot, type OpenCa, tryIssuing } from "../../lib/server/make_ca.ts";
import {
  checkNotPending,
  checkReturned,
  completeSetUp,
  isPending,
  setUpPending,
} from "../../lib/server/outside_root.ts";
import { parseOwnRoot } from "../../lib/server/own_root.ts";
import { openRootKey } from "../../lib/server/root_key.ts";
import { isSetUp, settleFolder, setUp } from "../../lib/server/setup.ts";
import { KEY_TYPES, type KeyType } from "../../lib/x509/algorithms.ts";
import { parseCertificate } from "../../lib/x509/certificate.ts";
import { parseCsr } from "../../lib/x509/csr.ts";
import {
  decryptPrivateKey,
  generatePrivateKey,
  keyTypeOf,
  parsePublicKey,
} from "../../lib/x509/keys.ts";
import { encodePem, parsePemBlock } from "../../lib/x509/pem.ts";
import { x509 } from "../../lib/x509/provider.ts";
import {
  type Draft,
  draftIssuing,
  draftRoot,
  makeTestCa,
  nameConstraints,
  signDraft,
} from "../fakes/ca.ts";
import { freshPath, PASSPHRASE, removeFolders } from "./data_folder.ts";

after(removeFolders);

const DOMAIN = "pki.internal";
const nowMs = Date.now();
const COMMON = { domain: DOMAIN, passphrase: PASSPHRASE, nowMs };
const HOUR_MS = 3600_000;

for (const keyType of Object.keys(KEY_TYPES) as KeyType[]) {
  test(`setUp() makes CAs with ${keyType} keys`, async () => {
    const folder = freshPath("data");
    await setUp(folder, { ...COMMON, keyType });
    const files = serverFiles(folder);
    for (const certificate of [loadRoot(files), loadIssuing(files)]) {
      assert.equal(keyTypeOf(parsePublicKey(certificate.spki)), keyType);
    }
    assert.ok(isSetUp(folder));
  });
}

test("setUp() leaves what was written into the folder before, and refuses anything else", async () => {
  const folder = freshPath("data");
  fs.mkdirSync(folder);
  const elsewhere = freshPath("elsewhere.json");
  fs.writeFileSync(elsewhere, '{"port":1}');
  fs.symlinkSync(elsewhere, join(folder, "pki.json")); // kept as what it is
  fs.writeFileSync(join(folder, "profiles.json"), "{}");
  await setUp(folder, COMMON);
  assert.ok(isSetUp(folder));
  assert.equal(fs.readlinkSync(join(folder, "pki.json")), elsewhere);
  assert.equal(fs.readFileSync(join(folder, "profiles.json"), "utf8"), "{}");
  assert.equal(fs.statSync(folder).mode & 0o777, 0o700);
  assert.equal(fs.existsSync(`${folder}.before-set-up`), false);

  const other = freshPath("data");
  fs.mkdirSync(other);
  for (const name of ["pki.json", "notes.txt"]) fs.writeFileSync(join(other, name), "{}");
  await assert.rejects(setUp(other, COMMON), {
    kind: "conflict",
    message: `cannot set up "${other}": it has other things in it`,
  });
  assert.deepEqual(fs.readdirSync(other).sort(), ["notes.txt", "pki.json"]);
  fs.rmSync(join(other, "notes.txt"));
  await setUp(other, COMMON);
});

test("settleFolder() finishes what a crash has cut short, wherever it was", async () => {
  const aside = (folder: string) => `${folder}.before-set-up`;
  const before = freshPath("data"); // between the two renames: nothing is there under the name
  fs.mkdirSync(aside(before), { recursive: true });
  fs.writeFileSync(join(aside(before), "pki.json"), "{}");
  settleFolder(before);
  assert.deepEqual(fs.readdirSync(before), ["pki.json"]);
  assert.equal(fs.existsSync(aside(before)), false);

  const behind = freshPath("data"); // behind them: the new folder lacks what was written
  await setUp(behind, COMMON);
  fs.mkdirSync(aside(behind));
  fs.writeFileSync(join(aside(behind), "pki.json"), "{}");
  settleFolder(behind);
  assert.equal(fs.readFileSync(join(behind, "pki.json"), "utf8"), "{}");
  assert.equal(fs.existsSync(aside(behind)), false);

  // Nobody else brings anything into it from beside it, and nothing that is there is replaced.
  const key = fs.readFileSync(serverFiles(behind).opaqueKey, "utf8");
  for (const name of ["opaque.key", "pki.json", "x"]) {
    fs.mkdirSync(aside(behind));
    fs.writeFileSync(join(aside(behind), name), "{ }");
    assert.throws(() => settleFolder(behind), {
      kind: "conflict",
      message: `cannot put "${aside(behind)}" into "${behind}": it has "${name}" in it`,
    });
    fs.rmSync(aside(behind), { recursive: true });
  }
  assert.equal(fs.readFileSync(serverFiles(behind).opaqueKey, "utf8"), key);
  assert.equal(fs.readFileSync(join(behind, "pki.json"), "utf8"), "{}");
});

/** A root that is not ours. */
async function makeOwnRoot(change: Partial<Draft> = {}): Promise<OpenCa> {
  const key = await generatePrivateKey("p256");
  const draft: Draft = {
    ...draftRoot(key),
    commonName: "Example Root",
    notBeforeMs: nowMs - HOUR_MS,
    notAfterMs: nowMs + 24 * HOUR_MS,
    ...change,
  };
  return { certificate: parseCertificate(await signDraft(draft, { key })), key };
}

const dns = (name: string) =>
  new Uint8Array([0x82, name.length, ...new TextEncoder().encode(name)]);

test("setUp() keeps the key of one's own root under its own passphrase, or not at all", async () => {
  const root = await makeOwnRoot();
  const kept = freshPath("data");
  await setUp(kept, { ...COMMON, root, rootPassphrase: "of the root alone" });
  const files = serverFiles(kept);
  assert.deepEqual(loadRoot(files).der, root.certificate.der);
  await assert.rejects(openRootKey(files, root.certificate, { passphrase: PASSPHRASE }), {
    kind: "refused",
    message: "cannot open the root's key: the passphrase does not fit",
  });
  const passphrases = { passphrase: PASSPHRASE, rootPassphrase: "of the root alone" };
  const opened = await openRootKey(files, root.certificate, passphrases);
  assert.ok(createPublicKey(opened).equals(createPublicKey(root.key)));
  const asked = await openRootKey(files, root.certificate, {
    passphrase: PASSPHRASE,
    ask: () => Promise.resolve("of the root alone"),
  });
  assert.ok(createPublicKey(asked).equals(createPublicKey(root.key)));

  const without = freshPath("data");
  await setUp(without, { ...COMMON, root, leavesRootKeyOut: true });
  assert.equal(fs.existsSync(join(without, "root.key")), false);
  await assert.rejects(
    openRootKey(serverFiles(without), root.certificate, { passphrase: PASSPHRASE }),
    { kind: "not-found" },
  );
  const path = freshPath("root.key");
  fs.writeFileSync(path, root.key.export({ format: "pem", type: "pkcs8" }));
  await openRootKey(serverFiles(without), root.certificate, { passphrase: PASSPHRASE, path });
  const stranger = await generatePrivateKey("p256");
  fs.writeFileSync(path, stranger.export({ format: "pem", type: "pkcs8" }));
  await assert.rejects(
    openRootKey(serverFiles(without), root.certificate, { passphrase: PASSPHRASE, path }),
    { kind: "conflict", message: `cannot use "${path}": it is not the certificate's key` },
  );
});

const OWN_ROOTS: readonly (readonly [what: string, change: Partial<Draft>, why: RegExp])[] = [
  ["that was issued by another", { issuerName: "Somebody" }, /the root is not issued by itself$/],
  ["that is no CA", { basicConstraints: null }, /root.+CA/],
  [
    "that must not sign certificates",
    { keyUsage: x509.KeyUsageFlags.cRLSign },
    /sign certificates/,
  ],
  ["that must not have a CA below it", {
    basicConstraints: { isCa: true, pathLength: 0, isCritical: true },
  }, /CA below it/],
  ["that has ended", { notAfterMs: nowMs - 2000 }, /expired/],
  ["that has not begun", { notBeforeMs: nowMs + HOUR_MS }, /not valid before/],
  ["without a key identifier", { subjectKeyId: null }, /key identifier/],
];

for (const [what, change, why] of OWN_ROOTS) {
  test(`parseOwnRoot() refuses a root ${what}`, async () => {
    const { certificate: { der } } = await makeOwnRoot(change);
    assert.throws(() => parseOwnRoot(encodePem("CERTIFICATE", der), "my.crt", nowMs), (error) => {
      assert.ok(error instanceof PkiError);
      assert.equal(error.kind, "refused");
      assert.match(error.message, /^cannot use "my.crt" as root: /);
      assert.match(error.message, why);
      return true;
    });
  });
}

test("parseOwnRoot() takes a good root, and nothing that is no certificate", async () => {
  const { certificate: { der } } = await makeOwnRoot();
  assert.deepEqual(parseOwnRoot(encodePem("CERTIFICATE", der), "my.crt", nowMs).der, der);
  assert.throws(() => parseOwnRoot("nothing", "my.crt", nowMs), { kind: "malformed" });
});

test("setUp() refuses a root that allows other names only, and leaves nothing", async () => {
  const root = await makeOwnRoot({ more: [nameConstraints({ permitted: [dns("other.test")] })] });
  const folder = freshPath("data");
  await assert.rejects(setUp(folder, { ...COMMON, root }), (error) => {
    assert.ok(error instanceof PkiError);
    assert.equal(error.kind, "refused");
    assert.match(error.message, /^cannot use the root: nobody would trust certificates under it: /);
    return true;
  });
  assert.deepEqual(fs.readdirSync(join(folder, "..")), []);
  const good = await makeOwnRoot({ more: [nameConstraints({ permitted: [dns(DOMAIN)] })] });
  await setUp(folder, { ...COMMON, root: good });
});

test("setUp() with a root that must not sign lists makes none", async () => {
  const root = await makeOwnRoot({ keyUsage: x509.KeyUsageFlags.keyCertSign });
  const folder = freshPath("data");
  await setUp(folder, { ...COMMON, root });
  assert.equal(fs.existsSync(join(folder, "root.crl")), false);
});

/** A folder that waits, and what its request asks for. */
async function makePending() {
  const folder = freshPath("data");
  const csr = await setUpPending(folder, { ...COMMON, keyType: "p256" });
  const pem = fs.readFileSync(serverFiles(folder).issuingKey, "utf8");
  return {
    folder,
    csr: parseCsr(parsePemBlock(csr, ["CERTIFICATE REQUEST"], "it")),
    key: await decryptPrivateKey(pem, PASSPHRASE, "issuing.key"),
  };
}

test("setUpPending() makes a folder that cannot be served yet, and the same request again", async () => {
  const { folder, csr } = await makePending();
  assert.ok(isPending(folder));
  assert.equal(isSetUp(folder), false);
  assert.throws(() => checkNotPending(folder), {
    kind: "conflict",
    message: `cannot use "${folder}": the certificate of its issuing CA has not come back yet`,
  });
  assert.deepEqual(csr.commonNames, [`${DOMAIN} issuing CA`]);
  const asked = [...csr.extensions.values()].map(({ oid, critical }) => [oid, critical]);
  assert.deepEqual(asked.slice(0, 3), [["2.5.29.19", true], ["2.5.29.15", true], [
    "2.5.29.30",
    true,
  ]]);
  const again = await setUpPending(folder, { ...COMMON, keyType: "p384" });
  assert.deepEqual(parsePemBlock(again, ["CERTIFICATE REQUEST"], "it"), csr.der);
});

/** What a right answer to the request says, to be deviated from. */
async function draftReturned(key: KeyObject): Promise<Draft> {
  const model = (await makeTestCa()).issuing.certificate.extensions.get("2.5.29.30");
  assert.ok(model);
  return {
    ...draftIssuing(key),
    commonName: `${DOMAIN} issuing CA`,
    notBeforeMs: nowMs - HOUR_MS,
    notAfterMs: nowMs + 24 * HOUR_MS,
    more: [new x509.Extension("2.5.29.30", true, new Uint8Array(model.value))],
  };
}

test("checkReturned() says exactly what is wrong with the certificate that came back", async () => {
  const { key } = await makePending();
  const [root, other] = [await makeOwnRoot(), await makeOwnRoot()];
  const named = await makeOwnRoot({ commonName: "Another Root" });
  const draft = await draftReturned(key);
  const [ipv4, ipv6] = [8, 32].map((bytes) =>
    new Uint8Array([0x87, bytes, ...Array(bytes).fill(0)])
  );
  assert.ok(ipv4 && ipv6);
  const email = (name: string) =>
    new Uint8Array([0x81, name.length, ...new TextEncoder().encode(name)]);
  const constrained = (
    permitted: readonly Uint8Array[],
    excluded: readonly Uint8Array[] = [ipv4, ipv6],
  ): Partial<Draft> => ({ more: [nameConstraints({ permitted, excluded })] });
  const loose = nameConstraints({
    permitted: [dns(DOMAIN), email(DOMAIN)],
    excluded: [ipv4, ipv6],
  });
  const rows:
    readonly (readonly [what: string, change: Partial<Draft>, by: OpenCa, why: RegExp])[] = [
      [
        "another key",
        { key: await generatePrivateKey("p256") },
        root,
        /it is for another key than the request's$/,
      ],
      ["another root", {}, named, /it is not issued by the given root, but by another CA$/],
      [
        "another root of the same name",
        {},
        other,
        /authority key identifier .* not the root's key$/,
      ],
      ["no subject key identifier", { subjectKeyId: null }, root, /no subject key identifier$/],
      ["no authority key identifier", { authorityKeyId: null }, root, /authority key identifier/],
      [
        "no cRLSign",
        { keyUsage: x509.KeyUsageFlags.keyCertSign },
        root,
        /must not sign revocation lists/,
      ],
      [
        "no keyCertSign",
        { keyUsage: x509.KeyUsageFlags.cRLSign },
        root,
        /the issuing CA must not sign certificates$/,
      ],
      ["no CA", { basicConstraints: null }, root, /CA/],
      [
        "no path length",
        { basicConstraints: { isCa: true, isCritical: true } },
        root,
        /CA below it$/,
      ],
      ["one that has ended", { notAfterMs: nowMs - 2000 }, root, /expired/],
      ["no constraints", { more: [] }, root, /not constrained to pki\.internal$/],
      [
        "constraints to another domain",
        constrained([dns("other.test")]),
        root,
        /not constrained to/,
      ],
      ["two domains", constrained([dns(DOMAIN), dns("other.test")]), root, /not constrained to/],
      ["all addresses of e-mail", constrained([dns(DOMAIN)]), root, /do not permit e-mail/],
      [
        "another domain's e-mail",
        constrained([dns(DOMAIN), email("other.test")]),
        root,
        /do not permit e-mail addresses of pki\.internal only$/,
      ],
      [
        "IPv4",
        constrained([dns(DOMAIN), email(DOMAIN)], [ipv6]),
        root,
        /do not exclude all IPv4 addresses$/,
      ],
      [
        "IPv6",
        constrained([dns(DOMAIN), email(DOMAIN)], [ipv4]),
        root,
        /do not exclude all IPv6 addresses$/,
      ],
      [
        "constraints that are not critical",
        { more: [new x509.Extension(loose.type, false, loose.value)] },
        root,
        /critical/,
      ],
    ];
  const options = { root: root.certificate, domain: DOMAIN, nowMs };
  for (const [what, change, by, why] of rows) {
    const certificate = parseCertificate(await signDraft({ ...draft, ...change }, by));
    await assert.rejects(checkReturned({ certificate, key }, options), (error) => {
      assert.ok(error instanceof PkiError, what);
      assert.equal(error.kind, "refused", what);
      assert.match(error.message, /^cannot use the issuing CA's certificate: /, what);
      assert.match(error.message, why, what);
      return true;
    });
  }
  const good = parseCertificate(await signDraft(draft, root));
  await checkReturned({ certificate: good, key }, options);
});

test("completeSetUp() finishes the folder, also after a crash, and once only", async () => {
  const { folder, key } = await makePending();
  const root = await makeOwnRoot();
  const draft = await draftReturned(key);
  const issuingPem = encodePem("CERTIFICATE", await signDraft(draft, root));
  const rootPem = encodePem("CERTIFICATE", root.certificate.der);
  const returned = { issuingPem, issuingPath: "issuing.crt" };
  const complete = (more: Partial<Parameters<typeof completeSetUp>[1]> = {}) =>
    completeSetUp(folder, {
      passphrase: PASSPHRASE,
      nowMs,
      returned: { ...returned, rootPem, rootPath: "root.crt" },
      ...more,
    });
  await assert.rejects(complete({ returned }), {
    kind: "usage",
    message: 'cannot use "issuing.crt": the root is not in it',
  });
  await assert.rejects(complete({ passphrase: "another one" }), { kind: "refused" });
  assert.ok(isPending(folder), "nothing was changed");
  const files = serverFiles(folder);
  // A crash before the last write.
  fs.writeFileSync(files.rootCertificate, rootPem);
  assert.ok(isPending(folder));
  const bundle = { issuingPem: issuingPem + rootPem, issuingPath: "issuing.crt" };
  assert.equal((await complete({ returned: bundle })).domain, DOMAIN);
  assert.equal(isPending(folder), false);
  assert.ok(isSetUp(folder));
  assert.equal(fs.existsSync(join(folder, "pending.json")), false);
  const { statement } = loadLogStatement(files, loadRoot(files));
  assert.ok(statement.issuer !== undefined, "the issuing CA has signed the log's key");
  await assert.rejects(complete(), {
    kind: "conflict",
    message: `cannot complete "${folder}": no certificate is due there`,
  });
});

test("tryIssuing() finds out what path validation would not believe", async () => {
  const root = await makeRoot({ domain: DOMAIN, keyType: "p256", nowMs });
  const key = await generatePrivateKey("p256");
  const der = await signDraft(
    { ...draftIssuing(key), notBeforeMs: nowMs - HOUR_MS, notAfterMs: nowMs + HOUR_MS },
    root,
  );
  await assert.rejects(
    tryIssuing({ certificate: parseCertificate(der), key }, {
      root: root.certificate,
      domain: DOMAIN,
      nowMs,
    }),
    { kind: "refused" },
  );
});
