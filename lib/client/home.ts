/**
 * The client's home folder: the pinned root, the configuration, the identities, what is known of the
 * server's log. See "State" in `docs/architecture.md`. Folders are made with mode 0700 and files with 0600, always atomically.
 */

import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { dirname, join } from "node:path";
import { isEqualBytes } from "../base/bytes.ts";
import { PkiError, systemCodeOf } from "../base/errors.ts";
import {
  fileExists,
  makeFolder,
  readText,
  readTextIfThere,
  storageError,
  syncFolder,
  writeFileAtomic,
} from "../base/files.ts";
import { checkRoot, type TrustAnchor } from "../x509/chain.ts";
import { checkDomain, checkId, isId } from "../x509/names.ts";
import { encodePem, parsePemBlock } from "../x509/pem.ts";
import { type Config, ConfigFile } from "./config.ts";
import { Contacts } from "./contacts.ts";
import { IdentityFiles } from "./identity_files.ts";

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

  /** Who was talked to. */
  get contacts(): Contacts {
    return new Contacts(join(this.folder, "contacts"));
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

  get #config(): ConfigFile {
    return new ConfigFile(this.#configPath);
  }

  /** @throws {PkiError} `malformed` */
  loadConfig(): Config {
    return this.#config.load();
  }

  /** Changes what the configuration is at that moment. @throws {PkiError} as {@link ConfigFile.change} */
  changeConfig(edit: (config: Config) => Config): void {
    this.#config.change(edit);
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
    this.changeConfig(({ issuers: _, revokedIssuers: __, ...config }) => ({
      ...config,
      server,
      domain,
      ...(issuers ? { issuers: [...issuers] } : {}),
      ...(revokedIssuers?.size ? { revokedIssuers: [...revokedIssuers] } : {}),
    }));
  }

  /**
   * Remembers where the server was reached, and issuing CAs that were learnt under the pinned root.
   * What another command has pinned meanwhile stays.
   */
  remember(
    { issuers = new Set(), revokedIssuers = new Set() }: TrustAnchor,
    server: string,
  ): void {
    this.changeConfig((config) => {
      const pins = [...new Set([...(config.issuers ?? []), ...issuers])];
      const revoked = [...new Set([...(config.revokedIssuers ?? []), ...revokedIssuers])];
      return {
        ...config,
        server,
        ...(pins.length > 0 ? { issuers: pins } : {}),
        ...(revoked.length > 0 ? { revokedIssuers: revoked } : {}),
      };
    });
  }

  /** The ids of which anything is here, sorted. */
  listFolders(): readonly string[] {
    try {
      const entries = fs.readdirSync(join(this.folder, "ids"), { withFileTypes: true });
      return entries.flatMap((entry) => entry.isFile() || !isId(entry.name) ? [] : [entry.name])
        .sort();
    } catch {
      return []; // no folder, no identities
    }
  }

  /** The ids that have a key here, sorted. */
  listIds(): readonly string[] {
    return this.listFolders().filter((id) => this.hasKey(id));
  }

  /**
   * Removes an identity's key and certificate, for good.
   * @throws {PkiError} `not-found`, `storage`
   */
  removeIdentity(id: string): void {
    const folder = dirname(this.keyPath(id));
    const aside = join(dirname(folder), `.${id}.${randomBytes(6).toString("hex")}.removed`);
    try {
      fs.renameSync(folder, aside); // at once, so that no half of it is ever taken for an identity
      fs.rmSync(aside, { recursive: true, force: true });
      syncFolder(dirname(folder));
    } catch (cause) {
      if (systemCodeOf(cause) === "ENOENT") {
        throw new PkiError("not-found", `cannot find "${id}" in "${this.folder}"`, {
          hint: "pki id lists the identities",
        });
      }
      throw storageError(`cannot remove "${folder}"`, cause);
    }
    if (this.idInUse === id) this.useId(undefined);
  }

  /** The identity that was chosen with `pki id use`, whether or not it is still here. */
  get idInUse(): string | undefined {
    const { identity } = this.loadConfig();
    if (identity !== undefined) checkId(identity);
    return identity;
  }

  /** Takes an identity into use; with `undefined`, none. */
  useId(id: string | undefined): void {
    this.changeConfig(({ identity: _, ...config }) =>
      id === undefined ? config : { ...config, identity: id }
    );
  }

  /**
   * Who the user is where nothing else says so: the identity in use, else the only one.
   * @returns `undefined` where there are none, or several of which none is in use
   * @throws {PkiError} `usage` if the one in use is gone: nobody shall act as somebody else by that
   */
  chooseId(): string | undefined {
    const { idInUse } = this;
    const ids = this.listIds();
    if (idInUse === undefined) return ids.length === 1 ? ids[0] : undefined;
    if (ids.includes(idInUse)) return idInUse;
    throw new PkiError(
      "usage",
      `cannot act as "${idInUse}", the identity in use: it has no key here`,
      {
        hint: "choose another with: pki id use NAME; or name yourself with --id",
      },
    );
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
      throw new PkiError("storage", `cannot write "${this.checkpointPath}"`, {
        cause,
        hint: "see whether the disk is full, and who owns the folder",
      });
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
