/** `pki transcript verify`: whether a transcript of a talk is true, and who has signed it. */

import { buildCommand } from "@stricli/core";
import { PkiError } from "../lib/base/errors.ts";
import { printable } from "../lib/base/printable.ts";
import { TranscriptFault } from "../lib/peer/transcript_fault.ts";
import { type Proof, type ProvenParty, proveTranscript } from "../lib/peer/transcript_proof.ts";
import type { TranscriptTrust } from "../lib/peer/transcript_parties.ts";
import { checkRoot } from "../lib/x509/chain.ts";
import type { PkiContext } from "./context.ts";
import { GLOBAL_FLAGS, type GlobalFlags, Surroundings, textFlag } from "./globals.ts";
import { readBlocks, readInput, readPieces } from "./input.ts";
import type { Paint } from "./paint.ts";

export interface TranscriptVerifyFlags extends GlobalFlags {
  readonly root?: string;
}

export const ROOT_FLAG = textFlag(
  "Trust this root (PEM or DER) instead of the pinned one",
  "FILE",
);

/** @throws {PkiError} `not-found` where nothing is pinned and no root was named */
export async function findAnchor(
  { home, context }: Surroundings,
  path: string | undefined,
): Promise<TranscriptTrust["anchorAt"]> {
  if (path !== undefined) {
    const blocks = { labels: ["CERTIFICATE", "X509 CERTIFICATE"], what: "certificate", path };
    const [der = new Uint8Array()] = readBlocks(await readInput(context, path), blocks);
    return (nowMs) => ({ root: checkRoot(der, nowMs) });
  }
  return (nowMs) => {
    const pinned = home.loadAnchor(nowMs);
    if (pinned) return pinned;
    throw new PkiError("not-found", "cannot tell what to trust: no root is pinned here", {
      hint: "name a root with --root FILE, or get to know the server first with: pki csr",
    });
  };
}

function day(time: string): string {
  return time.slice(0, 16).replace("T", " ");
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

function describeParty(
  { role, id, fingerprint, messages, files, wasWilling, hasSigned }: ProvenParty,
) {
  return { role, id, fingerprint, messages, files, willing: wasWilling, signed: hasSigned };
}

function partyLine(
  { role, id, messages, files, wasWilling, hasSigned }: ProvenParty,
  { width, paint }: { readonly width: number; readonly paint: Paint },
): string {
  const signed = hasSigned
    ? paint.good("signed")
    : paint.bad(wasWilling ? "has not signed" : "did not want to sign");
  const said = [
    counted(messages, "message"),
    ...(files > 0 ? [counted(files, "file")] : []),
  ].join(", ");
  return `  ${id.padEnd(width)}  ${
    role === "caller" ? "called  " : "listened"
  }  ${said}  ${signed}\n`;
}

/** What the other side has not signed is the keeper's word; and how it ended. */
function keeperLine(proof: Proof): string {
  const keeper = proof[proof.keeper].id;
  const ended = proof.ended === undefined
    ? "the file breaks off"
    : proof.isComplete
    ? `ended ${day(proof.ended)}`
    : `broke off ${day(proof.ended)}${proof.why ? `: ${printable(proof.why)}` : ""}`;
  const sealed = proof.isSealed ? ", and sealed" : "";
  return `  kept by ${keeper}${sealed}; began ${day(proof.started)} UTC, ${ended}\n`;
}

/** Nothing is wrong, but somebody has not signed. */
export function unprovenError(proof: Proof): PkiError {
  const missing = [proof.caller, proof.listener].filter(({ hasSigned }) => !hasSigned);
  const [first, second] = missing.map(({ id }) => id);
  const who = second === undefined
    ? `${first} has not signed it`
    : proof.isComplete
    ? `neither ${first} nor ${second} has signed it`
    : "the talk broke off before it was signed";
  const keeper = proof[proof.keeper].id;
  return new PkiError("refused", `cannot prove the transcript: ${who}`, {
    hint: proof.isSealed
      ? `its lines are as the pki of ${keeper} wrote them, which is the word of ${keeper} alone`
      : `nobody vouches that its lines are as the pki of ${keeper} wrote them`,
  });
}

function report(surroundings: Surroundings, proof: Proof): void {
  const { caller, listener } = proof;
  const isProven = caller.hasSigned && listener.hasSigned;
  const { paint } = surroundings;
  const width = Math.max(caller.id.length, listener.id.length);
  surroundings.result(
    {
      ok: isProven,
      outcome: isProven ? "proven" : "unproven",
      line: null,
      why: null,
      transcript: {
        session: proof.session,
        domain: proof.domain,
        keeper: proof[proof.keeper].id,
        started: proof.started,
        ended: proof.ended ?? null,
        complete: proof.isComplete,
        sealed: proof.isSealed,
        torn: proof.isTorn,
        lines: proof.lines,
        parties: [caller, listener].map(describeParty),
      },
    },
    `${isProven ? "proven" : "not proven"}: a talk of ${caller.id} and ${listener.id}\n` +
      partyLine(caller, { width, paint }) + partyLine(listener, { width, paint }) +
      keeperLine(proof),
  );
  if (!isProven) throw unprovenError(proof);
  surroundings.note(
    "proven is who said what, in which order, and what each had seen of the other; times are as\n" +
      "each side's clock had them, and whether a certificate was revoked was not looked at",
  );
}

export async function transcriptVerify(
  context: PkiContext,
  flags: TranscriptVerifyFlags,
  path: string,
): Promise<void> {
  const surroundings = new Surroundings(context, flags);
  const anchorAt = await findAnchor(surroundings, flags.root);
  let proof: Proof;
  try {
    proof = await proveTranscript(readPieces(context, path), { anchorAt });
  } catch (error) {
    if (error instanceof PkiError && error.kind === "untrusted") {
      const line = error instanceof TranscriptFault ? error.line ?? null : null;
      const why = printable(error.message);
      surroundings.result({ ok: false, outcome: "wrong", line, why, transcript: null }, "");
    }
    throw error;
  }
  report(surroundings, proof);
}

export const transcriptVerifyCommand = buildCommand<TranscriptVerifyFlags, [string], PkiContext>({
  func: async function (flags, path) {
    await transcriptVerify(this, flags, path);
  },
  parameters: {
    flags: {
      root: ROOT_FLAG,
      ...GLOBAL_FLAGS,
    },
    positional: {
      kind: "tuple",
      parameters: [{
        brief: "The transcript, or - for stdin",
        parse: String,
        placeholder: "FILE",
      }],
    },
  },
  docs: {
    customUsage: ["FILE|- [--root FILE] [options]"],
    brief: "Verify the transcript of a talk",
    fullDescription:
      "Reads what listen or connect have written with --transcript: computes all hashes\n" +
      "again, names the first line that was altered, is missing or was added, checks both\n" +
      "certificates under the pinned root (or --root) for the time of the talk, and both\n" +
      "signatures. Exit code 0 only if both sides have signed all of it, 4 if nothing is\n" +
      "wrong but a signature is missing, 6 if something is, 3 if it is no transcript.\n\n" +
      "Examples:\n" +
      "  pki transcript verify monday.jsonl\n" +
      "  pki transcript verify monday.jsonl --root root.crt --json",
  },
});
