/**
 * `endorsements.json` of an identity: what its keys have signed for the keys that followed them, for
 * peers who know an old key.
 *
 * An endorsement is written before the certificate of the new key takes the place of the old one, and
 * counts from that moment on: whoever reads follows the endorsements back from the key of the
 * certificate that is there. So both fit after a crash between the two, and a word for a key that
 * nobody has certified is never shown to anybody.
 */

import * as v from "valibot";
import { type Bytes, encodeHex, isEqualBytes, sha256 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { readTextIfThere, writeFileAtomic } from "../base/files.ts";
import { parseJson } from "../base/json.ts";
import {
  type Endorsement,
  ENDORSEMENT_FIELDS,
  endorsementFromJson,
  ENDORSEMENTS_MAX,
  endorsementToJson,
} from "../protocol/endorsement.ts";

/** Twice what anybody is shown: two commands at once may have made one for a key each. */
const KEPT_MAX = 2 * ENDORSEMENTS_MAX;

const FILE = v.pipe(
  v.array(v.strictObject({
    /** SHA-256 of the key that has signed, in hex. */
    by: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
    ...ENDORSEMENT_FIELDS,
  })),
  v.maxLength(KEPT_MAX),
);

interface Kept {
  readonly by: string;
  readonly endorsement: Endorsement;
}

function nameOf(key: Uint8Array): string {
  return encodeHex(sha256(key));
}

export class OwnEndorsements {
  readonly #path: string;

  /** @param path of the file; it need not be there */
  constructor(path: string) {
    this.#path = path;
  }

  /** @throws {PkiError} `malformed`, `storage` */
  #load(): readonly Kept[] {
    const text = readTextIfThere(this.#path);
    if (text === undefined) return [];
    try {
      return v.parse(FILE, parseJson(text)).map(({ by, ...json }) => ({
        by,
        endorsement: endorsementFromJson(json),
      }));
    } catch (cause) {
      throw new PkiError("malformed", `cannot read "${this.#path}": not as it should be`, {
        cause,
        hint: "remove it; those who know your old key will then be asked whether it is you",
      });
    }
  }

  #save(kept: readonly Kept[]): void {
    const json = kept.map(({ by, endorsement }) => ({ by, ...endorsementToJson(endorsement) }));
    writeFileAtomic(this.#path, `${JSON.stringify(json, null, 2)}\n`);
  }

  /**
   * What leads to a key, oldest first: the last {@link ENDORSEMENTS_MAX} at most.
   * @param key DER of the public key in the certificate that is there
   * @throws {PkiError} `malformed`, `storage`
   */
  leadingTo(key: Uint8Array): readonly Endorsement[] {
    const kept = this.#load();
    const chain: Endorsement[] = [];
    for (let name = nameOf(key); chain.length < ENDORSEMENTS_MAX;) {
      const link = kept.findLast(({ endorsement }) => nameOf(endorsement.key) === name);
      if (!link) break;
      chain.unshift(link.endorsement);
      name = link.by;
    }
    return chain;
  }

  /**
   * Keeps an endorsement, in place of what was there for the same new key.
   * @param by DER of the public key that has signed
   * @throws {PkiError} `malformed`, `storage`
   */
  add(by: Bytes, endorsement: Endorsement): void {
    const kept = this.#without(endorsement.key);
    this.#save([...kept, { by: nameOf(by), endorsement }].slice(-KEPT_MAX));
  }

  /**
   * Forgets what vouches for a key. @throws {PkiError} `malformed`, `storage`
   */
  drop(key: Uint8Array): void {
    const kept = this.#without(key);
    if (kept.length < this.#load().length) this.#save(kept);
  }

  #without(key: Uint8Array): readonly Kept[] {
    return this.#load().filter(({ endorsement }) => !isEqualBytes(endorsement.key, key));
  }
}
