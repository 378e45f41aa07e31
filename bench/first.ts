/**
 * From nothing to the first certificate: everything that somebody has to run, one command after the
 * other as fast as they answer, with nobody who types or reads. Peers do what they do: none but ours
 * and step-ca has people with passwords, and step-ca's own program is not in Debian.
 */

import { spawn, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { PKI } from "./server.ts";

const RUNS = 7;

/** One way to a certificate. */
interface Way {
  readonly name: string;
  readonly commands: number;
  readonly questions: string;
  readonly needs?: string;
  readonly go: (folder: string) => Promise<void> | void;
}

const PATH = process.env["PATH"] ?? "";

function run(
  command: string,
  args: readonly string[],
  { folder, env = {}, input }: {
    readonly folder: string;
    readonly env?: Readonly<Record<string, string>>;
    readonly input?: string;
  },
): string {
  const { status, stdout, stderr } = spawnSync(command, [...args], {
    cwd: folder,
    env: { PATH, HOME: folder, ...env },
    encoding: "utf8",
    ...(input === undefined ? {} : { input }),
  });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr}`);
  return stdout;
}

/** A server, an invitation, a person with a password, a published certificate. */
async function joinServer(folder: string): Promise<void> {
  fs.writeFileSync(join(folder, "password"), "a paper horse in the rain\n", { mode: 0o600 });
  const server = spawn(PKI, ["serve", "--port", "0"], {
    env: { PATH, PKI_HOME: join(folder, "server-home") },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const ended = new Promise((resolve) => server.once("close", resolve));
  try {
    const line = await new Promise<string>((resolve, reject) => {
      let text = "";
      server.stderr.on("data", (chunk) => {
        text += String(chunk);
        const [, found] = /pki join (pki1:\S+)\n/.exec(text) ?? [];
        if (found) resolve(found);
      });
      server.once("close", () => reject(new Error(`the server did not start: ${text}`)));
    });
    const home = join(folder, "home");
    const args = ["join", line, "--id", "alice", "--password-file", "password", "--home", home];
    run(PKI, args, { folder });
    if (!fs.existsSync(join(home, "ids", "alice", "cert.pem"))) throw new Error("no certificate");
  } finally {
    server.kill("SIGTERM");
    await ended;
  }
}

const WAYS: readonly Way[] = [
  { name: "pki serve, pki join", commands: 2, questions: "a password", go: joinServer },
  {
    name: "mkcert, no server",
    commands: 1,
    questions: "none",
    needs: "mkcert",
    // TRUST_STORES keeps it from looking for browsers; "java" is not there.
    go: (folder) =>
      void run("mkcert", ["alice.test"], {
        folder,
        env: { CAROOT: join(folder, "ca"), TRUST_STORES: "java" },
      }),
  },
  {
    name: "cfssl, no server",
    commands: 2,
    questions: "none, two JSON files",
    needs: "cfssl",
    go: (folder) => {
      const request = (cn: string) =>
        JSON.stringify({ CN: cn, hosts: [cn], key: { algo: "ecdsa", size: 256 } });
      fs.writeFileSync(join(folder, "ca.json"), request("Root"));
      fs.writeFileSync(join(folder, "alice.json"), request("alice.test"));
      const save = (json: string, name: string) => {
        const { cert, key } = JSON.parse(json) as { cert: string; key: string };
        fs.writeFileSync(join(folder, `${name}.pem`), cert);
        fs.writeFileSync(join(folder, `${name}-key.pem`), key);
      };
      save(run("cfssl", ["gencert", "-initca", "ca.json"], { folder }), "ca");
      const args = ["gencert", "-ca", "ca.pem", "-ca-key", "ca-key.pem", "alice.json"];
      save(run("cfssl", args, { folder }), "alice");
    },
  },
  {
    name: "openssl, no server",
    commands: 3,
    questions: "none",
    needs: "openssl",
    go: (folder) => {
      const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
      const root = ["-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Root"];
      run("openssl", ["req", ...key, ...root], { folder });
      const leaf = ["-keyout", "a.key", "-out", "a.csr", "-subj", "/CN=alice.test"];
      run("openssl", ["req", ...key, ...leaf], { folder });
      const sign = ["-in", "a.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", "1"];
      run("openssl", ["x509", "-req", ...sign, "-out", "a.pem", "-days", "30"], { folder });
    },
  },
];

function isInstalled(program: string): boolean {
  return PATH.split(":").some((folder) => fs.existsSync(join(folder, program)));
}

async function timeOf({ go }: Way): Promise<number> {
  const folder = fs.mkdtempSync(join(tmpdir(), "pki-first-"));
  try {
    const startMs = performance.now();
    await go(folder);
    return performance.now() - startMs;
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

/** Shows of each way how long it takes, and how much is asked of a person. */
export async function benchFirst(show: (what: string, figures: string) => void): Promise<void> {
  const ways = WAYS.filter(({ needs }) => needs === undefined || isInstalled(needs));
  const times = new Map<Way, number[]>(ways.map((way) => [way, []]));
  // In turn, so that a busy moment of the machine meets all of them.
  for (let i = 0; i < RUNS; i++) {
    for (const way of ways) times.get(way)?.push(await timeOf(way));
  }
  for (const [{ name, commands, questions }, all] of times) {
    const median = all.sort((a, b) => a - b)[Math.floor(RUNS / 2)] ?? NaN;
    show(
      `first certificate: ${name}`,
      `${(median / 1000).toFixed(2)} s, median of ${RUNS}; ` +
        `${commands} command${commands === 1 ? "" : "s"}, questions: ${questions}`,
    );
  }
}
