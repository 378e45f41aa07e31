import assert from "node:assert/strict";
import * as fs from "node:fs";
import { dirname } from "node:path";
import { test } from "node:test";
import { utf8 } from "../../lib/base/bytes.ts";
import { OwnEndorsements } from "../../lib/client/own_endorsements.ts";
import {
  endorse,
  type Endorsement,
  ENDORSEMENTS_MAX,
  followEndorsements,
} from "../../lib/protocol/endorsement.ts";
import { encodeSpki, generatePrivateKey } from "../../lib/x509/keys.ts";
import { inHome } from "./temporary_home.ts";

const SCOPE = { root: utf8("the root"), id: "alice" };
const KEYS = await Promise.all(
  Array.from({ length: 2 * ENDORSEMENTS_MAX + 3 }, () => generatePrivateKey("p256")),
);
const SPKIS = KEYS.map(encodeSpki);

function endorsementFrom(from: number, to: number, timeMs = to): Endorsement {
  return endorse(SCOPE, { by: KEYS[from]!, key: SPKIS[to]!, timeMs });
}

/** Alice's endorsements, and a way to have one of her keys vouch for another, by their numbers. */
async function inFolder(
  work: (
    own: OwnEndorsements,
    put: (from: number, to: number, timeMs?: number) => void,
    path: string,
  ) => void,
): Promise<void> {
  await inHome((home) => {
    const files = home.files("alice");
    fs.mkdirSync(dirname(files.keyPath), { recursive: true });
    const { endorsements } = files;
    const put = (from: number, to: number, timeMs?: number) =>
      endorsements.add(SPKIS[from]!, endorsementFrom(from, to, timeMs));
    work(endorsements, put, `${dirname(files.keyPath)}/endorsements.json`);
  });
}

function keysOf(endorsements: readonly Endorsement[]): readonly number[] {
  return endorsements.map(({ key }) =>
    SPKIS.findIndex((spki) => spki.every((b, i) => b === key[i]))
  );
}

test("OwnEndorsements lead to the key of the certificate, oldest first", async () => {
  await inFolder((own, put, path) => {
    assert.deepEqual(own.leadingTo(SPKIS[0]!), [], "there is no file yet");
    put(0, 1);
    put(1, 2);
    const chain = own.leadingTo(SPKIS[2]!);
    assert.deepEqual(keysOf(chain), [1, 2]);
    assert.ok(followEndorsements(chain, { ...SCOPE, pinned: SPKIS[0]!, key: SPKIS[2]! }));
    assert.deepEqual(own.leadingTo(SPKIS[5]!), [], "a key that nobody vouches for");
    assert.equal(fs.statSync(path).mode & 0o777, 0o600);
    assert.deepEqual(fs.readdirSync(dirname(path)), ["endorsements.json"]);
  });
});

test("OwnEndorsements fit the certificate that is there after a crash before or after it", async () => {
  await inFolder((own, put) => {
    put(0, 1);
    put(1, 2); // and then the certificate of key 2 never came
    assert.deepEqual(keysOf(own.leadingTo(SPKIS[1]!)), [1]);
    put(1, 3); // another try, with another key
    assert.deepEqual(keysOf(own.leadingTo(SPKIS[1]!)), [1]);
    assert.deepEqual(keysOf(own.leadingTo(SPKIS[3]!)), [1, 3]);
    assert.deepEqual(
      keysOf(own.leadingTo(SPKIS[2]!)),
      [1, 2],
      "of two commands either may be first",
    );
  });
});

test("OwnEndorsements keep the newest word for a key, and drop it", async () => {
  await inFolder((own, put, path) => {
    put(0, 1, 10);
    put(0, 1, 20);
    assert.deepEqual(own.leadingTo(SPKIS[1]!).map(({ timeMs }) => timeMs), [20]);
    put(1, 2);
    own.drop(SPKIS[2]!);
    assert.deepEqual(own.leadingTo(SPKIS[2]!), []);
    assert.deepEqual(keysOf(own.leadingTo(SPKIS[1]!)), [1]);
    const before = fs.statSync(path).ino;
    own.drop(SPKIS[2]!);
    assert.equal(fs.statSync(path).ino, before, "nothing to drop, nothing to write");
  });
});

test(`OwnEndorsements show the last ${ENDORSEMENTS_MAX}`, async () => {
  await inFolder((own, put, path) => {
    const last = KEYS.length - 1;
    for (let at = 0; at < last; at++) put(at, at + 1);
    const shown = keysOf(own.leadingTo(SPKIS[last]!));
    assert.deepEqual(shown, Array.from({ length: ENDORSEMENTS_MAX }, (_, at) => last - 7 + at));
    assert.equal((JSON.parse(fs.readFileSync(path, "utf8")) as unknown[]).length, 16);
  });
});

test("OwnEndorsements end where keys go round in a circle", async () => {
  await inFolder((own, put) => {
    put(0, 1);
    put(1, 0);
    const chain = own.leadingTo(SPKIS[0]!);
    assert.equal(chain.length, ENDORSEMENTS_MAX);
    assert.ok(followEndorsements(chain, { ...SCOPE, pinned: SPKIS[1]!, key: SPKIS[0]! }));
  });
});

const good = { by: "ab".repeat(32), key: "AAAA", timeMs: 1, signature: "AAAA" };
const DAMAGED: readonly (readonly [what: string, content: string])[] = [
  ["no JSON", "["],
  ["no list", "{}"],
  ["a signer that is no hash", JSON.stringify([{ ...good, by: "ab" }])],
  ["a key that is no base64", JSON.stringify([{ ...good, key: "?" }])],
  ["an unknown field", JSON.stringify([{ ...good, more: 1 }])],
  ["more than are ever written", JSON.stringify(Array(17).fill(good))],
];

for (const [what, content] of DAMAGED) {
  test(`OwnEndorsements refuse a file with ${what}`, async () => {
    await inFolder((own, put, path) => {
      fs.writeFileSync(path, content);
      const error = {
        kind: "malformed",
        message: `cannot read "${path}": not as it should be`,
        hint: "remove it; those who know your old key will then be asked whether it is you",
      };
      assert.throws(() => own.leadingTo(SPKIS[0]!), error);
      assert.throws(() => put(0, 1), error);
      assert.equal(fs.readFileSync(path, "utf8"), content, "and leave it as it is");
    });
  });
}
