/** What `pki passwd` does to a key; what it does to an account is tried end to end. */

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import type { PkiContext } from "../../commands/context.ts";
import { passwd } from "../../commands/passwd.ts";
import { decryptPrivateKey } from "../../lib/x509/keys.ts";
import { inHome, putKey } from "../client/temporary_home.ts";

const OLD = "correct horse";
const NEW = "seven boats in a bottle";
const NEWER = "eight boats and no bottle";

function makePem(passphrase: string): string {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const options = { format: "pem", type: "pkcs8", cipher: "aes-256-cbc", passphrase } as const;
  return privateKey.export(options) as string;
}

/** A person who answers these questions, each when it is asked. */
function contextOf(answers: readonly (() => string)[]): PkiContext {
  const left = [...answers];
  const stream = new PassThrough().resume();
  const unasked = () => Promise.reject(new Error("not asked here"));
  return {
    process: { stdin: stream, stdout: stream, stderr: stream, env: {} },
    homeFolder: "/nonexistent",
    terminal: {
      askPassword: () => Promise.resolve(left.shift()?.() ?? assert.fail()),
      askText: unasked,
      confirm: unasked,
    },
    signal: new AbortController().signal,
    now: () => 0,
  };
}

test("passwd() encrypts the key anew, and never one that has come meanwhile", () =>
  inHome(async (home) => {
    const flags = { home: home.folder, id: "alice", keyOnly: true };
    putKey(home, "alice", makePem(OLD));
    await passwd(contextOf([() => OLD, () => NEW, () => NEW]), flags);
    await decryptPrivateKey(home.loadKeyPem("alice"), NEW, "the key");

    const other = makePem(OLD);
    const replaceMeanwhile = () => {
      putKey(home, "alice", other); // as pki renew --rekey does
      return NEWER;
    };
    await assert.rejects(passwd(contextOf([() => NEW, replaceMeanwhile, () => NEWER]), flags), {
      kind: "conflict",
      message: 'another command has replaced the key of "alice" meanwhile',
    });
    assert.equal(home.loadKeyPem("alice"), other);
  }));
