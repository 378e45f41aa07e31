/**
 * Revocation in a server that has revoked many certificates: how long one more takes, through the
 * administration socket and over TLS; how many statuses it tells a second; how long a revocation list
 * takes to make, and how long others wait meanwhile; and how fast certificates are listed.
 */

import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { encodeBase64, parseBase64 } from "../lib/base/bytes.ts";
import { LIMITS } from "../lib/base/limits.ts";
import { askServer } from "../lib/client/admin.ts";
import { fetchCrl } from "../lib/client/crl.ts";
import { publish } from "../lib/client/operations.ts";
import type { ServerConnection } from "../lib/client/server_connection.ts";
import type { AdminBody } from "../lib/protocol/admin_messages.ts";
import { REST_MS_MAX } from "../lib/server/revocation_list.ts";
import { type Certificate, parseCertificate } from "../lib/x509/certificate.ts";
import { parseCrlHead } from "../lib/x509/crl.ts";
import { generatePrivateKey } from "../lib/x509/keys.ts";
import { makeCsr } from "../lib/x509/make_csr.ts";
import { encodeOcspRequest } from "../lib/x509/ocsp.ts";
import { parsePemBlock } from "../lib/x509/pem.ts";
import { growLog } from "./large_log.ts";
import { PKI } from "./server.ts";
import { signIn, startServer } from "./startup.ts";

const REVOCATIONS = 200;
const CLIENTS = 8;
const SECONDS = 4;
const WARM_UP = 50;

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function show(what: string, figures: string): void {
  console.log(`${what.padEnd(34)} ${figures}`);
}

function percentile(times: readonly number[], part: number): number {
  const sorted = [...times].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? NaN;
}

function showTimes(what: string, times: readonly number[]): void {
  const [p50, p99, most] = [percentile(times, 0.5), percentile(times, 0.99), Math.max(...times)];
  show(what, `p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, longest ${most.toFixed(1)} ms`);
}

/** The times of one after the other, without the first ones. */
async function timeEach(count: number, work: (i: number) => Promise<unknown>): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < count + WARM_UP; i++) {
    const beganMs = performance.now();
    await work(i);
    if (i >= WARM_UP) times.push(performance.now() - beganMs);
  }
  return times;
}

/** A folder with one user and many certificates, all of them revoked but the user's. */
async function makeFolder(home: string, certificates: number): Promise<void> {
  const folder = join(home, "server");
  const first = await startServer(home);
  const key = await generatePrivateKey("p256");
  const client = await signIn(folder, first.port, true);
  const { certificate } = await client.request("CSR", {
    csr: encodeBase64(await makeCsr(key, "alice")),
  });
  await publish(client, { certificate: parseBase64(certificate), key });
  client.close();
  await first.stop();
  await growLog(folder, certificates, { areRevoked: true });
  // The start after that writes copies, and its end a snapshot: neither is to be measured here.
  const second = await startServer(home);
  while (fs.readdirSync(join(folder, "certs")).length <= certificates) {
    await sleep(200);
  }
  await second.stop();
}

/** Certificates of alice's, to be revoked. */
async function certifyMany(client: ServerConnection, count: number): Promise<readonly string[]> {
  const csr = encodeBase64(await makeCsr(await generatePrivateKey("p256"), "alice"));
  const serials: string[] = [];
  for (let i = 0; i < count; i++) {
    const { certificate } = await client.request("CSR", { csr });
    serials.push(parseCertificate(parseBase64(certificate)).serial);
  }
  return serials;
}

interface World {
  readonly home: string;
  readonly folder: string;
  readonly port: number;
  readonly issuing: Certificate;
}

async function measureRevoking({ folder, port }: World): Promise<void> {
  const client = await signIn(folder, port);
  const each = REVOCATIONS + WARM_UP;
  const serials = await certifyMany(client, 2 * each);
  showTimes(
    "revoking, by the administrator",
    await timeEach(
      REVOCATIONS,
      (i) => askServer(folder, "REVOKE", { serial: serials[i] ?? "", reason: "superseded" }),
    ),
  );
  showTimes(
    "revoking, by the owner over TLS",
    await timeEach(
      REVOCATIONS,
      (i) => client.request("REVOKE", { serial: serials[each + i] ?? "" }),
    ),
  );
  client.close();
}

/** How many a second, by several connections at once. */
async function rateOf(
  { folder, port }: World,
  work: (client: ServerConnection) => Promise<unknown>,
): Promise<string> {
  const clients = await Promise.all(
    Array.from({ length: CLIENTS }, () => signIn(folder, port)),
  );
  const times: number[] = [];
  const run = async (seconds: number) => {
    const untilMs = performance.now() + seconds * 1000;
    await Promise.all(clients.map(async (client) => {
      while (performance.now() < untilMs) {
        const beganMs = performance.now();
        await work(client);
        times.push(performance.now() - beganMs);
      }
    }));
  };
  await run(1);
  times.length = 0;
  await run(SECONDS);
  for (const client of clients) client.close();
  return `${(times.length / SECONDS).toFixed(0)}/s, p99 ${percentile(times, 0.99).toFixed(1)} ms`;
}

async function measureStatuses(world: World): Promise<void> {
  const client = await signIn(world.folder, world.port);
  const serials = await certifyMany(client, 1);
  client.close();
  const { issuing: issuer } = world;
  const request = encodeBase64(encodeOcspRequest({ issuer, serials }));
  show(
    `statuses, ${CLIENTS} clients`,
    await rateOf(world, (client) => client.request("STATUS", { request })),
  );
  show(
    "  with a nonce each",
    await rateOf(world, (client) =>
      client.request("STATUS", {
        request: encodeBase64(
          encodeOcspRequest({ issuer, serials, nonce: new Uint8Array(randomBytes(32)) }),
        ),
      })),
  );
}

/** Revokes one, and looks somebody up all the time until there is a list that has it. */
async function measureList({ folder, port, issuing }: World): Promise<void> {
  const [client, watcher] = [await signIn(folder, port), await signIn(folder, port)];
  const lookUp = () => client.request("CERTREQ", { id: "alice" });
  const before = await timeEach(2000, lookUp);
  const [serial = ""] = await certifyMany(client, 1);
  const { number } = await watcher.request("CRL", {});
  await askServer(folder, "REVOKE", { serial, reason: "superseded" });
  const beganMs = performance.now();
  const times: number[] = [];
  let newer = number;
  while (newer === number) {
    for (let i = 0; i < 20; i++) {
      const startMs = performance.now();
      await lookUp();
      times.push(performance.now() - startMs);
    }
    newer = (await watcher.request("CRL", {})).number;
  }
  const tookMs = performance.now() - beganMs - LIMITS.crlDelayMs;
  const crl = await fetchCrl(watcher, { issuer: issuing, nowMs: Date.now() });
  show(
    "revocation list",
    `${crl.entryCount} entries, ${crl.der.length} bytes, in the folder after ` +
      `${LIMITS.crlDelayMs / 1000} s and ${tookMs.toFixed(0)} ms`,
  );
  showTimes("  lookups meanwhile", times);
  showTimes("  lookups before", before);
  client.close();
  watcher.close();
}

const IN_TWO_WEEKS_MS = 14 * LIMITS.dayMs;

async function measureLists({ home, folder }: World): Promise<void> {
  const filters: readonly [string, AdminBody<"LIST">][] = [
    ["all", {}],
    ["of a user", { id: "user777" }],
    ["servers", { profile: "server" }],
    ["valid", { state: "valid" }],
    ["expired", { state: "expired" }],
    ["revoked", { state: "revoked" }],
    ["expiring", { endsBeforeMs: Date.now() + IN_TWO_WEEKS_MS }],
  ];
  for (const [what, body] of filters) {
    showTimes(
      `a page of certificates, ${what}`,
      await timeEach(100, () => askServer(folder, "LIST", body)),
    );
  }
  const args = [["ls", "--expiring", "14d"], ["ls", "--user", "user777"], ["ls", "--json"]];
  for (const command of args) {
    const startMs = performance.now();
    const { stdout } = spawnSync(PKI, command, {
      env: { PKI_HOME: home },
      maxBuffer: 1024 ** 3,
      encoding: "utf8",
    });
    const lines = stdout.split("\n").length - 1;
    const seconds = (performance.now() - startMs) / 1000;
    show(`pki ${command.join(" ")}`, `${lines} lines in ${seconds.toFixed(2)} s`);
  }
}

/** Until the list of the start is made, and another one would not have to wait for that. */
async function waitForFirstList({ folder, port }: World, old: bigint): Promise<void> {
  const client = await signIn(folder, port);
  while (BigInt((await client.request("CRL", {})).number) <= old) await sleep(100);
  client.close();
  await sleep(REST_MS_MAX);
}

function numberInFolder(folder: string): bigint {
  const path = join(folder, "issuing.crl");
  return fs.existsSync(path) ? parseCrlHead(new Uint8Array(fs.readFileSync(path))).number : 0n;
}

/** Starts the server on a home that was filled, and measures. */
export async function measureWorld(home: string): Promise<void> {
  const old = numberInFolder(join(home, "server"));
  const server = await startServer(home);
  try {
    const folder = join(home, "server");
    const path = join(folder, "issuing.crt");
    const issuing = parseCertificate(
      parsePemBlock(fs.readFileSync(path, "utf8"), ["CERTIFICATE"], path),
    );
    const world = { home, folder, port: server.port, issuing };
    show("ready in", `${server.seconds.toFixed(2)} s`);
    await waitForFirstList(world, old);
    await measureList(world);
    await measureRevoking(world);
    await measureStatuses(world);
    await measureLists(world);
  } finally {
    await server.stop();
  }
}

/** Sizes from $PKI_BENCH_CERTIFICATES, as numbers with commas between them. */
export async function benchRevoke(): Promise<void> {
  const sizes = (process.env["PKI_BENCH_CERTIFICATES"] ?? "100000").split(",").map(Number);
  for (const certificates of sizes) {
    const home = fs.mkdtempSync(join(tmpdir(), "pki-bench-"));
    try {
      await makeFolder(home, certificates);
      show("certificates that are revoked", String(certificates));
      await measureWorld(home);
    } finally {
      fs.rmSync(home, { recursive: true, force: true });
    }
  }
}
