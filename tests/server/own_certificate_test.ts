import assert from "node:assert/strict";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { LIMITS } from "../../lib/base/limits.ts";
import { PkiError } from "../../lib/base/errors.ts";
import { serverFiles } from "../../lib/server/files.ts";
import type { LogEvent } from "../../lib/server/log.ts";
import { OwnCertificate } from "../../lib/server/own_certificate.ts";
import { generatePrivateKey } from "../../lib/x509/keys.ts";
import { parseCertificatesPem } from "../../lib/x509/pem.ts";
import { DAY_MS, makeCa, makeDirectory } from "../fakes/directory.ts";

const CA = await makeCa();
const KEY = await generatePrivateKey("p256");

async function makeWorld(folder: string) {
  const { directory, entries, clock, log } = await makeDirectory(CA);
  const files = serverFiles(folder);
  const told: LogEvent[] = [];
  const shown: string[] = [];
  const open = () =>
    new OwnCertificate({
      ...{ files, issuing: CA.issuing, now: () => clock.nowMs },
      directory: {
        ask: async (question) => {
          assert.ok(question.type === "certify-server");
          return { certificate: await directory.certifyServer(question.spki) };
        },
      },
      log: { isLogged: () => true, log: (event) => void told.push(event) },
      onRenewed: ({ context }) => void shown.push(String(context.cert)),
    });
  const path = files.serverCertificate;
  return {
    ...{ entries, clock, log, open, path, shown },
    /** What the operator was told since the last time. */
    told: () =>
      told.splice(0).map(({ message }) => message?.replace(/write ".*": [^;]*;/, "write it;")),
    /** So many days before the certificate that is used ends. */
    goTo(own: OwnCertificate, daysLeft: number) {
      clock.nowMs = own.notAfterMs - daysLeft * DAY_MS;
    },
    /** Has the file fail to be written: a folder is in its place. */
    block() {
      fs.rmSync(path, { force: true });
      fs.mkdirSync(path);
    },
    free: () => fs.rmdirSync(path),
    read: () => fs.readFileSync(path, "utf8"),
  };
}

async function inFolder(
  body: (world: Awaited<ReturnType<typeof makeWorld>>) => Promise<void>,
): Promise<void> {
  const folder = fs.mkdtempSync(join(tmpdir(), "pki-own-"));
  try {
    await body(await makeWorld(folder));
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

const DUE_DAYS = LIMITS.serverRenewDays;
const RENEWED = "the server's own certificate was renewed";

test("OwnCertificate takes the certificate that is there, and renews it when little time is left", () =>
  inFolder(async ({ open, entries, goTo, told, shown, read, path }) => {
    await open().load(KEY);
    const own = open();
    await own.load(KEY);
    assert.equal(entries.length, 1, "the second takes what the first has made");
    const [leaf, issuing] = parseCertificatesPem(read(), path);
    assert.deepEqual(issuing, CA.issuing.der);
    assert.equal(own.served.context.cert, read());
    goTo(own, DUE_DAYS + 1);
    await own.renewIfDue();
    assert.deepEqual([entries.length, told()], [1, []]);
    goTo(own, DUE_DAYS);
    await own.renewIfDue();
    assert.deepEqual([entries.length, told()], [2, [RENEWED]]);
    assert.deepEqual(shown, [read()]);
    assert.notDeepEqual(parseCertificatesPem(read(), path)[0], leaf);
    await own.renewIfDue();
    assert.equal(entries.length, 2);
  }));

test("OwnCertificate.load() makes no first certificate that cannot be kept", () =>
  inFolder(async ({ open, path }) => {
    fs.rmSync(join(path, ".."), { recursive: true });
    await assert.rejects(open().load(KEY), { kind: "storage", message: /^cannot write / });
  }));

test("OwnCertificate.renewIfDue() goes on with one that is still good where there is no other, and no longer", () =>
  inFolder(async ({ open, log, goTo, told, shown, read }) => {
    const own = open();
    await own.load(KEY);
    const before = read();
    log.before = () => {
      throw new PkiError("storage", "the disk is full");
    };
    for (const daysLeft of [DUE_DAYS, 1, 1 / DAY_MS]) {
      goTo(own, daysLeft);
      await own.renewIfDue();
      assert.deepEqual(told(), [
        "cannot renew the server's certificate: the disk is full; it is tried again within an hour",
      ]);
    }
    goTo(own, 0);
    await assert.rejects(own.renewIfDue(), { kind: "storage", message: "the disk is full" });
    assert.deepEqual([own.served.context.cert, read(), shown], [before, before, []]);
    log.before = () => {};
    await own.renewIfDue();
    assert.deepEqual(told(), [RENEWED]);
  }));

test("OwnCertificate.renewIfDue() uses a new one that cannot be written, and has no other certified", () =>
  inFolder(async ({ open, entries, clock, goTo, told, shown, read, block, free }) => {
    const own = open();
    await own.load(KEY);
    goTo(own, DUE_DAYS);
    block();
    const notKept = "the server's new certificate is used, and not kept: cannot write it; " +
      "it is tried again within an hour";
    await own.renewIfDue();
    assert.deepEqual(told(), [notKept, RENEWED]);
    for (const _ of ["an hour later", "and one more"]) {
      clock.nowMs += LIMITS.serverRenewCheckMs;
      await own.renewIfDue();
      assert.deepEqual(told(), [notKept]);
    }
    assert.equal(entries.length, 2);
    assert.deepEqual(shown, [own.served.context.cert]);
    free();
    await own.renewIfDue();
    assert.deepEqual([read(), told(), entries.length], [shown[0], [], 2]);
    block();
    await own.renewIfDue();
    assert.deepEqual(told(), [], "it was written, and is not written again");
  }));
