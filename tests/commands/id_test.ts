/** `pki id` as a person at a terminal has it: what fits, what is asked, and what an answer does. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { dirname, join } from "node:path";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import type { PkiContext } from "../../commands/context.ts";
import { listIds } from "../../commands/id.ts";
import { importId } from "../../commands/id_import.ts";
import { removeId } from "../../commands/id_remove.ts";
import type { Home } from "../../lib/client/home.ts";
import { fingerprintOf } from "../../lib/x509/certificate.ts";
import { decryptPrivateKey } from "../../lib/x509/keys.ts";
import { encodeCertificatesPem } from "../../lib/x509/pem.ts";
import { makeTestCa, makeUser, NOW_MS } from "../fakes/ca.ts";
import { inHome, putKey } from "../client/temporary_home.ts";

const CA = await makeTestCa();
const ALICE = await makeUser(CA, { id: "alice" });
const LONG_ID = `a-name-of-${"many-".repeat(6)}letters`;
const LONG = await makeUser(CA, { id: LONG_ID, keyType: "ed25519" });
const PASSWORD = "alice rides a paper horse";
const ROOT = CA.root.certificate.der;

type Answer = string | boolean;

/** What was written so far. */
function readAll(stream: PassThrough): string {
  let text = "";
  for (let chunk; (chunk = stream.read() as Uint8Array | null) !== null;) text += chunk.toString();
  return text;
}

/** Somebody at a terminal of this width, who has these answers; without them, nobody. */
class Person {
  readonly questions: string[] = [];
  readonly #answers: Answer[];
  readonly #stdout = new PassThrough();
  readonly #stderr = new PassThrough();
  readonly context: PkiContext;

  constructor(answers: readonly Answer[] | undefined, columns?: number) {
    this.#answers = [...answers ?? []];
    if (columns !== undefined) Object.assign(this.#stdout, { isTTY: true, columns });
    const answer = <T extends Answer>(question: string): Promise<T> => {
      this.questions.push(question);
      const next = this.#answers.shift();
      return next === undefined ? Promise.reject(new Error(question)) : Promise.resolve(next as T);
    };
    this.context = {
      process: {
        stdin: new PassThrough(),
        stdout: this.#stdout,
        stderr: this.#stderr,
        env: { NO_COLOR: "1" },
      },
      homeFolder: "/nonexistent",
      terminal: answers && { askPassword: answer, askText: answer, confirm: answer },
      signal: new AbortController().signal,
      now: () => NOW_MS,
    };
  }

  get stdout(): string {
    return readAll(this.#stdout);
  }

  get stderr(): string {
    return readAll(this.#stderr);
  }
}

/** A home with alice and one whose name is long. */
async function inHomeOfTwo(work: (home: Home) => Promise<void>): Promise<void> {
  await inHome(async (home) => {
    home.pin(CA.judging.anchor, "localhost:7443");
    for (const [id, { shown }] of [["alice", ALICE], [LONG_ID, LONG]] as const) {
      putKey(home, id, "key");
      home.files(id).replaceCertificate(encodeCertificatesPem(shown), undefined);
    }
    await work(home);
  });
}

for (const columns of [60, 80, 120, 200]) {
  test(`pki id fits a terminal of ${columns} columns`, async () => {
    await inHomeOfTwo(async (home) => {
      home.useId("alice");
      const person = new Person([], columns);
      await listIds(person.context, { home: home.folder });
      const lines = person.stdout.trimEnd().split("\n");
      assert.equal(lines.length, 3);
      for (const line of lines) assert.ok([...line].length <= columns, line);
      const hasKeys = columns > 60;
      assert.equal(lines[0]?.includes(" KEY "), hasKeys);
      assert.match(lines[1] ?? "", /^ {3}a-name-of-.* valid {11}2026-\d\d-\d\d {2}/);
      assert.match(lines[2] ?? "", /^\* {2}alice .* valid {11}2026-\d\d-\d\d {2}/);
      const fingerprint = fingerprintOf(ALICE.certificate.der);
      assert.ok(lines[2]?.includes(columns === 200 ? fingerprint : fingerprint.slice(0, 8)));
    });
  });
}

test("pki id cuts nothing where there is no terminal", async () => {
  await inHomeOfTwo(async (home) => {
    const person = new Person(undefined);
    await listIds(person.context, { home: home.folder });
    const { stdout } = person;
    assert.ok(stdout.includes(LONG_ID) && stdout.includes(fingerprintOf(LONG.certificate.der)));
    assert.equal(person.stderr, "none is in use; choose one with: pki id use NAME\n");
  });
});

test("pki id marks nobody where the one in use is gone", async () => {
  await inHomeOfTwo(async (home) => {
    home.useId("carol");
    const person = new Person(undefined);
    await listIds(person.context, { home: home.folder, json: true });
    const rows = person.stdout.trim().split("\n").map((line) => JSON.parse(line));
    assert.deepEqual(rows.map(({ current }) => current), [false, false]);
  });
});

function writePem(home: Home): string {
  const path = join(dirname(home.folder), "alice.pem");
  const key = ALICE.key.export({ format: "pem", type: "pkcs8" }) as string;
  fs.writeFileSync(path, key + encodeCertificatesPem([...ALICE.shown, ROOT]));
  return path;
}

test("pki id import asks whether the root is right, then for a password, twice", async () => {
  await inHome(async (home) => {
    const person = new Person([true, PASSWORD, PASSWORD]);
    await importId(person.context, { home: home.folder }, writePem(home));
    assert.match(person.questions[0] ?? "", new RegExp(`^No root .*\\n${fingerprintOf(ROOT)}\\n`));
    assert.deepEqual(person.questions.slice(1), [
      "Password of alice, for the key here",
      "The same password again",
    ]);
    const key = await decryptPrivateKey(home.loadKeyPem("alice"), PASSWORD, "it");
    assert.ok(key.equals(ALICE.key));
  });
});

const STOPPED: readonly {
  readonly name: string;
  readonly answers: readonly Answer[];
  readonly isPinned?: boolean;
  readonly isThere?: boolean;
  readonly kind: string;
  readonly message: RegExp;
}[] = [
  {
    name: "the root is not the right one",
    answers: [false],
    kind: "untrusted",
    message: /^the root [0-9a-f]{64} was not trusted$/,
  },
  {
    name: "the two passwords are different",
    answers: [true, PASSWORD, `${PASSWORD}.`],
    kind: "usage",
    message: /^cannot import: the two passwords are different$/,
  },
  {
    name: "the password is easy to guess",
    answers: [true, "password1"],
    kind: "usage",
    message: /^cannot use the password: it is easy to guess/,
  },
  {
    name: "what is there shall stay",
    answers: [false],
    isPinned: true,
    isThere: true,
    kind: "interrupted",
    message: /^"alice" stays as it was$/,
  },
];

for (const { name, answers, isPinned, isThere, kind, message } of STOPPED) {
  test(`pki id import stores nothing where ${name}`, async () => {
    await inHome(async (home) => {
      if (isPinned) home.pin(CA.judging.anchor, "localhost:7443");
      if (isThere) putKey(home, "alice", "the key before");
      const person = new Person(answers);
      await assert.rejects(importId(person.context, { home: home.folder }, writePem(home)), {
        kind,
        message,
      });
      assert.equal(person.questions.length, answers.length);
      if (isThere) assert.equal(home.loadKeyPem("alice"), "the key before");
      else assert.equal(fs.existsSync(home.folder), false);
    });
  });
}

test("pki id import replaces what is there when a person says so", async () => {
  await inHome(async (home) => {
    home.pin(CA.judging.anchor, "localhost:7443");
    putKey(home, "alice", "the key before");
    const person = new Person([true, PASSWORD, PASSWORD]);
    await importId(person.context, { home: home.folder }, writePem(home));
    assert.match(person.questions[0] ?? "", /^There is a "alice" here already\. Replace /);
    await decryptPrivateKey(home.loadKeyPem("alice"), PASSWORD, "it");
  });
});

test("pki id rm removes only when a person says so, who is told what stays good", async () => {
  await inHomeOfTwo(async (home) => {
    const no = new Person([false]);
    await assert.rejects(removeId(no.context, { home: home.folder }, "alice"), {
      kind: "interrupted",
      message: '"alice" stays',
    });
    assert.match(no.questions[0] ?? "", /The certificate is good until 2026-\d\d-\d\d: pki revoke/);
    assert.ok(home.hasKey("alice"));
    const yes = new Person([true]);
    await removeId(yes.context, { home: home.folder }, "alice");
    assert.deepEqual(home.listIds(), [LONG_ID]);
    assert.match(yes.stderr, /^the certificate [0-9a-f]+ is still good/);
  });
});
