/**
 * `config.json` of the home: read against a schema, and changed so that no two commands at once undo
 * what the other has just remembered.
 */

import * as fs from "node:fs";
import { randomBytes } from "node:crypto";
import { dirname } from "node:path";
import { isDeepStrictEqual } from "node:util";
import * as v from "valibot";
import { PkiError, systemCodeOf } from "../base/errors.ts";
import {
  makeFolder,
  readTextIfThere,
  SECRET_MODE,
  storageError,
  writeFileAtomic,
} from "../base/files.ts";
import { parseJson, RepeatedName } from "../base/json.ts";

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
  /** The identity in use, where the home has several. */
  identity: v.optional(v.string()),
});

/** A list has no fields, so the schema alone would take it for an empty configuration. */
const CONFIG = v.pipe(v.unknown(), v.check((value) => !Array.isArray(value)), CONFIG_FIELDS);

export type Config = v.InferOutput<typeof CONFIG>;

/** The lock is held for one write and its sync; who holds it for longer has died with it. */
const LOCK_STALE_MS = 10_000;
const LOCK_WAIT_MS = 5;
/** Long enough to outlive one who died, and some who did not. */
const LOCK_PATIENCE_MS = 3 * LOCK_STALE_MS;

/** Waits without giving anybody else a turn: what runs here runs to its end. */
function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

export class ConfigFile {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** @throws {PkiError} `malformed` */
  load(): Config {
    const text = readTextIfThere(this.#path);
    if (text === undefined) return {};
    try {
      return v.parse(CONFIG, parseJson(text));
    } catch (cause) {
      const why = cause instanceof RepeatedName ? cause.message : "not as it should be";
      throw new PkiError("malformed", `cannot read "${this.#path}": ${why}`, {
        cause,
        hint: "put a good copy in its place, or start over with another home folder (--home)",
      });
    }
  }

  /**
   * Changes what is there at that moment; writes nothing where that changes nothing.
   * @param edit may be called twice
   * @throws {PkiError} `malformed`, `storage`, `busy`
   */
  change(edit: (config: Config) => Config): void {
    const before = this.load();
    if (isDeepStrictEqual(edit(before), before)) return;
    makeFolder(dirname(this.#path));
    const unlock = this.#lock();
    try {
      writeFileAtomic(this.#path, `${JSON.stringify(edit(this.load()), null, 2)}\n`);
    } finally {
      unlock();
    }
  }

  /** A file that only one can make; there are no file locks in `node:`. Returns what unlocks it. */
  #lock(): () => void {
    const path = `${this.#path}.lock`;
    const mine = randomBytes(16).toString("hex");
    for (let waitedMs = 0; waitedMs < LOCK_PATIENCE_MS; waitedMs += LOCK_WAIT_MS) {
      try {
        fs.writeFileSync(path, mine, { flag: "wx", mode: SECRET_MODE });
        return () => {
          if (readTextIfThere(path) === mine) fs.rmSync(path, { force: true });
        };
      } catch (cause) {
        if (systemCodeOf(cause) !== "EEXIST") throw storageError(`cannot write "${path}"`, cause);
      }
      const madeMs = fs.statSync(path, { throwIfNoEntry: false })?.mtimeMs;
      if (madeMs !== undefined && Math.abs(Date.now() - madeMs) > LOCK_STALE_MS) {
        fs.rmSync(path, { force: true });
      } else pause(LOCK_WAIT_MS);
    }
    throw new PkiError("busy", `cannot change "${this.#path}": others change it all the time`, {
      hint: `if no other pki runs, remove "${path}"`,
    });
  }
}
