/** What a running server holds of the system: descriptors, threads, memory, connections. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { askServer } from "../../lib/client/admin.ts";
import type { Measured } from "../../lib/protocol/measured.ts";
import { folderOf } from "../e2e/administrator.ts";
import { peakMiBOf, type World } from "../e2e/harness.ts";

export interface Census {
  /** Open files and sockets. */
  readonly descriptors: number;
  /** Threads, by name; an engine's own helpers come and go. */
  readonly threads: Readonly<Record<string, number>>;
  readonly residentMiB: number;
  /** The most that it ever had. */
  readonly peakMiB: number;
  /** As the server itself counts them. */
  readonly connections: number;
  /** What the alerts PkiFaults and PkiWorkerFailed are about: no client may cause any. */
  readonly faults: number;
}

function faultsOf(measured: Measured | undefined): number {
  const { workers, directory } = measured ?? assert.fail("the server says nothing");
  return Object.values(directory.requests).reduce(
    (sum, { results }) => sum + (results["INTERNAL"] ?? 0) + (results["STORAGE"] ?? 0),
    workers.failed,
  );
}

function threadsOf(pid: number): Record<string, number> {
  const threads: Record<string, number> = {};
  for (const task of fs.readdirSync(`/proc/${pid}/task`)) {
    try {
      const name = fs.readFileSync(`/proc/${pid}/task/${task}/comm`, "utf8").trim();
      threads[name] = (threads[name] ?? 0) + 1;
    } catch {
      // It has ended since the folder was read.
    }
  }
  return threads;
}

export async function takeCensus(world: World): Promise<Census> {
  const pid = world.server.running.child.pid ?? 0;
  const said = await askServer(folderOf(world), "STATUS", {});
  const status = fs.readFileSync(`/proc/${pid}/status`, "utf8");
  const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(status) ?? [];
  return {
    descriptors: fs.readdirSync(join("/proc", String(pid), "fd")).length,
    threads: threadsOf(pid),
    residentMiB: Math.round(Number(kib) / 1024),
    peakMiB: Math.round(peakMiBOf(pid)),
    connections: Number(said?.connections),
    faults: faultsOf(said?.measured),
  };
}
