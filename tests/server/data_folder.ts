/** A data folder for tests: set up as the server does, with users certified in its log. */

import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { copyBytes, encodeBase64, sha256, utf8 } from "../../lib/base/bytes.ts";
import { readText } from "../../lib/base/files.ts";
import { issueCertificate, prepareCertificate } from "../../lib/ca/issue.ts";
import { openLog } from "../../lib/server/open_log.ts";
import { certificateCopy, defaultWitness, serverFiles } from "../../lib/server/files.ts";
import { loadRoot } from "../../lib/server/log_key.ts";
import { setUp } from "../../lib/server/setup.ts";
import { Database, loadSqlite } from "../../lib/store/database.ts";
import { diskFiles, replaceFile } from "../../lib/store/disk.ts";
import { encodeSnapshot } from "../../lib/store/snapshot.ts";
import { parseCertificate } from "../../lib/x509/certificate.ts";
import { decryptPrivateKey, encodeSpki, generatePrivateKey } from "../../lib/x509/keys.ts";
import { encodeCertificatesPem, parsePemBlock } from "../../lib/x509/pem.ts";
import { encryptCheaply } from "../fakes/cheap_key.ts";

export const PASSPHRASE = "a passphrase of tests";
const DOMAIN = "pki.internal";

await loadSqlite();
encryptCheaply();
const root = fs.mkdtempSync(join(tmpdir(), "pki-folder-"));
const template = join(root, "template", "data");
await setUp(template, { domain: DOMAIN, passphrase: PASSPHRASE, nowMs: Date.now() });
await grow(template, ["alice", "bob"], { hasSnapshot: true });
await grow(template, ["carol"]);

/** Removes all folders of this process. */
export function removeFolders(): void {
  fs.rmSync(root, { recursive: true, force: true });
}

/** A path in a fresh folder. */
export function freshPath(name: string): string {
  return join(fs.mkdtempSync(join(root, "x-")), name);
}

/** A copy of a folder; of the one that has the server, alice, bob (a snapshot knows them), carol. */
export function makeDataFolder(from = template): string {
  const folder = freshPath("data");
  fs.cpSync(from, folder, { recursive: true });
  fs.cpSync(defaultWitness(from), defaultWitness(folder));
  return folder;
}

/** Changes the tables of the snapshot, and seals it anew. */
export function forge(path: string, sql: string): void {
  const bytes = fs.readFileSync(path);
  const title = utf8("pki state seal 1\n");
  const database = Database.deserialize(bytes.subarray(0, bytes.length - title.length - 32));
  database.exec(sql);
  const file = database.serialize();
  fs.writeFileSync(path, new Uint8Array([...file, ...title, ...sha256(file)]));
}

/** Has users registered and certified, as the directory would. */
export async function grow(
  folder: string,
  ids: readonly string[],
  { hasSnapshot = false, renews = [] }: {
    readonly hasSnapshot?: boolean;
    readonly renews?: readonly string[];
  } = {},
): Promise<void> {
  const files = serverFiles(folder);
  const nowMs = Date.now();
  const certificate = parseCertificate(
    parsePemBlock(readText(files.issuingCertificate), ["CERTIFICATE"], "issuing"),
  );
  const key = await decryptPrivateKey(readText(files.issuingKey), PASSPHRASE, "issuing");
  const { log, state, index } = await openLog({
    files,
    root: loadRoot(files),
    domain: DOMAIN,
    passphrase: PASSPHRASE,
    witness: defaultWitness(folder),
    acceptsLoss: false,
    nowMs,
    warn: () => {},
  });
  const append = async (entry: Parameters<typeof log.append>[0]) => {
    const { index: place } = await log.append(entry);
    state.apply(entry, place);
  };
  const certify = async (id?: string) => {
    const prepared = prepareCertificate({
      profile: id === undefined ? "server" : "user",
      domain: DOMAIN,
      spki: encodeSpki(await generatePrivateKey("p256")),
      nowMs,
      random: randomBytes(20),
      issuerNotAfterMs: certificate.notAfterMs,
      ...(id === undefined ? {} : { id }),
    });
    const der = issueCertificate(prepared, { key, certificate });
    const { serial } = parseCertificate(der);
    const profile = id === undefined ? "server" : "user";
    await append({
      type: "issued",
      timeMs: nowMs,
      public: {
        serial,
        profile,
        ...(id === undefined ? {} : { id }),
        certificate: encodeBase64(der),
      },
      private: null,
      salt: null,
    });
    return { pem: encodeCertificatesPem([der, certificate.der]), serial };
  };
  if (!fs.existsSync(files.serverCertificate)) {
    fs.writeFileSync(files.serverCertificate, (await certify()).pem);
  }
  fs.mkdirSync(files.certificates, { recursive: true });
  for (const id of ids) {
    await append({
      type: "registered",
      timeMs: nowMs,
      public: {},
      private: { id, credential: `c-${id}`, record: `r-${id}` },
      salt: copyBytes(randomBytes(32)),
    });
    const { pem, serial } = await certify(id);
    fs.writeFileSync(certificateCopy(files, id), pem);
    await append({
      type: "published",
      timeMs: nowMs,
      public: { serial },
      private: null,
      salt: null,
    });
  }
  for (const id of renews) fs.writeFileSync(certificateCopy(files, id), (await certify(id)).pem);
  await log.close();
  if (hasSnapshot) await replaceFile(diskFiles, files.snapshot, encodeSnapshot({ state, index }));
  state.close();
}
