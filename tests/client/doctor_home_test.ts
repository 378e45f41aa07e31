import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import {
  checkConfiguration,
  checkEnvironment,
  checkEvidence,
  checkFolder,
  checkLeftovers,
  checkModes,
  fixModes,
} from "../../lib/client/doctor_home.ts";
import type { Home } from "../../lib/client/home.ts";
import { NOW_MS } from "../fakes/ca.ts";
import { linesOf, patientOf } from "./patient.ts";
import { inHome, putKey } from "./temporary_home.ts";

const NO_MODES = process.platform === "win32" ? { skip: "modes mean nothing there" } : {};

/** A home as commands leave it, with one identity. */
function furnish(home: Home): void {
  fs.mkdirSync(home.folder, { mode: 0o700 });
  putKey(home, "alice", "a key");
  fs.chmodSync(join(home.folder, "ids"), 0o700);
  fs.writeFileSync(join(home.folder, "config.json"), "{}", { mode: 0o600 });
}

test("checkFolder() says whether the home is there, a folder, ours and writable", () =>
  inHome((home) => {
    const found = (uid?: number) => linesOf(checkFolder(patientOf(home, { uid })));
    assert.deepEqual(found(), [`warning: there is no home folder "${home.folder}" yet`]);
    fs.writeFileSync(home.folder, "");
    assert.deepEqual(found(), [`problem (storage): "${home.folder}" is not a folder`]);
    fs.rmSync(home.folder);
    fs.mkdirSync(home.folder);
    const { uid } = fs.statSync(home.folder);
    assert.deepEqual(found(uid + 1), [
      `problem (storage): the home folder "${home.folder}" belongs to another user (${uid})`,
    ]);
    assert.deepEqual(found(uid), [`ok: the home folder is "${home.folder}"`]);
  }));

test(
  "checkModes() tells what others can read or change, each with its way out",
  NO_MODES,
  () =>
    inHome((home) => {
      assert.deepEqual(checkModes(patientOf(home)), [], "without a home there is nothing to say");
      furnish(home);
      const key = home.keyPath("alice");
      const config = join(home.folder, "config.json");
      const rows: readonly (readonly [string, number, readonly string[]])[] = [
        [key, 0o600, ["ok: nobody else can read or change what is in it"]],
        [key, 0o640, [`problem (storage): others can read the secret in "${key}" (mode 640)`]],
        [key, 0o604, [`problem (storage): others can read the secret in "${key}" (mode 604)`]],
        [key, 0o620, [`problem (storage): others can change "${key}" (mode 620)`]],
        [config, 0o602, [`problem (storage): others can change "${config}" (mode 602)`]],
        // Who cannot enter the folder cannot read what is in it.
        [config, 0o644, ["ok: nobody else can enter it"]],
      ];
      for (const [path, mode, lines] of rows) {
        fs.chmodSync(path, mode);
        assert.deepEqual(
          linesOf(checkModes(patientOf(home))),
          lines,
          `${path} ${mode.toString(8)}`,
        );
        fs.chmodSync(path, 0o600);
      }
      fs.chmodSync(home.folder, 0o755);
      fs.chmodSync(config, 0o644);
      assert.deepEqual(checkModes(patientOf(home)), [{
        verdict: "warning",
        message:
          "others can read 2 files and folders in it, though no secrets: who you talk to, say",
        hint: `chmod 700 "${home.folder}"`,
      }]);
      fs.chmodSync(home.folder, 0o777);
      assert.deepEqual(linesOf(checkModes(patientOf(home))), [
        `problem (storage): others can change "${home.folder}" (mode 777)`,
      ]);
      fs.chmodSync(home.folder, 0o700);
      fs.mkdirSync(home.serverFolder, { mode: 0o777 });
      fs.chmodSync(config, 0o600);
      assert.deepEqual(
        linesOf(checkModes(patientOf(home))),
        ["ok: nobody else can read or change what is in it"],
        "the server's folder is looked at by another check",
      );
    }),
);

test(
  "fixModes() closes the home to others, and leaves a server's folder alone",
  NO_MODES,
  () =>
    inHome((home) => {
      assert.deepEqual(fixModes(home), [], "there is no home");
      furnish(home);
      const key = home.keyPath("alice");
      fs.chmodSync(home.folder, 0o755);
      fs.chmodSync(key, 0o444);
      fs.mkdirSync(home.serverFolder, { mode: 0o750 });
      fs.symlinkSync("/etc/passwd", join(home.folder, "elsewhere"));
      const shared = join(home.folder, "shared.txt");
      fs.writeFileSync(shared, "not ours", { mode: 0o644 });
      assert.deepEqual(fixModes(home), [home.folder, key]);
      const modeOf = (path: string) => fs.statSync(path).mode & 0o777;
      assert.deepEqual([modeOf(home.folder), modeOf(key)], [0o700, 0o400]);
      assert.deepEqual([modeOf(home.serverFolder), modeOf(shared)], [0o750, 0o644]);
      assert.deepEqual(fixModes(home), []);
    }),
);

test("fixModes() changes nothing in a folder that is no home", NO_MODES, () =>
  inHome((home) => {
    fs.mkdirSync(home.folder, { mode: 0o755 });
    fs.writeFileSync(join(home.folder, "config.json"), "{}", { mode: 0o644 }); // of another program
    assert.throws(() => fixModes(home), {
      kind: "conflict",
      message: `cannot close "${home.folder}" to others: it is no home of pki`,
    });
    assert.equal(fs.statSync(home.folder).mode & 0o777, 0o755);
  }));

test("checkConfiguration() says what is wrong with config.json", () =>
  inHome((home) => {
    assert.deepEqual(checkConfiguration(patientOf(home)), []);
    furnish(home);
    const path = join(home.folder, "config.json");
    const rows: readonly (readonly [string, readonly string[]])[] = [
      ["{}", []],
      ['{"server":"ca.example.org:7443"}', ["ok: config.json can be read"]],
      ['{"identity":"alice"}', ["ok: config.json can be read"]],
      [
        '{"identity":"bob"}',
        ['problem (not-found): the identity in use, "bob", has no key here'],
      ],
    ];
    for (const [text, lines] of rows) {
      fs.writeFileSync(path, text);
      assert.deepEqual(linesOf(checkConfiguration(patientOf(home))), lines, text);
    }
    for (const text of ["{", '{"server":7}', '{"colour":"red"}', "[]"]) {
      fs.writeFileSync(path, text);
      assert.throws(() => checkConfiguration(patientOf(home)), { kind: "malformed" }, text);
    }
    fs.writeFileSync(path, '{"server":"a b"}');
    assert.throws(() => checkConfiguration(patientOf(home)), { kind: "usage" });
  }));

test("checkEnvironment() tells what is set, but no secret", () =>
  inHome((home) => {
    furnish(home);
    const rows: readonly (readonly [Record<string, string>, readonly string[]])[] = [
      [{ PATH: "/bin", PKI_ID: "", PKI_PORT: "1" }, []],
      [
        { PKI_SERVER: "x:1\u001b", PKI_ID: "alice" },
        [
          "ok: $PKI_ID is set and goes before the identity in use: alice",
          "ok: $PKI_SERVER is set and goes before the server that is remembered: x:1\ufffd",
        ],
      ],
      [
        { PKI_PASSWORD: "hush" },
        ["warning: $PKI_PASSWORD holds a secret that other programs of yours may see"],
      ],
      [{ PKI_PASWORD: "hush" }, ["warning: $PKI_PASWORD is set, and nothing reads it"]],
      [
        { PKI_ID: "bob" },
        [
          "ok: $PKI_ID is set and goes before the identity in use: bob",
          'warning: $PKI_ID says "bob", who has no key here',
        ],
      ],
    ];
    for (const [env, lines] of rows) {
      const found = checkEnvironment(patientOf(home, { env }));
      assert.deepEqual(linesOf(found), lines);
      assert.doesNotMatch(JSON.stringify(found), /hush/);
    }
  }));

test("checkEvidence() says loudly what evidence there is", () =>
  inHome((home) => {
    assert.deepEqual(checkEvidence(patientOf(home)), []);
    const first = home.saveEvidence({ what: "the log forks\u001b[1m" }, NOW_MS);
    fs.writeFileSync(join(home.evidenceFolder, "z.json"), "{");
    assert.deepEqual(linesOf(checkEvidence(patientOf(home))), [
      `warning: THERE IS EVIDENCE in "${first}": the log forks\ufffd[1m`,
      `warning: THERE IS EVIDENCE in "${join(home.evidenceFolder, "z.json")}": it cannot be read`,
    ]);
  }));

test("checkLeftovers() tells of temporary files, and of keys that wait for a certificate", () =>
  inHome((home) => {
    furnish(home);
    assert.deepEqual(checkLeftovers(patientOf(home)), []);
    fs.writeFileSync(join(home.folder, ".config.json.0123456789ab.tmp"), "");
    fs.writeFileSync(join(home.folder, "ids", "alice", "key-0123456789abcdef.pem"), "");
    assert.deepEqual(linesOf(checkLeftovers(patientOf(home))), [
      "warning: commands that were cut short have left 1 temporary files, " +
      'the first ".config.json.0123456789ab.tmp"',
      'warning: a new key of "alice" was made and has no certificate yet',
    ]);
  }));
