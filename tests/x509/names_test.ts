import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  checkDomain,
  checkId,
  isId,
  parseUserUri,
  serverDns,
  serverUri,
  userDns,
  userUri,
} from "../../lib/x509/names.ts";

const LONGEST = "a".repeat(63);

/** An id that is none, and how a message shows it: not at all, where it could harm a terminal. */
const BAD_IDS: readonly { readonly id: string; readonly shown: string }[] = [
  { id: "", shown: "" },
  { id: "Alice", shown: ' "Alice"' },
  { id: ".", shown: ' "."' },
  { id: "..", shown: ' ".."' },
  { id: "../x", shown: ' "../x"' },
  { id: "a/b", shown: ' "a/b"' },
  { id: "a\\b", shown: ' "a\\\\b"' },
  { id: ".a", shown: ' ".a"' },
  { id: "a.", shown: ' "a."' },
  { id: "a..b", shown: ' "a..b"' },
  { id: "a--b", shown: ' "a--b"' },
  { id: "a.-b", shown: ' "a.-b"' },
  { id: "-a", shown: ' "-a"' },
  { id: "a-", shown: ' "a-"' },
  { id: "a_b", shown: ' "a_b"' },
  { id: "a@b", shown: ' "a@b"' },
  { id: "a%2fb", shown: ' "a%2fb"' },
  { id: "a b", shown: "" },
  { id: "alice\n", shown: "" },
  { id: "\nalice", shown: "" },
  { id: "alice\0", shown: "" },
  { id: "\x1b[2J", shown: "" },
  { id: "аlice", shown: "" }, // CYRILLIC SMALL LETTER A
  { id: "ａlice", shown: "" }, // FULLWIDTH LATIN SMALL LETTER A
  { id: "alıce", shown: "" }, // LATIN SMALL LETTER DOTLESS I
  { id: "a\u200bb", shown: "" }, // ZERO WIDTH SPACE
  { id: "١", shown: "" }, // ARABIC-INDIC DIGIT ONE
  { id: "a".repeat(64), shown: "" },
  { id: "a".repeat(300), shown: "" },
];

for (const { id, shown } of BAD_IDS) {
  test(`checkId() refuses ${JSON.stringify(id)}`, () => {
    assert.equal(isId(id), false);
    assert.throws(() => checkId(id), {
      kind: "usage",
      message: `cannot use id${shown}: not a possible id`,
      hint:
        "an id has lower-case letters and digits, with single dots or hyphens between them, at most 63",
    });
  });
}

for (const id of ["a", "0", "alice", "a.b", "a-b.c-1", "alice.smith", "server", LONGEST]) {
  test(`checkId() accepts ${JSON.stringify(id)}`, () => {
    assert.equal(isId(id), true);
    checkId(id);
  });
}

test("isId() takes no longer for a long text that almost fits", () => {
  assert.equal(isId("a-".repeat(500_000)), false);
});

const BAD_DOMAINS = [
  "",
  "internal",
  ".internal",
  "pki.",
  "pki..internal",
  "Pki.internal",
  "pki.internal\n",
  "pki .internal",
  "-pki.internal",
  "pki-.internal",
  "pki_x.internal",
  "pki.internal/user",
  "pki.internal:7443",
  `${"a".repeat(64)}.internal`,
  `${"a.".repeat(90)}a`,
  "аki.internal",
];

for (const domain of BAD_DOMAINS) {
  test(`checkDomain() refuses ${JSON.stringify(domain)}`, () => {
    assert.throws(() => checkDomain(domain), {
      kind: "usage",
      message: `cannot use trust domain ${JSON.stringify(domain)}: not a domain name`,
    });
  });
}

for (const domain of ["pki.internal", "a.b", "x-1.example.org", `${"a.".repeat(89)}aa`]) {
  test(`checkDomain() accepts ${JSON.stringify(domain)}`, () => checkDomain(domain));
}

const D = "pki.internal";
const BAD_URIS = [
  "",
  "spiffe://pki.internal/user/",
  "spiffe://pki.internal/user",
  "spiffe://pki.internal/server",
  "spiffe://pki.internal/users/alice",
  "spiffe://pki.internal/user/alice/",
  "spiffe://pki.internal/user/alice/x",
  "spiffe://pki.internal/user//alice",
  "spiffe://pki.internal/user/../server",
  "spiffe://pki.internal/user/Alice",
  "spiffe://pki.internal/user/alice?x",
  "spiffe://pki.internal/user/alice#x",
  "spiffe://pki.internal/user/%61lice",
  "spiffe://pki.internal:7443/user/alice",
  "spiffe://x@pki.internal/user/alice",
  "spiffe://pki.internal.example/user/alice",
  "spiffe://x.pki.internal/user/alice",
  "spiffe://pki.example/user/alice",
  "SPIFFE://pki.internal/user/alice",
  "spiffe://PKI.internal/user/alice",
  "https://pki.internal/user/alice",
  " spiffe://pki.internal/user/alice",
  `spiffe://pki.internal/user/${"a".repeat(64)}`,
];

for (const uri of BAD_URIS) {
  test(`parseUserUri() finds no user in ${JSON.stringify(uri)}`, () => {
    assert.equal(parseUserUri(uri, D), undefined);
  });
}

const id = fc.stringMatching(/^[a-z0-9]+([.-][a-z0-9]+)*$/, { maxLength: 63 });

test("parseUserUri() finds the id that userUri() was given", () => {
  fc.assert(fc.property(id, (id) => {
    assert.equal(parseUserUri(userUri(id, D), D), id);
  }));
});

test("userDns() gives no two users the same name, and none the server's", () => {
  fc.assert(fc.property(id, id, (a, b) => {
    assert.equal(userDns(a, D) === userDns(b, D), a === b);
    assert.notEqual(userDns(a, D), serverDns(D));
    assert.notEqual(userUri(a, D), serverUri(D));
  }));
});

test("the names have the forms that docs/protocol.md describes", () => {
  assert.equal(userUri("a.b", D), "spiffe://pki.internal/user/a.b");
  assert.equal(userDns("a.b", D), "a.b.user.pki.internal");
  assert.equal(serverUri(D), "spiffe://pki.internal/server");
  assert.equal(serverDns(D), "server.pki.internal");
});
