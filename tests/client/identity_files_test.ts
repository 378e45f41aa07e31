import assert from "node:assert/strict";
import * as fs from "node:fs";
import { dirname } from "node:path";
import { test } from "node:test";
import { IdentityFiles } from "../../lib/client/identity_files.ts";
import { encodeCertificatesPem } from "../../lib/x509/pem.ts";
import { type Holder, makeTestCa, makeUser } from "../fakes/ca.ts";
import { inHome, putKey } from "./temporary_home.ts";

const CA = await makeTestCa();

/** A certificate of alice's and a stand-in for its key: what is in the file does not matter here. */
interface Pair {
  readonly name: string;
  readonly cert: string;
  readonly spki: Uint8Array;
}

async function makePair(name: string): Promise<Pair> {
  const user: Holder & { shown: readonly Uint8Array[] } = await makeUser(CA, { id: "alice" });
  return { name, cert: encodeCertificatesPem(user.shown), spki: user.certificate.spki };
}

const OLD = await makePair("old");
const NEW = await makePair("new");
const NEWER = await makePair("newer");
const PAIRS = [OLD, NEW, NEWER];

/** Which certificate is there, and which key belongs to it: the name of both, or a complaint. */
function inUse(files: IdentityFiles): string {
  const cert = files.loadCertificate();
  const key = fs.existsSync(files.keyPathInUse)
    ? fs.readFileSync(files.keyPathInUse, "utf8")
    : "no key";
  const pair = PAIRS.find((one) => one.cert === cert);
  return pair?.name === key ? key : `${pair?.name ?? "no certificate"} with ${key}`;
}

function namesIn(files: IdentityFiles): readonly string[] {
  return fs.readdirSync(dirname(files.keyPath)).sort();
}

/** Alice's files with the old pair in them. */
async function withOld(work: (files: IdentityFiles) => void): Promise<void> {
  await inHome((home) => {
    putKey(home, "alice", "old");
    const files = home.files("alice");
    assert.ok(files.replaceCertificate(OLD.cert, undefined));
    assert.equal(inUse(files), "old");
    work(files);
  });
}

test("IdentityFiles keep a new key beside the old pair until its certificate is there", async () => {
  await withOld((files) => {
    files.saveNewKey("new", NEW.spki);
    assert.equal(inUse(files), "old", "nobody has certified the new key yet");
    assert.equal(files.loadNewKey(), "new", "and it is not lost");
    assert.equal(files.replaceCertificate(NEW.cert, OLD.cert), true);
    assert.equal(inUse(files), "new");
    assert.deepEqual(namesIn(files), ["cert.pem", "key.pem"]);
    assert.equal(files.loadNewKey(), undefined);
  });
});

test("IdentityFiles keep the key where its certificate is renewed", async () => {
  const again = await makePair("old");
  await withOld((files) => {
    files.saveNewKey("new", NEW.spki); // of somebody who was refused
    assert.ok(files.replaceCertificate(again.cert, OLD.cert));
    assert.equal(fs.readFileSync(files.keyPathInUse, "utf8"), "old");
    assert.equal(files.loadNewKey(), "new");
  });
});

test("IdentityFiles fit after a crash between the certificate and the key, and are put right", async () => {
  const leave = (files: IdentityFiles) => {
    files.saveNewKey("new", NEW.spki);
    fs.writeFileSync(files.certificatePath, NEW.cert); // and then the power went
  };
  await withOld((files) => {
    leave(files);
    assert.equal(inUse(files), "new");
    assert.equal(files.loadNewKey(), undefined, "a key in use is not a new one");
    assert.equal(inUse(files), "new");
    assert.deepEqual(namesIn(files), ["cert.pem", "key.pem"]);
  });
  await withOld((files) => {
    leave(files);
    files.saveNewKey("newer", NEWER.spki);
    assert.equal(inUse(files), "new");
    assert.ok(files.replaceCertificate(NEWER.cert, NEW.cert));
    assert.equal(inUse(files), "newer");
    assert.equal(files.loadNewKey(), undefined);
  });
});

test("IdentityFiles fit where a step fails", async () => {
  await withOld((files) => {
    files.saveNewKey("new", NEW.spki);
    // A folder under the key's name: the last step, and only that, cannot be done.
    fs.renameSync(files.keyPath, `${files.keyPath}.away`);
    fs.mkdirSync(`${files.keyPath}/full`, { recursive: true });
    assert.throws(() => files.replaceCertificate(NEW.cert, OLD.cert), {
      kind: "storage",
      message: /^cannot write "/,
    });
    assert.equal(inUse(files), "new");
    assert.deepEqual(namesIn(files).filter((name) => name.endsWith(".tmp")), []);
    fs.rmSync(files.keyPath, { recursive: true });
    assert.equal(files.loadNewKey(), undefined);
    assert.equal(inUse(files), "new");
  });
  await withOld((files) => {
    // A folder under the certificate's name: it cannot be replaced at all.
    fs.renameSync(files.certificatePath, `${files.certificatePath}.away`);
    fs.mkdirSync(files.certificatePath);
    assert.throws(() => files.replaceCertificate(NEW.cert, OLD.cert), { kind: "storage" });
    fs.rmdirSync(files.certificatePath);
    fs.renameSync(`${files.certificatePath}.away`, files.certificatePath);
    assert.equal(inUse(files), "old");
    assert.deepEqual(namesIn(files), ["cert.pem", "key.pem"]);
  });
});

test("IdentityFiles.replaceCertificate() leaves alone what another command has stored", async () => {
  await withOld((files) => {
    files.saveNewKey("new", NEW.spki);
    files.saveNewKey("newer", NEWER.spki);
    assert.ok(files.replaceCertificate(NEW.cert, OLD.cert));
    assert.equal(files.replaceCertificate(NEWER.cert, OLD.cert), false);
    assert.equal(files.replaceCertificate(NEWER.cert, undefined), false);
    assert.equal(inUse(files), "new");
    assert.equal(files.loadNewKey(), "newer");
  });
});

test("IdentityFiles.loadNewKey() finds the newest, and no other file", async () => {
  await withOld((files) => {
    files.saveNewKey("newer", NEWER.spki);
    files.saveNewKey("new", NEW.spki);
    const [newerPath = ""] = namesIn(files).filter((name) =>
      name.startsWith("key-") &&
      fs.readFileSync(`${dirname(files.keyPath)}/${name}`, "utf8") === "newer"
    );
    fs.utimesSync(`${dirname(files.keyPath)}/${newerPath}`, 1, 1);
    fs.writeFileSync(`${dirname(files.keyPath)}/key-mine.pem`, "mine");
    assert.equal(files.loadNewKey(), "new");
  });
  await inHome((home) => assert.equal(home.files("alice").loadNewKey(), undefined));
});

test("IdentityFiles say nothing of the key of a certificate that is damaged", async () => {
  await withOld((files) => {
    files.saveNewKey("new", NEW.spki);
    fs.writeFileSync(files.certificatePath, "no certificate");
    assert.equal(files.keyPathInUse, files.keyPath);
  });
});
