/**
 * Takes over what was changed in the data folder while the server runs (CAs, profiles): all of it or
 * nothing. Whatever may fail (files, keys, profiles, the disk that the log is on) is done before
 * anything in use is changed; what comes then only fails with the thread that it is in.
 */

import { encodeBase64 } from "../base/bytes.ts";
import type { Directory } from "./directory.ts";
import type { ServerFiles } from "./files.ts";
import { type Issuers, loadIssuers } from "./issuers.ts";
import { loadSuccessions } from "./successions.ts";

/**
 * Every CA that came after the first is in the log, so that none is made in secret.
 * @throws {PkiError} `storage`
 */
export async function logIssuers(
  directory: Directory,
  { current, earlier, outside }: Issuers,
): Promise<void> {
  const { state } = directory.options;
  const later = [...(earlier.length > 0 ? [current, ...earlier] : []), ...outside]
    .filter(({ serial }) => !state.issued(serial))
    .sort((a, b) => a.notBeforeMs - b.notBeforeMs);
  for (const { der } of later) {
    await directory.commit({
      type: "issued",
      public: { profile: "issuing", certificate: encodeBase64(der) },
      private: null,
    });
  }
}

export interface TakeoverOptions {
  readonly directory: Directory;
  readonly files: ServerFiles;
  readonly domain: string;
  /** Has the revocation lists of all CAs kept from now on; those that cannot be written are tried again. */
  readonly keepLists: () => Promise<void>;
}

export class Takeover {
  readonly #options: TakeoverOptions;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: TakeoverOptions) {
    this.#options = options;
  }

  /**
   * One after the other, whoever asks: what was prepared is what is taken over.
   * @returns the CAs from now on
   * @throws {PkiError} if anything is wrong; then all is as before, but that a CA may be in the log
   *   already: it is in the folder as well, and will not be logged again
   */
  run(): Promise<Issuers> {
    const turn = this.#last.then(() => this.#takeOver());
    this.#last = turn.catch(() => {}); // whoever asked for it hears of it
    return turn;
  }

  async #takeOver(): Promise<Issuers> {
    const { directory, files, domain, keepLists } = this.#options;
    const { authority } = directory.options;
    const issuers = loadIssuers(files, domain);
    const successions = loadSuccessions(files);
    await authority.prepareReload();
    await logIssuers(directory, issuers);
    // In this order: what a CA has signed is never seen before the CA is known here.
    directory.useIssuers(issuers, successions);
    await authority.reload();
    await keepLists();
    return issuers;
  }
}
