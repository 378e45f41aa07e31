/**
 * What a certificate costs the authority's thread, by step: microseconds each, without any other
 * thread, network or disk. Run it with Deno, or bundled with the engine of the executable:
 * `deno run -A bench/certify.ts [--bun]`.
 */

import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createAuthority } from "../lib/ca/authority.ts";
import { checkCsr } from "../lib/ca/csr_policy.ts";
import { issueCertificate, prepareCertificate } from "../lib/ca/issue.ts";
import { lintTbs } from "../lib/ca/lint.ts";
import { parseProfiles } from "../lib/ca/profile_config.ts";
import { describeUser } from "../lib/ca/subject.ts";
import { KEY_TYPES } from "../lib/x509/algorithms.ts";
import { parseCertificate } from "../lib/x509/certificate.ts";
import { parseCsr, readCsr } from "../lib/x509/csr.ts";
import { encodeSpki, generatePrivateKey } from "../lib/x509/keys.ts";
import {
  encodeFixedExtensions,
  encodeTbs,
  prepareSigner,
  signCertificate,
} from "../lib/x509/make.ts";
import { readPublicKey } from "../lib/x509/public_key.ts";
import { makeCsr } from "../lib/x509/make_csr.ts";

const ROUNDS = 40;
const DOMAIN = "pki.internal";

/** Microseconds, the best of some rounds: what disturbs only ever makes it slower. */
function measure(name: string, times: number, step: () => unknown): number {
  for (let i = 0; i < times; i++) step();
  let best = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now();
    for (let i = 0; i < times; i++) step();
    best = Math.min(best, (performance.now() - start) * 1000 / times);
  }
  console.log(`${name.padEnd(40)} ${best.toFixed(1).padStart(8)} µs`);
  return best;
}

async function run(): Promise<void> {
  const nowMs = Date.now();
  const [rootKey, issuingKey] = await Promise.all([
    generatePrivateKey("p256"),
    generatePrivateKey("p256"),
  ]);
  const common = { domain: DOMAIN, nowMs };
  const root = parseCertificate(issueCertificate(
    prepareCertificate({
      ...common,
      profile: "root",
      spki: encodeSpki(rootKey),
      random: randomBytes(20),
    }),
    { key: rootKey },
  ));
  const issuing = parseCertificate(issueCertificate(
    prepareCertificate({
      ...common,
      profile: "issuing",
      spki: encodeSpki(issuingKey),
      random: randomBytes(20),
      issuerNotAfterMs: root.notAfterMs,
    }),
    { key: rootKey, certificate: root },
  ));
  const profiles = parseProfiles(undefined, DOMAIN);
  const authority = createAuthority({
    issuing: { certificate: issuing, key: issuingKey },
    domain: DOMAIN,
    profiles,
  });
  const signer = prepareSigner({ key: issuingKey, certificate: issuing });
  for (const type of ["p256", "ed25519", "rsa3072"] as const) {
    const key = await generatePrivateKey(type);
    const csr = await makeCsr(key, "alice");
    const spki = encodeSpki(key);
    const times = type === "rsa3072" ? 100 : 200;
    console.log(`\n${KEY_TYPES[type].title}`);
    const fields = parseCsr(csr);
    const subject = describeUser("alice", DOMAIN);
    const { extendedKeyUsage } = profiles.user;
    const template = prepareCertificate({
      ...common,
      profile: "user",
      id: "alice",
      spki,
      random: randomBytes(20),
      issuerNotAfterMs: issuing.notAfterMs,
    });
    const fixed = encodeFixedExtensions(template);
    const tbs = encodeTbs(template, signer, fixed);
    const lint = {
      template,
      issuer: issuing,
      algorithm: signer.algorithm,
      validityMsMax: Infinity,
    };
    const reading = measure("read the request", times, () => readCsr(csr));
    const judging = measure("judge its key", times, () => readPublicKey(spki));
    const whole = measure("the same, and verify its signature", times, () => parseCsr(csr));
    console.log(`${"so verifying alone".padEnd(40)} ${(whole - reading - judging).toFixed(1)}`);
    measure(
      "hold it against the profile",
      times,
      () => checkCsr(fields, { subject, extendedKeyUsage }),
    );
    measure("write the certificate", times, () => encodeTbs(template, signer, fixed));
    measure("lint it", times, () => lintTbs(tbs, lint));
    measure("sign it", times, () => signCertificate(tbs, signer));
    measure("all of it", times, () => authority.certify({ profile: "user", id: "alice", csr }));
  }
}

/** The same, bundled, in the engine that the executable has. */
async function runInBun(): Promise<void> {
  const { build } = await import("esbuild");
  const folder = fs.mkdtempSync(join(tmpdir(), "pki-bench-"));
  const outfile = join(folder, "certify.mjs");
  await build({
    entryPoints: [new URL(import.meta.url).pathname],
    outfile,
    bundle: true,
    format: "esm",
    platform: "node",
    external: ["esbuild"],
    logLevel: "error",
  });
  const platform = process.arch === "arm64" ? "aarch64" : "x64";
  const packed = "node_modules/.deno";
  const name = fs.readdirSync(packed).find((entry) =>
    entry.startsWith(`@oven+bun-linux-${platform}@`)
  );
  const bun = join(packed, name ?? "", `node_modules/@oven/bun-linux-${platform}/bin/bun`);
  spawnSync(bun, ["run", outfile], { stdio: "inherit" });
  fs.rmSync(folder, { recursive: true });
}

if (process.argv.includes("--bun")) await runInBun();
else await run();
