/**
 * The client's home folder: the pinned root, the configuration, the identities, what is known of the
 * server's log. See "State" in `docs/architecture.md`. Folders are made with mode 0700 and files with 0600, always atomically.
 */

import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import * as v from "valibot";
import { isEqualBytes } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import {
  fileExists,
  makeFolder,
  readText,
  readTextIfThere,
  syncFolder,
  writeFileAtomic,
} from "../base/files.ts";
import { checkRoot, type TrustAnchor } from "../x509/chain.ts";
import { checkDomain, checkId, isId } from "../x509/names.ts";
import { encodePem, parsePemBlock } from "../x509/pem.ts";
import { IdentityFiles } from "./identity_files.ts";

const CONFIG_FIELDS = v.strictObject({
  /** `host:port` of the server that the root belongs to. */
  server: v.optional(v.string()),
  /** Trust domain, pinned together with the root. */
  domain: v.optional(v.string()),
  /** SHA-256 of the issuing CAs pinned with them, in hex; a home of an earlier version has none. */
  issuers: v.optional(v.array(v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)))),
  /** Serial numbers of issuing CAs that the root has revoked; none is ever taken out. */
  revokedIssuers: v.optional(v.array(v.pipe(v.string(), v.regex(/^(?:[0-9a-f]{2}){1,20}$/)))),
  /** Who answered at an address that was dialled, by `host:port`. */
  peers: v.optional(v.record(v.string(), v.string())),
});

/** A list has no fields, so the schema alone would take it for an empty configuration. */
const CONFIG = v.pipe(v.unknown(), v.check((value) => !Array.isArray(value)), CONFIG_FIELDS);

type Config = v.InferOutput<typeof CONFIG>;

export class Home {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  get #configPath(): string {
    return join(this.folder, "config.json");
  }

  get rootPath(): string {
    return join(this.folder, "root.crt");
  }

  /** Where `pki serve` keeps its data when it is not told otherwise. */
  get serverFolder(): string {
    return join(this.folder, "server");
  }

  get passphrasePath(): string {
    return join(this.folder, "server.passphrase");
  }

  /** The newest checkpoint of the server's log that was found good, a signed note. */
  get checkpointPath(): string {
    return join(this.folder, "checkpoint");
  }

  /** The key of the log that the checkpoint is of: the verifier key and a CA's signature; see `log_key.ts`. */
  get logKeyPath(): string {
    return join(this.folder, "log.pub");
  }

  /** What a server's log said that cannot be, one file each. */
  get evidenceFolder(): string {
    return join(this.folder, "evidence");
  }

  /** Key and certificate of an identity, where they change. */
  files(id: string): IdentityFiles {
    checkId(id);
    return new IdentityFiles(join(this.folder, "ids", id));
  }

  keyPath(id: string): string {
    return this.files(id).keyPath;
  }

  certificatePath(id: string): string {
    return this.files(id).certificatePath;
  }

  /** @throws {PkiError} `malformed` */
  loadConfig(): Config {
    const text = readTextIfThere(this.#configPath);
    if (text === undefined) return {};
    try {
      return v.parse(CONFIG, JSON.parse(text));
    } catch (cause) {
      throw new PkiError("malformed", `cannot read "${this.#configPath}": not as it should be`, {
        cause,
      });
    }
  }

  saveConfig(config: Config): void {
    makeFolder(this.folder);
    writeFileAtomic(this.#configPath, `${JSON.stringify(config, null, 2)}\n`);
  }

  /** The pinned root, trust domain and issuing CAs; `undefined` before the first contact. */
  loadAnchor(nowMs: number): TrustAnchor | undefined {
    const pem = readTextIfThere(this.rootPath);
    if (pem === undefined) return undefined;
    const { domain, issuers, revokedIssuers } = this.loadConfig();
    if (domain === undefined) {
      throw new PkiError(
        "malformed",
        `cannot use "${this.#configPath}": it has lost the trust domain`,
        {
          hint: "put the file back, or use another home folder (--home)",
        },
      );
    }
    checkDomain(domain);
    return {
      root: checkRoot(parsePemBlock(pem, ["CERTIFICATE"], this.rootPath), nowMs),
      domain,
      ...(issuers ? { issuers: new Set(issuers) } : {}),
      ...(revokedIssuers ? { revokedIssuers: new Set(revokedIssuers) } : {}),
    };
  }

  /** Pins a root with its issuing CAs. Never called where one is pinned already. */
  pin(anchor: TrustAnchor, server: string): void {
    if (fileExists(this.rootPath)) throw new PkiError("internal", "a root is pinned already");
    // The root last: it is what counts as pinned.
    this.#savePins(anchor, server);
    writeFileAtomic(this.rootPath, encodePem("CERTIFICATE", anchor.root.der));
  }

  /** DER of the pinned root, whatever it is worth. */
  pinnedRoot(): Uint8Array | undefined {
    const pem = readTextIfThere(this.rootPath);
    return pem === undefined ? undefined : parsePemBlock(pem, ["CERTIFICATE"], this.rootPath);
  }

  /**
   * Pins a root with its issuing CAs in place of those that are pinned. What was known of another
   * root, and of its log, is kept as evidence.
   * @returns the file of the evidence, where a root was replaced
   */
  replacePins(anchor: TrustAnchor, server: string, nowMs: number): string | undefined {
    const before = readTextIfThere(this.rootPath);
    const isSame = before !== undefined && isEqualBytes(
      parsePemBlock(before, ["CERTIFICATE"], this.rootPath),
      anchor.root.der,
    );
    let evidence: string | undefined;
    if (before !== undefined && !isSame) {
      writeFileAtomic(`${this.rootPath}.old`, before);
      evidence = this.saveEvidence({
        what: "another root was trusted",
        time: new Date(nowMs).toISOString(),
        config: this.loadConfig(),
        root: before,
        logKey: this.loadLogKey(),
        knownCheckpoint: this.loadCheckpoint(),
      }, nowMs);
      // Another root has another log.
      for (const path of [this.checkpointPath, this.logKeyPath]) fs.rmSync(path, { force: true });
    }
    // Between the two files, nothing is trusted: these issuing CAs are not of the root before.
    const { revokedIssuers = [] } = isSame ? this.loadConfig() : {};
    const revoked = new Set([...revokedIssuers, ...(anchor.revokedIssuers ?? [])]);
    this.#savePins({ ...anchor, revokedIssuers: revoked }, server);
    if (!isSame) writeFileAtomic(this.rootPath, encodePem("CERTIFICATE", anchor.root.der));
    return evidence;
  }

  #savePins({ domain, issuers, revokedIssuers }: TrustAnchor, server: string): void {
    const { issuers: _, revokedIssuers: __, ...config } = this.loadConfig();
    this.saveConfig({
      ...config,
      server,
      domain,
      ...(issuers ? { issuers: [...issuers] } : {}),
      ...(revokedIssuers?.size ? { revokedIssuers: [...revokedIssuers] } : {}),
    });
  }

  /**
   * Remembers where the server was reached, and issuing CAs that were learnt under the pinned root.
   * What another command has pinned meanwhile stays.
   */
  remember(
    { issuers = new Set(), revokedIssuers = new Set() }: TrustAnchor,
    server: string,
  ): void {
    const config = this.loadConfig();
    const pins = [...new Set([...(config.issuers ?? []), ...issuers])];
    const revoked = [...new Set([...(config.revokedIssuers ?? []), ...revokedIssuers])];
    const merged = {
      ...config,
      server,
      ...(pins.length > 0 ? { issuers: pins } : {}),
      ...(revoked.length > 0 ? { revokedIssuers: revoked } : {}),
    };
    if (!isDeepStrictEqual(merged, config)) this.saveConfig(merged);
  }

  /** The ids that have a key here, sorted. */
  listIds(): readonly string[] {
    let names: string[];
    try {
      names = fs.readdirSync(join(this.folder, "ids"));
    } catch {
      return []; // no folder, no identities
    }
    return names.filter((name) => isId(name) && this.hasKey(name)).sort();
  }

  hasKey(id: string): boolean {
    return fileExists(this.files(id).keyPathInUse);
  }

  /** @throws {PkiError} `not-found` with the way to get one */
  loadKeyPem(id: string): string {
    if (!this.hasKey(id)) {
      throw new PkiError("not-found", `cannot find the key of "${id}" in "${this.folder}"`, {
        hint: `make one and have it certified with: pki csr --id ${id}`,
      });
    }
    return readText(this.files(id).keyPathInUse);
  }

  /** Leaf, then issuing CA. @throws {PkiError} `not-found` with the way to get one */
  loadCertificatePem(id: string): string {
    const pem = this.files(id).loadCertificate();
    if (pem === undefined) {
      throw new PkiError("not-found", `cannot find a certificate of "${id}" in "${this.folder}"`, {
        hint: `get one with: pki csr --id ${id}`,
      });
    }
    return pem;
  }

  loadLogKey(): string | undefined {
    return readTextIfThere(this.logKeyPath);
  }

  saveLogKey(text: string): void {
    makeFolder(this.folder);
    writeFileAtomic(this.logKeyPath, text);
  }

  loadCheckpoint(): string | undefined {
    return readTextIfThere(this.checkpointPath);
  }

  /**
   * Saves a checkpoint unless another than `replaced` is there by now: two commands may run at once,
   * and neither may undo what the other remembers. Returns whether it was saved. (Between the last
   * look and the renaming nothing but a moment passes; who hits it makes the memory shorter, not wrong.)
   */
  replaceCheckpoint(note: string, replaced: string | undefined): boolean {
    makeFolder(this.folder);
    const temporary = `${this.checkpointPath}.${randomBytes(6).toString("hex")}.tmp`;
    writeFileAtomic(temporary, note);
    try {
      if (this.loadCheckpoint() !== replaced) return false;
      fs.renameSync(temporary, this.checkpointPath);
      syncFolder(this.folder);
      return true;
    } catch (cause) {
      if (cause instanceof PkiError) throw cause;
      throw new PkiError("storage", `cannot write "${this.checkpointPath}"`, { cause });
    } finally {
      fs.rmSync(temporary, { force: true });
    }
  }

  /** Keeps evidence; returns its file. */
  saveEvidence(content: Readonly<Record<string, unknown>>, nowMs: number): string {
    makeFolder(this.evidenceFolder);
    const time = new Date(nowMs).toISOString().replaceAll(":", "");
    const path = join(this.evidenceFolder, `${time}-${randomBytes(4).toString("hex")}.json`);
    writeFileAtomic(path, `${JSON.stringify(content, null, 2)}\n`);
    return path;
  }
}
