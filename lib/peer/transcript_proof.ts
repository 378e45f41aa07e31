/**
 * Whether a transcript is true: its lines are read one by one and in bounded memory, all hashes are
 * computed again, and both signatures are held against both certificates. What it proves, and what it
 * cannot, is in `docs/transcript.md`.
 */

import { type Bytes, encodeHex, isEqualBytes, parseBase64, parseHex } from "../base/bytes.ts";
import { ByteLines } from "../base/byte_lines.ts";
import { PkiError } from "../base/errors.ts";
import { encodeMessage } from "../protocol/peer_text.ts";
import { PEER_ROLES, type PeerRole } from "../protocol/safety_words.ts";
import { encodeFileEntry, TranscriptChains } from "../protocol/transcript.ts";
import { fingerprintOf } from "../x509/certificate.ts";
import type { JudgedUser } from "../x509/chain.ts";
import { isLabelledSignatureValid, parsePublicKey, type SignatureLabel } from "../x509/keys.ts";
import { judgeParties, type TranscriptTrust } from "./transcript_parties.ts";
import { TranscriptFault } from "./transcript_fault.ts";
import {
  FIRST_RUNNING_HASH,
  parseTranscriptLine,
  runningHashesOf,
  TRANSCRIPT_LINE_BYTES_MAX,
  type TranscriptHead,
  type TranscriptLine,
} from "./transcript_lines.ts";

type Line<T extends TranscriptLine["type"]> = Extract<TranscriptLine, { readonly type: T }>;

/** What is found of one side. */
export interface ProvenParty {
  readonly role: PeerRole;
  readonly id: string;
  /** SHA-256 of the certificate in hex. */
  readonly fingerprint: string;
  readonly messages: number;
  readonly files: number;
  /** Whether this side was willing to sign, and whether it has. */
  readonly wasWilling: boolean;
  readonly hasSigned: boolean;
}

/** What is found of a transcript in which nothing is wrong. */
export interface Proof {
  readonly session: string;
  readonly domain: string;
  readonly keeper: PeerRole;
  readonly started: string;
  /** Absent where the file breaks off. */
  readonly ended: string | undefined;
  /** Whether both sides said goodbye and everything was confirmed. */
  readonly isComplete: boolean;
  /** Why not, in the keeper's words. */
  readonly why: string | undefined;
  readonly caller: ProvenParty;
  readonly listener: ProvenParty;
  /** Whether the keeper has signed the file as a whole, with what the other side does not sign. */
  readonly isSealed: boolean;
  /** Whether the file ends within a line, as a crash may leave it: that line is not counted. */
  readonly isTorn: boolean;
  readonly lines: number;
}

/** What a side has said, as its line has it. */
export type TranscriptEntry = Line<"message" | "file">;

export interface TranscriptProofOptions extends TranscriptTrust {
  /** Is given what was said, in the order of the file; that it was signed is known at the end alone. */
  readonly onEntry?: (entry: TranscriptEntry, id: string) => void;
}

interface Counted {
  messages: number;
  files: number;
  seen: number;
}

export class TranscriptReader {
  readonly #options: TranscriptProofOptions;
  #lines = 0;
  #running: Bytes = FIRST_RUNNING_HASH;
  #head: TranscriptHead | undefined;
  #parties: Readonly<Record<PeerRole, JudgedUser>> | undefined;
  #chains = new TranscriptChains(new Uint8Array(32));
  readonly #counted: Readonly<Record<PeerRole, Counted>> = {
    caller: { messages: 0, files: 0, seen: 0 },
    listener: { messages: 0, files: 0, seen: 0 },
  };
  readonly #signed = new Set<PeerRole>();
  #end: Line<"end"> | undefined;
  #isSealed = false;
  #isTorn = false;

  constructor(options: TranscriptProofOptions) {
    this.#options = options;
  }

  /**
   * Takes the next line, without its end.
   * @throws {TranscriptFault} `malformed` for what is no transcript, `untrusted` for what is wrong in one
   */
  push(bytes: Uint8Array): void {
    const n = this.#lines + 1;
    const before = this.#running;
    const hashes = runningHashesOf(bytes, before);
    const isIntact = hashes !== undefined && isEqualBytes(hashes.said, hashes.right);
    const line = this.#parse(bytes, { n, isIntact });
    if (line.n !== n) throw this.#misplaced(n, line.n);
    if (!isIntact) throw new TranscriptFault("untrusted", "was altered, or added", { line: n });
    this.#running = hashes.right;
    this.#lines = n;
    this.#take(line, before);
  }

  /**
   * Takes what stands behind the end of the last line: nothing, a line that lacks only its end, or the
   * beginning of one.
   * @throws {TranscriptFault} as {@link push}
   */
  pushRest(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    const hashes = runningHashesOf(bytes, this.#running);
    if (this.#lines === 0 || hashes !== undefined) return this.push(bytes);
    if (this.#isSealed) {
      throw new TranscriptFault("untrusted", "was added", { line: this.#lines + 1 });
    }
    this.#isTorn = true;
  }

  #parse(
    bytes: Uint8Array,
    { n, isIntact }: { readonly n: number; readonly isIntact: boolean },
  ): TranscriptLine {
    let line: TranscriptLine;
    try {
      line = parseTranscriptLine(bytes);
    } catch (error) {
      if (!(error instanceof PkiError)) throw error;
      // What a transcript's program has written, it has written well: somebody has changed it since.
      if (n > 1 && !isIntact) throw new TranscriptFault("untrusted", "was altered", { line: n });
      throw new TranscriptFault("malformed", `is not one of a transcript: ${error.message}`, {
        line: n,
        hint: n > 1
          ? "it may be of a newer version of pki"
          : "a transcript is what pki writes with --transcript",
      });
    }
    if ((n === 1) === (line.type === "transcript")) return line;
    if (n === 1 && line.n !== 1) throw this.#misplaced(n, line.n);
    throw new TranscriptFault("untrusted", "does not belong there", { line: n });
  }

  /** The next line is longer than any. */
  tooLong(): TranscriptFault {
    const line = this.#lines + 1;
    return new TranscriptFault(
      this.#lines === 0 ? "malformed" : "untrusted",
      "is longer than any of a transcript",
      { line },
    );
  }

  #misplaced(n: number, said: number): TranscriptFault {
    const what = said > n
      ? `is missing, or not in its place: line ${said} stands there`
      : `was added, or is not in its place: it says that it is line ${said}`;
    return new TranscriptFault("untrusted", what, { line: n });
  }

  #take(line: TranscriptLine, before: Bytes): void {
    if (this.#isSealed || (this.#end && line.type !== "seal")) throw this.#stray();
    switch (line.type) {
      case "transcript":
        return this.#takeHead(line);
      case "message":
      case "file":
        return this.#takeEntry(line);
      case "signature":
        return this.#takeSignature(line);
      case "end":
        return this.#takeEnd(line);
      case "seal":
        return this.#takeSeal(line, before);
    }
  }

  #stray(): TranscriptFault {
    return new TranscriptFault("untrusted", "does not belong there", { line: this.#lines });
  }

  #wrong(what: string): TranscriptFault {
    return new TranscriptFault("untrusted", what, { line: this.#lines });
  }

  #takeHead(head: TranscriptHead): void {
    const { parties, session } = judgeParties(head, this.#options);
    this.#head = head;
    this.#parties = parties;
    this.#chains = new TranscriptChains(session);
  }

  #takeEntry(line: TranscriptEntry): void {
    if (this.#signed.size > 0) throw this.#stray();
    const { from } = line;
    const counted = this.#counted[from];
    let hash: Bytes;
    if (line.type === "message") {
      this.#checkSeen(line, counted);
      hash = this.#chains.add(from, "message", this.#messageEntry(line));
      counted.messages++;
    } else {
      hash = this.#chains.add(from, "file", this.#fileEntry(line));
      counted.files++;
    }
    const isNext = line.number === this.#chains.entries(from);
    if (!isNext || encodeHex(hash) !== line.hash) {
      throw this.#wrong("does not follow what was said before it");
    }
    this.#options.onEntry?.(line, this.#idOf(from));
  }

  #messageEntry({ time, seen, text }: Line<"message">): Bytes {
    try {
      return encodeMessage({ timeMs: Date.parse(time), seen, text });
    } catch {
      throw this.#wrong("is longer than a message can be");
    }
  }

  #fileEntry({ path, size, sha256 }: Line<"file">): Bytes {
    try {
      return encodeFileEntry({ path, size, sha256: parseHex(sha256) });
    } catch {
      throw this.#wrong("has a path that cannot be");
    }
  }

  /** What its sender had seen stands before it, in whoever's transcript. */
  #checkSeen({ from, seen }: Line<"message">, counted: Counted): void {
    const { messages } = this.#counted[from === "caller" ? "listener" : "caller"];
    if (seen < counted.seen || seen > messages) {
      throw this.#wrong(
        `is not in its place: its sender had seen ${seen} messages, ${messages} stand before it`,
      );
    }
    counted.seen = seen;
  }

  #takeSignature({ by, signature }: Line<"signature">): void {
    if (this.#signed.has(by)) throw this.#stray();
    const parts = [this.#chains.toSign()];
    if (!this.#isSigned(by, { label: "pki/1 transcript signature", parts, signature })) {
      throw this.#wrong(`has a signature of ${this.#idOf(by)} that does not fit what was said`);
    }
    this.#signed.add(by);
  }

  #takeEnd(end: Line<"end">): void {
    for (const role of PEER_ROLES) {
      const { entries, hash } = end[role];
      const isRight = entries === this.#chains.entries(role) &&
        hash === encodeHex(this.#chains.hash(role));
      if (!isRight) throw this.#wrong("has another end than what was said comes to");
    }
    this.#end = end;
  }

  #takeSeal({ by, signature }: Line<"seal">, before: Bytes): void {
    if (!this.#end || by !== this.#head?.keeper) throw this.#stray();
    if (!this.#isSigned(by, { label: "pki/1 transcript file", parts: [before], signature })) {
      throw this.#wrong(
        `has a seal of ${this.#idOf(by)} that does not fit: some line was altered, with its hashes`,
      );
    }
    this.#isSealed = true;
  }

  #isSigned(
    by: PeerRole,
    { label, parts, signature }: {
      readonly label: SignatureLabel;
      readonly parts: readonly Uint8Array[];
      readonly signature: string;
    },
  ): boolean {
    const leaf = this.#parties?.[by].leaf;
    if (!leaf) throw new PkiError("internal", "a transcript without certificates");
    const key = parsePublicKey(leaf.spki);
    return isLabelledSignatureValid({ key, label, parts, signature: parseBase64(signature) });
  }

  #idOf(role: PeerRole): string {
    return this.#head?.[role].id ?? role;
  }

  /**
   * What the lines so far prove.
   * @throws {TranscriptFault} `malformed` if there were none
   */
  finish(): Proof {
    const [head, parties, end] = [this.#head, this.#parties, this.#end];
    if (!head || !parties) {
      throw new TranscriptFault("malformed", "there is nothing in it", {
        hint: "see whether it is the right file",
      });
    }
    const party = (role: PeerRole): ProvenParty => ({
      role,
      id: head[role].id,
      fingerprint: fingerprintOf(parties[role].leaf.der),
      messages: this.#counted[role].messages,
      files: this.#counted[role].files,
      wasWilling: head[role].signs,
      hasSigned: this.#signed.has(role),
    });
    const { session, domain, keeper, started } = head;
    return {
      session,
      domain,
      keeper,
      started,
      ended: end?.noted,
      isComplete: end?.complete ?? false,
      why: end?.why ?? undefined,
      caller: party("caller"),
      listener: party("listener"),
      isSealed: this.#isSealed,
      isTorn: this.#isTorn,
      lines: this.#lines,
    };
  }
}

/**
 * Proves a whole transcript.
 * @throws {TranscriptFault} `malformed` for what is no transcript, `untrusted` for what is wrong in one
 */
export async function proveTranscript(
  file: AsyncIterable<Uint8Array>,
  options: TranscriptProofOptions,
): Promise<Proof> {
  const reader = new TranscriptReader(options);
  const lines = new ByteLines(TRANSCRIPT_LINE_BYTES_MAX);
  for await (const chunk of file) {
    for (const line of lines.push(chunk)) reader.push(line);
    if (lines.isTooLong) throw reader.tooLong();
  }
  reader.pushRest(lines.takeRest());
  return reader.finish();
}
