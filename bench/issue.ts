/**
 * Certificates and lookups a second: what `load.ts` gets out of a server, and what peers do beside it
 * in the same run, one after the other and more than once, so that it shows how much the machine varies.
 */

import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { findBun } from "./engine.ts";
import type { LoadOptions, LoadResult } from "./load.ts";
import { type BenchServer, startBenchServer } from "./server.ts";

const CLIENTS = 8;
const SECONDS = 5;
/** The engine compiles what runs often, and takes that long to be done with it. */
const WARM_UP_SECONDS = 10;
const ROUNDS = Number(process.env["PKI_BENCH_ROUNDS"] ?? "2");
const PEERS = ["cfssl", "cfssl-sqlite", "step-ca"] as const;

/** The script that starts and measures peers; `$PKI_PEERS` names it where it is somewhere else. */
const PEERS_SCRIPT = process.env["PKI_PEERS"] ??
  join(import.meta.dirname ?? ".", "..", "..", "shared", "peers", "run");

interface PeerResult {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** The load on a server, from another process. */
export function loadServer(
  server: Pick<BenchServer, "folder" | "port" | "pid">,
  request: LoadOptions["request"],
): LoadResult {
  const options: LoadOptions = {
    port: server.port,
    rootPath: join(server.folder, "server", "root.crt"),
    domain: "pki.internal",
    clients: CLIENTS,
    seconds: SECONDS,
    warmUpSeconds: WARM_UP_SECONDS,
    request,
    pid: server.pid,
  };
  const script = join(import.meta.dirname ?? ".", "load.ts");
  const { stdout, stderr, status } = spawnSync(findBun(), [script, JSON.stringify(options)], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as LoadResult;
}

/** A fresh server, and the load on it. */
async function load(request: LoadOptions["request"]): Promise<LoadResult> {
  const server = await startBenchServer();
  try {
    return loadServer(server, request);
  } finally {
    await server.stop();
  }
}

function show(what: string, figures: string): void {
  console.log(`${what.padEnd(34)} ${figures}`);
}

export function showLoad(what: string, result: LoadResult): void {
  const { perSecond, p50Ms, p99Ms, judged, ownMicroseconds, serverMicroseconds } = result;
  const threads = Object.entries(serverMicroseconds).sort(([, a], [, b]) => b - a);
  const sum = threads.reduce((total, [, microseconds]) => total + microseconds, 0);
  show(
    what,
    `${perSecond.toFixed(0)}/s, p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms` +
      `, ${judged} of them judged`,
  );
  show(
    "  CPU for each",
    `load ${ownMicroseconds.toFixed(0)} \u00b5s, server ${sum.toFixed(0)} \u00b5s: ` +
      threads.filter(([, microseconds]) => microseconds >= 1)
        .map(([name, microseconds]) => `${name} ${microseconds.toFixed(0)}`).join(", "),
  );
}

function measurePeer(peer: string): PeerResult | undefined {
  const { stdout } = spawnSync(PEERS_SCRIPT, [peer, String(CLIENTS), String(SECONDS)], {
    encoding: "utf8",
  });
  const [, rate, p50, p99] =
    /certs_per_s=(\d+).*p50_ms=([\d.]+).*p99_ms=([\d.]+)/.exec(stdout ?? "") ?? [];
  if (rate === undefined) return undefined;
  return { perSecond: Number(rate), p50Ms: Number(p50), p99Ms: Number(p99) };
}

/** Certificates, beside cfssl and step-ca where the script that measures them is there. */
export async function benchIssue(): Promise<void> {
  const hasPeers = fs.existsSync(PEERS_SCRIPT);
  if (!hasPeers) show("peers", "not measured: their script is not here ($PKI_PEERS)");
  for (let round = 1; round <= ROUNDS; round++) {
    const ours = await load("CSR");
    showLoad(`certificates, durable, round ${round}`, ours);
    for (const peer of hasPeers ? PEERS : []) {
      const result = measurePeer(peer);
      const ratio = ours.perSecond / (result?.perSecond ?? NaN);
      show(
        `  ${peer}`,
        result
          ? `${result.perSecond}/s, p50 ${result.p50Ms.toFixed(1)} ms, p99 ${
            result.p99Ms.toFixed(1)
          } ms: ours is ${ratio.toFixed(2)} times that`
          : "did not run",
      );
    }
  }
}

/** Lookups of one published certificate. */
export async function benchLookup(): Promise<void> {
  for (let round = 1; round <= ROUNDS; round++) {
    showLoad(`lookups, ${CLIENTS} clients, round ${round}`, await load("CERTREQ"));
  }
}
