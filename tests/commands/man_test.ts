/** The manual page in the eyes of those who show it; that it is up to date, `help_test.ts` says. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { ENVIRONMENT, MAN_PATH, manPage } from "../../man.ts";
import { needs, runProgram } from "../e2e/harness.ts";

test("manPage() knows every variable that a help text mentions", async () => {
  for (const [, name = ""] of (await manPage()).matchAll(/\$([A-Z][A-Z_]+)/g)) {
    assert.ok(Object.hasOwn(ENVIRONMENT, name), `$${name} is in the manual`);
  }
});

test("docs/pki.1 is read by man without a warning", needs("man"), async () => {
  const { code, stdout, stderr } = await runProgram("man", ["--warnings", "-l", MAN_PATH], {
    env: { MANWIDTH: "80", LC_ALL: "C.UTF-8", MANPAGER: "cat" },
  });
  assert.equal(stderr, "");
  assert.equal(code, 0);
  assert.match(stdout, /^PKI\(1\) /);
  assert.match(stdout, /^ {3}pki csr\n/m);
  assert.match(stdout, /^ +--key-type p256\|p384\|rsa3072\|ed25519$/m);
  assert.match(stdout, /^EXIT STATUS$/m);
});

test("docs/pki.1 is found good by mandoc", needs("mandoc"), async () => {
  const { code, stdout } = await runProgram("mandoc", ["-T", "lint", "-W", "warning", MAN_PATH]);
  assert.equal(stdout, "");
  assert.equal(code, 0);
});
