import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { copyBytes } from "../../lib/base/bytes.ts";
import { judgeContact } from "../../lib/client/contact_standing.ts";
import { type Contact, type Contacts, keyFingerprintOf } from "../../lib/client/contacts.ts";
import { endorse } from "../../lib/protocol/endorsement.ts";
import { encodeCertificatesPem } from "../../lib/x509/pem.ts";
import { HOUR_MS, issue, makeTestCa, makeUser, NOW_MS, type TestCa } from "../fakes/ca.ts";
import { runOpenssl, WITHOUT_OPENSSL } from "../x509/openssl.ts";
import { inHome } from "./temporary_home.ts";

const CA = await makeTestCa();
const OTHER_CA = await makeTestCa();
const BOB = await makeUser(CA, { id: "bob" });
/** A certificate of another key in bob's name. */
const OTHER = await makeUser(CA, { id: "bob" });
const CAROL = await makeUser(CA, { id: "carol" });

function contactOf(user: typeof BOB, id = "bob", ca: TestCa = CA): Contact {
  return {
    id,
    leaf: user.certificate,
    issuing: ca.issuing.certificate.der,
    root: ca.root.certificate.der,
    firstSeenMs: NOW_MS,
    pinnedMs: NOW_MS + HOUR_MS,
    lastSeenMs: NOW_MS + 2 * HOUR_MS,
  };
}

const CONTACT = contactOf(BOB);

async function withContacts(
  work: (contacts: Contacts, folder: string) => void,
): Promise<void> {
  await inHome((home) => work(home.contacts, join(home.folder, "contacts")));
}

test("Contacts remember who was talked to, for their owner alone", async () => {
  await withContacts((contacts, folder) => {
    assert.deepEqual(contacts.list(), [], "there is no folder yet");
    assert.equal(contacts.load("bob"), undefined);
    assert.ok(contacts.save(CONTACT, undefined));
    assert.ok(contacts.save(contactOf(CAROL, "carol"), undefined));
    assert.deepEqual(contacts.load("bob"), CONTACT);
    assert.deepEqual(contacts.list().map(({ id, contact }) => [id, contact?.id]), [
      ["bob", "bob"],
      ["carol", "carol"],
    ]);
    assert.equal(fs.statSync(folder).mode & 0o777, 0o700);
    assert.equal(fs.statSync(contacts.pathOf("bob")).mode & 0o777, 0o600);
    assert.deepEqual(fs.readdirSync(folder).sort(), ["bob.pem", "carol.pem"]);
  });
});

test("Contacts are read by openssl", { skip: WITHOUT_OPENSSL }, async () => {
  await withContacts((contacts) => {
    contacts.save(CONTACT, undefined);
    const pem = fs.readFileSync(contacts.pathOf("bob"), "utf8");
    const { status, output } = runOpenssl(
      ["x509", "-in", "bob.pem", "-noout", "-subject", "-nameopt", "RFC2253"],
      { "bob.pem": pem },
    );
    assert.equal(status, 0, output);
    assert.equal(output.trim(), "subject=CN=bob");
  });
});

test("Contacts.forget() forgets one, and nobody who is not there", async () => {
  await withContacts((contacts) => {
    contacts.save(CONTACT, undefined);
    contacts.forget("bob");
    assert.equal(contacts.load("bob"), undefined);
    assert.throws(() => contacts.forget("bob"), {
      kind: "not-found",
      message: 'cannot forget "bob": no such contact',
    });
    assert.throws(() => contacts.forget("../bob"), { kind: "usage" });
  });
});

test("Contacts.save() undoes nothing that another command has pinned meanwhile", async () => {
  const rows: readonly (readonly [
    what: string,
    there: Contact | undefined,
    known: Contact | undefined,
    isSaved: boolean,
  ])[] = [
    ["nothing there", undefined, undefined, true],
    ["forgotten meanwhile", undefined, contactOf(OTHER), true],
    ["the same key", { ...CONTACT, lastSeenMs: NOW_MS }, undefined, true],
    ["the key that was decided about", contactOf(OTHER), contactOf(OTHER), true],
    ["another key, where nothing was known", contactOf(OTHER), undefined, false],
    ["another key, where this one was known", contactOf(OTHER), CONTACT, false],
  ];
  for (const [what, there, known, isSaved] of rows) {
    await withContacts((contacts) => {
      if (there) contacts.save(there, undefined);
      assert.equal(contacts.save(CONTACT, known), isSaved, what);
      assert.deepEqual(contacts.load("bob"), isSaved ? CONTACT : there, what);
    });
  }
});

test("Contacts.load() never takes a damaged contact for a new one", async () => {
  await withContacts((contacts, folder) => {
    contacts.save(CONTACT, undefined);
    const path = contacts.pathOf("bob");
    const good = fs.readFileSync(path, "utf8");
    const rows: readonly (readonly [what: string, content: string])[] = [
      ["nothing in it", ""],
      ["no root", good.slice(0, good.lastIndexOf("-----BEGIN"))],
      ["no times", good.slice(good.indexOf("-----BEGIN"))],
      ["a time that is none", good.replace(/^key pinned: .*/m, "key pinned: soon")],
      ["no time for when it was pinned", good.replace(/^key pinned: .*\n/m, "")],
      ["times behind the certificates", encodeCertificatesPem([BOB.certificate.der]) + good],
      ["a certificate that is none", good.replace(/(CERTIFICATE-----\n)../, "$1AA")],
      [
        "somebody else's",
        good.replaceAll(/-----BEGIN[^]*?END CERTIFICATE-----\n/g, "").concat(
          encodeCertificatesPem([CAROL.certificate.der, CONTACT.issuing, CONTACT.root]),
        ),
      ],
    ];
    for (const [what, content] of rows) {
      fs.writeFileSync(path, content);
      assert.throws(() => contacts.load("bob"), {
        kind: "malformed",
        message: `cannot read "${path}": not as it should be`,
        hint: "put a good copy in its place, or begin anew with: pki contacts forget bob",
      }, what);
      assert.throws(() => contacts.save(CONTACT, undefined), { kind: "malformed" }, what);
      assert.deepEqual(contacts.list(), [{ id: "bob", contact: undefined }], what);
    }
    fs.writeFileSync(path, good.replaceAll("\n", "\r\n"));
    assert.deepEqual(contacts.load("bob"), CONTACT, "as an editor on Windows leaves it");
    for (const name of ["Bob.pem", "notes.txt", ".bob.pem.0123.tmp"]) {
      fs.writeFileSync(join(folder, name), "");
    }
    assert.deepEqual(contacts.listIds(), ["bob"]);
  });
});

const SCOPE = { root: CONTACT.root, id: "bob" };
const ENDORSED = endorse(SCOPE, {
  by: BOB.key,
  key: copyBytes(OTHER.certificate.spki),
  timeMs: 1,
});

test("judgeContact() knows who is who", async () => {
  const root = CONTACT.root;
  const otherRoot = OTHER_CA.root.certificate.der;
  const renewed = await issue("user", { key: BOB.key, issuer: CA.issuing, id: "bob" });
  const underOther = endorse({ root: otherRoot, id: "bob" }, {
    by: BOB.key,
    key: ENDORSED.key,
    timeMs: 2,
  });
  const ofCarol = endorse({ root, id: "carol" }, { by: BOB.key, key: ENDORSED.key, timeMs: 3 });
  const rows: readonly (readonly [
    what: string,
    contact: Contact | undefined,
    shown: Parameters<typeof judgeContact>[1],
    kind: string,
  ])[] = [
    ["never seen", undefined, { shown: BOB.certificate, root, endorsements: [] }, "new"],
    ["the same", CONTACT, { shown: BOB.certificate, root, endorsements: [] }, "known"],
    ["renewed", CONTACT, { shown: renewed.certificate, root, endorsements: [] }, "known"],
    [
      "the same key under another root",
      CONTACT,
      { shown: BOB.certificate, root: otherRoot, endorsements: [] },
      "known",
    ],
    ["another key", CONTACT, { shown: OTHER.certificate, root, endorsements: [] }, "changed"],
    [
      "another key that is vouched for",
      CONTACT,
      { shown: OTHER.certificate, root, endorsements: [ENDORSED] },
      "endorsed",
    ],
    [
      "another key that is vouched for in somebody else's name",
      CONTACT,
      { shown: OTHER.certificate, root, endorsements: [ofCarol] },
      "changed",
    ],
    [
      "another key that was vouched for under a root that is not pinned",
      CONTACT,
      { shown: OTHER.certificate, root, endorsements: [underOther] },
      "changed",
    ],
    [
      "another key that was vouched for before the root changed",
      CONTACT,
      { shown: OTHER.certificate, root: otherRoot, endorsements: [ENDORSED] },
      "endorsed",
    ],
    [
      "another key that was vouched for after the root changed",
      CONTACT,
      { shown: OTHER.certificate, root: otherRoot, endorsements: [underOther] },
      "endorsed",
    ],
  ];
  for (const [what, contact, shown, kind] of rows) {
    assert.equal(judgeContact(contact, shown).kind, kind, what);
  }
  const changed = (root: Uint8Array) =>
    judgeContact(CONTACT, { shown: OTHER.certificate, root, endorsements: [] });
  assert.deepEqual(changed(root), { kind: "changed", contact: CONTACT, isOtherRoot: false });
  assert.deepEqual(changed(otherRoot), { kind: "changed", contact: CONTACT, isOtherRoot: true });
});

test("keyFingerprintOf() tells keys apart, not certificates", async () => {
  const renewed = await issue("user", { key: BOB.key, issuer: CA.issuing, id: "bob" });
  assert.equal(keyFingerprintOf(renewed.certificate), keyFingerprintOf(BOB.certificate));
  assert.notEqual(keyFingerprintOf(OTHER.certificate), keyFingerprintOf(BOB.certificate));
  assert.match(keyFingerprintOf(BOB.certificate), /^[0-9a-f]{64}$/);
});
