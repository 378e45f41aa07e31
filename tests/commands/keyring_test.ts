/** What is asked once in a command, once in a sitting, and when a kept key counts no more. */

import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import type { PkiContext } from "../../commands/context.ts";
import { Surroundings } from "../../commands/globals.ts";
import { Keyring } from "../../commands/keyring.ts";
import { Sitting } from "../../commands/sitting.ts";
import { PkiError } from "../../lib/base/errors.ts";
import type { Home } from "../../lib/client/home.ts";
import { inHome, putKey } from "../client/temporary_home.ts";
import { connect } from "../client/fake_socket.ts";
import { CA } from "../client/log_world.ts";

const PASSWORD = "correct horse";
const { privateKey: KEY } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const { privateKey: OTHER_KEY } = generateKeyPairSync("ec", { namedCurve: "P-256" });

/** With the engine's few rounds: what is tested here is not what a guess costs. */
function encrypt(key: KeyObject, passphrase: string): string {
  const options = { format: "pem", type: "pkcs8", cipher: "aes-256-cbc", passphrase } as const;
  return key.export(options) as string;
}

const PEM = encrypt(KEY, PASSWORD);

/** A person at a terminal who answers one question after another, with these. */
class Person {
  readonly answers: string[];
  readonly questions: string[] = [];

  constructor(...answers: readonly string[]) {
    this.answers = [...answers];
  }

  command(home: Home, { sitting, env = {} }: {
    readonly sitting?: Sitting;
    readonly env?: Readonly<Record<string, string>>;
  } = {}): Keyring {
    const unasked = () => Promise.reject(new Error("not asked here"));
    const stream = new PassThrough();
    const context: PkiContext = {
      process: { stdin: stream, stdout: stream, stderr: stream, env },
      homeFolder: "/nonexistent",
      terminal: {
        askPassword: (question) => {
          this.questions.push(question);
          const answer = this.answers.shift();
          return answer === undefined ? unasked() : Promise.resolve(answer);
        },
        askText: unasked,
        confirm: unasked,
      },
      signal: new AbortController().signal,
      now: () => 0,
      ...(sitting ? { sitting } : {}),
    };
    return new Keyring(new Surroundings(context, { home: home.folder }), "alice");
  }
}

function isSame(key: KeyObject | undefined, wanted: KeyObject): boolean {
  return key !== undefined && key.equals(wanted);
}

const WRONG = {
  kind: "refused",
  message: 'cannot open the key of "alice": the password does not fit',
};

test("Keyring.key() asks once in a command, and once in a sitting", () =>
  inHome(async (home) => {
    putKey(home, "alice", PEM);
    const person = new Person(PASSWORD, PASSWORD, PASSWORD);
    const alone = person.command(home);
    assert.equal(await alone.unlockedKey(), undefined);
    assert.ok(isSame(await alone.key(), KEY));
    assert.ok(isSame(await alone.key(), KEY));
    assert.equal(await alone.password(), PASSWORD);
    assert.ok(isSame(await person.command(home).key(), KEY));
    assert.deepEqual(person.questions, Array(2).fill("Password of alice, which unlocks the key"));

    const sitting = new Sitting();
    assert.ok(isSame(await person.command(home, { sitting }).key(), KEY));
    const next = person.command(home, { sitting });
    assert.ok(isSame(await next.unlockedKey(), KEY));
    assert.equal(await next.password(), PASSWORD);
    assert.equal(person.questions.length, 3);
    sitting.close();
    assert.equal(await person.command(home, { sitting }).unlockedKey(), undefined);
  }));

test("Keyring.key() keeps no wrong password, and asks again", () =>
  inHome(async (home) => {
    putKey(home, "alice", PEM);
    const sitting = new Sitting();
    const person = new Person("wrong horse", PASSWORD);
    const keyring = person.command(home, { sitting });
    await assert.rejects(keyring.key(), WRONG);
    assert.equal(sitting.of(home, "alice").password, undefined);
    assert.equal(keyring.hasPassword, false);
    assert.ok(isSame(await keyring.key(), KEY));
    assert.equal(sitting.of(home, "alice").password, PASSWORD);
    assert.equal(sitting.of(home, "bob").password, undefined);
  }));

test("Keyring.key() takes a kept key only for the file that it was opened from", () =>
  inHome(async (home) => {
    putKey(home, "alice", PEM);
    const sitting = new Sitting();
    const person = new Person(PASSWORD, "another horse");
    await person.command(home, { sitting }).key();
    putKey(home, "alice", encrypt(OTHER_KEY, PASSWORD)); // renewed with a new key
    const next = person.command(home, { sitting });
    assert.equal(await next.unlockedKey(), undefined);
    assert.ok(isSame(await next.key(), OTHER_KEY), "by the password that is known");
    putKey(home, "alice", encrypt(OTHER_KEY, "another horse")); // by pki passwd
    await assert.rejects(person.command(home, { sitting }).key(), WRONG);
    assert.ok(isSame(await person.command(home, { sitting }).key(), OTHER_KEY));
    assert.equal(person.questions.length, 2);
  }));

test("Keyring.password() takes what is given before it asks", () =>
  inHome(async (home) => {
    putKey(home, "alice", PEM);
    const person = new Person();
    const keyring = person.command(home, { env: { PKI_PASSWORD: PASSWORD } });
    assert.equal(keyring.hasPassword, true);
    assert.ok(isSame(await keyring.key(), KEY));
    const none = person.command(home);
    putKey(home, "alice", "no key");
    await assert.rejects(none.key(), /not asked here/);
    assert.deepEqual(person.questions, ["Password of alice, which unlocks the key"]);
  }));

test("Keyring.keyOf() refuses a key that is not the certificate's", () =>
  inHome(async (home) => {
    putKey(home, "alice", PEM);
    await assert.rejects(
      new Person(PASSWORD).command(home).keyOf({ id: "alice", leaf: CA.issuing.certificate }),
      (error) => error instanceof PkiError && error.kind === "conflict",
    );
  }));

test("Unlocked.session is there until the server closes it; another takes its place", () => {
  const sitting = new Sitting();
  const unlocked = sitting.of({ folder: "/home" } as Home, "alice");
  const keep = () => {
    const { socket, connection } = connect(new Uint8Array());
    const { anchor } = CA.judging;
    unlocked.keepSession({
      ...{ connection, anchor, log: undefined as never },
      ...{ address: "localhost:7443", by: "password" },
    });
    return { socket, connection };
  };
  const first = keep();
  assert.equal(unlocked.session?.connection, first.connection);
  const second = keep();
  assert.equal(first.socket.isEnded, true);
  assert.equal(unlocked.session?.connection, second.connection);
  second.socket.emit("close");
  assert.equal(unlocked.session, undefined);
  const third = keep();
  sitting.close();
  assert.equal(third.socket.isEnded, true);
  assert.equal(sitting.of({ folder: "/home" } as Home, "alice").session, undefined);
});

test("ServerConnection.endOn() lets a signal end it only until it is told otherwise", async () => {
  const { connection } = connect(new Uint8Array());
  const [first, second] = [new AbortController(), new AbortController()];
  const release = connection.endOn(first.signal);
  connection.endOn(second.signal);
  release();
  first.abort();
  assert.equal(connection.isOpen, true);
  const asked = connection.request("HELLO", {});
  second.abort();
  await assert.rejects(asked, { kind: "interrupted" });
  assert.equal(connection.isOpen, false);
});
