/**
 * The whole journey, told in plain sentences: a server, two users, a certificate each, both published
 * and looked up, one message each way over the private line. Everything happens in a temporary folder
 * that is removed at the end. Run with `deno task demo`.
 */

import { type ChildProcess, spawn } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

const PKI = join(import.meta.dirname ?? ".", "pki");
const PATIENCE_MS = 60_000;

const folder = fs.mkdtempSync(join(tmpdir(), "pki-demo-"));
const started: Program[] = [];
let env: Record<string, string> = { PATH: process.env["PATH"] ?? "" };

function say(sentence: string): void {
  console.log(sentence);
}

class Program {
  readonly child: ChildProcess;
  readonly exit: Promise<number>;
  output = "";
  #onOutput = () => {};

  constructor(args: readonly string[], input: string) {
    console.log(`  $ ./pki ${args.join(" ")}`);
    this.child = spawn(PKI, [...args], { env, stdio: ["pipe", "pipe", "pipe"] });
    this.child.stdin?.end(input);
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.on("data", (chunk) => {
        this.output += String(chunk);
        this.#onOutput();
      });
    }
    this.exit = new Promise((resolve, reject) => {
      this.child.once("error", reject);
      this.child.once("close", (code) => {
        this.#onOutput();
        resolve(code ?? 1);
      });
    });
    started.push(this);
  }

  /** Waits for a text in the output, or fails with what was printed. */
  async until(pattern: RegExp): Promise<RegExpExecArray> {
    const waiting = Promise.withResolvers<RegExpExecArray>();
    const look = () => {
      const match = pattern.exec(this.output);
      if (match) waiting.resolve(match);
      else if (this.child.exitCode !== null) waiting.reject(new Error(this.output));
    };
    this.#onOutput = look;
    const timer = setTimeout(
      () => waiting.reject(new Error(`nothing came: ${this.output}`)),
      PATIENCE_MS,
    );
    look();
    return await waiting.promise.finally(() => clearTimeout(timer));
  }
}

/** Runs a command to its end; returns what it wrote. */
async function run(args: readonly string[], input = ""): Promise<string> {
  const program = new Program(args, input);
  const code = await program.exit;
  if (code !== 0) throw new Error(`pki ${args[0]} ended with ${code}: ${program.output}`);
  return program.output;
}

async function tell(): Promise<void> {
  const startMs = performance.now();
  const passwords = [["alice", "a paper horse in the rain"], ["bob", "seven blue batteries"]];
  for (const [id, password] of passwords) {
    fs.writeFileSync(join(folder, `${id}.pass`), `${password}\n`, { mode: 0o600 });
  }
  const homeOf = (id: string) => join(folder, `${id}-home`);
  const as = (id: string) => ["--home", homeOf(id), "--password-file", join(folder, `${id}.pass`)];
  env = { ...env, PKI_HOME: join(folder, "server-home") };

  say(
    "A server starts. At its first start it makes a root and an issuing CA, and it invites somebody.",
  );
  const server = new Program(["serve", "--port", "0"], "");
  const [, first = ""] = await server.until(/pki join (pki1:\S+)/);

  say(
    "\nalice joins with that line: it names the server and its root. She registers with a password,\n" +
      "which never leaves her side; her key is made, certified, and the certificate published.",
  );
  await run(["join", first, "--id", "alice", ...as("alice")]);

  say("\nWhoever runs the server invites bob, who joins likewise, with a home of his own.");
  const second = (await run(["invite", "--id", "bob"])).match(/^pki1:\S+/m)?.[0] ?? "";
  await run(["join", second, ...as("bob")]);

  for (const [id, other] of [["alice", "bob"], ["bob", "alice"]] as const) {
    say(`\n${id} looks ${other} up; the certificate is verified under the pinned root.`);
    const pem = await run(["request", other, ...as(id)]);
    if (!pem.includes("-----BEGIN CERTIFICATE-----")) throw new Error("no certificate came");
  }

  say("\nalice listens; bob calls. Both show their certificates, and nobody is in between.");
  const listener = new Program(
    ["listen", "--once", "--host", "127.0.0.1", "--port", "0", ...as("alice")],
    "Hello bob, alice here.\n",
  );
  const [, port = ""] = await listener.until(/listening on port (\d+)/);
  const heardByBob = await run(
    ["connect", `localhost:${port}`, "--expect", "alice", ...as("bob")],
    "Hello alice, bob here.\n",
  );
  if (await listener.exit !== 0) throw new Error(listener.output);
  const heardByAlice = listener.output;
  if (!heardByBob.includes("Hello bob") || !heardByAlice.includes("Hello alice")) {
    throw new Error("a message did not arrive");
  }
  for (const [who, heard] of [["bob", heardByBob], ["alice", heardByAlice]]) {
    const lines = (heard ?? "").split("\n").filter((line) => /^Hello|on the line/.test(line));
    say(`${who} saw:\n${lines.map((line) => `  ${line}`).join("\n")}`);
  }

  if (server.child.pid !== undefined) process.kill(server.child.pid, "SIGTERM");
  await server.until(/stopping/);
  await server.exit;
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
  say(
    `\nThe server has stopped. From nothing to two people talking it took ${seconds} s; the ` +
      "temporary\nfolder is removed. Now by hand: ./pki serve, and join with the line that it prints.",
  );
}

try {
  await tell();
} catch (error) {
  console.error(`the demo failed: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
} finally {
  for (const { child } of started) if (child.exitCode === null) child.kill("SIGKILL");
  fs.rmSync(folder, { recursive: true, force: true });
}
