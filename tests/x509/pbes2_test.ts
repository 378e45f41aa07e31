import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { copyBytes, isEqualBytes, utf8 } from "../../lib/base/bytes.ts";
import { LIMITS } from "../../lib/base/limits.ts";
import { DerReader, readWhole, TAG } from "../../lib/x509/der.ts";
import { generatePrivateKey } from "../../lib/x509/keys.ts";
import {
  ANY_PBES2,
  decryptPbes2,
  encryptPbes2,
  OWN_PBES2,
  parsePbes2,
  type Pbes2Reading,
} from "../../lib/x509/pbes2.ts";
import { inFolder, runTool } from "../tool.ts";
import { WITHOUT_OPENSSL } from "./openssl.ts";

const PASSWORD = "grün horse";
const WORDS = { what: "it", hint: "convert it" };
const ANY: Pbes2Reading = { ...ANY_PBES2, ...WORDS };
const OWN: Pbes2Reading = { ...OWN_PBES2, ...WORDS };

/** A reader of the content of an AlgorithmIdentifier. */
function open(algorithm: Uint8Array): DerReader {
  return new DerReader(readWhole(algorithm, TAG.sequence).content);
}

test("decryptPbes2() gives back what encryptPbes2() was given, whatever its length", async () => {
  for (const length of [0, 1, 15, 16, 17, 1000]) {
    const secret = new Uint8Array(length).fill(7);
    const { algorithm, ciphertext } = await encryptPbes2(secret, PASSWORD, 3);
    const parameters = parsePbes2(open(algorithm), OWN);
    assert.deepEqual(await decryptPbes2(ciphertext, parameters, PASSWORD), secret);
    const wrong = await decryptPbes2(ciphertext, parameters, "grun horse");
    assert.ok(wrong === undefined || !isEqualBytes(wrong, secret));
  }
});

test("encryptPbes2() takes as many rounds as keys at rest have, and a new salt and IV", async () => {
  const first = await encryptPbes2(utf8("secret"), PASSWORD);
  const second = await encryptPbes2(utf8("secret"), PASSWORD);
  const [a, b] = [first, second].map(({ algorithm }) => parsePbes2(open(algorithm), OWN));
  assert.equal(a?.rounds, LIMITS.pbkdf2Rounds);
  assert.deepEqual([a?.digest, a?.cipher.name], ["sha256", "aes-256-cbc"]);
  assert.notDeepEqual(a?.salt, b?.salt);
  assert.notDeepEqual(a?.iv, b?.iv);
  assert.notDeepEqual(first.ciphertext, second.ciphertext);
});

const KEY = await generatePrivateKey("p256");
const PKCS8 = copyBytes(KEY.export({ format: "der", type: "pkcs8" }));

/** The key as openssl encrypts it. */
function encryptByOpenssl(...options: readonly string[]): Uint8Array {
  return inFolder({ "key.der": PKCS8 }, (cwd) => {
    const { status, output } = runTool("openssl", [
      ...["pkcs8", "-topk8", "-inform", "DER", "-in", "key.der", "-outform", "DER"],
      ...["-out", "out.der", "-passout", `pass:${PASSWORD}`, "-iter", "20", ...options],
    ], { cwd });
    assert.equal(status, 0, output);
    return fs.readFileSync(join(cwd, "out.der"));
  });
}

const PRFS = ["hmacWithSHA1", "hmacWithSHA256", "hmacWithSHA384", "hmacWithSHA512"];

for (const prf of PRFS) {
  for (const cipher of ["aes-128-cbc", "aes-256-cbc"]) {
    test(`decryptPbes2() opens what openssl encrypts with ${cipher} and ${prf}`, {
      skip: WITHOUT_OPENSSL,
    }, async () => {
      const file = open(encryptByOpenssl("-v2", cipher, "-v2prf", prf));
      const algorithm = file.enter(TAG.sequence);
      const parameters = parsePbes2(algorithm, ANY);
      assert.equal(parameters.rounds, 20);
      const ciphertext = file.read(TAG.octetString).content;
      assert.deepEqual(await decryptPbes2(ciphertext, parameters, PASSWORD), PKCS8);
    });
  }
}

/** What a reader does not take, by options of openssl. */
const REFUSED: readonly {
  readonly options: readonly string[];
  readonly reading: Pbes2Reading;
  readonly found: string;
}[] = [
  { options: ["-v2", "des3"], reading: ANY, found: "1.2.840.113549.3.7" },
  { options: ["-v2", "aes-192-cbc"], reading: ANY, found: "2.16.840.1.101.3.4.1.22" },
  { options: ["-v2prf", "hmacWithSHA224"], reading: ANY, found: "1.2.840.113549.2.8" },
  { options: ["-v2prf", "hmacWithSHA1"], reading: OWN, found: "HMAC-SHA-1" },
  { options: ["-v2prf", "hmacWithSHA512"], reading: OWN, found: "1.2.840.113549.2.11" },
  { options: ["-v2", "aes-128-cbc"], reading: OWN, found: "2.16.840.1.101.3.4.1.2" },
  {
    options: ["-v2", "aes-128-cbc"],
    reading: { ...OWN, names: { "2.16.840.1.101.3.4.1.2": "AES-128" } },
    found: "AES-128",
  },
];

for (const { options, reading, found } of REFUSED) {
  test(`parsePbes2() refuses ${options.join(" ")} as ${found}`, { skip: WITHOUT_OPENSSL }, () => {
    const algorithm = open(encryptByOpenssl(...options)).enter(TAG.sequence);
    assert.throws(() => parsePbes2(algorithm, reading), {
      kind: "malformed",
      message: `cannot open it: its encryption (${found}) is not supported`,
      hint: "convert it",
    });
  });
}
