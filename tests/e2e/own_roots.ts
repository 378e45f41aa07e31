/** Roots and CAs as an administrator has them: commands about them, roots of openssl, folders opened. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { fingerprintOf, parseCertificate } from "../../lib/x509/certificate.ts";
import { decryptPrivateKey } from "../../lib/x509/keys.ts";
import { parsePemBlock } from "../../lib/x509/pem.ts";
import { type Finished, runProgram, type World } from "./harness.ts";

export function assertOk(finished: Finished, what: string): Finished {
  assert.equal(finished.code, 0, `${what}: ${finished.stderr}`);
  return finished;
}

/** Runs `pki` and expects success. */
export async function pki(world: World, ...args: readonly string[]): Promise<Finished> {
  return assertOk(await world.run(args), args.join(" "));
}

export async function fails(
  world: World,
  args: readonly string[],
  { code, stderr }: { readonly code: number; readonly stderr: RegExp },
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  const finished = await world.run(args, { env });
  assert.equal(finished.code, code, finished.stderr);
  assert.match(finished.stderr, stderr);
}

export async function openssl(cwd: string, ...args: readonly string[]): Promise<Finished> {
  return assertOk(await runProgram("openssl", args, { cwd }), `openssl ${args.join(" ")}`);
}

export function fingerprintOfFile(path: string): string {
  return fingerprintOf(parsePemBlock(fs.readFileSync(path, "utf8"), ["CERTIFICATE"], path));
}

interface Config {
  readonly issuers?: readonly string[];
  readonly revokedIssuers?: readonly string[];
}

export function configOf(home: string): Config {
  return JSON.parse(fs.readFileSync(join(home, "config.json"), "utf8"));
}

/** Another home: somebody on another machine. */
export function elsewhere(world: World, name: string) {
  const home = world.path(name);
  return { home, env: { PKI_HOME: home } };
}

/** A root made with openssl, as somebody may have it. */
export async function makeOpensslRoot(
  world: World,
  { genpkey, isEncrypted = false, keyUsage = "keyCertSign,cRLSign" }: {
    readonly genpkey: readonly string[];
    readonly isEncrypted?: boolean;
    readonly keyUsage?: string;
  },
): Promise<{ readonly folder: string; readonly args: readonly string[] }> {
  const folder = fs.mkdtempSync(world.path("root-"));
  await openssl(
    folder,
    "genpkey",
    ...genpkey,
    ...(isEncrypted ? ["-aes-256-cbc", "-pass", "pass:of the root alone"] : []),
    ...["-out", "root.key"],
  );
  fs.writeFileSync(join(folder, "root.pass"), "of the root alone\n");
  await openssl(
    folder,
    ...["req", "-x509", "-new", "-key", "root.key", "-days", "3000", "-out", "root.crt"],
    ...(isEncrypted ? ["-passin", "file:root.pass"] : []),
    ...[
      "-subj",
      "/O=Example/CN=Example Root R1",
      "-addext",
      `keyUsage=critical,${keyUsage}`,
    ],
    ...["-addext", "basicConstraints=critical,CA:TRUE,pathlen:1"],
  );
  const args = [
    ...["--root-cert", join(folder, "root.crt"), "--root-key", join(folder, "root.key")],
    ...(isEncrypted ? ["--root-passphrase-file", join(folder, "root.pass")] : []),
  ];
  return { folder, args };
}

/** A CA of a data folder with its key. */
export async function openCa(world: World, data: string, name: "root" | "issuing") {
  const [certPem, keyPem] = ["crt", "key"].map((ending) =>
    fs.readFileSync(join(data, `${name}.${ending}`), "utf8")
  );
  const passphrase = fs.readFileSync(join(world.home, "server.passphrase"), "utf8").trim();
  return {
    certificate: parseCertificate(parsePemBlock(certPem ?? "", ["CERTIFICATE"], name)),
    key: await decryptPrivateKey(keyPem ?? "", passphrase, name),
  };
}
