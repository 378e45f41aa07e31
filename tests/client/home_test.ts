import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { Home } from "../../lib/client/home.ts";
import type { TrustAnchor } from "../../lib/x509/chain.ts";
import { DAY_MS, DOMAIN, makeCa, NOW_MS } from "../fakes/directory.ts";
import { inHome, putKey } from "./temporary_home.ts";

const SPKI = Uint8Array.of(1, 2, 3);
const CA = await makeCa();
const ANCHOR: TrustAnchor = { root: CA.root, domain: DOMAIN };
const OTHER: TrustAnchor = { root: (await makeCa()).root, domain: "other.test" };

/** Every file and folder below, with its mode. */
function modesBelow(folder: string): Record<string, string> {
  const names = fs.readdirSync(folder, { recursive: true }) as string[];
  return Object.fromEntries(
    names.sort().map((
      name,
    ) => [name, (fs.statSync(join(folder, name)).mode & 0o7777).toString(8)]),
  );
}

test("Home makes folders with mode 0700 and files with 0600, whatever the umask", async () => {
  for (const umask of [0o000, 0o022, 0o077]) {
    await inHome((home) => {
      const before = process.umask(umask);
      try {
        home.pin(ANCHOR, "localhost:7443");
        home.files("alice").saveNewKey("key", SPKI);
        home.files("bob").replaceCertificate("certificate", undefined);
        home.saveLogKey("key");
        home.replaceCheckpoint("checkpoint", undefined);
      } finally {
        process.umask(before);
      }
      assert.deepEqual(modesBelow(join(home.folder, "..")), {
        "home": "700",
        "home/checkpoint": "600",
        "home/config.json": "600",
        "home/ids": "700",
        "home/ids/alice": "700",
        "home/ids/alice/key-039058c6f2c0cb49.pem": "600",
        "home/ids/bob": "700",
        "home/ids/bob/cert.pem": "600",
        "home/log.pub": "600",
        "home/root.crt": "600",
      });
    });
  }
});

const PINS = {
  issuers: new Set(["a".repeat(64), "b".repeat(64)]),
  revokedIssuers: new Set(["0a0b"]),
};

test("Home keeps the pinned issuing CAs and those that are revoked, and takes none of them out", async () => {
  await inHome((home) => {
    home.pin({ ...ANCHOR, ...PINS }, "localhost:7443");
    assert.deepEqual(new Home(home.folder).loadAnchor(NOW_MS), { ...ANCHOR, ...PINS });
    home.remember({ ...ANCHOR, issuers: new Set(["c".repeat(64)]) }, "other:1");
    home.remember({ ...ANCHOR, revokedIssuers: new Set(["0c"]) }, "other:1");
    const loaded = home.loadAnchor(NOW_MS);
    assert.deepEqual([...loaded?.issuers ?? []], ["a", "b", "c"].map((digit) => digit.repeat(64)));
    assert.deepEqual([...loaded?.revokedIssuers ?? []], ["0a0b", "0c"]);
    assert.equal(home.loadConfig().server, "other:1");
  });
});

test("Home.remember() pins where an earlier version pinned none, and writes only what is new", async () => {
  await inHome((home) => {
    home.pin(ANCHOR, "localhost:7443");
    assert.equal(home.loadAnchor(NOW_MS)?.issuers, undefined);
    home.remember({ ...ANCHOR, issuers: PINS.issuers }, "localhost:7443");
    assert.deepEqual(home.loadAnchor(NOW_MS)?.issuers, PINS.issuers);
    const path = join(home.folder, "config.json");
    const before = fs.statSync(path).ino;
    home.remember({ ...ANCHOR, issuers: new Set(["a".repeat(64)]) }, "localhost:7443");
    assert.equal(fs.statSync(path).ino, before);
  });
});

for (
  const damaged of [{ issuers: "a" }, { issuers: ["A".repeat(64)] }, { revokedIssuers: ["0"] }]
) {
  test(`Home.loadAnchor() refuses pins that cannot be: ${JSON.stringify(damaged)}`, async () => {
    await inHome((home) => {
      home.pin({ ...ANCHOR, ...PINS }, "localhost:7443");
      const path = join(home.folder, "config.json");
      fs.writeFileSync(path, JSON.stringify({ ...home.loadConfig(), ...damaged }));
      assert.throws(() => home.loadAnchor(NOW_MS), { kind: "malformed" });
    });
  });
}

test("Home.replacePins() keeps another root and what was known of its log as evidence", async () => {
  await inHome((home) => {
    home.pin({ ...ANCHOR, ...PINS }, "localhost:7443");
    home.saveLogKey("key");
    home.replaceCheckpoint("checkpoint", undefined);
    const issuers = new Set(["d".repeat(64)]);
    // The same root: its log is remembered, and what it revoked stays revoked.
    assert.equal(home.replacePins({ ...ANCHOR, issuers }, "other:1", NOW_MS), undefined);
    const { revokedIssuers } = PINS;
    assert.deepEqual(home.loadAnchor(NOW_MS), { ...ANCHOR, issuers, revokedIssuers });
    assert.equal(home.loadCheckpoint(), "checkpoint");
    const evidence = home.replacePins({ ...OTHER, issuers }, "other:2", NOW_MS);
    assert.deepEqual(home.loadAnchor(NOW_MS), { ...OTHER, issuers });
    assert.deepEqual([home.loadCheckpoint(), home.loadLogKey()], [undefined, undefined]);
    const kept = JSON.parse(fs.readFileSync(evidence ?? "", "utf8"));
    assert.equal(kept.root, fs.readFileSync(`${home.rootPath}.old`, "utf8"));
    assert.deepEqual([kept.logKey, kept.knownCheckpoint], ["key", "checkpoint"]);
    assert.equal(kept.config.domain, DOMAIN);
  });
});

test("Home.pin() pins a root and its domain, and Home.loadAnchor() reads them back", async () => {
  await inHome((home) => {
    assert.equal(home.loadAnchor(NOW_MS), undefined);
    home.pin(ANCHOR, "localhost:7443");
    const loaded = new Home(home.folder).loadAnchor(NOW_MS);
    assert.deepEqual(loaded?.root.der, CA.root.der);
    assert.equal(loaded.domain, DOMAIN);
    assert.deepEqual(home.loadConfig(), { server: "localhost:7443", domain: DOMAIN });
  });
});

test("Home.pin() never replaces a root, not even by itself", async () => {
  await inHome((home) => {
    home.pin(ANCHOR, "localhost:7443");
    const before = fs.readFileSync(home.rootPath, "utf8");
    for (const anchor of [OTHER, ANCHOR]) {
      assert.throws(() => home.pin(anchor, "elsewhere:1"), {
        name: "PkiError",
        kind: "internal",
        message: "a root is pinned already",
      });
    }
    assert.equal(fs.readFileSync(home.rootPath, "utf8"), before);
    assert.deepEqual(home.loadConfig(), { server: "localhost:7443", domain: DOMAIN });
  });
});

test("Home.pin() ends what a crash between its two files left, and keeps the configuration", async () => {
  await inHome((home) => {
    home.changeConfig(() => ({ peers: { "localhost:7450": "bob" } }));
    home.pin(ANCHOR, "localhost:7443");
    fs.rmSync(home.rootPath); // as before the second file
    assert.equal(home.loadAnchor(NOW_MS), undefined);
    home.pin(OTHER, "localhost:7443");
    assert.deepEqual(home.loadAnchor(NOW_MS)?.root.der, OTHER.root.der);
    assert.deepEqual(home.loadConfig().peers, { "localhost:7450": "bob" });
  });
});

test("Home.loadAnchor() refuses a pinned root whose trust domain was lost", async () => {
  await inHome((home) => {
    home.pin(ANCHOR, "localhost:7443");
    home.changeConfig(() => ({}));
    assert.throws(() => home.loadAnchor(NOW_MS), {
      kind: "malformed",
      message: /has lost the trust domain$/,
    });
    assert.throws(() => home.pin(OTHER, "localhost:7443"), { kind: "internal" });
  });
});

test("Home.loadAnchor() judges what is pinned", async () => {
  await inHome((home) => {
    home.pin(ANCHOR, "localhost:7443");
    assert.throws(() => home.loadAnchor(NOW_MS + 21 * 365 * DAY_MS), {
      kind: "untrusted",
      message: /the root expired/,
    });
    home.changeConfig(() => ({ domain: "Not a domain" }));
    assert.throws(() => home.loadAnchor(NOW_MS), { kind: "usage" });
    home.changeConfig(() => ({ domain: DOMAIN }));
    fs.writeFileSync(home.rootPath, "no PEM");
    assert.throws(() => home.loadAnchor(NOW_MS), { kind: "malformed" });
    fs.writeFileSync(home.rootPath, "");
    assert.throws(() => home.loadAnchor(NOW_MS), { kind: "malformed" });
  });
});

test("Home.loadConfig() refuses what it does not know", async () => {
  await inHome((home) => {
    const path = join(home.folder, "config.json");
    assert.deepEqual(home.loadConfig(), {});
    const good = { server: "a:1", domain: DOMAIN, peers: { "b:2": "bob" }, identity: "alice" };
    home.changeConfig(() => good);
    assert.deepEqual(home.loadConfig(), good);
    const bad = [
      "",
      "{",
      "null",
      '"text"',
      '{"unknown":1}',
      '{"server":"a:1","Domain":"pki.test"}',
      '{"__proto__":{}}',
      '{"server":1}',
      '{"domain":null}',
      '{"peers":{"a:1":1}}',
      '{"identity":["alice"]}',
    ];
    for (const text of bad) {
      fs.writeFileSync(path, text);
      assert.throws(() => home.loadConfig(), {
        name: "PkiError",
        kind: "malformed",
        message: `cannot read "${path}": not as it should be`,
      }, text);
    }
    fs.writeFileSync(path, Uint8Array.of(0xff));
    assert.throws(() => home.loadConfig(), { kind: "malformed" });
    assert.throws(() => home.changeConfig(() => good), { kind: "malformed" }, "it is overwritten");
  });
});

test("Home has no path for what is not an id", async () => {
  await inHome((home) => {
    for (const id of ["", "..", "../x", "a/b", "Alice", "a\0", "a".repeat(64)]) {
      for (
        const use of [
          () => home.keyPath(id),
          () => home.certificatePath(id),
          () => home.hasKey(id),
          () => home.loadKeyPem(id),
          () => home.loadCertificatePem(id),
          () => home.files(id),
        ]
      ) {
        assert.throws(use, { name: "PkiError", kind: "usage" }, `${id}: ${use}`);
      }
    }
    assert.equal(fs.existsSync(home.folder), false, "a folder was made for it");
  });
});

test("Home.listIds() lists the ids that have a key, sorted", async () => {
  await inHome((home) => {
    assert.deepEqual(home.listIds(), []);
    for (const id of ["bob", "alice", "a.b-c"]) putKey(home, id, "key");
    home.files("carol").replaceCertificate("certificate", undefined);
    fs.mkdirSync(join(home.folder, "ids", "Not An Id"));
    fs.writeFileSync(join(home.folder, "ids", "file"), "");
    assert.deepEqual(home.listIds(), ["a.b-c", "alice", "bob"]);
    assert.equal(home.hasKey("alice"), true);
    assert.equal(home.hasKey("carol"), false);
  });
});

test("Home.chooseId() is the identity in use, else the only one, and nobody else's", async () => {
  await inHome((home) => {
    assert.equal(home.chooseId(), undefined);
    putKey(home, "alice", "key");
    assert.equal(home.chooseId(), "alice");
    putKey(home, "bob", "key");
    assert.equal(home.chooseId(), undefined);
    home.useId("bob");
    assert.deepEqual([home.idInUse, home.chooseId()], ["bob", "bob"]);
    home.useId("carol");
    assert.throws(() => home.chooseId(), {
      kind: "usage",
      message: `cannot act as "carol", the identity in use: it has no key here`,
      hint: "choose another with: pki id use NAME; or name yourself with --id",
    });
    home.useId(undefined);
    assert.equal(home.idInUse, undefined);
    assert.equal(home.chooseId(), undefined);
    home.changeConfig(() => ({ identity: "../x" }));
    assert.throws(() => home.chooseId(), { kind: "usage", message: /^cannot use id/ });
  });
});

test("Home says what is missing and how to get it", async () => {
  await inHome((home) => {
    assert.throws(() => home.loadKeyPem("alice"), {
      kind: "not-found",
      message: `cannot find the key of "alice" in "${home.folder}"`,
      hint: "make one and have it certified with: pki csr --id alice",
    });
    assert.throws(() => home.loadCertificatePem("alice"), {
      kind: "not-found",
      message: `cannot find a certificate of "alice" in "${home.folder}"`,
      hint: "get one with: pki csr --id alice",
    });
    home.files("alice").replaceCertificate("certificate", undefined);
    assert.equal(home.loadCertificatePem("alice"), "certificate");
  });
});

test("Home.replaceCheckpoint() replaces only what its caller has read", async () => {
  await inHome((home) => {
    assert.equal(home.loadCheckpoint(), undefined);
    assert.equal(home.replaceCheckpoint("a", "b"), false, "there is none yet");
    assert.equal(home.loadCheckpoint(), undefined);
    assert.equal(home.replaceCheckpoint("a", undefined), true);
    assert.equal(home.replaceCheckpoint("b", undefined), false, "there is one by now");
    assert.equal(home.replaceCheckpoint("b", "c"), false, "another one");
    assert.equal(home.loadCheckpoint(), "a");
    assert.equal(home.replaceCheckpoint("b", "a"), true);
    assert.equal(home.loadCheckpoint(), "b");
    assert.deepEqual(fs.readdirSync(home.folder), ["checkpoint"], "something was left behind");
  });
});

test("Home.saveEvidence() names each file after the time, and never writes over another", async () => {
  await inHome((home) => {
    const paths = [1, 2, 3].map((number) => home.saveEvidence({ number }, NOW_MS));
    assert.equal(new Set(paths).size, 3);
    for (const [i, path] of paths.entries()) {
      assert.match(path, /evidence\/2026-07-31T120000\.000Z-[0-9a-f]{8}\.json$/);
      assert.deepEqual(JSON.parse(fs.readFileSync(path, "utf8")), { number: i + 1 });
      assert.equal(fs.statSync(path).mode & 0o777, 0o600);
    }
    assert.equal(fs.statSync(home.evidenceFolder).mode & 0o777, 0o700);
  });
});

test("Home says that it cannot write", async () => {
  await inHome((home) => {
    fs.writeFileSync(home.folder, "a file where the folder should be");
    const saves = [
      () => home.changeConfig(() => ({ server: "a:1" })),
      () => home.files("alice").saveNewKey("key", SPKI),
      () => home.files("alice").replaceCertificate("certificate", undefined),
      () => home.saveLogKey("key"),
      () => home.replaceCheckpoint("checkpoint", undefined),
      () => home.saveEvidence({}, NOW_MS),
    ];
    for (const save of saves) {
      assert.throws(save, { name: "PkiError", kind: "storage" });
    }
  });
});
