import assert from "node:assert/strict";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mock, test } from "node:test";
import { encodeBase64 } from "../../lib/base/bytes.ts";
import { LIMITS } from "../../lib/base/limits.ts";
import { CertificateCopies } from "../../lib/server/copies.ts";
import { certificateCopy, serverFiles } from "../../lib/server/files.ts";
import { generatePrivateKey } from "../../lib/x509/keys.ts";
import { encodeCertificatesPem } from "../../lib/x509/pem.ts";
import { issueUser, makeCa, makeDirectory, NOW_MS } from "../fakes/directory.ts";

const CA = await makeCa();
const KEY = await generatePrivateKey("p256");
const HOUR_MS = 60 * 60_000;

async function makeWorld(folder: string) {
  const directory = await makeDirectory(CA);
  const files = serverFiles(folder);
  const warnings: string[] = [];
  const asked: string[] = [];
  const open = () =>
    new CertificateCopies({
      files,
      state: directory.state,
      log: directory.signedLog,
      issuerOf: ({ id }) => {
        asked.push(id ?? "");
        return id === "stray" ? undefined : CA.issuing.der;
      },
      warn: (text) => void warnings.push(text),
      elapsed: () => directory.clock.nowMs,
    });
  return {
    ...directory,
    warnings,
    /** Whose copies it has tried to write once more. */
    asked,
    open,
    copies: open(),
    path: (id: string) => certificateCopy(files, id),
    read: (id: string) => fs.readFileSync(certificateCopy(files, id), "utf8"),
    /** Logs a certificate; returns its chain and what the copy has to be. */
    async issue(id: string) {
      const der = issueUser(CA, { id, key: KEY });
      await directory.directory.commit({
        type: "issued",
        public: { profile: "user", id, certificate: encodeBase64(der) },
        private: null,
      });
      const chain = [der, CA.issuing.der];
      return { chain, pem: encodeCertificatesPem(chain) };
    },
    /** Has the copy of somebody fail to be written: a folder is in its place. */
    block: (id: string) =>
      fs.mkdirSync(join(certificateCopy(files, id), "in the way"), { recursive: true }),
    free: (id: string) => fs.rmSync(certificateCopy(files, id), { recursive: true, force: true }),
  };
}

type CopiesWorld = Awaited<ReturnType<typeof makeWorld>>;

async function inFolder(body: (world: CopiesWorld) => Promise<void>): Promise<void> {
  const folder = fs.mkdtempSync(join(tmpdir(), "pki-copies-"));
  try {
    await body(await makeWorld(folder));
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

test("CertificateCopies.save() writes leaf and issuing CA under the id, for the owner alone", () =>
  inFolder(async ({ copies, issue, read, path, warnings }) => {
    const { chain, pem } = await issue("alice");
    copies.save("alice", chain);
    assert.equal(read("alice"), pem);
    assert.equal(fs.statSync(path("alice")).mode & 0o777, 0o600);
    assert.deepEqual(warnings, []);
    assert.deepEqual(copies.missing, []);
    copies.close();
  }));

test("CertificateCopies.save() writes one user's first copy at once and later the newest of the rest", () =>
  inFolder(async ({ copies, issue, read }) => {
    mock.timers.enable({ apis: ["setTimeout"] });
    try {
      const [first, second, third] = [await issue("a"), await issue("a"), await issue("a")];
      copies.save("a", first.chain);
      copies.save("a", second.chain);
      copies.save("a", third.chain);
      const other = await issue("b");
      copies.save("b", other.chain);
      assert.equal(read("b"), other.pem, "nobody waits for another user");
      assert.equal(read("a"), first.pem);
      assert.deepEqual(copies.missing, ["a"]);
      mock.timers.tick(LIMITS.copyPauseMs - 1);
      assert.equal(read("a"), first.pem);
      mock.timers.tick(1);
      assert.equal(read("a"), third.pem);
      assert.deepEqual(copies.missing, []);
      const fourth = await issue("a");
      copies.save("a", fourth.chain);
      assert.equal(read("a"), third.pem, "the turn after the first has begun");
      mock.timers.tick(LIMITS.copyPauseMs);
      mock.timers.tick(LIMITS.copyPauseMs);
      const fifth = await issue("a");
      copies.save("a", fifth.chain);
      assert.equal(read("a"), fifth.pem, "after a pause it is written at once again");
      copies.close();
    } finally {
      mock.timers.reset();
    }
  }));

test("CertificateCopies.saveWaiting() and close() write what waits", () =>
  inFolder(async ({ copies, issue, read }) => {
    for (const act of [() => copies.saveWaiting(), () => copies.close()]) {
      copies.save("alice", (await issue("alice")).chain);
      const { chain, pem } = await issue("alice");
      copies.save("alice", chain);
      assert.notEqual(read("alice"), pem);
      act();
      assert.equal(read("alice"), pem);
      assert.deepEqual(copies.missing, []);
    }
  }));

test("a copy that cannot be written is warned of once, tried again, and made from the newest", () =>
  inFolder(async ({ copies, issue, read, block, free, warnings }) => {
    mock.timers.enable({ apis: ["setTimeout"] });
    try {
      for (const id of ["alice", "bob"]) block(id);
      copies.save("alice", (await issue("alice")).chain);
      copies.save("bob", (await issue("bob")).chain);
      assert.equal(warnings.length, 1);
      assert.match(warnings[0] ?? "", /^cannot write ".*alice\.pem": .*; it is tried again$/);
      assert.deepEqual(copies.missing, ["alice", "bob"]);
      mock.timers.tick(LIMITS.copyRetryMs);
      assert.deepEqual(copies.missing, ["bob", "alice"], "still in the way");
      const { pem } = await issue("alice");
      free("alice");
      free("bob");
      mock.timers.tick(LIMITS.copyRetryMs - 1);
      assert.equal(copies.missing.length, 2, "before its time");
      mock.timers.tick(1);
      assert.deepEqual(copies.missing, []);
      assert.equal(read("alice"), pem, "the newest, not the one that failed");
      assert.match(read("bob"), /BEGIN/);
      copies.close();
    } finally {
      mock.timers.reset();
    }
  }));

test("a copy that can still not be written is warned of once more each hour, by its name", () =>
  inFolder(async ({ copies, issue, block, free, clock, warnings }) => {
    mock.timers.enable({ apis: ["setTimeout"] });
    try {
      const pass = (ms: number) => {
        clock.nowMs += ms;
        mock.timers.tick(LIMITS.copyRetryMs);
        return warnings.splice(0).map((text) => text.replace(/^cannot write ".*\/|": .*;/g, ""));
      };
      block("alice");
      copies.save("alice", (await issue("alice")).chain);
      assert.deepEqual(pass(0), ["alice.pem it is tried again"]);
      assert.deepEqual([pass(HOUR_MS - 1), pass(0)], [[], []]);
      assert.deepEqual(pass(1), ["alice.pem it is tried again"]);
      block("bob");
      copies.save("bob", (await issue("bob")).chain);
      assert.deepEqual(pass(HOUR_MS - 1), []);
      assert.deepEqual(pass(1), ["bob.pem it is tried again, with 1 more"]);
      free("alice");
      free("bob");
      assert.deepEqual([pass(HOUR_MS), copies.missing], [[], []]);
      block("carol");
      copies.save("carol", (await issue("carol")).chain);
      assert.deepEqual(pass(0), ["carol.pem it is tried again"], "the first of another time");
      copies.close();
    } finally {
      mock.timers.reset();
    }
  }));

test("CertificateCopies tries one copy again while none can be written, and another the next time", () =>
  inFolder(async ({ copies, issue, block, free, asked }) => {
    mock.timers.enable({ apis: ["setTimeout"] });
    try {
      const ids = ["alice", "bob", "carol"];
      for (const id of ids) {
        block(id);
        copies.save(id, (await issue(id)).chain);
      }
      const next = () => {
        asked.length = 0;
        mock.timers.tick(LIMITS.copyRetryMs);
        return asked.join(" ");
      };
      assert.deepEqual([next(), next(), next(), next()], ["alice", "bob", "carol", "alice"]);
      free("bob");
      assert.equal(next(), "bob carol", "the one behind it is still in the way");
      free("alice");
      free("carol");
      assert.equal(next(), "alice carol");
      assert.deepEqual(copies.missing, []);
      assert.equal(next(), "");
      copies.close();
    } finally {
      mock.timers.reset();
    }
  }));

test("CertificateCopies.close() tries a last time, and leaves nothing running", () =>
  inFolder(async ({ copies, open, issue, read, block, free }) => {
    block("alice");
    const { chain, pem } = await issue("alice");
    copies.save("alice", chain);
    free("alice");
    copies.close();
    assert.equal(read("alice"), pem);
    assert.deepEqual(copies.missing, []);
    free("alice");
    block("alice");
    const failing = open();
    failing.save("alice", chain);
    failing.close();
    assert.deepEqual(failing.missing, ["alice"]);
  }));

test("CertificateCopies.mend() writes what is missing, damaged or old, and leaves the rest alone", () =>
  inFolder(async ({ copies, issue, read, path, clock, warnings }) => {
    const old = await issue("old"); // entry 0, too old to be looked at
    clock.nowMs = NOW_MS + 2 * HOUR_MS;
    const wanted = new Map<string, string>();
    const before = await issue("behind");
    copies.save("behind", before.chain);
    for (const id of ["missing", "damaged", "behind", "whole"]) {
      const { chain, pem } = await issue(id);
      wanted.set(id, pem);
      if (id !== "behind" && id !== "missing") copies.save(id, chain);
    }
    fs.writeFileSync(path("damaged"), Uint8Array.of(0xff, 0xfe));
    const { ino } = fs.statSync(path("whole"));
    await copies.mend(1);
    for (const [id, pem] of wanted) assert.equal(read(id), pem, id);
    assert.equal(fs.statSync(path("whole")).ino, ino, "written without need");
    assert.equal(fs.existsSync(path("old")), false);
    await copies.mend(0);
    assert.equal(read("old"), old.pem);
    assert.deepEqual(warnings, []);
    copies.close();
  }));

test("CertificateCopies.mend() also looks at what the system may not have written before a power cut", () =>
  inFolder(async ({ copies, issue, read, clock }) => {
    const { pem } = await issue("alice");
    clock.nowMs = NOW_MS + HOUR_MS;
    await issue("bob");
    await copies.mend(2);
    assert.equal(read("alice"), pem);
    copies.close();
  }));

test("CertificateCopies.mend() brings no copy back that was removed while it went on", () =>
  inFolder(async ({ copies, issue, read, path, warnings }) => {
    const chains = await Promise.all(["alice", "bob"].map(issue));
    const mended = copies.mend(0);
    copies.remove("alice");
    await mended;
    assert.equal(fs.existsSync(path("alice")), false);
    assert.equal(read("bob"), chains[1]?.pem);
    assert.deepEqual(warnings, []);
    copies.close();
  }));

test("CertificateCopies.mend() writes what a snapshot has named, and brings nobody back", () =>
  inFolder(async ({ copies, directory, issue, read, path, clock, warnings }) => {
    const { pem } = await issue("alice");
    for (const id of ["bob", "carol"]) await issue(id);
    await directory.commit({
      type: "registered",
      public: {},
      private: { id: "carol", credential: "", record: "", address: "" },
    });
    await directory.commit({ type: "deleted", public: {}, private: { id: "carol" } });
    clock.nowMs += 2 * HOUR_MS;
    const late = await issue("late");
    const mended = copies.mend(6, ["alice", "carol"]);
    assert.deepEqual(copies.missing, ["alice", "carol", "late"], "not looked at yet");
    await mended;
    assert.deepEqual([read("alice"), read("late")], [pem, late.pem]);
    assert.deepEqual(["bob", "carol"].filter((id) => fs.existsSync(path(id))), []);
    assert.deepEqual([copies.missing, warnings], [[], []]);
    copies.close();
  }));

test("CertificateCopies.mend() has what it has not looked at missing when the server stops", () =>
  inFolder(async ({ copies, issue }) => {
    for (const id of ["alice", "bob", "carol"]) await issue(id);
    const mended = copies.mend(0);
    copies.remove("bob");
    copies.close();
    await mended;
    assert.deepEqual(copies.missing, ["alice", "carol"]);
  }));

test("CertificateCopies.mend() leaves a copy alone whose CA is not known any more, and says so", () =>
  inFolder(async ({ copies, issue, read, path, warnings }) => {
    await issue("stray");
    fs.writeFileSync(path("stray"), "the one before");
    await copies.mend(0);
    assert.equal(read("stray"), "the one before");
    assert.deepEqual(warnings, [
      'the copy of "stray" is not written: the CA that has signed it is not known any more',
    ]);
    assert.deepEqual(copies.missing, []);
    copies.close();
  }));
