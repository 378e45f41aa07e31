import assert from "node:assert/strict";
import * as fs from "node:fs";
import type { KeyObject } from "node:crypto";
import { test } from "node:test";
import { type Bytes, concatBytes, utf8 } from "../../lib/base/bytes.ts";
import type { Home } from "../../lib/client/home.ts";
import {
  type FoundIdentity,
  judgeIdentity,
  type JudgeOptions,
  readIdentity,
  storeIdentity,
} from "../../lib/client/identity_import.ts";
import { fingerprintOf } from "../../lib/x509/certificate.ts";
import { decryptPrivateKey } from "../../lib/x509/keys.ts";
import { encodeCertificatesPem } from "../../lib/x509/pem.ts";
import { encodePkcs12 } from "../../lib/x509/pkcs12.ts";
import { draftUser, makeTestCa, makeUser, NOW_MS, signDraft } from "../fakes/ca.ts";
import { encryptCheaply } from "../fakes/cheap_key.ts";
import { inHome } from "./temporary_home.ts";

encryptCheaply();

const CA = await makeTestCa();
const OTHER_CA = await makeTestCa();
const ALICE = await makeUser(CA, { id: "alice" });
const ROOT = CA.root.certificate.der;
const CHAIN = [...ALICE.shown, ROOT];
const WHAT = '"it"';
const PASSWORD = "correct horse";

const keyPem = (key: KeyObject = ALICE.key) =>
  key.export({ format: "pem", type: "pkcs8" }) as string;

const SECP256K1 = fs.readFileSync(
  new URL("../../testdata/x509/secp256k1.key", import.meta.url),
  "utf8",
);

function read(content: Bytes | string, password?: string): Promise<FoundIdentity> {
  return readIdentity(typeof content === "string" ? utf8(content) : content, {
    what: WHAT,
    askPassword: () => {
      if (password === undefined) throw new Error("asked for a password");
      return Promise.resolve(password);
    },
  });
}

function assertAlice({ key, certificates }: FoundIdentity): void {
  assert.ok(key.equals(ALICE.key));
  assert.deepEqual(certificates[0], ALICE.certificate.der);
}

test("readIdentity() reads PKCS #12, with its password", async () => {
  const content = { key: ALICE.key, certificates: CHAIN };
  const file = await encodePkcs12(content, { password: PASSWORD, name: "alice", rounds: 10 });
  assertAlice(await read(file, PASSWORD));
  await assert.rejects(read(file, "wrong"), { kind: "refused" });
});

test("readIdentity() reads PEM, whatever stands around the blocks and in which order", async () => {
  const pem = encodeCertificatesPem([ROOT, ALICE.certificate.der]);
  assertAlice(await read(keyPem() + pem));
  assertAlice(await read(pem + keyPem()));
  assertAlice(await read(`0 is how DER begins, too\n${pem}${keyPem()}`));
  const latin1 = Uint8Array.of(0x23, 0xe9, 0x0a); // text that is not UTF-8
  assertAlice(
    await read(concatBytes(latin1, utf8(`Bag Attributes: <No Attributes>\n${pem}${keyPem()}`))),
  );
  const sec1 = ALICE.key.export({ format: "pem", type: "sec1" }) as string;
  assertAlice(await read(sec1 + pem));
  const encrypted = ALICE.key.export({
    format: "pem",
    type: "pkcs8",
    cipher: "aes-256-cbc",
    passphrase: PASSWORD,
  }) as string;
  assertAlice(await read(encrypted + pem, PASSWORD));
  await assert.rejects(read(encrypted + pem, "wrong"), {
    kind: "refused",
    message: `cannot open ${WHAT}: the password does not fit`,
  });
});

const UNREADABLE: readonly {
  readonly name: string;
  readonly content: Bytes | string;
  readonly message: RegExp;
}[] = [
  { name: "nothing", content: "", message: /^cannot use "it": there is no private key in it$/ },
  {
    name: "certificates alone",
    content: encodeCertificatesPem(CHAIN),
    message: /^cannot use "it": there is no private key in it$/,
  },
  {
    name: "a key alone",
    content: keyPem(),
    message: /^cannot read "it": no PEM block CERTIFICATE in it$/,
  },
  {
    name: "a key and another's certificate",
    content: keyPem() + encodeCertificatesPem([ROOT]),
    message: /^cannot use "it": it holds no certificate for its key$/,
  },
  {
    name: "a key of a kind that we do not use",
    content: SECP256K1 + encodeCertificatesPem(CHAIN),
    message: /^cannot use the key: EC secp256k1 is not supported$/,
  },
  {
    name: "DER that is no PKCS #12",
    content: ALICE.certificate.der,
    message: /^cannot open "it": it is not a whole PKCS #12 file$/,
  },
];

for (const { name, content, message } of UNREADABLE) {
  test(`readIdentity() refuses ${name}`, async () => {
    await assert.rejects(read(content, PASSWORD), { kind: "malformed", message });
  });
}

const FOUND: FoundIdentity = { key: ALICE.key, certificates: CHAIN };

function judge(
  home: Home,
  found: FoundIdentity = FOUND,
  options: Partial<JudgeOptions> = {},
): ReturnType<typeof judgeIdentity> {
  return judgeIdentity(home, found, {
    nowMs: NOW_MS,
    what: WHAT,
    isVouchedFor: (_, isPinned) => Promise.resolve(isPinned),
    ...options,
  });
}

function pin(home: Home, { anchor } = CA.judging): void {
  home.pin(anchor, "localhost:7443");
}

test("judgeIdentity() believes the certificate under the pinned root, and says who it is", async () => {
  await inHome(async (home) => {
    pin(home);
    const judged = await judge(home);
    assert.deepEqual([judged.id, judged.isNewAnchor, judged.isExpired], ["alice", false, false]);
    assert.deepEqual(judged.issuing.der, CA.issuing.certificate.der);
    // Without the root in the file, too, and with what has nothing to do with it.
    const certificates = [...ALICE.shown, OTHER_CA.root.certificate.der, Uint8Array.of(1, 2, 3)];
    assert.equal((await judge(home, { key: ALICE.key, certificates })).id, "alice");
  });
});

test("judgeIdentity() judges an expired certificate as of its last day", async () => {
  await inHome(async (home) => {
    pin(home);
    const { notAfterMs, notBeforeMs } = ALICE.certificate;
    assert.equal((await judge(home, FOUND, { nowMs: notAfterMs })).isExpired, false);
    assert.equal((await judge(home, FOUND, { nowMs: notAfterMs + 1 })).isExpired, true);
    await assert.rejects(judge(home, FOUND, { nowMs: notBeforeMs - 1 }), { kind: "untrusted" });
  });
});

test("judgeIdentity() takes the root of the file only if somebody vouches for it", async () => {
  await inHome(async (home) => {
    const asked: string[] = [];
    const vouch = (answer: boolean) => ({
      isVouchedFor: (fingerprint: string, isPinned: boolean) => {
        assert.equal(isPinned, false);
        asked.push(fingerprint);
        return Promise.resolve(answer);
      },
    });
    await assert.rejects(judge(home, FOUND, vouch(false)), {
      kind: "untrusted",
      message: /^the root [0-9a-f]{64} was not trusted$/,
    });
    const judged = await judge(home, FOUND, vouch(true));
    assert.deepEqual(asked, [fingerprintOf(ROOT), fingerprintOf(ROOT)]);
    assert.equal(judged.isNewAnchor, true);
    assert.equal(judged.anchor.domain, "pki.internal");
    assert.deepEqual([...judged.anchor.issuers ?? []], [fingerprintOf(CA.issuing.certificate.der)]);
    assert.equal(fs.existsSync(home.folder), false, "judging has stored something");
  });
});

/** Self-signed, which no trust can be built on. */
const SELF_SIGNED = await signDraft(draftUser("alice", ALICE.key), { key: ALICE.key });
const AS_SERVER = await signDraft(
  { ...draftUser("alice", ALICE.key), names: [{ type: "dns", value: "alice.user.pki.internal" }] },
  CA.issuing,
);

const UNTRUSTED: readonly {
  readonly name: string;
  readonly certificates: readonly Bytes[];
  readonly isPinned: boolean;
  readonly message: RegExp;
}[] = [
  {
    name: "a file without a root, where none is pinned",
    certificates: ALICE.shown,
    isPinned: false,
    message: /^cannot trust "it": no root is pinned, and it holds none$/,
  },
  {
    name: "a file without an issuing CA, where none is pinned",
    certificates: [ALICE.certificate.der, ROOT],
    isPinned: false,
    message: /^cannot trust "it": no root is pinned, and it holds none$/,
  },
  {
    name: "an issuing CA of another root",
    certificates: [
      ALICE.certificate.der,
      CA.issuing.certificate.der,
      OTHER_CA.root.certificate.der,
    ],
    isPinned: false,
    message: /the issuing CA is not of this root/,
  },
  {
    name: "a certificate without its issuing CA",
    certificates: [ALICE.certificate.der, ROOT],
    isPinned: true,
    message: /not of this CA/,
  },
  {
    name: "a self-signed certificate",
    certificates: [SELF_SIGNED, CA.issuing.certificate.der, ROOT],
    isPinned: true,
    message: /not of this CA/,
  },
  {
    name: "a certificate that names no user",
    certificates: [AS_SERVER, CA.issuing.certificate.der, ROOT],
    isPinned: true,
    message: /it is not a user's/,
  },
];

for (const { name, certificates, isPinned, message } of UNTRUSTED) {
  test(`judgeIdentity() refuses ${name}`, async () => {
    await inHome(async (home) => {
      if (isPinned) pin(home);
      const found = { key: ALICE.key, certificates };
      const options = { isVouchedFor: () => Promise.resolve(true) };
      await assert.rejects(judge(home, found, options), { kind: "untrusted", message });
    });
  });
}

test("judgeIdentity() refuses a certificate of another CA than the pinned one", async () => {
  await inHome(async (home) => {
    pin(home, OTHER_CA.judging);
    await assert.rejects(judge(home), { kind: "untrusted", message: /not of this CA/ });
  });
});

test("storeIdentity() keeps the key encrypted anew, the certificates, and a root that is new", async () => {
  await inHome(async (home) => {
    const judged = await judge(home, FOUND, { isVouchedFor: () => Promise.resolve(true) });
    await storeIdentity(home, judged, { password: PASSWORD, server: "localhost:7443" });
    assert.deepEqual(home.listIds(), ["alice"]);
    assert.deepEqual(home.loadAnchor(NOW_MS)?.root.der, ROOT);
    assert.equal(home.loadConfig().server, "localhost:7443");
    assert.equal(home.loadCertificatePem("alice"), encodeCertificatesPem(ALICE.shown));
    const key = await decryptPrivateKey(home.loadKeyPem("alice"), PASSWORD, "it");
    assert.ok(key.equals(ALICE.key));
    assert.deepEqual(fs.readdirSync(home.keyPath("alice").replace(/key\.pem$/, "")).sort(), [
      "cert.pem",
      "key.pem",
    ]);
  });
});

test("storeIdentity() replaces key and certificate together", async () => {
  await inHome(async (home) => {
    pin(home);
    const before = await judge(home);
    await storeIdentity(home, before, { password: "another password", server: "localhost:7443" });
    const next = await makeUser(CA, { id: "alice", keyType: "ed25519" });
    const judged = await judge(home, { key: next.key, certificates: next.shown });
    await storeIdentity(home, judged, { password: PASSWORD, server: "localhost:7443" });
    assert.equal(home.loadCertificatePem("alice"), encodeCertificatesPem(next.shown));
    const key = await decryptPrivateKey(home.loadKeyPem("alice"), PASSWORD, "it");
    assert.ok(key.equals(next.key));
    // The same again, under another password.
    await storeIdentity(home, judged, { password: "a third one", server: "localhost:7443" });
    await decryptPrivateKey(home.loadKeyPem("alice"), "a third one", "it");
  });
});
