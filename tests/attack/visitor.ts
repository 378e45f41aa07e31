/**
 * The well-behaved client, a program of its own: visits a server again and again until its stdin ends,
 * with the client that users have. Each visit connects and says HELLO, logs in, looks somebody up, has
 * a key certified, and leaves. Every operation must succeed, within the time that the client waits for
 * an answer. Takes JSON as its argument; prints a line of JSON for each visit, and the sum at the end.
 */

import * as fs from "node:fs";
import process from "node:process";
import { encodeBase64 } from "../../lib/base/bytes.ts";
import { messageOf } from "../../lib/base/errors.ts";
import { logIn, logInByCertificate } from "../../lib/client/login.ts";
import { connectServer } from "../../lib/client/server_connection.ts";
import { parseCertificate } from "../../lib/x509/certificate.ts";
import { generatePrivateKey } from "../../lib/x509/keys.ts";
import { makeCsr } from "../../lib/x509/make_csr.ts";
import { DEFAULT_DOMAIN } from "../../lib/x509/names.ts";
import { parsePemBlock } from "../../lib/x509/pem.ts";

export interface VisitorOptions {
  readonly port: number;
  readonly rootPath: string;
  readonly id: string;
  readonly password: string;
  /** Shown in TLS: most visits log in with it, some with the password, which costs Argon2id. */
  readonly keyPem: string;
  readonly certPem: string;
}

/** What it had to wait for. */
export interface Visits {
  /** Operations that succeeded, by name. */
  readonly operations: Readonly<Record<string, number>>;
  readonly longest: { readonly operation: string; readonly ms: number };
  /** What did not succeed, and why. */
  readonly failures: readonly string[];
}

/** Every so many visits log in with the password. */
const PASSWORD_EVERY = 8;
/** Between two visits: a person's machine has other work, and so has this one. */
const PAUSE_MS = 100;

const { port, rootPath, id, password, keyPem, certPem } = JSON.parse(
  process.argv[2] ?? "",
) as VisitorOptions;
const rootDer = parsePemBlock(fs.readFileSync(rootPath, "utf8"), ["CERTIFICATE"], rootPath);
const anchor = { root: parseCertificate(rootDer), domain: DEFAULT_DOMAIN };
const csr = encodeBase64(await makeCsr(await generatePrivateKey("p256"), id));

const operations: Record<string, number> = {};
const failures: string[] = [];
let longest = { operation: "none", ms: 0 };

async function timed<T>(operation: string, work: () => Promise<T>): Promise<T> {
  const fromMs = performance.now();
  try {
    const result = await work();
    operations[operation] = (operations[operation] ?? 0) + 1;
    return result;
  } catch (error) {
    throw new Error(`${operation}: ${messageOf(error)}`);
  } finally {
    const ms = Math.round(performance.now() - fromMs);
    if (ms > longest.ms) longest = { operation, ms };
  }
}

async function visit(count: number): Promise<void> {
  const byPassword = count % PASSWORD_EVERY === 0;
  const identity = { key: keyPem, cert: certPem };
  const connection = await timed("HELLO", () =>
    connectServer({ host: "127.0.0.1", port }, anchor, {
      nowMs: Date.now(),
      ...(byPassword ? {} : { identity }),
    }));
  try {
    if (byPassword) await timed("LOGIN", () => logIn(connection, { id, password, rootDer }));
    else await timed("LOGIN_CERTIFICATE", () => logInByCertificate(connection, { id }));
    await timed("CERTREQ", () => connection.request("CERTREQ", { id }));
    await timed("CSR", () => connection.request("CSR", { csr }));
  } finally {
    connection.close();
  }
}

let isOver = false;
let wake = () => {};
process.stdin.on("end", () => {
  isOver = true;
  wake();
}).resume();

for (let count = 0; !isOver; count++) {
  await visit(count).catch((error) => failures.push(messageOf(error)));
  console.log(JSON.stringify({ visit: count }));
  await new Promise<void>((resolve) => {
    wake = resolve;
    setTimeout(resolve, PAUSE_MS);
  });
}
console.log(JSON.stringify({ operations, longest, failures } satisfies Visits));
process.exit(0);
