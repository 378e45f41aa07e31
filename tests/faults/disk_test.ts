/** A real disk that is full, or that nothing can be written to: a small tmpfs of the test's own. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { encodeBase64, parseBase64 } from "../../lib/base/bytes.ts";
import { generatePrivateKey } from "../../lib/x509/keys.ts";
import { makeCsr } from "../../lib/x509/make_csr.ts";
import { encodePem } from "../../lib/x509/pem.ts";
import { loggedInCheaply, logInCheaply, registerCheaply } from "../e2e/cheap_account.ts";
import { inWords, inWorld, untilRead, type World } from "../e2e/harness.ts";
import { publish } from "../e2e/publish.ts";
import { RawClient, withClient } from "../e2e/raw_client.ts";

/** The log takes 256 KiB ahead each time that it runs into the end of the disk. */
const DISK_BYTES = 4 * 1024 * 1024;
const PAGE_BYTES = 4096;
const key = await generatePrivateKey("p256");

function run(command: string, ...args: readonly string[]): boolean {
  return spawnSync(command, [...args], { stdio: "ignore" }).status === 0;
}

const mountTmpfs = (folder: string) =>
  run("mount", "-t", "tmpfs", "-o", `size=${DISK_BYTES}`, "tmpfs", folder);

/** Why there can be no disk of our own here. */
function whyNot(): string | undefined {
  if (process.platform !== "linux") return "needs Linux, to mount a small disk";
  const folder = fs.mkdtempSync(join(tmpdir(), "pki-disk-"));
  const isMounted = mountTmpfs(folder);
  if (isMounted) run("umount", folder);
  fs.rmdirSync(folder);
  return isMounted ? undefined : "needs the right to mount a small disk (root)";
}

const reason = whyNot();
const ON_DISK = reason === undefined ? {} : { skip: reason };

interface SmallDisk {
  readonly folder: string;
  /** Takes all the space that is left. */
  fill(): void;
  spareOnePage(): void;
  /** Gives it back. */
  free(): void;
  remount(mode: "ro" | "rw"): void;
}

/** Runs a test in a world whose server has its data folder on a small disk. */
async function onSmallDisk(body: (world: World, disk: SmallDisk) => Promise<void>): Promise<void> {
  const folder = fs.mkdtempSync(join(tmpdir(), "pki-disk-"));
  assert.ok(mountTmpfs(folder));
  const ballast = join(folder, "ballast");
  try {
    await inWorld((world) =>
      body(world, {
        folder,
        fill: () => fillWith(ballast),
        spareOnePage: () => fs.truncateSync(ballast, fs.statSync(ballast).size - PAGE_BYTES),
        free: () => fs.rmSync(ballast),
        remount: (mode) => assert.ok(run("mount", "-o", `remount,${mode}`, folder)),
      })
    );
  } finally {
    run("umount", "-l", folder); // also where somebody still looks at it
    fs.rmdirSync(folder);
  }
}

function fillWith(path: string): void {
  const file = fs.openSync(path, "w");
  try {
    for (;;) fs.writeSync(file, new Uint8Array(PAGE_BYTES));
  } catch (error) {
    assert.equal((error as { code?: string }).code, "ENOSPC");
  } finally {
    fs.closeSync(file);
  }
}

const dataOf = ({ folder }: SmallDisk) => join(folder, "data");
const serveOn = (world: World, disk: SmallDisk) => world.serve(["--data", dataOf(disk)]);

interface Issued {
  readonly certificate: string;
  readonly index: number;
}

async function issue(client: RawClient, csr: string): Promise<Issued | string> {
  const { type, code, certificate, index } = await client.ask("CSR", { csr });
  return type === "OK" ? { certificate: String(certificate), index: Number(index) } : String(code);
}

/** Publishes until there is no space for that either; returns how often there was. */
async function publishUntilFull(client: RawClient, certificate: string): Promise<number> {
  for (let count = 0;; count++) {
    const code = await publish(client, certificate, key);
    if (code === "STORAGE") return count;
    assert.equal(code, "OK");
    assert.ok(count < PAGE_BYTES, "a full disk takes no end of publications");
  }
}

/** Has certificates issued until there is no space for another; returns those that there was space for. */
async function issueUntilFull(client: RawClient, csr: string): Promise<readonly Issued[]> {
  const all: Issued[] = [];
  for (;;) {
    const issued = await issue(client, csr);
    if (typeof issued === "string") {
      assert.equal(issued, "STORAGE");
      return all;
    }
    all.push(issued);
    assert.ok(all.length < PAGE_BYTES, "a full disk takes no end of certificates");
  }
}

async function isLogged(client: RawClient, { certificate, index }: Issued): Promise<boolean> {
  const { leaf } = await client.ok("PROOF", { index });
  return new TextDecoder().decode(parseBase64(String(leaf))).includes(certificate);
}

const NO_TRACE = /^\s+at /m;

test(
  "a full disk stops changes and nothing else, and ends with the first free space",
  ON_DISK,
  () =>
    onSmallDisk(async (world, disk) => {
      const { running } = await serveOn(world, disk);
      for (const id of ["alice", "bob"]) await registerCheaply(world, id);
      const csr = encodeBase64(await makeCsr(key, "alice"));
      const client = await loggedInCheaply(world, "alice");
      const acknowledged: Issued[] = [];
      const first = await issue(client, csr);
      assert.ok(typeof first !== "string");
      assert.equal(await publish(client, first.certificate, key), "OK");
      acknowledged.push(first);
      let publications = 2; // this one, and the last one below
      let published = first;

      for (let time = 0; time < 3; time++) {
        disk.fill();
        acknowledged.push(...await issueUntilFull(client, csr));
        const refusal = await client.refused("STORAGE", "CSR", { csr });
        assert.match(refusal.message ?? "", /^nothing can be stored now/);
        const latest: Issued = acknowledged.at(-1) ?? first;
        const count = await publishUntilFull(client, latest.certificate);
        publications += count;
        if (count > 0) published = latest;
        const found = await client.ok("CERTREQ", { id: "alice" });
        assert.equal(found["index"], published.index);
        await client.ok("PROOF", { from: 1, index: first.index });
        await withClient(RawClient.open(world), async (other) => { // logins change nothing
          await other.ok("HELLO");
          const record = await other.startRegistration("carol");
          await other.refused("STORAGE", "REGISTER_FINISH", { record });
          await logInCheaply(other, { world, id: "bob" });
          await other.ok("CERTREQ", { id: "alice" });
        });

        disk.free();
        const next = await issue(client, csr);
        assert.ok(typeof next !== "string", `refused with space: ${next}`);
        acknowledged.push(next);
        const pem = encodePem("CERTIFICATE", parseBase64(next.certificate));
        const copy = join(dataOf(disk), "certs", "alice.pem");
        await untilRead([copy], (text) => text?.startsWith(pem) ?? false);
      }
      const newest = acknowledged.at(-1) ?? first;
      assert.equal(await publish(client, newest.certificate, key), "OK");
      assert.match(running.stderr, /^pki: error: cannot append to log .*(ENOSPC|space|written)/m);
      assert.doesNotMatch(running.stderr, NO_TRACE);

      await running.end("SIGKILL");
      await serveOn(world, disk);
      await withClient(loggedInCheaply(world, "alice"), async (again) => {
        for (const issued of acknowledged) assert.ok(await isLogged(again, issued));
        assert.equal((await again.ok("CERTREQ", { id: "alice" }))["index"], newest.index);
        // And nothing of what was refused: the server's, the first invitation, two accounts,
        // these, and what was published.
        const { checkpoint } = await again.ok("PROOF");
        assert.equal(
          String(checkpoint).split("\n")[1],
          String(4 + acknowledged.length + publications),
        );
      });
    }),
);

test(
  "a snapshot and copies that do not fit are warnings, and a full disk is served from",
  ON_DISK,
  () =>
    onSmallDisk(async (world, disk) => {
      const { running } = await serveOn(world, disk);
      await registerCheaply(world, "alice");
      const csr = encodeBase64(await makeCsr(key, "alice"));
      const first = await withClient(loggedInCheaply(world, "alice"), async (client) => {
        const issued = await issue(client, csr);
        assert.ok(typeof issued !== "string");
        assert.equal(await publish(client, issued.certificate, key), "OK");
        disk.fill();
        await publishUntilFull(client, issued.certificate);
        return issued;
      });
      const ended = await running.end();
      assert.equal(ended.code, 0, ended.stderr);
      assert.match(
        ended.stderr,
        /^pki: warning: no snapshot was written: .*; the log has everything$/m,
      );
      assert.doesNotMatch(ended.stderr, NO_TRACE);
      assert.deepEqual(fs.readdirSync(dataOf(disk)).filter((name) => /\.new|\.tmp/.test(name)), []);

      const again = await serveOn(world, disk);
      const issued = await withClient(loggedInCheaply(world, "alice"), async (client) => {
        assert.ok(await isLogged(client, first));
        await client.ok("CERTREQ", { id: "alice" });
        disk.spareOnePage(); // for the log, so there is none for the copies
        return await issueUntilFull(client, csr);
      });
      assert.ok(issued.length > 0);
      await again.running.waitFor(
        /^pki: warning: cannot write ".*alice\.pem": .*; it is tried again$/m,
      );
      disk.free();
      assert.equal((await again.running.end()).code, 0);
      assert.doesNotMatch(again.running.stderr, NO_TRACE);
      // With space again, what was missing has been made.
      assert.ok(fs.existsSync(join(dataOf(disk), "state.db")));
      const copy = fs.readFileSync(join(dataOf(disk), "certs", "alice.pem"), "utf8");
      const newest = parseBase64(issued.at(-1)?.certificate ?? "");
      assert.ok(copy.startsWith(encodePem("CERTIFICATE", newest)), again.running.stderr);
    }),
);

test(
  "a data folder that nothing can be written to is refused, and left as it is",
  ON_DISK,
  () =>
    onSmallDisk(async (world, disk) => {
      const { running } = await serveOn(world, disk);
      await registerCheaply(world, "alice");
      for (const signal of ["SIGTERM", "SIGKILL"] as const) {
        await (signal === "SIGTERM" ? running : (await serveOn(world, disk)).running).end(signal);
        disk.remount("ro");
        const refused = world.start(["serve", "--port", "0", "--json", "--data", dataOf(disk)]);
        refused.waitFor(/"event":"ready"/).then(() => refused.kill("SIGTERM"), () => {});
        const ended = await refused.finished;
        assert.equal(ended.code, 9, ended.stderr);
        assert.match(inWords(ended.stderr), /^pki: error: .*(read-only|EROFS)/m);
        assert.match(inWords(ended.stderr), /^pki: hint: /m);
        assert.doesNotMatch(ended.stderr, NO_TRACE);
        assert.equal(ended.stdout, "");
        disk.remount("rw");
      }
      await serveOn(world, disk);
      await withClient(loggedInCheaply(world, "alice"), (client) => client.ok("PROOF"));
    }),
);
