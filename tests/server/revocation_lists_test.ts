import assert from "node:assert/strict";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, mock, test } from "node:test";
import { type Bytes, concatBytes, encodeBase64, parseBase64 } from "../../lib/base/bytes.ts";
import { PkiError } from "../../lib/base/errors.ts";
import { LIMITS } from "../../lib/base/limits.ts";
import { keyIdHex } from "../../lib/server/issuers.ts";
import type { ListToSign } from "../../lib/server/ports.ts";
import { KEEP_EXPIRED_MS, REST_FACTOR, REST_MS_MAX } from "../../lib/server/revocation_list.ts";
import { type ListQuestion, RevocationLists } from "../../lib/server/revocation_lists.ts";
import { loadSqlite } from "../../lib/store/database.ts";
import { State } from "../../lib/store/state.ts";
import { fingerprintOf } from "../../lib/x509/certificate.ts";
import { encodeTbsCrl, isCrlSignedBy, parseCrl, signCrl } from "../../lib/x509/crl.ts";
import { encodePem } from "../../lib/x509/pem.ts";
import { type Holder, makeTestCa } from "../fakes/ca.ts";
import { runOpenssl, WITHOUT_OPENSSL } from "../x509/openssl.ts";

await loadSqlite();

const CA = await makeTestCa();
const OTHER = await makeTestCa();
const START_MS = Date.UTC(2026, 10, 1, 12);
const FOLDERS: string[] = [];

after(() => FOLDERS.forEach((folder) => fs.rmSync(folder, { recursive: true })));

/** How long anything may take before a test gives up; no test asserts a time below it. */
const PATIENCE_MS = 60_000;

/** Nothing but what is waiting on the disk and on promises goes on. */
async function until(isSo: () => boolean): Promise<void> {
  const endMs = performance.now() + PATIENCE_MS;
  while (!isSo()) {
    assert.ok(performance.now() < endMs, "waited too long");
    await new Promise((resolve) => setImmediate(resolve));
  }
}

interface Revoked {
  readonly serial: string;
  readonly notAfterMs?: number;
  readonly reason?: string;
  readonly issuer?: Holder;
}

function makeFolder(): string {
  const folder = fs.mkdtempSync(join(tmpdir(), "pki-lists-"));
  FOLDERS.push(folder);
  return folder;
}

/** Lists over tables that a test fills, with clocks that it sets and a signer that it can hold up. */
function makeWorld(
  folder = makeFolder(),
  issuers: readonly Holder[] = [CA.issuing],
  entriesBytesMax?: number,
) {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
  /** `pageMs` is what a page of a list takes. */
  const clock = { nowMs: START_MS, elapsedMs: 0, pageMs: 0 };
  const state = State.empty();
  const { database } = state;
  issuers.forEach(({ certificate }, i) => {
    database.query("INSERT INTO issuers (issuer, key_id) VALUES (?, ?)")
      .run(i + 1, keyIdHex(certificate));
  });
  const signed: ListToSign[] = [];
  const warnings: string[] = [];
  const signer = { before: (): void | Promise<void> => {} };
  const lists = new RevocationLists({
    state,
    authority: {
      signList: async (list) => {
        signed.push(list);
        await signer.before();
        const issuer = issuers.find(({ certificate }) =>
          keyIdHex(certificate) === list.issuerKeyId
        );
        assert.ok(issuer);
        const { issuerKeyId: _, ...rest } = list;
        return signCrl(encodeTbsCrl({ issuer: issuer.certificate, ...rest }), issuer);
      },
    },
    warn: (text) => void warnings.push(text),
    now: () => clock.nowMs,
    elapsed: () => clock.elapsedMs += clock.pageMs,
    ...(entriesBytesMax === undefined ? {} : { entriesBytesMax }),
  });
  const pathOf = (index: number) => join(folder, index === 0 ? "issuing.crl" : `${index}.crl`);
  const listed = issuers.map(({ certificate }, index) => ({
    fingerprint: fingerprintOf(certificate.der),
    issuerKeyId: keyIdHex(certificate),
    path: pathOf(index),
  }));
  const rootList = { rootDer: CA.root.certificate.der, path: join(folder, "root.crl") };
  let entry = 0;
  const insert = (rows: readonly Revoked[]) => {
    database.run("BEGIN");
    for (
      const { serial, notAfterMs = START_MS + LIMITS.dayMs, reason = "superseded", issuer } of rows
    ) {
      database.query(
        `INSERT INTO certificates
         (entry, serial, profile, id, not_after_ms, issued_ms, revoked_ms, reason, issuer)
         VALUES (?, ?, 'user', 'alice', ?, 0, ?, ?, ?)`,
      ).run(
        entry++,
        serial,
        notAfterMs,
        clock.nowMs,
        reason,
        issuers.indexOf(issuer ?? CA.issuing) + 1,
      );
    }
    database.run("COMMIT");
  };
  const read = (question: ListQuestion = {}): Bytes => parseBase64(lists.read(question).chunk);
  /** Lets time pass for timers and both clocks. */
  const pass = (ms: number) => {
    clock.nowMs += ms;
    clock.elapsedMs += ms;
    mock.timers.tick(ms);
  };
  const isReadable = (issuer: string) => {
    try {
      return lists.read({ issuer }).bytes > 0;
    } catch {
      return false; // there is none yet
    }
  };
  return {
    ...{
      isReadable,
      folder,
      lists,
      clock,
      signed,
      warnings,
      signer,
      insert,
      read,
      pass,
      listed,
      rootList,
    },
    path: pathOf(0),
    start: async () => {
      await lists.use(listed, rootList);
      pass(0);
      await until(() => listed.every(({ fingerprint }) => isReadable(fingerprint)));
    },
    /** Revokes, as the directory would. */
    revoke: (...rows: readonly Revoked[]) => {
      insert(rows);
      for (const { issuer } of rows) lists.changed(keyIdHex((issuer ?? CA.issuing).certificate));
    },
    newest: () => parseCrl(read()),
    /** Waits until so many lists have been signed, and the last of them is there to be read. */
    made: (count: number) =>
      until(() =>
        signed.length >= count && lists.read({}).number === String(signed[count - 1]?.number)
      ),
  };
}

function isInFolder(path: string, number: bigint | undefined): boolean {
  return fs.existsSync(path) && parseCrl(fs.readFileSync(path)).number === number;
}

const serialOf = (n: number) => `40${n.toString(16).padStart(30, "0")}`;
const many = (count: number): Revoked[] =>
  Array.from({ length: count }, (_, n) => ({ serial: serialOf(n), notAfterMs: START_MS + n }));

for (const count of [0, 1, 249, 250, 251, 2500]) {
  test(`RevocationLists makes a list of ${count} entries at the start`, async () => {
    const world = makeWorld();
    world.insert(many(count));
    await world.start();
    const crl = parseCrl(fs.readFileSync(world.path));
    assert.equal(crl.entryCount, count);
    for (const { serial } of many(count)) {
      assert.deepEqual(crl.find(serial), { serial, revokedMs: START_MS, reason: "superseded" });
    }
    assert.ok(isCrlSignedBy(crl, CA.issuing.certificate));
    assert.equal(crl.number, BigInt(START_MS));
    assert.equal(crl.thisUpdateMs, START_MS);
    assert.equal(crl.nextUpdateMs, START_MS + LIMITS.crlValidityMs);
    assert.equal(fs.statSync(world.path).mode & 0o777, 0o644);
    assert.deepEqual(fs.readdirSync(world.folder), ["issuing.crl"], "nothing is left beside it");
    await world.lists.close();
    assert.deepEqual(world.warnings, []);
  });
}

test(
  "RevocationLists writes what openssl verifies and reads",
  { skip: WITHOUT_OPENSSL },
  async () => {
    const world = makeWorld();
    world.insert(many(3));
    await world.start();
    const { status, output } = runOpenssl(
      ["crl", "-inform", "DER", "-in", "issuing.crl", "-CAfile", "ca.pem", "-noout", "-text"],
      {
        "issuing.crl": fs.readFileSync(world.path),
        "ca.pem": encodePem("CERTIFICATE", CA.issuing.certificate.der),
      },
    );
    assert.equal(status, 0, output);
    assert.match(output, /verify OK/);
    assert.match(
      output,
      new RegExp(`X509v3 CRL Number: *\\n *(${START_MS}|0x${START_MS.toString(16)})`, "i"),
    );
    assert.equal([...output.matchAll(/Serial Number: 40/g)].length, 3);
    assert.equal([...output.matchAll(/Superseded/g)].length, 3);
    await world.lists.close();
  },
);

test("RevocationLists hands a list out in parts that add up to it", async () => {
  const world = makeWorld();
  world.insert(many(4000));
  await world.start();
  const file = new Uint8Array(fs.readFileSync(world.path));
  const parts: Bytes[] = [];
  let number: string | undefined;
  for (let offset = 0; offset < file.length;) {
    const part = world.lists.read({ offset, ...(number === undefined ? {} : { number }) });
    assert.equal(part.bytes, file.length);
    assert.equal(part.offset, offset);
    number = part.number;
    const chunk = parseBase64(part.chunk);
    assert.ok(chunk.length === LIMITS.crlChunkBytesMax || offset + chunk.length === file.length);
    parts.push(chunk);
    offset += chunk.length;
  }
  assert.ok(parts.length > 3);
  assert.deepEqual(concatBytes(...parts), file);
  assert.equal(world.lists.read({ offset: file.length }).chunk, "", "behind the end is nothing");
  assert.throws(() => world.lists.read({ offset: file.length + 1 }), { kind: "not-found" });
  await world.lists.close();
});

test("RevocationLists leaves out what ended more than a week ago, and what another CA signed", async () => {
  const world = makeWorld(makeFolder(), [CA.issuing, OTHER.issuing]);
  world.insert([
    { serial: "01", notAfterMs: START_MS - KEEP_EXPIRED_MS },
    { serial: "02", notAfterMs: START_MS - KEEP_EXPIRED_MS - 1 },
    { serial: "03", notAfterMs: START_MS - 1 },
    { serial: "04", issuer: OTHER.issuing },
  ]);
  await world.start();
  const serialsOf = (question: ListQuestion) =>
    [...parseCrl(world.read(question)).entries()].map(({ serial }) => serial).sort();
  assert.deepEqual(serialsOf({}), ["01", "03"]);
  const issuer = fingerprintOf(OTHER.issuing.certificate.der);
  assert.deepEqual(serialsOf({ issuer }), ["04"]);
  assert.ok(isCrlSignedBy(parseCrl(world.read({ issuer })), OTHER.issuing.certificate));
  await world.lists.close();
});

const REASONS: readonly [string, string][] = [
  ["keyCompromise", "keyCompromise"],
  ["unspecified", "unspecified"],
  ["aReasonOfALaterVersion", "unspecified"],
  ["toString", "unspecified"],
];

for (const [reason, expected] of REASONS) {
  test(`RevocationLists lists the reason ${reason} as ${expected}`, async () => {
    const world = makeWorld();
    world.insert([{ serial: "01", reason }]);
    await world.start();
    assert.equal(world.newest().find("01")?.reason, expected);
    await world.lists.close();
  });
}

test("RevocationLists makes a list soon after a revocation, and keeps the one before it", async () => {
  const world = makeWorld();
  await world.start();
  const first = world.lists.read({}).number;
  world.revoke({ serial: "01" });
  world.pass(LIMITS.crlDelayMs - 1);
  assert.equal(world.signed.length, 1, "others may come yet");
  world.pass(1);
  await world.made(2);
  assert.ok(world.newest().find("01"));
  const second = world.lists.read({}).number;
  assert.equal(parseCrl(world.read({ number: first })).entryCount, 0, "somebody may be reading it");
  world.revoke({ serial: "02" });
  world.pass(LIMITS.crlDelayMs);
  await world.made(3);
  assert.throws(() => world.lists.read({ number: first }), {
    kind: "not-found",
    message: "cannot find the list: ask for the newest one",
  });
  assert.equal(parseCrl(world.read({ number: second })).entryCount, 1);
  await world.lists.close();
});

test("RevocationLists makes a list anew when half of its time is over", async () => {
  const world = makeWorld();
  await world.start();
  world.pass(LIMITS.crlValidityMs / 2 - 1);
  assert.equal(world.signed.length, 1);
  world.pass(1);
  await world.made(2);
  assert.equal(world.newest().thisUpdateMs, START_MS + LIMITS.crlValidityMs / 2);
  await world.lists.close();
});

test("RevocationLists makes no list that nobody could read, and says why", async () => {
  const world = makeWorld(makeFolder(), [CA.issuing], 100);
  await world.start();
  world.revoke({ serial: serialOf(1) }, { serial: serialOf(2) });
  world.pass(LIMITS.crlDelayMs);
  await world.made(2);
  const readable = fs.readFileSync(world.path);
  world.revoke({ serial: serialOf(3) });
  world.pass(LIMITS.crlDelayMs);
  await until(() => world.warnings.length > 0);
  assert.deepEqual(world.warnings, [
    "no revocation list was made: too many certificates are revoked: they take 147 bytes, " +
    "and clients read 100; OCSP goes on telling of all of them; it is tried again",
  ]);
  assert.equal(world.signed.length, 2);
  assert.deepEqual(fs.readFileSync(world.path), readable);
  await world.lists.close();
});

for (
  const [what, days] of [["ended", 400], ["is nearly over", 0.8], ["has not begun", -3]] as const
) {
  test(`RevocationLists makes a list anew where the clock was set, and it ${what}`, async () => {
    const world = makeWorld();
    await world.start();
    world.clock.nowMs += days * LIMITS.dayMs;
    const setMs = world.clock.nowMs;
    world.pass(LIMITS.crlLookMs);
    world.pass(0);
    await world.made(2);
    assert.equal(world.newest().thisUpdateMs, setMs + LIMITS.crlLookMs);
    world.pass(LIMITS.crlLookMs);
    world.pass(0);
    assert.equal(world.signed.length, 2, "this one is of its time");
    await world.lists.close();
  });
}

test("RevocationLists is not put off by revocations that never stop", async () => {
  const world = makeWorld();
  await world.start();
  const step = LIMITS.crlDelayMs / 4;
  for (let n = 0; n < 4; n++) {
    assert.equal(world.signed.length, 1);
    world.revoke({ serial: serialOf(n) });
    world.pass(step);
  }
  await world.made(2);
  assert.equal(world.newest().entryCount, 4);
  await world.lists.close();
});

test("RevocationLists rests after a list for a multiple of what it took, if it was not long ago", async () => {
  const world = makeWorld();
  await world.start();
  const revokeSlowly = async (serial: string, pageMs: number, delayMs: number) => {
    const count = world.signed.length;
    world.revoke({ serial });
    world.pass(delayMs - 1);
    assert.equal(world.signed.length, count, `${delayMs} ms were to pass`);
    world.clock.pageMs = pageMs;
    world.pass(1);
    await world.made(count + 1);
    world.clock.pageMs = 0;
    assert.ok(world.newest().find(serial));
  };
  const pageMs = (REST_MS_MAX - 1000) / REST_FACTOR;
  await revokeSlowly("01", pageMs, LIMITS.crlDelayMs);
  await revokeSlowly("02", pageMs, pageMs * REST_FACTOR);
  world.pass(pageMs * REST_FACTOR);
  await revokeSlowly("03", 10 * REST_MS_MAX, LIMITS.crlDelayMs);
  await revokeSlowly("04", 1, REST_MS_MAX);
  await revokeSlowly("05", 1, LIMITS.crlDelayMs);
  await world.lists.close();
});

test("RevocationLists makes another list for what was revoked while it made one", async () => {
  const world = makeWorld();
  await world.start();
  const held = Promise.withResolvers<void>();
  world.signer.before = () => held.promise;
  world.revoke({ serial: "01" });
  world.pass(LIMITS.crlDelayMs);
  await until(() => world.signed.length === 2);
  world.revoke({ serial: "02" });
  held.resolve();
  await world.made(2);
  assert.equal(world.newest().find("02"), undefined);
  world.pass(LIMITS.crlDelayMs);
  await world.made(3);
  assert.ok(world.newest().find("02"));
  await world.lists.close();
});

test("RevocationLists never uses a number again, wherever the clock goes", async () => {
  const world = makeWorld();
  await world.start();
  const numbers = [world.newest().number ?? 0n];
  for (const nowMs of [START_MS, START_MS - 5 * LIMITS.dayMs, 0, START_MS + 1, START_MS - 1]) {
    world.clock.nowMs = nowMs;
    world.revoke({ serial: serialOf(numbers.length) });
    world.clock.elapsedMs += LIMITS.crlDelayMs;
    mock.timers.tick(LIMITS.crlDelayMs);
    await world.made(numbers.length + 1);
    numbers.push(world.newest().number ?? 0n);
  }
  assert.deepEqual(numbers, [...new Set(numbers)].sort((a, b) => a < b ? -1 : 1));
  await world.lists.close();

  const restored = makeWorld(world.folder);
  restored.clock.nowMs = START_MS - LIMITS.dayMs;
  await restored.start();
  await restored.made(1);
  assert.equal(restored.newest().number, (numbers.at(-1) ?? 0n) + 1n, "the folder remembers");
  await restored.lists.close();
});

test("RevocationLists hands out the list in the folder until there is a newer one", async () => {
  const before = makeWorld();
  before.insert([{ serial: "01" }]);
  await before.start();
  await before.lists.close();
  const world = makeWorld(before.folder);
  await world.lists.use(world.listed, world.rootList);
  assert.equal(world.newest().number, BigInt(START_MS));
  assert.ok(world.newest().find("01"));
  world.pass(0);
  await world.made(1);
  assert.equal(world.newest().number, BigInt(START_MS + 1));
  await world.lists.close();
});

test("RevocationLists makes a list first where the one in the folder is too old, or another CA's", async () => {
  const before = makeWorld();
  await before.start();
  await before.lists.close();
  const late = makeWorld(before.folder);
  late.clock.nowMs += LIMITS.crlValidityMs;
  await late.lists.use(late.listed, late.rootList);
  assert.equal(late.newest().thisUpdateMs, START_MS + LIMITS.crlValidityMs);
  await late.lists.close();
  const other = makeWorld(before.folder, [OTHER.issuing]);
  await other.lists.use(other.listed, other.rootList);
  assert.ok(isCrlSignedBy(other.newest(), OTHER.issuing.certificate));
  assert.equal(other.newest().number, BigInt(START_MS + LIMITS.crlValidityMs + 1));
  await other.lists.close();
});

test("RevocationLists goes on without a list that cannot be made, and tries again", async () => {
  const world = makeWorld();
  world.signer.before = () => {
    throw new PkiError("internal", "the authority failed");
  };
  await world.lists.use(world.listed, world.rootList);
  assert.equal(world.warnings.length, 1);
  assert.throws(() => world.read(), { kind: "not-found" });
  world.signer.before = () => {};
  world.pass(LIMITS.snapshotRetryMs);
  await until(() => world.isReadable(world.listed[0]?.fingerprint ?? ""));
  await world.lists.close();
});

test("RevocationLists makes a list anew where the one in the folder is damaged", async () => {
  const folder = makeFolder();
  fs.writeFileSync(join(folder, "issuing.crl"), "no list");
  const world = makeWorld(folder);
  await world.start();
  assert.match(world.warnings[0] ?? "", /^the list ".*issuing\.crl" is made anew: cannot read CRL/);
  assert.equal(world.newest().number, BigInt(START_MS));
  await world.lists.close();
});

test("RevocationLists warns when a list cannot be made, and tries again later", async () => {
  const world = makeWorld();
  await world.start();
  world.signer.before = () => {
    throw new PkiError("internal", "the authority failed");
  };
  world.revoke({ serial: "01" });
  world.pass(LIMITS.crlDelayMs);
  await until(() => world.warnings.length > 0);
  assert.deepEqual(world.warnings, [
    "no revocation list was made: the authority failed; it is tried again",
  ]);
  world.signer.before = () => {};
  world.pass(LIMITS.snapshotRetryMs);
  await world.made(3);
  assert.ok(world.newest().find("01"));
  await world.lists.close();
});

test("RevocationLists warns when a list cannot be written, and hands out none that is not there", async () => {
  const world = makeWorld();
  await world.start();
  fs.rmSync(world.folder, { recursive: true });
  world.revoke({ serial: "01" });
  world.pass(LIMITS.crlDelayMs);
  await until(() => world.warnings.length > 0);
  assert.match(
    world.warnings[0] ?? "",
    /^no revocation list was made: cannot write ".*issuing\.crl": /,
  );
  assert.equal(world.newest().find("01"), undefined);
  fs.mkdirSync(world.folder);
  await world.lists.close();
});

test("RevocationLists.close() writes what was revoked last, and only then", async () => {
  const world = makeWorld();
  await world.start();
  world.revoke({ serial: "01" });
  await world.lists.close();
  assert.equal(world.signed.length, 2);
  assert.ok(parseCrl(fs.readFileSync(world.path)).find("01"));
  world.pass(LIMITS.dayMs);
  world.revoke({ serial: "02" });
  assert.equal(world.signed.length, 2, "a list that is closed is made no more");

  const idle = makeWorld();
  await idle.start();
  await idle.lists.close();
  assert.equal(idle.signed.length, 1);
});

test("RevocationLists.close() ends a list that is being made, and makes one whole one if need be", async () => {
  const world = makeWorld();
  await world.start();
  world.insert(many(5000));
  world.pass(LIMITS.crlValidityMs / 2); // begins to gather pages
  await world.lists.close();
  assert.equal(world.signed.length, 1, "nothing was revoked: the list that is there will do");
  assert.equal(parseCrl(fs.readFileSync(world.path)).entryCount, 0);

  const busy = makeWorld();
  await busy.start();
  busy.revoke(...many(5000));
  busy.pass(LIMITS.crlDelayMs);
  await busy.lists.close();
  assert.equal(parseCrl(fs.readFileSync(busy.path)).entryCount, 5000);
  assert.deepEqual([world.warnings, busy.warnings], [[], []]);
});

test("RevocationLists.use() takes a CA's list along to another place, and its number never back", async () => {
  const world = makeWorld(makeFolder(), [CA.issuing, OTHER.issuing]);
  const [first, second] = world.listed;
  assert.ok(first && second);
  world.clock.nowMs += LIMITS.dayMs; // and back again, after the first list
  await world.lists.use([first], world.rootList);
  world.pass(0);
  await until(() => world.isReadable(first.fingerprint));
  world.clock.nowMs = START_MS;
  const moved = { ...first, path: join(world.folder, "earlier.crl") };
  const current = { ...second, path: first.path };
  await world.lists.use([current, moved], world.rootList);
  assert.ok(world.isReadable(first.fingerprint), "it can be read all the time");
  world.pass(0);
  await until(() =>
    [current, moved].every(({ path, fingerprint: issuer }) =>
      world.isReadable(issuer) && fs.existsSync(path) &&
      isInFolder(path, parseCrl(world.read({ issuer })).number) &&
      parseCrl(world.read({ issuer })).thisUpdateMs === START_MS
    )
  );
  assert.equal(
    parseCrl(world.read({ issuer: first.fingerprint })).number,
    BigInt(START_MS + LIMITS.dayMs + 1),
  );
  assert.ok(isCrlSignedBy(parseCrl(fs.readFileSync(current.path)), OTHER.issuing.certificate));
  assert.ok(isCrlSignedBy(parseCrl(fs.readFileSync(moved.path)), CA.issuing.certificate));
  await world.lists.close();
});

/** A list that the root has signed. */
function rootList(number: bigint): Bytes {
  const { certificate: issuer } = CA.root;
  const template = {
    ...{ issuer, number, entries: [] },
    thisUpdateMs: START_MS,
    nextUpdateMs: START_MS + LIMITS.dayMs,
  };
  return signCrl(encodeTbsCrl(template), CA.root);
}

test("RevocationLists hands out the root's list that is in the folder, and no other", async () => {
  const folder = makeFolder();
  const issuer = fingerprintOf(CA.root.certificate.der);
  const world = makeWorld(folder);
  await world.start();
  assert.throws(() => world.lists.read({ issuer }), { kind: "not-found" });
  const der = rootList(7n);
  fs.writeFileSync(join(folder, "root.crl"), der);
  await world.lists.use(world.listed, world.rootList);
  assert.deepEqual(world.lists.read({ issuer }), {
    ...{ number: "7", bytes: der.length, offset: 0 },
    chunk: encodeBase64(der),
  });
  assert.equal(world.lists.read({ issuer, number: "7" }).number, "7");
  assert.throws(() => world.lists.read({ issuer, number: "6" }), { kind: "not-found" });
  assert.throws(() => world.lists.read({ issuer: "00".repeat(32) }), { kind: "not-found" });
  fs.writeFileSync(join(folder, "root.crl"), "no list");
  await world.lists.use(world.listed, world.rootList);
  assert.match(world.warnings.at(-1) ?? "", /^cannot read CRL/);
  assert.throws(() => world.lists.read({ issuer }), { kind: "not-found" });
  await world.lists.close();
});
