/** `pki contacts` as people see it: what fits the terminal, and what becomes of a damaged file. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { forgetContact, listContacts, showContact } from "../../commands/contacts.ts";
import type { PkiContext } from "../../commands/context.ts";
import { keyFingerprintOf } from "../../lib/client/contacts.ts";
import type { Home } from "../../lib/client/home.ts";
import { HOUR_MS, makeTestCa, makeUser, NOW_MS } from "../fakes/ca.ts";
import { inHome } from "../client/temporary_home.ts";

const CA = await makeTestCa();
const LONG_ID = `a-name-of-${"many-".repeat(6)}letters`;
const USERS = await Promise.all(["bob", LONG_ID].map(async (id) => ({
  id,
  leaf: (await makeUser(CA, { id })).certificate,
})));

/** A home with two contacts, of whom one has answered somewhere. */
async function inHomeOfTwo(work: (home: Home) => void): Promise<void> {
  await inHome((home) => {
    for (const { id, leaf } of USERS) {
      home.contacts.save({
        id,
        leaf,
        issuing: CA.issuing.certificate.der,
        root: CA.root.certificate.der,
        firstSeenMs: NOW_MS - 48 * HOUR_MS,
        pinnedMs: NOW_MS - 24 * HOUR_MS,
        lastSeenMs: NOW_MS,
      }, undefined);
    }
    home.changeConfig(() => ({ peers: { "b:7450": "bob", "a:7450": "bob", "c:7450": "carol" } }));
    work(home);
  });
}

interface Shown {
  readonly context: PkiContext;
  readonly stdout: () => string;
  readonly stderr: () => string;
}

function show(columns?: number): Shown {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  if (columns !== undefined) Object.assign(stdout, { isTTY: true, columns });
  const context: PkiContext = {
    process: { stdin: new PassThrough(), stdout, stderr, env: { NO_COLOR: "1" } },
    homeFolder: "/nonexistent",
    terminal: undefined,
    signal: new AbortController().signal,
    now: () => NOW_MS,
  };
  const read = (stream: PassThrough) => String(stream.read() ?? "");
  return { context, stdout: () => read(stdout), stderr: () => read(stderr) };
}

for (const columns of [60, 80, 120, 200]) {
  test(`pki contacts fits a terminal of ${columns} columns`, async () => {
    await inHomeOfTwo((home) => {
      const { context, stdout } = show(columns);
      listContacts(context, { home: home.folder });
      const lines = stdout().trimEnd().split("\n");
      assert.equal(lines.length, 3);
      for (const line of lines) assert.ok([...line].length <= columns, line);
      assert.match(lines[0] ?? "", /^WHO .* LAST SEEN .* KEY/);
      assert.match(lines[2] ?? "", /^bob .* 2026-11-01 /);
    });
  });
}

test("pki contacts cuts nothing where there is no terminal", async () => {
  await inHomeOfTwo((home) => {
    const { context, stdout } = show();
    listContacts(context, { home: home.folder });
    const text = stdout();
    for (const { id, leaf } of USERS) {
      assert.match(
        text,
        new RegExp(`^${id} +2026-10-30  2026-11-01  2026-12-01  ${keyFingerprintOf(leaf)}$`, "m"),
      );
    }
  });
});

test("pki contacts says where nobody was talked to, and which file is damaged", async () => {
  await inHome((home) => {
    const { context, stdout, stderr } = show();
    listContacts(context, { home: home.folder });
    assert.equal(stderr(), "there is no contact yet; whoever you talk to becomes one\n");
    fs.mkdirSync(`${home.folder}/contacts`, { recursive: true });
    fs.writeFileSync(home.contacts.pathOf("bob"), "damaged");
    listContacts(context, { home: home.folder });
    assert.match(stdout(), /\nbob +the file is damaged: pki contacts show bob\n$/);
    listContacts(context, { home: home.folder, json: true });
    assert.deepEqual(JSON.parse(stdout()), {
      id: "bob",
      key: null,
      fingerprint: null,
      firstSeen: null,
      lastSeen: null,
      notAfter: null,
    });
    assert.throws(() => showContact(context, { home: home.folder }, "bob"), { kind: "malformed" });
    forgetContact(context, { home: home.folder }, "bob");
    assert.match(stdout(), /^"bob" is forgotten: /);
    assert.throws(() => showContact(context, { home: home.folder }, "bob"), {
      kind: "not-found",
      message: 'cannot find "bob" among the contacts',
    });
  });
});

test("pki contacts show says where somebody answered, in order", async () => {
  await inHomeOfTwo((home) => {
    const { context, stdout } = show();
    showContact(context, { home: home.folder }, "bob");
    const text = stdout();
    assert.match(text, /\n {2}answered at {2}a:7450, b:7450\n/);
    assert.match(text, /\n {2}pinned +2026-10-31T12:00:00\.000Z\n/);
    showContact(context, { home: home.folder, json: true }, LONG_ID);
    assert.deepEqual(JSON.parse(stdout()).addresses, []);
  });
});
