/**
 * Whose talk a transcript is of: the certificates of its first line, judged for the time of the talk,
 * and whether it was the conversation of these two.
 */

import { type Bytes, encodeHex, isEqualBytes, parseHex } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { printable } from "../base/printable.ts";
import { deriveSecrets, type PeerRole } from "../protocol/safety_words.ts";
import { type JudgedUser, judgeUser, type TrustAnchor } from "../x509/chain.ts";
import { parseCertificatesPem, parsePemBlock } from "../x509/pem.ts";
import { TranscriptFault } from "./transcript_fault.ts";
import type { TranscriptHead } from "./transcript_lines.ts";

/** What is trusted; a root that somebody has named is for any domain. */
type Anchor = Omit<TrustAnchor, "domain"> & Partial<Pick<TrustAnchor, "domain">>;

export interface TranscriptTrust {
  /**
   * Under what both certificates must be.
   * @param nowMs when the talk began, by the keeper's clock
   */
  readonly anchorAt: (nowMs: number) => Anchor;
}

export interface JudgedParties {
  readonly parties: Readonly<Record<PeerRole, JudgedUser>>;
  /** What stands for their conversation, 32 bytes. */
  readonly session: Bytes;
}

function wrong(what: string): TranscriptFault {
  return new TranscriptFault("untrusted", what, { line: 1 });
}

function isOfOtherRoot({ root }: TranscriptHead, anchor: Anchor): boolean {
  try {
    return !isEqualBytes(parsePemBlock(root, ["CERTIFICATE"], "the root"), anchor.root.der);
  } catch {
    return false; // it is only for a hint
  }
}

function whyOf({ message }: PkiError): string {
  return printable(message.replace(/^cannot trust certificate: /, ""));
}

function judgeParty(
  head: TranscriptHead,
  role: PeerRole,
  { anchor, nowMs }: { readonly anchor: Anchor; readonly nowMs: number },
): JudgedUser {
  const { id, certificates } = head[role];
  const { domain } = head;
  let judged: JudgedUser;
  try {
    const shown = parseCertificatesPem(certificates, `the certificate of ${id}`);
    judged = judgeUser(shown, { anchor: { ...anchor, domain }, nowMs });
  } catch (error) {
    if (!(error instanceof PkiError)) throw error;
    throw new TranscriptFault("untrusted", `the certificate of ${id}: ${whyOf(error)}`, {
      hint: isOfOtherRoot(head, anchor)
        ? "it was kept under another root: if you trust that, name it with --root"
        : "a certificate must have been good when the talk began",
    });
  }
  if (judged.id !== id) throw wrong(`says "${id}", whose certificate is of "${judged.id}"`);
  return judged;
}

/**
 * Judges both certificates, and derives the session from them again.
 * @throws {TranscriptFault} `untrusted`
 */
export function judgeParties(
  head: TranscriptHead,
  { anchorAt }: TranscriptTrust,
): JudgedParties {
  const nowMs = Date.parse(head.started);
  const anchor = anchorAt(nowMs);
  const { domain = head.domain } = anchor;
  if (domain !== head.domain) {
    throw wrong(`is of the trust domain ${head.domain}, not of ${domain}`);
  }
  const parties = {
    caller: judgeParty(head, "caller", { anchor, nowMs }),
    listener: judgeParty(head, "listener", { anchor, nowMs }),
  };
  const shown = (role: PeerRole) => ({
    certificate: parties[role].leaf.der,
    nonce: parseHex(head[role].nonce),
  });
  const { session } = deriveSecrets(shown("caller"), shown("listener"));
  if (encodeHex(session) !== head.session) {
    throw wrong("has another session than its certificates and nonces give");
  }
  return { parties, session };
}
