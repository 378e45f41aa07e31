import assert from "node:assert/strict";
import { test } from "node:test";
import { PkiError } from "../../lib/base/errors.ts";
import { parseTarget, type Target } from "../../commands/target.ts";

const person = (id: string): Target => ({ kind: "person", id });
const place = (host: string, port: number): Target => ({
  kind: "address",
  address: { host, port },
});
const personAt = (id: string, host: string, port: number): Target => ({
  kind: "person-at",
  id,
  address: { host, port },
});

const LONG = "a".repeat(63);

const GOOD: readonly (readonly [string, Target])[] = [
  ["bob", person("bob")],
  ["b", person("b")],
  ["0", person("0")],
  ["bob.smith-2", person("bob.smith-2")],
  ["alice.example.org", person("alice.example.org")],
  ["localhosts", person("localhosts")],
  ["1.2.3.4.5", person("1.2.3.4.5")],
  [LONG, person(LONG)],
  ["bob:7450", place("bob", 7450)],
  ["localhost:1", place("localhost", 1)],
  ["Example.ORG:65535", place("Example.ORG", 65_535)],
  ["192.0.2.1:9", place("192.0.2.1", 9)],
  ["[::1]:9", place("::1", 9)],
  ["[::1]", place("::1", 7450)],
  ["[fe80::1%eth0]:9", place("fe80::1%eth0", 9)],
  ["bob@localhost", personAt("bob", "localhost", 7450)],
  ["bob@localhost:9", personAt("bob", "localhost", 9)],
  ["bob@alice", personAt("bob", "alice", 7450)],
  ["bob@Example.org:9", personAt("bob", "Example.org", 9)],
  ["bob@192.0.2.1", personAt("bob", "192.0.2.1", 7450)],
  ["bob@[::1]:9", personAt("bob", "::1", 9)],
  ["bob@[::1]", personAt("bob", "::1", 7450)],
  ["localhost@localhost", personAt("localhost", "localhost", 7450)],
];

for (const [text, target] of GOOD) {
  test(`parseTarget() reads ${JSON.stringify(text)}`, () => {
    assert.deepEqual(parseTarget(text), target);
  });
}

const NOT_ADDRESS = "an address looks like localhost:7450 or [::1]:7450";
const ID_FORM =
  "an id has lower-case letters and digits, with single dots or hyphens between them" +
  ", at most 63";
const FORMS = "say whom or where: bob, localhost:7450 or bob@localhost";

const BAD: readonly (readonly [string, message: string, hint: string])[] = [
  ["localhost", 'cannot call "localhost": a host needs a port', "say localhost:7450"],
  ["127.0.0.1", 'cannot call "127.0.0.1": a host needs a port', "say 127.0.0.1:7450"],
  [
    "Bob",
    'cannot call "Bob": neither an id nor host:port',
    "ids are in lower case; for the host of that name say Bob:7450",
  ],
  [
    "a_b",
    'cannot call "a_b": neither an id nor host:port',
    "ids are in lower case; for the host of that name say a_b:7450",
  ],
  ["", 'cannot call "": neither an id nor host:port', FORMS],
  ["bob ", 'cannot call "bob ": neither an id nor host:port', FORMS],
  ["münchen", 'cannot call "münchen": neither an id nor host:port', FORMS],
  ["bob\u001b[2J", 'cannot use address "bob\\u001b[2J": not host:port', NOT_ADDRESS],
  [`${LONG}a`, `cannot call "${LONG}a": neither an id nor host:port`, ""],
  ["bob:", 'cannot use address "bob:": not host:port', NOT_ADDRESS],
  ["bob:0", 'cannot use address "bob:0": not host:port', NOT_ADDRESS],
  ["bob:65536", 'cannot use address "bob:65536": not host:port', NOT_ADDRESS],
  ["::1", 'cannot use address "::1": not host:port', NOT_ADDRESS],
  ["https://bob", 'cannot use address "https://bob": not host:port', NOT_ADDRESS],
  ["Bob@localhost", 'cannot use id "Bob": not a possible id', ID_FORM],
  ["@localhost", "cannot use id: not a possible id", ID_FORM],
  ["../x@localhost", 'cannot use id "../x": not a possible id', ID_FORM],
  ["bob@", 'cannot use address "": not host:port', NOT_ADDRESS],
  ["bob@localhost:0", 'cannot use address "localhost:0": not host:port', NOT_ADDRESS],
  ["bob@::1", 'cannot use address "::1": not host:port', NOT_ADDRESS],
  ["bob@carol@host:9", 'cannot use address "carol@host:9": not host:port', NOT_ADDRESS],
];

for (const [text, message, hint] of BAD) {
  test(`parseTarget() refuses ${JSON.stringify(text)}`, () => {
    assert.throws(() => parseTarget(text), (error) => {
      assert.ok(error instanceof PkiError);
      assert.deepEqual([error.kind, error.message], ["usage", message]);
      if (hint !== "") assert.equal(error.hint, hint);
      return true;
    });
  });
}
