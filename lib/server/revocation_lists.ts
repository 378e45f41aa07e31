/**
 * The revocation lists of all CAs of a data folder, handed out in parts to whoever asks. Each is made
 * by itself (`revocation_list.ts`); the root's is made where the root's key is, and only read here.
 */

import * as fs from "node:fs";
import { encodeBase64 } from "../base/bytes.ts";
import { messageOf, PkiError } from "../base/errors.ts";
import { fileExists, storageError } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import type { AnswerOf } from "../protocol/answers.ts";
import { fingerprintOf } from "../x509/certificate.ts";
import { parseCrl, parseCrlHead } from "../x509/crl.ts";
import {
  type KeptList,
  type ListedIssuer,
  RevocationList,
  type RevocationListsOptions,
} from "./revocation_list.ts";

/** What a question about a list may name. */
export interface ListQuestion {
  /** SHA-256 of the CA's certificate in hex; the current issuing CA's where it is absent. */
  readonly issuer?: string;
  readonly number?: string;
  readonly offset?: number;
}

export class RevocationLists {
  readonly #options: RevocationListsOptions;
  #lists: readonly RevocationList[] = [];
  /** A list that is not made here: the root's, by the root's fingerprint. */
  #root: { readonly fingerprint: string; readonly list: KeptList } | undefined;

  constructor(options: RevocationListsOptions) {
    this.#options = options;
  }

  /** Whose lists are kept from now on, the current issuing CA's first; each has one afterwards. */
  async use(
    issuers: readonly ListedIssuer[],
    root: { readonly rootDer: Uint8Array; readonly path: string },
  ): Promise<void> {
    const before = this.#lists;
    this.#root = this.#readRootList(root);
    this.#lists = issuers.map((issuer) => {
      const same = before.find((list) => list.issuer.fingerprint === issuer.fingerprint);
      return same?.issuer.path === issuer.path
        ? same
        : new RevocationList(issuer, this.#options, same);
    });
    // Another CA's list may go where one of them went: not before that is written.
    await Promise.all(
      before.filter((list) => !this.#lists.includes(list)).map((list) => list.stop()),
    );
    await Promise.all(
      this.#lists.filter((list) => !before.includes(list)).map((list) => list.begin()),
    );
  }

  #readRootList(
    { rootDer, path }: { readonly rootDer: Uint8Array; readonly path: string },
  ) {
    if (!fileExists(path)) return undefined;
    try {
      const der = new Uint8Array(fs.readFileSync(path));
      const number = String(parseCrl(der).number ?? 0n);
      return { fingerprint: fingerprintOf(rootDer), list: { number, der } };
    } catch (error) {
      this.#options.warn(messageOf(storageError(`cannot use the list "${path}"`, error)));
      return undefined;
    }
  }

  /** Something was revoked that the CA with this key has signed. */
  changed(issuerKeyId: string): void {
    this.#lists.find(({ issuer }) => issuer.issuerKeyId === issuerKeyId)?.changed();
  }

  /** A part of a list. @throws {PkiError} `not-found` if there is none, or not of that number any more */
  read({ issuer, number, offset = 0 }: ListQuestion): AnswerOf<"CRL"> {
    const list = this.#find(issuer, number);
    if (!list) throw new PkiError("not-found", "cannot find the list: ask for the newest one");
    const { der } = list;
    if (offset > der.length) throw new PkiError("not-found", "cannot find this part of the list");
    return {
      number: list.number,
      bytes: der.length,
      offset,
      chunk: encodeBase64(der.subarray(offset, offset + LIMITS.crlChunkBytesMax)),
    };
  }

  /** When the first of them is good no more, in milliseconds since 1970; `null` where there is none. */
  get endsMs(): number | null {
    const ends = this.#lists.flatMap((list) => {
      const kept = list.find(undefined);
      return kept ? [parseCrlHead(kept.der).nextUpdateMs ?? Infinity] : [];
    });
    const first = Math.min(...ends);
    return Number.isFinite(first) ? first : null;
  }

  #find(issuer: string | undefined, number: string | undefined): KeptList | undefined {
    if (this.#root && issuer === this.#root.fingerprint) {
      const { list } = this.#root;
      return number === undefined || number === list.number ? list : undefined;
    }
    const list = issuer === undefined
      ? this.#lists[0]
      : this.#lists.find((one) => one.issuer.fingerprint === issuer);
    return list?.find(number);
  }

  /** Makes no lists any more; what was revoked until then is in those in the folder afterwards. */
  async close(): Promise<void> {
    await Promise.all(this.#lists.map((list) => list.close()));
  }
}
