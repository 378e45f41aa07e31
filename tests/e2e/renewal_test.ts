import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { LIMITS } from "../../lib/base/limits.ts";
import { parseCertificate } from "../../lib/x509/certificate.ts";
import { decryptPrivateKey } from "../../lib/x509/keys.ts";
import { formSerial, makeCertificate } from "../../lib/x509/make.ts";
import { encodeCertificatesPem, parseCertificatesPem } from "../../lib/x509/pem.ts";
import { inWorld, PKI, PKI_FAULTS, type World } from "./harness.ts";

const RENEWED = "certificate was renewed";

/** Gives the stopped server a certificate of its own that ends at this time, and begins at that. */
async function shortenServerCertificate(
  world: World,
  notAfterMs: number,
  notBeforeMs?: number,
): Promise<void> {
  const folder = join(world.home, "server");
  const path = join(folder, "server.crt");
  const [leaf, issuing] = parseCertificatesPem(fs.readFileSync(path, "utf8"), path).map((der) =>
    parseCertificate(der)
  );
  assert.ok(leaf && issuing);
  const passphrase = fs.readFileSync(join(world.home, "server.passphrase"), "utf8").trim();
  const keyPem = fs.readFileSync(join(folder, "issuing.key"), "utf8");
  const der = await makeCertificate({
    serial: formSerial(randomBytes(20)),
    commonName: "server.pki.internal",
    notBeforeMs: Math.floor((notBeforeMs ?? leaf.notBeforeMs) / 1000) * 1000,
    notAfterMs: Math.floor(notAfterMs / 1000) * 1000,
    spki: leaf.spki,
    uris: ["spiffe://pki.internal/server"],
    dns: ["server.pki.internal"],
    extendedKeyUsage: ["1.3.6.1.5.5.7.3.1"],
  }, { key: await decryptPrivateKey(keyPem, passphrase, "issuing.key"), certificate: issuing });
  fs.writeFileSync(path, encodeCertificatesPem([der, issuing.der]));
}

function serverCertificate(world: World): Uint8Array | undefined {
  const path = join(world.home, "server", "server.crt");
  return parseCertificatesPem(fs.readFileSync(path, "utf8"), path)[0];
}

test("serve renews its own certificate at the start when little time is left", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    await world.server.running.end();
    await shortenServerCertificate(world, Date.now() + LIMITS.dayMs);
    const before = serverCertificate(world);
    await world.serve();
    const after = serverCertificate(world);
    assert.notDeepEqual(after, before);
    assert.ok(after && parseCertificate(after).notAfterMs > Date.now() + 80 * LIMITS.dayMs);
    await world.ok("alice", ["request", "alice"]);

    // Made while the clock was wrong: nobody accepts what has not begun.
    await world.server.running.end();
    const [beginsMs, endsMs] = [60, 150].map((days) => Date.now() + days * LIMITS.dayMs);
    await shortenServerCertificate(world, endsMs ?? NaN, beginsMs);
    await world.serve();
    await world.ok("alice", ["request", "alice"]);
  }, PKI));

test("serve renews its own certificate while it runs, and new connections see it", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    await world.server.running.end();
    // Due a few seconds after the start, however long that takes; the build for tests looks more often
    // than once an hour.
    const renewMs = LIMITS.serverRenewDays * LIMITS.dayMs;
    for (let leadMs = 4000, isInTime = false; !isInTime; leadMs *= 2) {
      await shortenServerCertificate(world, Date.now() + renewMs + leadMs);
      const before = serverCertificate(world);
      const { running } = await world.serve();
      const after = serverCertificate(world);
      isInTime = isDeepStrictEqual(after, before) || running.stderr.includes(RENEWED);
      if (isInTime) await running.waitFor(new RegExp(RENEWED));
      else await running.end();
    }
    // A login is bound to the leaf that the connection shows, so this would fail with the old one.
    await world.ok("alice", ["request", "alice"]);
  }, PKI_FAULTS));
