/**
 * One question that all referees are asked: may this chain be believed for that use? A row says what
 * is expected of everybody, and of whom something else is known, and why.
 */

import type { Bytes } from "../../lib/base/bytes.ts";
import { type Certificate, OID } from "../../lib/x509/certificate.ts";
import type { PathCheck } from "../../lib/x509/path_failure.ts";

/** Everybody who is asked, besides ourselves. */
export type RefereeName = "openssl" | "gnutls" | "nss" | "java";

/** Where a referee's answer is another one than RFC 5280's, which is ours. */
export type Difference =
  | { readonly accepts: true; readonly because: string }
  | { readonly accepts: false; readonly says: RegExp; readonly because: string };

export interface Row {
  readonly name: string;
  readonly leaf: Certificate;
  /** CAs between leaf and root, from the leaf up. */
  readonly cas: readonly Certificate[];
  /** The one root that is trusted. */
  readonly root: Certificate;
  /** What the leaf shall be good for. */
  readonly use: "server" | "client";
  /** The host or address that is dialled; at most one of both. */
  readonly host?: string;
  readonly address?: string;
  /** Without lists nobody asks for revocation; with them every status must be known. */
  readonly crls?: readonly Bytes[];
  /** Milliseconds since 1970, whole seconds; the present where it is absent. */
  readonly atMs?: number;
  /** The user whose certificate it is or pretends to be: also judged as peers do. */
  readonly user?: string;
  /** The check that fails; absent where all is well. */
  readonly refusedBy?: PathCheck;
  /** The check that the others name in its place, where they differ in that only. */
  readonly othersSay?: PathCheck;
  /** A refusal's words where they are unusual ones. */
  readonly words?: Partial<Readonly<Record<RefereeName, RegExp | undefined>>>;
  readonly differences?: Partial<Readonly<Record<RefereeName, Difference>>>;
}

/** Extended key usages by what a row calls them. */
export const PURPOSES: Readonly<Record<Row["use"], string>> = {
  server: OID.serverAuth,
  client: OID.clientAuth,
};

/** What a referee said of a row. */
export interface Opinion {
  readonly accepts: boolean;
  /** Its own words. */
  readonly output: string;
}

/** Somebody else's path validation. */
export interface Referee {
  readonly name: RefereeName;
  /** What has to be installed. */
  readonly programs: readonly string[];
  /** Why it cannot be asked, if so. */
  readonly cannotJudge: (row: Row) => string | undefined;
  /**
   * Opinions in the order of the rows.
   * @throws where it says neither yes nor no
   */
  readonly judge: (rows: readonly Row[]) => readonly Opinion[];
  /** What it says when it refuses, by the check that fails: nobody shall refuse for something else. */
  readonly words: Readonly<Partial<Record<PathCheck, RegExp>>>;
}
