import assert from "node:assert/strict";
import { test } from "node:test";
import { PkiError } from "../../lib/base/errors.ts";
import { checkNewPassword } from "../../lib/client/new_password.ts";

const ALICE = { name: "alice.smith", domain: "example.test" };

const SHORT = "it is shorter than 8 characters";
const FOR_SHORT = "it is easy to guess for one of fewer than 15 characters";
const SAYS_WHO = "it is easy to guess: it says who you are or what it is for, and little else";
const REPEATS = "it is easy to guess: it repeats itself";
const COMMON = "it is easy to guess: it is much like a common password";

test("checkNewPassword() refuses what is short, or easy to guess, with the reason", async () => {
  const rows: readonly (readonly [string, string])[] = [
    ["", SHORT],
    ["x7K!q2P", SHORT],
    ["\u{1f40e}\u{1f40e}\u{1f40e}\u{1f40e}", SHORT], // eight units of UTF-16
    ["x7K!q2Pz", FOR_SHORT],
    ["blue horses", FOR_SHORT],
    ["password", "it is easy to guess: it is a common password"],
    ["P@ssw0rd2024", COMMON],
    // Long, and yet what is tried first.
    ["passwordpassword", REPEATS],
    ["password password password", REPEATS],
    ["aaaaaaaaaaaaaaaaaaaa", REPEATS],
    ["abababababababab", REPEATS],
    ["123456789012345", COMMON],
    ["qwertyuiopasdfghjkl", COMMON],
    ["abcdefghijklmnop", "it is easy to guess: it is a sequence"],
    ["internationalization", "it is easy to guess: it is a word"],
    ["                    ", "it is nothing but spaces"],
    // Who and what it is for, and nothing beside it.
    ["alicealicealicealice", SAYS_WHO],
    ["Alice.Smith@Example.Test", SAYS_WHO],
    ["pki example alice 2026!!", SAYS_WHO],
    ["\uff21\uff4c\uff49\uff43\uff45 smith example", SAYS_WHO], // full width
  ];
  for (const [password, why] of rows) {
    await assert.rejects(checkNewPassword(password, ALICE), (error: unknown) => {
      assert.ok(error instanceof PkiError, String(error));
      assert.equal(error.kind, "usage");
      assert.equal(error.message, `cannot use the password: ${why}`, password);
      assert.equal(
        error.hint,
        "a few words that nobody else would put together make a good one",
      );
      return true;
    });
  }
});

test("checkNewPassword() takes what is long or hard to guess, of whatever characters", async () => {
  const good = [
    "alice rides a paper horse",
    "correct horse battery staple", // many have read it; long all the same
    "a smith at the test bench", // words of hers, and enough beside them
    "583920174658201",
    "kT7!mQz2pLx9",
    "\u043a\u043e\u0448\u043a\u0430 \u0441\u043e\u0431\u0430\u043a\u0430 \u043b\u043e\u0448\u0430\u0434\u044c",
    "\u3072\u3060\u308a\u3046\u3048\u306e\u3068\u3051\u3044\u306f\u3086\u3063\u304f\u308a\u3042\u308b\u304f",
    "seven grey otters juggle lamps ".repeat(33).slice(0, 1024),
  ];
  for (const password of good) await checkNewPassword(password, ALICE);
  await checkNewPassword("alice.smith@example.test", { name: "bob" }); // not his words
});
