/**
 * Judges what the log proves: that it still holds all that it showed before, and that it holds a
 * certificate. Pure; `log_memory.ts` asks the server and remembers.
 */

import { type Bytes, encodeBase64, parseBase64 } from "../base/bytes.ts";
import type { JsonObject } from "../log/entry.ts";
import { parseLeaf } from "../log/entry.ts";
import { type Checkpoint, openCheckpoint } from "../log/checkpoint.ts";
import { checkConsistency, checkInclusion } from "../log/proof.ts";
import { hashLeaf } from "../log/tree.ts";
import type { AnswerOf } from "../protocol/answers.ts";
import { distrustLog, type LogKey } from "./log_key.ts";

/** A certificate that the log must hold, and where the server says that it is. */
export interface Claim {
  readonly index: number;
  /** The user to whom it was issued. */
  readonly id: string;
  /** DER. */
  readonly certificate: Uint8Array;
}

export type ProofAnswer = AnswerOf<"PROOF">;

export interface ProofExpectation {
  readonly key: LogKey;
  /** The newest checkpoint of this log that was seen before, from which the answer must prove on. */
  readonly known: Checkpoint | undefined;
  readonly claim: Claim | undefined;
}

/** Turns whatever goes wrong while reading what the server says into one sentence of distrust. */
function believing<T>(why: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw distrustLog(why, { cause });
  }
}

/** The newest checkpoint, when everything holds. @throws {PkiError} `untrusted` */
export function judgeProof(
  answer: ProofAnswer,
  { key, known, claim }: ProofExpectation,
): Checkpoint {
  const newest = believing(
    "its checkpoint is not signed by its key",
    () => openCheckpoint(answer.checkpoint, key.note),
  );
  if (known) checkExtends(newest, { known, answer });
  if (claim) checkIncluded(newest, { claim, answer });
  return newest;
}

function checkExtends(
  newest: Checkpoint,
  { known, answer }: { readonly known: Checkpoint; readonly answer: ProofAnswer },
): void {
  // Within one connection the log cannot honestly be shorter than it was.
  if (newest.size < known.size) {
    throw distrustLog(
      `it forgot entries that it showed before: ${newest.size} are left of ${known.size}`,
    );
  }
  believing("it does not hold the entries that it showed before", () =>
    checkConsistency({
      from: known,
      to: newest,
      proof: (answer.consistency ?? []).map(parseBase64),
    }));
}

function checkIncluded(
  newest: Checkpoint,
  { claim, answer }: { readonly claim: Claim; readonly answer: ProofAnswer },
): void {
  const why = "it does not contain this certificate";
  const { index } = claim;
  const { leaf, inclusion } = answer;
  if (leaf === undefined || inclusion === undefined) throw distrustLog(why);
  const bytes = parseBase64(leaf);
  believing(why, () =>
    checkInclusion({
      leafHash: hashLeaf(bytes),
      index,
      size: newest.size,
      root: newest.root,
      proof: inclusion.map(parseBase64),
    }));
  if (!isIssuedTo(believing(why, () => readIssued(bytes)), claim)) throw distrustLog(why);
}

/** The public part of an entry that records an issued certificate. */
function readIssued(leaf: Bytes): JsonObject | undefined {
  const { type, public: shown } = parseLeaf(leaf);
  return type === "issued" ? shown : undefined;
}

function isIssuedTo(shown: JsonObject | undefined, { id, certificate }: Claim): boolean {
  return shown?.["profile"] === "user" && shown["id"] === id &&
    shown["certificate"] === encodeBase64(certificate);
}
