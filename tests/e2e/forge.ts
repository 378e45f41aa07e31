/**
 * Certificates at will: from the issuing CA of a test's server, whose key the test opens, or from a
 * whole foreign CA with the same names. Everything comes as PEM files too, so that openssl can use it.
 */

import { type KeyObject, randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import { encodeBase64 } from "../../lib/base/bytes.ts";
import { issueCertificate, prepareCertificate, type ProfileName } from "../../lib/ca/issue.ts";
import { serverFiles } from "../../lib/server/files.ts";
import { type Certificate, parseCertificate } from "../../lib/x509/certificate.ts";
import { decryptPrivateKey, encodeSpki, generatePrivateKey } from "../../lib/x509/keys.ts";
import { type CertificateTemplate, makeCertificate } from "../../lib/x509/make.ts";
import { DEFAULT_DOMAIN } from "../../lib/x509/names.ts";
import { encodeCertificatesPem, parsePemBlock } from "../../lib/x509/pem.ts";
import { makeStatus, type StatusDraft } from "../fakes/status.ts";
import { PASSWORDS, type World } from "./harness.ts";

/** A key, and a certificate for it, ready to be shown in TLS. */
export interface Credential {
  readonly leaf: Certificate;
  /** What the CA says of it now, in base64 as a peer staples it: good. */
  readonly status: string;
  /** PKCS #8, not encrypted. */
  readonly keyPem: string;
  /** Leaf, then issuing CA. */
  readonly certPem: string;
  /** The same as files: the key, the leaf alone, the issuing CA alone. */
  readonly keyPath: string;
  readonly leafPath: string;
  readonly issuingPath: string;
}

/** What an OCSP response says instead of that a certificate is good for an hour. */
export type StatusDeviation = Partial<Omit<StatusDraft, "issuer">>;

/** What a forged certificate says instead of what its profile would. */
export type Deviation = Partial<Omit<CertificateTemplate, "spki">>;

interface Ca {
  readonly root: Certificate;
  readonly issuing: Certificate;
  readonly issuingKey: KeyObject;
}

const HOUR_MS = 3_600_000;

/** Has ended an hour ago. */
export function expired(): Deviation {
  const nowMs = Date.now();
  return { notBeforeMs: nowMs - 3 * HOUR_MS, notAfterMs: nowMs - HOUR_MS };
}

/** Begins in an hour. */
export function notYetValid(): Deviation {
  const nowMs = Date.now();
  return { notBeforeMs: nowMs + HOUR_MS, notAfterMs: nowMs + 3 * HOUR_MS };
}

function prepare(
  profile: ProfileName,
  key: KeyObject,
  { id, issuer }: { readonly id?: string; readonly issuer?: Certificate },
): CertificateTemplate {
  return prepareCertificate({
    profile,
    domain: DEFAULT_DOMAIN,
    spki: encodeSpki(key),
    nowMs: Date.now(),
    random: randomBytes(20),
    ...(id === undefined ? {} : { id }),
    ...(issuer ? { issuerNotAfterMs: issuer.notAfterMs } : {}),
  });
}

async function makeForeignCa(): Promise<Ca> {
  const rootKey = await generatePrivateKey("p256");
  const root = parseCertificate(
    await issueCertificate(prepare("root", rootKey, {}), { key: rootKey }),
  );
  const issuingKey = await generatePrivateKey("p256");
  const issuing = parseCertificate(
    await issueCertificate(prepare("issuing", issuingKey, { issuer: root }), {
      key: rootKey,
      certificate: root,
    }),
  );
  return { root, issuing, issuingKey };
}

function readCertificate(path: string): Certificate {
  return parseCertificate(parsePemBlock(fs.readFileSync(path, "utf8"), ["CERTIFICATE"], path));
}

export class Forge {
  readonly #ca: Ca;
  readonly #folder: string;
  #made = 0;
  /** PEM of the root, as `-CAfile` wants it. */
  readonly rootPath: string;
  readonly rootDer: Uint8Array;
  readonly issuing: Certificate;

  private constructor(ca: Ca, folder: string) {
    this.#ca = ca;
    this.#folder = folder;
    this.rootPath = join(folder, "root.pem");
    this.rootDer = ca.root.der;
    this.issuing = ca.issuing;
    fs.writeFileSync(this.rootPath, encodeCertificatesPem([ca.root.der]));
  }

  /** With the issuing CA of a world's server, as somebody would have it who stole its key. */
  static async ofServer(world: World): Promise<Forge> {
    const files = serverFiles(join(world.home, "server"));
    const passphrase = fs.readFileSync(join(world.home, "server.passphrase"), "utf8").trim();
    const issuingKey = await decryptPrivateKey(
      fs.readFileSync(files.issuingKey, "utf8"),
      passphrase,
      "issuing.key",
    );
    return new Forge(
      {
        root: readCertificate(files.rootCertificate),
        issuing: readCertificate(files.issuingCertificate),
        issuingKey,
      },
      fs.mkdtempSync(world.path("forge-")),
    );
  }

  /** With a CA of its own that has the same names as a world's. */
  static async foreign(world: World): Promise<Forge> {
    return new Forge(await makeForeignCa(), fs.mkdtempSync(world.path("foreign-")));
  }

  /** As the profile `user` has it, but for what deviates. */
  async user(id: string, deviation: Deviation = {}): Promise<Credential> {
    const key = await generatePrivateKey("p256");
    const template = prepare("user", key, { id, issuer: this.#ca.issuing });
    return await this.#issue(key, { ...template, ...deviation });
  }

  /** As the profile `server` has it: what the trust domain's server would show. */
  async server(deviation: Deviation = {}): Promise<Credential> {
    const key = await generatePrivateKey("p256");
    const template = prepare("server", key, { issuer: this.#ca.issuing });
    return await this.#issue(key, { ...template, ...deviation });
  }

  /** A user's own key, from the home, with the certificate that the server made for it. */
  async registered(world: World, id: string, password = PASSWORDS[id] ?? ""): Promise<Credential> {
    const folder = join(world.home, "ids", id);
    const key = await decryptPrivateKey(
      fs.readFileSync(join(folder, "key.pem"), "utf8"),
      password,
      id,
    );
    return this.#write(key, readCertificate(join(folder, "cert.pem")).der);
  }

  /** An OCSP response about a credential's certificate, by the CA that made it. */
  status({ leaf }: Pick<Credential, "leaf">, deviation: StatusDeviation = {}): Uint8Array {
    return makeStatus({
      issuer: { certificate: this.#ca.issuing, key: this.#ca.issuingKey },
      serial: leaf.serial,
      thisUpdateMs: Date.now(),
      ...deviation,
    });
  }

  async #issue(key: KeyObject, template: CertificateTemplate): Promise<Credential> {
    const { issuing, issuingKey } = this.#ca;
    const leaf = await makeCertificate(template, { key: issuingKey, certificate: issuing });
    return this.#write(key, leaf);
  }

  #write(key: KeyObject, der: Uint8Array): Credential {
    const leaf = parseCertificate(der);
    const path = (name: string) => join(this.#folder, `${this.#made}.${name}.pem`);
    this.#made++;
    const issuing = this.#ca.issuing.der;
    const credential = {
      leaf,
      status: encodeBase64(this.status({ leaf })),
      keyPem: key.export({ format: "pem", type: "pkcs8" }) as string,
      certPem: encodeCertificatesPem([der, issuing]),
      keyPath: path("key"),
      leafPath: path("leaf"),
      issuingPath: path("issuing"),
    };
    fs.writeFileSync(credential.keyPath, credential.keyPem, { mode: 0o600 });
    fs.writeFileSync(credential.leafPath, encodeCertificatesPem([der]));
    fs.writeFileSync(credential.issuingPath, encodeCertificatesPem([issuing]));
    return credential;
  }
}
