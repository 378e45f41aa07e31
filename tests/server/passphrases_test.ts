import assert from "node:assert/strict";
import * as fs from "node:fs";
import { basename, join } from "node:path";
import { after, test } from "node:test";
import { serverFiles } from "../../lib/server/files.ts";
import { addIssuer } from "../../lib/server/outside_issuer.ts";
import { changePassphrase, changeRootPassphrase } from "../../lib/server/passphrases.ts";
import { decryptPrivateKey, decryptText } from "../../lib/x509/keys.ts";
import { makeDataFolder, PASSPHRASE, removeFolders } from "./data_folder.ts";

after(removeFolders);

const NEXT = "the next passphrase";
const CHANGE = { old: PASSPHRASE, next: NEXT };

async function opensWith(path: string, passphrase: string): Promise<boolean> {
  const pem = fs.readFileSync(path, "utf8");
  const isText = basename(path) === "opaque.key";
  try {
    if (isText) await decryptText(pem, passphrase, path);
    else await decryptPrivateKey(pem, passphrase, path);
    return true;
  } catch {
    return false;
  }
}

/** A folder with a key of every kind, and their files. */
async function makeFolder() {
  const folder = makeDataFolder();
  const rootPem = fs.readFileSync(join(folder, "root.key"), "utf8");
  await addIssuer(folder, {
    dns: ["example.org"],
    addresses: [],
    keyType: "p256",
    rootKey: await decryptPrivateKey(rootPem, PASSPHRASE, "root.key"),
    passphrase: PASSPHRASE,
    nowMs: Date.now(),
  });
  const names = fs.readdirSync(folder, { recursive: true }) as string[];
  const keys = names.filter((name) => name.endsWith(".key")).map((name) => join(folder, name));
  assert.equal(keys.length, 6);
  return { folder, keys };
}

async function assertAllUnder(keys: readonly string[], passphrase: string): Promise<void> {
  for (const path of keys) assert.ok(await opensWith(path, passphrase), path);
}

test("changePassphrase() changes every key, and done again none", async () => {
  const { folder, keys } = await makeFolder();
  const first = await changePassphrase(folder, CHANGE);
  assert.deepEqual([...first.changed].sort(), [...keys].sort());
  assert.deepEqual([first.left, first.hasOwnRootPassphrase], [[], false]);
  await assertAllUnder(keys, NEXT);
  assert.equal(await opensWith(keys[0] ?? "", PASSPHRASE), false);
  const again = await changePassphrase(folder, CHANGE);
  assert.deepEqual(again.changed, []);
  assert.equal(again.left.length, keys.length);
});

test("changePassphrase() finishes what was cut short after any number of files", async () => {
  const { folder, keys } = await makeFolder();
  const before = keys.map((path) => fs.readFileSync(path));
  await changePassphrase(folder, CHANGE);
  const changed = keys.map((path) => fs.readFileSync(path));
  for (const count of [0, 1, keys.length]) {
    keys.forEach((path, i) => {
      const content = i < count ? changed[i] : before[i];
      assert.ok(content);
      fs.writeFileSync(path, content);
    });
    const finished = await changePassphrase(folder, CHANGE);
    assert.equal(finished.left.length, count);
    assert.equal(finished.changed.length, keys.length - count);
    await assertAllUnder(keys, NEXT);
  }
});

test("changePassphrase() changes nothing where one key opens with neither", async () => {
  const { folder, keys } = await makeFolder();
  const before = keys.map((path) => fs.readFileSync(path, "base64"));
  const server = serverFiles(folder).serverKey;
  await assert.rejects(changePassphrase(folder, { old: "a wrong one", next: NEXT }), {
    kind: "refused",
    message: `cannot open "${serverFiles(folder).opaqueKey}": neither passphrase fits`,
  });
  fs.copyFileSync(serverFiles(folder).opaqueKey, server);
  await assert.rejects(changePassphrase(folder, CHANGE), { kind: "malformed" });
  const after = keys.map((path) => fs.readFileSync(path, "base64"));
  assert.deepEqual(
    keys.filter((path, i) => path !== server && before[i] !== after[i]),
    [],
  );
});

test("changeRootPassphrase() gives the root's key one of its own, which then stays", async () => {
  const { folder, keys } = await makeFolder();
  const { rootKey } = serverFiles(folder);
  const own = "of the root alone";
  assert.deepEqual((await changeRootPassphrase(folder, { old: PASSPHRASE, next: own })).changed, [
    rootKey,
  ]);
  assert.ok(await opensWith(rootKey, own));
  const { changed, hasOwnRootPassphrase } = await changePassphrase(folder, CHANGE);
  assert.equal(changed.length, keys.length - 1);
  assert.equal(hasOwnRootPassphrase, true);
  assert.ok(await opensWith(rootKey, own));
  await assert.rejects(changeRootPassphrase(folder, CHANGE), {
    kind: "refused",
    message: `cannot open "${rootKey}": neither passphrase fits`,
  });
  fs.rmSync(rootKey);
  assert.equal((await changePassphrase(folder, CHANGE)).hasOwnRootPassphrase, false);
  await assert.rejects(changeRootPassphrase(folder, CHANGE), { kind: "not-found" });
});
