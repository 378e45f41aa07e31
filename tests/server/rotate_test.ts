/** Rotation: the folder after it, after each write of it, and after it was done again. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { parseBase64 } from "../../lib/base/bytes.ts";
import { serverFiles } from "../../lib/server/files.ts";
import {
  issuerFiles,
  issuerName,
  loadIssuers,
  loadIssuing,
  openIssuingKey,
  openOtherKey,
} from "../../lib/server/issuers.ts";
import { loadRoot } from "../../lib/server/log_key.ts";
import { listIssuers, revokeIssuer } from "../../lib/server/outside_issuer.ts";
import { loadRootList } from "../../lib/server/root_list.ts";
import { findUnrevoked, rotate, type Rotated } from "../../lib/server/rotate.ts";
import { loadSuccessions } from "../../lib/server/successions.ts";
import { type Certificate, fingerprintOf, parseCertificate } from "../../lib/x509/certificate.ts";
import { decryptPrivateKey } from "../../lib/x509/keys.ts";
import { learnIssuers } from "../../lib/x509/succession.ts";
import { freshPath, makeDataFolder, PASSPHRASE, removeFolders } from "./data_folder.ts";

after(removeFolders);

const DOMAIN = "pki.internal";
const nowMs = Date.now();

async function openRoot(folder: string) {
  const pem = fs.readFileSync(join(folder, "root.key"), "utf8");
  return await decryptPrivateKey(pem, PASSPHRASE, "root.key");
}

async function rotateOnce(
  folder: string,
  { distrustsOld = false, keyType = "p256" as const } = {},
): Promise<Rotated> {
  const rootKey = await openRoot(folder);
  return await rotate(folder, { passphrase: PASSPHRASE, nowMs, rootKey, keyType, distrustsOld });
}

const fp = ({ der }: Certificate) => fingerprintOf(der);

/** What a client that has pinned a CA pins after a look at the folder's successions. */
function pinsOf(folder: string, pinned: Certificate): ReadonlySet<string> {
  const files = serverFiles(folder);
  return learnIssuers({
    anchor: { root: loadRoot(files), domain: DOMAIN, issuers: new Set([fp(pinned)]) },
    successions: loadSuccessions(files),
    current: loadIssuing(files),
    nowMs: Date.now(),
  });
}

test("rotate() puts another issuing CA in place, and the one before aside", async () => {
  const folder = makeDataFolder();
  const files = serverFiles(folder);
  const first = loadIssuing(files);
  const { before, issuing, domain } = await rotateOnce(folder);
  assert.equal(domain, DOMAIN);
  assert.deepEqual(before.der, first.der);
  assert.deepEqual(loadIssuing(files).der, issuing.der);
  assert.notDeepEqual(issuing.spki, first.spki);
  assert.deepEqual(issuing.commonNames, [`${DOMAIN} issuing CA 2`]);
  const issuers = loadIssuers(files, DOMAIN);
  assert.deepEqual(issuers.earlier.map(fp), [fp(first)]);
  await openIssuingKey(files, issuing, PASSPHRASE);
  await openOtherKey(files, first, PASSPHRASE);
  assert.deepEqual([...pinsOf(folder, first)], [fp(first), fp(issuing)]);
  const list = loadRootList(files, loadRoot(files));
  assert.ok((list?.nextUpdateMs ?? 0) > issuing.notAfterMs);
  assert.equal(list?.entryCount, 0);
});

test("rotate() goes on from CA to CA, and a client of the first one follows", async () => {
  const folder = makeDataFolder();
  const files = serverFiles(folder);
  const first = loadIssuing(files);
  const numbers = [loadRootList(files, loadRoot(files))?.number ?? 0n];
  for (let i = 0; i < 3; i++) {
    await rotateOnce(folder);
    numbers.push(loadRootList(files, loadRoot(files))?.number ?? 0n);
  }
  assert.equal(pinsOf(folder, first).size, 4);
  assert.ok(numbers.every((number, i) => i === 0 || number > (numbers[i - 1] ?? 0n)), "growing");
  assert.deepEqual(loadIssuing(files).commonNames, [`${DOMAIN} issuing CA 4`]);
});

test("rotate() has the root vouch where the CA before is not to be believed", async () => {
  const folder = makeDataFolder();
  const files = serverFiles(folder);
  const first = loadIssuing(files);
  const { issuing } = await rotateOnce(folder, { distrustsOld: true });
  const [succession] = loadSuccessions(files);
  assert.equal(succession?.by, fp(loadRoot(files)));
  assert.equal(succession?.issuer, undefined);
  assert.deepEqual([...pinsOf(folder, first)], [fp(first), fp(issuing)]);
});

test("findUnrevoked() finds the CA that is not to be believed until the root has revoked it", async () => {
  const folder = makeDataFolder();
  const first = loadIssuing(serverFiles(folder));
  assert.equal(findUnrevoked(folder), undefined);
  const { issuing } = await rotateOnce(folder, { distrustsOld: true });
  const found = findUnrevoked(folder);
  assert.deepEqual([found?.before.der, found?.issuing.der], [first.der, issuing.der]);
  const rootKey = await openRoot(folder);
  revokeIssuer(folder, { name: fp(first), reason: "keyCompromise", rootKey, nowMs });
  assert.equal(findUnrevoked(folder), undefined);
  await rotateOnce(folder);
  assert.equal(findUnrevoked(folder), undefined, "that one is believed");
});

test("rotate() and the CAs' keys refuse a wrong passphrase, and change nothing", async () => {
  const folder = makeDataFolder();
  const rootKey = await openRoot(folder);
  const before = snapshotOf(folder);
  await assert.rejects(
    rotate(folder, {
      passphrase: "another one",
      nowMs,
      rootKey,
      keyType: "p256",
      distrustsOld: false,
    }),
    { kind: "refused" },
  );
  assert.deepEqual(snapshotOf(folder), before);
});

/** Every file of a folder with its content. */
function snapshotOf(folder: string): ReadonlyMap<string, string> {
  const names = fs.readdirSync(folder, { recursive: true }) as string[];
  return new Map(
    names.filter((name) => fs.statSync(join(folder, name)).isFile()).sort()
      .map((name) => [name, fs.readFileSync(join(folder, name), "base64")]),
  );
}

/** The files that a rotation writes, in the order of the writes. */
function writesOf({ before, issuing }: Rotated, folder: string): readonly string[] {
  const files = serverFiles(folder);
  const aside = issuerFiles(files, issuerName(before));
  const place = issuerFiles(files, issuerName(issuing));
  return [
    aside.key,
    aside.certificate,
    place.key,
    place.succession,
    place.certificate,
    files.issuingKey,
    files.issuingCertificate,
    files.rootList,
  ];
}

test("rotate() that was cut short after any write leaves a folder that works, and is finished", async () => {
  const whole = makeDataFolder();
  const cut = freshPath("data");
  fs.cpSync(whole, cut, { recursive: true });
  const first = loadIssuing(serverFiles(whole));
  const rotated = await rotateOnce(whole);
  const writes = writesOf(rotated, whole);
  const changed = [...snapshotOf(whole)].filter(([name, content]) =>
    snapshotOf(cut).get(name) !== content
  ).map(([name]) => join(whole, name));
  assert.deepEqual([...changed].sort(), [...writes].sort(), "nothing else is written");
  for (let count = 0; count < writes.length; count++) {
    const folder = freshPath("data");
    fs.cpSync(cut, folder, { recursive: true });
    fs.mkdirSync(join(folder, "issuers"), { recursive: true });
    for (const path of writes.slice(0, count)) {
      fs.copyFileSync(path, path.replace(whole, folder));
    }
    const files = serverFiles(folder);
    // What a server opens.
    const current = loadIssuing(files);
    const hasSwitched = count >= writes.indexOf(serverFiles(whole).issuingCertificate) + 1;
    assert.equal(fp(current), fp(hasSwitched ? rotated.issuing : first), `after ${count} writes`);
    await openIssuingKey(files, current, PASSPHRASE);
    for (const other of loadIssuers(files, DOMAIN).earlier) {
      await openOtherKey(files, other, PASSPHRASE);
    }
    assert.ok(pinsOf(folder, first).has(fp(current)), `a client follows after ${count} writes`);
    // Doing it again finishes what was begun, once it had its succession.
    const again = await rotateOnce(folder);
    const isBegun = count >= writes.findIndex((path) => path.endsWith(".succession")) + 1;
    if (isBegun && !hasSwitched) assert.equal(fp(again.issuing), fp(rotated.issuing));
    else assert.notEqual(fp(again.issuing), fp(rotated.issuing));
    assert.ok(pinsOf(folder, first).has(fp(again.issuing)));
    await openIssuingKey(files, loadIssuing(files), PASSPHRASE);
  }
});

test("revokeIssuer() puts a CA on the root's list for good, and never the current one", async () => {
  const folder = makeDataFolder();
  const files = serverFiles(folder);
  const rootKey = await openRoot(folder);
  const { before, issuing } = await rotateOnce(folder);
  const revoke = (name: string, reason: "superseded" | "keyCompromise" = "superseded") =>
    revokeIssuer(folder, { name, reason, rootKey, nowMs });
  assert.throws(() => revoke("0123456789abcdef"), {
    kind: "not-found",
    message: 'cannot revoke CA "0123456789abcdef": there is none',
  });
  assert.throws(() => revoke(issuerName(issuing)), {
    kind: "refused",
    message: "cannot revoke the current issuing CA: nothing could be issued",
  });
  revoke(issuerName(before));
  revoke(fp(before), "keyCompromise"); // once more, by its whole fingerprint
  const list = loadRootList(files, loadRoot(files));
  assert.equal(list?.entryCount, 1);
  assert.equal(list?.find(before.serial)?.reason, "superseded", "what was said first stays");
  assert.deepEqual(loadIssuers(files, DOMAIN).revoked, new Set([before.serial]));
  assert.deepEqual(
    listIssuers(folder).map(({ role, revoked }) => [role, revoked?.reason]),
    [["current", undefined], ["earlier", "superseded"]],
  );
  await rotateOnce(folder);
  assert.ok(loadRootList(files, loadRoot(files))?.find(before.serial), "another list has it, too");
});

test("loadRootList() refuses a damaged list, so that nothing in it is forgotten", async () => {
  const folder = makeDataFolder();
  const files = serverFiles(folder);
  const rootKey = await openRoot(folder);
  for (const bytes of [new Uint8Array(0), new Uint8Array([0x30, 0])]) {
    fs.writeFileSync(files.rootList, bytes);
    assert.throws(() => loadRootList(files, loadRoot(files)), {
      kind: "storage",
      message: `cannot use "${files.rootList}": it is damaged, or another root's`,
    });
    await assert.rejects(
      rotate(folder, {
        passphrase: PASSPHRASE,
        nowMs,
        rootKey,
        keyType: "p256",
        distrustsOld: false,
      }),
      { kind: "storage" },
    );
  }
  fs.rmSync(files.rootList);
  assert.equal(loadRootList(files, loadRoot(files)), undefined);
});

test("loadSuccessions() tells the newest ones where there are many", async () => {
  const folder = makeDataFolder();
  const { issuing } = await rotateOnce(folder);
  const files = serverFiles(folder);
  const [succession] = loadSuccessions(files);
  assert.ok(succession);
  const { notBeforeMs } = parseCertificate(parseBase64(succession.certificate));
  assert.equal(notBeforeMs, issuing.notBeforeMs);
  const text = fs.readFileSync(issuerFiles(files, issuerName(issuing)).succession);
  for (let i = 0; i < 12; i++) {
    fs.writeFileSync(join(files.issuers, `${String(i).padStart(16, "0")}.succession`), text);
  }
  assert.equal(loadSuccessions(files).length, 8);
});
