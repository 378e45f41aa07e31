/** A server of ours in a temporary home, and users with open sessions on it, for measuring. */

import { spawn } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { logIn, register } from "../lib/client/login.ts";
import { connectServer, type ServerConnection } from "../lib/client/server_connection.ts";
import { checkRoot, type TrustAnchor } from "../lib/x509/chain.ts";
import { parsePemBlock } from "../lib/x509/pem.ts";

export const PKI = join(import.meta.dirname ?? ".", "..", "pki");

export interface BenchServer {
  readonly folder: string;
  readonly port: number;
  readonly pid: number;
  readonly anchor: TrustAnchor;
  /** A registered user with an open session. */
  user(id: string): Promise<ServerConnection>;
  stop(): Promise<void>;
}

/** @param args more of the command line of `serve` */
export async function startBenchServer(args: readonly string[] = []): Promise<BenchServer> {
  const folder = fs.mkdtempSync(join(tmpdir(), "pki-bench-"));
  const child = spawn(PKI, ["serve", "--port", "0", "--json", "--quiet", ...args], {
    env: { PKI_HOME: folder, PATH: process.env["PATH"] ?? "" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const port = await new Promise<number>((resolve, reject) => {
    let text = "";
    child.stdout.on("data", (chunk) => {
      text += String(chunk);
      const match = /"port":(\d+)/.exec(text);
      if (match) resolve(Number(match[1]));
    });
    child.once("close", () => reject(new Error("the server did not start")));
  });
  const rootPath = join(folder, "server", "root.crt");
  const pem = fs.readFileSync(rootPath, "utf8");
  const anchor = {
    root: checkRoot(parsePemBlock(pem, ["CERTIFICATE"], rootPath), Date.now()),
    domain: "pki.internal",
  };
  const ended = new Promise((resolve) => child.once("close", resolve));
  return {
    folder,
    port,
    pid: child.pid ?? 0,
    anchor,
    user: async (id) => {
      const connection = await connectServer({ host: "127.0.0.1", port }, anchor, {
        nowMs: Date.now(),
      });
      const credentials = { id, password: `a password of ${id}`, rootDer: anchor.root.der };
      await register(connection, credentials);
      await logIn(connection, credentials);
      return connection;
    },
    stop: async () => {
      if (child.pid !== undefined) process.kill(child.pid, "SIGTERM");
      await ended;
      fs.rmSync(folder, { recursive: true, force: true });
    },
  };
}
