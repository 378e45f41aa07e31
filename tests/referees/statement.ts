/** The other question: what does this OCSP response say of that certificate, and may it be believed? */

import type { Bytes } from "../../lib/base/bytes.ts";
import type { Certificate } from "../../lib/x509/certificate.ts";
import type { RefereeName } from "./row.ts";

/** What somebody who asked for a certificate's status goes away with. */
export type Said = "good" | "revoked" | "unknown" | "refused";

/** Why a response is not to be believed: who has signed it, when it counts, whom it is about. */
export type Fault = "signer" | "time" | "subject";

export interface Statement {
  readonly name: string;
  /** Where NSS asks, by HTTP, is in the certificate: each statement has a certificate of its own. */
  readonly leaf: Certificate;
  readonly issuing: Certificate;
  readonly root: Certificate;
  readonly response: Bytes;
  readonly expected: Exclude<Said, "refused"> | Fault;
  readonly differences?:
    | Partial<Readonly<Record<RefereeName, { readonly said: Said; readonly because: string }>>>
    | undefined;
}

export interface Answered {
  readonly said: Said;
  readonly output: string;
}

/** Somebody else's reading of responses. */
export interface StatementReferee {
  readonly name: RefereeName;
  readonly programs: readonly string[];
  readonly judge: (statements: readonly Statement[]) => Promise<readonly Answered[]>;
  /** What it says when it refuses, by the fault. */
  readonly words: Readonly<Record<Fault, RegExp>>;
}
