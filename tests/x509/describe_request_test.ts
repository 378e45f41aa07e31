import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { encodeHex, sha256 } from "../../lib/base/bytes.ts";
import { readCsr } from "../../lib/x509/csr.ts";
import { describeRequest } from "../../lib/x509/describe_request.ts";
import { parsePemBlock } from "../../lib/x509/pem.ts";
import { flipBit } from "../fakes/ca.ts";
import { inFolder, runTool, without } from "../tool.ts";

function testdata(name: string): Uint8Array {
  const text = fs.readFileSync(new URL(`../../testdata/x509/${name}`, import.meta.url), "utf8");
  return parsePemBlock(text, ["CERTIFICATE REQUEST"], name);
}

test("describeRequest() says whether the key in it has signed it, where that can be verified", () => {
  const rows: readonly (readonly [string, boolean | null])[] = [
    ["p256.csr", true],
    ["p384.csr", true],
    ["rsa2048.csr", true],
    ["rsa1024.csr", true],
    ["ed25519.csr", true],
    ["ed448.csr", null],
    ["rsa2048_pss.csr", null],
    ["p256_sha1.csr", null],
  ];
  for (const [name, expected] of rows) {
    assert.equal(describeRequest(readCsr(testdata(name))).signedByKey, expected, name);
  }
  const changed = flipBit(testdata("p256.csr"), -1);
  assert.equal(describeRequest(readCsr(changed)).signedByKey, false);
});

const CONFIG = `
[req]
distinguished_name = name
attributes = attributes
req_extensions = extensions
prompt = no
[name]
CN = www.example
[attributes]
challengePassword = secret words
[extensions]
subjectAltName = DNS:www.example, IP:192.0.2.1
basicConstraints = critical, CA:true, pathlen:1
keyUsage = keyCertSign
extendedKeyUsage = serverAuth
tlsfeature = status_request
`;

test(
  "describeRequest() says everything that openssl asks for",
  { skip: without("openssl") },
  () => {
    inFolder({ "openssl.cnf": CONFIG }, (cwd) => {
      const { status, output } = runTool("openssl", [
        ...["req", "-new", "-config", "openssl.cnf", "-newkey", "ed25519", "-nodes"],
        ...["-keyout", "key.pem", "-out", "it.csr"],
      ], { cwd });
      assert.equal(status, 0, output);
      const pem = fs.readFileSync(join(cwd, "it.csr"), "utf8");
      const csr = readCsr(parsePemBlock(pem, ["CERTIFICATE REQUEST"], "it"));
      assert.deepEqual(describeRequest(csr), {
        subject: "CN=www.example",
        key: {
          algorithm: "Ed25519",
          curve: null,
          bits: 256,
          sha256: encodeHex(sha256(csr.spki)),
        },
        signatureAlgorithm: "Ed25519",
        signedByKey: true,
        names: [{ type: "dns", value: "www.example" }, { type: "ip", value: "192.0.2.1" }],
        isCa: true,
        pathLength: 1,
        keyUsage: ["keyCertSign"],
        extendedKeyUsage: ["serverAuth"],
        attributes: [
          { oid: "1.2.840.113549.1.9.7", name: "challengePassword" },
          { oid: "1.2.840.113549.1.9.14", name: "extensionRequest" },
        ],
        extensions: [
          { oid: "2.5.29.17", name: "subjectAltName", critical: false, shown: true, bytes: 21 },
          { oid: "2.5.29.19", name: "basicConstraints", critical: true, shown: true, bytes: 8 },
          { oid: "2.5.29.15", name: "keyUsage", critical: false, shown: true, bytes: 4 },
          { oid: "2.5.29.37", name: "extKeyUsage", critical: false, shown: true, bytes: 12 },
          {
            oid: "1.3.6.1.5.5.7.1.24",
            name: "tlsFeature",
            critical: false,
            shown: false,
            bytes: 5,
          },
        ],
        sha256: encodeHex(sha256(csr.der)),
      });
    });
  },
);
