/**
 * Whether what a request costs depends on how much is there already: the same load on servers whose
 * logs have 1,000, 100,000 and 1,000,000 certificates, one after the other. Lookups are of published
 * certificates that are spread over the log: of 1,000, which the server keeps ready, and where there are
 * so many of 20,000 in turn, of which it has to read most.
 */

import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { encodeBase64 } from "../lib/base/bytes.ts";
import type { ServerConnection } from "../lib/client/server_connection.ts";
import { generatePrivateKey } from "../lib/x509/keys.ts";
import { makeCsr } from "../lib/x509/make_csr.ts";
import { cpuSince, cpuTimes } from "./cpu.ts";
import { loadServer, showLoad } from "./issue.ts";
import { growLog, publishedId } from "./large_log.ts";
import { signIn, startServer } from "./startup.ts";

type Show = (what: string, figures: string) => void;

const CLIENTS = 8;
const WARM_UP_SECONDS = 5;
const SECONDS = 4;
/** Who has the certificates that are not published: each has a copy of the last one. */
const USERS = 500;
const READY = 1000;
const PUBLISHED_MAX = 20_000;

/** A home whose server has issued so many certificates, and has a snapshot of them. */
async function makeHome(home: string, certificates: number, published: number): Promise<void> {
  const folder = join(home, "server");
  const first = await startServer(home);
  const client = await signIn(folder, first.port, true);
  const csr = encodeBase64(await makeCsr(await generatePrivateKey("p256"), "alice"));
  await client.request("CSR", { csr });
  client.close();
  await first.stop();
  await growLog(folder, certificates, { users: USERS, published });
  // It reads all of the log, and writes a copy for each user; then a snapshot when it ends.
  const second = await startServer(home);
  const users = published + Math.min(USERS, certificates - published);
  const copies = join(folder, "certs");
  while (fs.readdirSync(copies).length < users) {
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  await second.stop();
}

type Threads = Readonly<{ [thread: string]: number }>;

function sumOf(threads: Threads): number {
  return Object.values(threads).reduce((sum, one) => sum + one, 0);
}

/**
 * What the server's threads take for a lookup of so many ids in turn, in microseconds. The certificates
 * have no good signature, so only that they are there is looked at.
 */
async function measureLookups(
  pid: number,
  clients: readonly ServerConnection[],
  ids: number,
): Promise<Threads> {
  let number = 0;
  const lookUpFor = async (seconds: number) => {
    const endMs = performance.now() + seconds * 1000;
    const counts = await Promise.all(clients.map(async (client) => {
      let count = 0;
      for (; performance.now() < endMs; count++) {
        await client.request("CERTREQ", { id: publishedId(number++ % ids) });
      }
      return count;
    }));
    return counts.reduce((sum, count) => sum + count, 0);
  };
  await lookUpFor(WARM_UP_SECONDS);
  const before = cpuTimes(pid);
  return cpuSince(pid, before, await lookUpFor(SECONDS));
}

function tell(show: Show, what: string, threads: Threads): void {
  show(
    what,
    `server CPU ${sumOf(threads).toFixed(0)} \u00b5s: ` +
      Object.entries(threads).filter(([, each]) => each >= 1).sort(([, a], [, b]) => b - a)
        .map(([name, each]) => `${name} ${each.toFixed(0)}`).join(", "),
  );
}

/** Sizes from $PKI_BENCH_CERTIFICATES, as numbers with commas between them. */
export async function benchFlat(show: Show): Promise<void> {
  const sizes = (process.env["PKI_BENCH_CERTIFICATES"] ?? "1000,100000,1000000").split(",");
  const costs: { readonly size: number; readonly issue: number; readonly lookup: number }[] = [];
  for (const size of sizes.map(Number)) {
    const home = fs.mkdtempSync(join(tmpdir(), "pki-bench-"));
    try {
      const published = Math.min(size, PUBLISHED_MAX);
      await makeHome(home, size, published);
      const { child, port, stop } = await startServer(home);
      const server = { folder: home, port, pid: child.pid ?? 0 };
      try {
        const clients: ServerConnection[] = [];
        while (clients.length < CLIENTS) clients.push(await signIn(join(home, "server"), port));
        const lookup = await measureLookups(server.pid, clients, READY);
        tell(show, `lookup, log of ${size}`, lookup);
        if (published > READY) {
          const reading = await measureLookups(server.pid, clients, published);
          tell(show, `lookup, one of ${published}`, reading);
        }
        for (const client of clients) client.close();
        const issued = loadServer(server, "CSR");
        showLoad(`certificates, log of ${size}`, issued);
        costs.push({ size, issue: sumOf(issued.serverMicroseconds), lookup: sumOf(lookup) });
      } finally {
        await stop();
      }
    } finally {
      fs.rmSync(home, { recursive: true, force: true });
    }
  }
  const [first] = costs;
  for (const { size, issue, lookup } of first ? costs : []) {
    const timesOf = (cost: number, least: number) => `${(cost / least).toFixed(2)} times`;
    show(
      `server CPU, log of ${size}`,
      `certificate ${issue.toFixed(0)} \u00b5s (${timesOf(issue, first?.issue ?? NaN)}), ` +
        `lookup ${lookup.toFixed(0)} \u00b5s (${timesOf(lookup, first?.lookup ?? NaN)})`,
    );
  }
}
