import assert from "node:assert/strict";
import { createPrivateKey, randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { encodeHex } from "../../lib/base/bytes.ts";
import type { KeyType } from "../../lib/x509/algorithms.ts";
import { generatePrivateKey } from "../../lib/x509/keys.ts";
import { judgeOcspResponse } from "../../lib/x509/ocsp_judge.ts";
import {
  encodeOcspRequest,
  matchesIssuer,
  type OcspCertStatus,
  parseOcspRequest,
} from "../../lib/x509/ocsp.ts";
import { parseOcspResponse } from "../../lib/x509/ocsp_response.ts";
import { encodeCertificatesPem } from "../../lib/x509/pem.ts";
import { flipBit, HOUR_MS, issue, makeTestCa, NOW_MS, type TestCa } from "../fakes/ca.ts";
import { inFolder, runTool, without } from "../tool.ts";
import { ca, issuing, key, nonce, respond } from "../fakes/ocsp.ts";

const TYPES: readonly KeyType[] = ["p256", "p384", "rsa3072", "ed25519"];

async function makeCaOfType(type: KeyType): Promise<TestCa> {
  const file = new URL(`../../testdata/x509/${type}.key`, import.meta.url);
  const root = createPrivateKey(fs.readFileSync(file, "utf8"));
  return makeTestCa({
    keys: { root, issuing: type === "rsa3072" ? root : await generatePrivateKey(type) },
  });
}

/** Programs that have a clock of their own: answers to them are from now. */
const nowMs = Math.floor(Date.now() / 1000) * 1000;

/** One user's certificate for each state, and the CA, as files. */
async function makeFiles(made: TestCa) {
  const holders = await Promise.all(
    ["good", "revoked", "unknown"].map((id) => issue("user", { key, issuer: made.issuing, id })),
  );
  const [good, revoked, unknown] = holders.map(({ certificate }) => certificate);
  assert.ok(good && revoked && unknown);
  const files = {
    "root.pem": encodeCertificatesPem([made.root.certificate.der]),
    "issuing.pem": encodeCertificatesPem([made.issuing.certificate.der]),
    "issuing.key": made.issuing.key.export({ format: "pem", type: "pkcs8" }) as string,
    "good.pem": encodeCertificatesPem([good.der]),
    "revoked.pem": encodeCertificatesPem([revoked.der]),
    "unknown.pem": encodeCertificatesPem([unknown.der]),
  };
  return { files, good, revoked, unknown };
}

const STATES = ["good", "revoked", "unknown"] as const;
const revokedNow: OcspCertStatus = {
  type: "revoked",
  revokedMs: nowMs - HOUR_MS,
  reason: "keyCompromise",
};

for (const type of TYPES) {
  for (const hash of ["sha1", "sha256"] as const) {
    test(`openssl ocsp believes our answers to its ${hash} requests, by a CA with ${type}`, {
      skip: without("openssl"),
    }, async () => {
      const made = await makeCaOfType(type);
      const { files, good, revoked, unknown } = await makeFiles(made);
      inFolder(files, (cwd) => {
        const openssl = (...args: readonly string[]) =>
          runTool("openssl", ["ocsp", ...args], { cwd });
        const certificates = STATES.flatMap((state) => ["-cert", `${state}.pem`]);
        const asked = openssl(
          ...[`-${hash}`, "-issuer", "issuing.pem", ...certificates, "-reqout", "request"],
        );
        assert.equal(asked.status, 0, asked.output);
        const request = parseOcspRequest(fs.readFileSync(join(cwd, "request")));
        assert.equal(request.nonce?.length, 16);
        assert.deepEqual(
          request.certIds.map((certId) => certId.serial),
          [good.serial, revoked.serial, unknown.serial],
        );
        const statuses: readonly OcspCertStatus[] = [
          { type: "good" },
          revokedNow,
          { type: "unknown" },
        ];
        const answers = request.certIds.map((certId, i) => {
          assert.equal(certId.hash, hash);
          assert.equal(matchesIssuer(certId, made.issuing.certificate), true);
          const status = statuses[i] ?? { type: "unknown" };
          return { certId, status, thisUpdateMs: nowMs, nextUpdateMs: nowMs + HOUR_MS };
        });
        const respondWith = (nonce: Uint8Array | undefined) =>
          respond({ producedAtMs: nowMs, answers, nonce }, made.issuing);
        fs.writeFileSync(join(cwd, "response"), respondWith(request.nonce));
        fs.writeFileSync(join(cwd, "changed"), flipBit(respondWith(request.nonce), -1));
        fs.writeFileSync(join(cwd, "replayed"), respondWith(flipBit(request.nonce ?? nonce, 0)));
        const trust = ["-CAfile", "root.pem", "-verify_other", "issuing.pem"];
        // With certificates it forgets the request and its nonce: states and nonce are two questions.
        const states = (response: string) =>
          openssl(
            ...["-no_nonce", "-respin", response, `-${hash}`, "-issuer", "issuing.pem"],
            ...certificates,
            ...trust,
          ).output;
        const nonces = (response: string) =>
          openssl("-no_nonce", "-reqin", "request", "-respin", response, ...trust).output;
        const output = states("response");
        assert.match(output, /Response verify OK/);
        assert.doesNotMatch(output, /WARNING|rror/);
        assert.match(output, /good\.pem: good\n/);
        assert.match(output, /revoked\.pem: revoked\n(?:.*\n)*?\tReason: keyCompromise\n/);
        assert.match(output, /unknown\.pem: unknown\n/);
        assert.match(states("changed"), /Response Verify Failure/);
        assert.equal(nonces("response"), "Response verify OK\n");
        assert.match(nonces("replayed"), /Nonce Verify error/);
      });
    });
  }

  test(`we believe openssl's answers to our requests, by a CA with ${type}`, {
    skip: without("openssl"),
  }, async () => {
    const made = await makeCaOfType(type);
    const { files, good, revoked, unknown } = await makeFiles(made);
    const line = (state: string, { serial }: { serial: string }) =>
      `${state}\t${serial.toUpperCase()}\tunknown\t/CN=x\n`;
    const index = line("V\t301101120000Z\t", good) +
      line("R\t301101120000Z\t261101110000Z,superseded", revoked);
    const [leaves, issuer] = [{ good, revoked, unknown }, made.issuing.certificate];
    const random = randomBytes(32);
    const request = encodeOcspRequest({
      issuer,
      serials: STATES.map((state) => leaves[state].serial),
      hash: "sha1",
      nonce: random,
    });
    inFolder({ ...files, index, request }, (cwd) => {
      const { status, output } = runTool("openssl", [
        ...["ocsp", "-index", "index", "-CA", "issuing.pem", "-rsigner", "issuing.pem"],
        ...["-rkey", "issuing.key", "-reqin", "request", "-respout", "response", "-nmin", "60"],
      ], { cwd });
      assert.equal(status, 0, output);
      const response = fs.readFileSync(join(cwd, "response"));
      const judge = (state: typeof STATES[number]) => {
        const { thisUpdateMs, nextUpdateMs, ...rest } = judgeOcspResponse(response, {
          leaf: leaves[state],
          issuing: issuer,
          nowMs: Date.now(),
          nonce: random,
        });
        assert.equal(nextUpdateMs - thisUpdateMs, HOUR_MS);
        return rest;
      };
      assert.deepEqual(judge("good"), { status: "good" });
      assert.deepEqual(judge("revoked"), {
        status: "revoked",
        revokedMs: NOW_MS - HOUR_MS,
        reason: "superseded",
      });
      assert.deepEqual(judge("unknown"), { status: "unknown" });
    });
  });

  test(`ocsptool believes our answers to its requests, by a CA with ${type}`, {
    skip: without("ocsptool"),
  }, async () => {
    const made = await makeCaOfType(type);
    const { files, revoked } = await makeFiles(made);
    inFolder(files, (cwd) => {
      const ocsptool = (...args: readonly string[]) => runTool("ocsptool", args, { cwd });
      const asked = ocsptool(
        ...["--generate-request", "--load-issuer", "issuing.pem", "--load-cert", "revoked.pem"],
        ...["--outfile", "request"],
      );
      assert.equal(asked.status, 0, asked.output);
      const request = parseOcspRequest(fs.readFileSync(join(cwd, "request")));
      const [certId] = request.certIds;
      assert.ok(certId);
      assert.equal(certId.serial, revoked.serial);
      assert.equal(matchesIssuer(certId, made.issuing.certificate), true);
      const times = { thisUpdateMs: nowMs, nextUpdateMs: nowMs + HOUR_MS };
      const answers = [{ certId, status: revokedNow, ...times }];
      const response = respond(
        { producedAtMs: nowMs, answers, nonce },
        made.issuing,
      );
      fs.writeFileSync(join(cwd, "response"), response);
      fs.writeFileSync(join(cwd, "changed"), flipBit(response, -1));
      const judge = (name: string) =>
        ocsptool("--verify-response", "--load-signer", "issuing.pem", "--load-response", name)
          .output;
      const output = judge("response");
      assert.match(output, /Verifying OCSP Response: Success/);
      assert.match(output, /Certificate Status: revoked/);
      assert.match(output, new RegExp(`Nonce: ${encodeHex(nonce)}`));
      assert.match(judge("changed"), /Verifying OCSP Response: Failure/);
    });
  });
}

test("a responder with a certificate for the purpose is refused, though openssl believes it", {
  skip: without("openssl"),
}, async () => {
  const responder = await issue("user", { key, issuer: ca.issuing, id: "responder" });
  const { files, good } = await makeFiles(ca);
  const request = encodeOcspRequest({ issuer: issuing, serials: [good.serial], hash: "sha1" });
  const index = `V\t301101120000Z\t\t${good.serial.toUpperCase()}\tunknown\t/CN=x\n`;
  const more = {
    index,
    request,
    "responder.pem": encodeCertificatesPem([responder.certificate.der]),
    "responder.key": key.export({ format: "pem", type: "pkcs8" }) as string,
  };
  inFolder({ ...files, ...more }, (cwd) => {
    const { status, output } = runTool("openssl", [
      ...["ocsp", "-index", "index", "-CA", "issuing.pem", "-rsigner", "responder.pem"],
      ...["-rkey", "responder.key", "-reqin", "request", "-respout", "response", "-nmin", "60"],
    ], { cwd });
    assert.equal(status, 0, output);
    const response = fs.readFileSync(join(cwd, "response"));
    assert.equal(parseOcspResponse(response).basic?.certificates.length, 1);
    assert.throws(() => judgeOcspResponse(response, { leaf: good, issuing, nowMs: Date.now() }), {
      kind: "untrusted",
      message: "cannot trust OCSP response: it is not by the issuing CA itself",
    });
  });
});
