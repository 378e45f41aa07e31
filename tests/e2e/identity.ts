/** What a home has of an identity, read by others than the program. */

import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import { parseCertificate } from "../../lib/x509/certificate.ts";
import { decryptPrivateKey, encodeSpki } from "../../lib/x509/keys.ts";
import { PASSWORDS, type World } from "./harness.ts";

export function folderOf(world: World, id: string): string {
  return join(world.home, "ids", id);
}

export function pemOf(world: World, id: string): string {
  return fs.readFileSync(join(folderOf(world, id), "cert.pem"), "utf8");
}

export function leafOf(world: World, id: string) {
  return parseCertificate(new Uint8Array(new X509Certificate(pemOf(world, id)).raw));
}

export function serialOf(world: World, id: string): string {
  return leafOf(world, id).serial;
}

/** Checks that `key.pem` opens and is the key of `cert.pem`. */
export async function assertFits(world: World, id: string): Promise<void> {
  const pem = fs.readFileSync(join(folderOf(world, id), "key.pem"), "utf8");
  const key = await decryptPrivateKey(pem, PASSWORDS[id] ?? "", "the key");
  assert.deepEqual(encodeSpki(key), leafOf(world, id).spki);
}

/** The one line of JSON that a command has written. */
export function resultOf(stdout: string): Record<string, unknown> {
  const [line, ...more] = stdout.trim().split("\n");
  assert.equal(more.length, 0, stdout);
  return JSON.parse(line ?? "") as Record<string, unknown>;
}

/** The serial number of the certificate that the directory gives out; `undefined` if there is none. */
export async function publishedSerial(world: World, id: string): Promise<string | undefined> {
  const { code, stdout } = await world.as("bob", ["request", id, "--json"]);
  if (code === 5) return undefined;
  assert.equal(code, 0);
  return String(resultOf(stdout)["serial"]);
}
