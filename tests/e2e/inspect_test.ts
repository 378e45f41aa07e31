/** `pki inspect`, driven as a user would: files and pipes, for people and for programs. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { test } from "node:test";
import { encodeHex, sha256 } from "../../lib/base/bytes.ts";
import { encodeCrlEntry, encodeTbsCrl, signCrl } from "../../lib/x509/crl.ts";
import { encodeOcspError, encodeOcspRequest } from "../../lib/x509/ocsp.ts";
import { encodeCertificatesPem, encodePem } from "../../lib/x509/pem.ts";
import { draftUser, flipBit, makeTestCa, makeUser, NOW_MS, signDraft } from "../fakes/ca.ts";
import { inWords, inWorld, type World } from "./harness.ts";

const NOTE = "this is what is written there; whether to trust it was not looked at\n";
const STRICT =
  "pki: hint: it is read strictly, as everything here is; openssl may show what is in it\n";

const ca = await makeTestCa();
const alice = await makeUser(ca, { id: "alice" });
const issuing = ca.issuing.certificate;
const chain = encodeCertificatesPem(alice.shown);

function makeCrl(count: number): Uint8Array {
  const entries = Array.from(
    { length: count },
    (_, i) =>
      encodeCrlEntry({
        serial: new Uint8Array(2).fill(i + 1),
        revokedMs: NOW_MS,
        reason: "superseded",
      }),
  );
  const times = { thisUpdateMs: NOW_MS, nextUpdateMs: NOW_MS };
  return signCrl(encodeTbsCrl({ issuer: issuing, number: 5n, ...times, entries }), ca.issuing);
}

async function inspectJson(world: World, args: readonly string[]) {
  const { code, stdout, stderr } = await world.run(["inspect", ...args, "--json"]);
  assert.equal(code, 0, stderr);
  assert.equal(stderr, `${JSON.stringify({ note: NOTE.trimEnd() })}\n`);
  assert.match(stdout, /^\{.*\}\n$/);
  return JSON.parse(stdout);
}

test("pki inspect shows a chain, from a file and from a pipe, without a home or a server", async () => {
  await inWorld(async (world) => {
    fs.writeFileSync(world.path("chain.pem"), chain);
    const file = await world.run(["inspect", world.path("chain.pem")]);
    assert.equal(file.code, 0, file.stderr);
    assert.equal(file.stderr, NOTE);
    const [leaf = "", issuer = "", ...more] = file.stdout.split("\n\n");
    assert.deepEqual(more, []);
    assert.match(leaf, /^certificate 1 of 2\n {2}subject +CN=alice\n/);
    assert.match(leaf, /\n {2}names +uri {3}spiffe:\/\/pki\.internal\/user\/alice\n/);
    assert.match(leaf, new RegExp(`\n {2}SHA-256 +${encodeHex(sha256(alice.certificate.der))}\n`));
    assert.match(issuer, /^certificate 2 of 2\n {2}subject +CN=pki\.internal issuing CA\n/);
    assert.match(issuer, /\n {2}CA +yes, with no CA below it\n/);

    const piped = await world.run(["inspect", "-", "--quiet"], { input: chain });
    assert.deepEqual([piped.code, piped.stdout, piped.stderr], [0, file.stdout, ""]);
    assert.ok(!fs.existsSync(world.home), "a home was made");
  });
});

test("pki inspect --json is one object with a list for each kind of thing", async () => {
  await inWorld(async (world) => {
    const csr = fs.readFileSync(new URL("../../testdata/x509/p256.csr", import.meta.url), "utf8");
    const request = encodeOcspRequest({ issuer: issuing, serials: ["01"] });
    const all = chain + csr + encodePem("X509 CRL", makeCrl(3)) +
      encodePem("OCSP REQUEST", request) + encodePem("OCSP RESPONSE", encodeOcspError("tryLater"));
    fs.writeFileSync(world.path("all.pem"), all);
    const json = await inspectJson(world, [world.path("all.pem")]);
    assert.deepEqual(Object.keys(json), [
      "certificates",
      "requests",
      "crls",
      "ocspRequests",
      "ocspResponses",
      "refused",
    ]);
    assert.deepEqual(json.certificates.map(({ subject }: { subject: string }) => subject), [
      "CN=alice",
      "CN=pki.internal issuing CA",
    ]);
    assert.equal(json.requests[0].signedByKey, true);
    assert.equal(json.crls[0].entryCount, 3);
    assert.equal(json.ocspRequests[0].certificates[0].serial, "01");
    assert.equal(json.ocspResponses[0].status, "tryLater");
    assert.deepEqual(json.refused, []);
  });
});

test("pki inspect shows ten entries of a list, or --all", async () => {
  await inWorld(async (world) => {
    const path = world.path("list.crl");
    fs.writeFileSync(path, makeCrl(12));
    const some = await world.run(["inspect", path]);
    assert.match(
      some.stdout,
      /\n {2}revoked +12\n(?: {4}[0-9a-f]{4} .*\n){10} {4}and 2 more: --all shows them\n$/,
    );
    const all = await world.run(["inspect", path, "--all"]);
    assert.match(all.stdout, /\n {2}revoked +12\n(?: {4}[0-9a-f]{4} .*\n){12}$/);
    assert.equal((await inspectJson(world, [path])).crls[0].entries.length, 10);
    assert.equal((await inspectJson(world, [path, "--all"])).crls[0].entries.length, 12);
  });
});

test("pki inspect refuses what it cannot read, and says why", async () => {
  await inWorld(async (world) => {
    const bad = flipBit(alice.certificate.der, 4 + 4, 0); // the tag of its version
    const show = "pki: hint: certificates, requests, revocation lists and OCSP messages are " +
      "shown; keys never are\n";
    const { key } = ca.issuing;
    const rows: readonly (readonly [string, string | Uint8Array | undefined, number, string])[] = [
      [
        "none",
        undefined,
        5,
        'pki: error: cannot read "{}": there is no such file\n' +
        "pki: hint: see whether the path is right, from the folder that this runs in\n",
      ],
      ["empty", "", 3, `pki: error: cannot show "{}": it is empty\n${show}`],
      [
        "text",
        "hello\n",
        3,
        `pki: error: cannot show "{}": it is neither PEM nor DER of any of these\n${show}`,
      ],
      [
        "key",
        key.export({ format: "pem", type: "pkcs8" }) as string,
        3,
        `pki: error: cannot show "{}": it holds PRIVATE KEY\n${show}`,
      ],
      [
        "cut",
        chain.slice(0, -40),
        3,
        'pki: error: cannot show "{}": a PEM block in it is damaged or cut off\n',
      ],
      [
        "bad",
        encodePem("CERTIFICATE", bad),
        3,
        `pki: error: cannot read certificate in "{}": not of version 3\n${STRICT}`,
      ],
    ];
    for (const [name, content, code, error] of rows) {
      const path = world.path(name);
      if (content !== undefined) fs.writeFileSync(path, content);
      for (const json of [[], ["--json"]]) {
        const found = await world.run(["inspect", path, ...json]);
        assert.deepEqual(
          [found.code, found.stdout, inWords(found.stderr)],
          [code, "", error.replace("{}", path)],
          name,
        );
      }
    }
    const folder = await world.run(["inspect", world.folder]);
    assert.equal(folder.code, 9);
    const missing = await world.run(["inspect"]);
    assert.equal(missing.code, 2);
  });
});

test("pki inspect shows what it can read of a file, and fails for the rest", async () => {
  await inWorld(async (world) => {
    const bad = flipBit(alice.certificate.der, 4 + 4, 0);
    const path = world.path("mixed.pem");
    const key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    fs.writeFileSync(path, encodePem("CERTIFICATE", bad) + key + chain);
    const message = `cannot read certificate 1 of 3 in "${path}": not of version 3`;
    const error = `pki: error: ${message}\n${STRICT}`;
    const text = await world.run(["inspect", path]);
    assert.equal(text.code, 3);
    assert.equal(text.stderr, `not shown: PRIVATE KEY\n${NOTE}${error}`);
    assert.match(text.stdout, /^certificate 2 of 3\n[^]*\n\ncertificate 3 of 3\n/);
    const json = await world.run(["inspect", path, "--json", "--quiet"]);
    assert.deepEqual([json.code, inWords(json.stderr)], [3, error]);
    const { certificates, refused } = JSON.parse(json.stdout);
    assert.equal(certificates.length, 2);
    assert.deepEqual(refused, [{ item: 1, kind: "certificate", message }]);
  });
});

test("pki inspect never writes to the terminal what a name tells it to", async () => {
  await inWorld(async (world) => {
    const draft = draftUser("x", alice.key);
    const der = await signDraft({ ...draft, commonName: "a\x1b[2J\u202eb\x9bc" }, ca.issuing);
    const text = await world.run(["inspect", "-", "--quiet"], { input: der });
    assert.equal(text.code, 0, text.stderr);
    assert.match(text.stdout, /^ {2}subject +CN=a\ufffd\[2J\ufffdb\ufffdc$/m);
    assert.match(text.stdout, /^[\n\x20-\x7e\ufffd]*$/);
    const json = await world.run(["inspect", "-", "--quiet", "--json"], { input: der });
    assert.match(json.stdout, /^[\x20-\x7e]+\n$/);
    assert.equal(JSON.parse(json.stdout).certificates[0].subject, "CN=a\x1b[2J\u202eb\x9bc");
  });
});

test("pki inspect reads a bounded amount, and stops when it is told to", async () => {
  await inWorld(async (world) => {
    const large = await world.run(["inspect", "/dev/zero"]);
    assert.equal(large.code, 3);
    assert.match(
      large.stderr,
      /^pki: error: cannot read "\/dev\/zero": more than \d+ bytes\npki: hint: /,
    );
    const waiting = world.start(["inspect", "-"], { keepStdin: true });
    // More than a pipe holds: once it is written the program has begun to read.
    await new Promise((resolve) => waiting.child.stdin?.write("x".repeat(1 << 20), resolve));
    const { code } = await waiting.end("SIGINT");
    assert.equal(code, 130);
  });
});
