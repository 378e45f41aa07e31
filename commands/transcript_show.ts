/** `pki transcript show`: what was said, for a person to read, after it was verified. */

import { buildCommand } from "@stricli/core";
import { PkiError } from "../lib/base/errors.ts";
import { printable, printableJson } from "../lib/base/printable.ts";
import { rowsOf } from "../lib/client/cells.ts";
import { proveTranscript, type TranscriptEntry } from "../lib/peer/transcript_proof.ts";
import { writeThrough } from "../lib/peer/pipe.ts";
import type { PkiContext } from "./context.ts";
import { GLOBAL_FLAGS, Surroundings } from "./globals.ts";
import { readPieces } from "./input.ts";
import { columnsOf } from "./paint.ts";
import { STDIN } from "./stdin.ts";
import {
  findAnchor,
  ROOT_FLAG,
  type TranscriptVerifyFlags,
  unprovenError,
} from "./transcript_verify.ts";

/** So much is gathered before it is written. */
const PAGE_CHARACTERS = 64 * 1024;

/**
 * Lines of a message that has several stand below each other, and nothing that is said begins at the
 * left margin: it could look like what somebody else has said.
 * @param columns of the terminal; absent where there is none
 */
export function sayEntry(
  entry: TranscriptEntry,
  { id, width, columns = Infinity }: {
    readonly id: string;
    readonly width: number;
    readonly columns?: number | undefined;
  },
): string {
  const at = entry.type === "file" ? entry.noted : entry.time;
  const head = `${at.slice(0, 19).replace("T", " ")}  ${id.padEnd(width)}  `;
  const text = entry.type === "file"
    ? `sent ${JSON.stringify(printable(entry.path.join("/")))}, ` +
      `${entry.size} bytes, SHA-256 ${entry.sha256}`
    : entry.text;
  return rowsOf(text, { columns, head, indent: " ".repeat(head.length) })
    .map((row) => `${row}\n`).join("");
}

function describeEntry(entry: TranscriptEntry, from: string) {
  return entry.type === "message"
    ? { type: entry.type, from, time: entry.time, seen: entry.seen, text: entry.text }
    : {
      type: entry.type,
      from,
      time: entry.noted,
      path: entry.path,
      size: entry.size,
      sha256: entry.sha256,
    };
}

/**
 * Reads the file twice: nothing is shown before all of it was verified. What is shown is verified as
 * it is read again.
 */
export async function transcriptShow(
  context: PkiContext,
  flags: TranscriptVerifyFlags,
  path: string,
): Promise<void> {
  if (path === STDIN) {
    throw new PkiError("usage", "cannot show a transcript from stdin: it is read twice", {
      hint: "name its file; pki transcript verify - takes stdin",
    });
  }
  const surroundings = new Surroundings(context, flags);
  const { stdout } = context.process;
  const anchorAt = await findAnchor(surroundings, flags.root);
  const proof = await proveTranscript(readPieces(context, path), { anchorAt });
  const { caller, listener } = proof;
  const isProven = caller.hasSigned && listener.hasSigned;
  if (isProven) surroundings.note(`proven: both ${caller.id} and ${listener.id} have signed this`);
  else surroundings.warn(unprovenError(proof).message);
  const width = Math.max(caller.id.length, listener.id.length);
  const columns = columnsOf(stdout, context.process.env);
  let page = "";
  await proveTranscript(paged(), {
    anchorAt,
    onEntry: (entry, id) => {
      page += flags.json
        ? `${printableJson(describeEntry(entry, id))}\n`
        : sayEntry(entry, { id, width, columns });
    },
  });
  await writeThrough(stdout, page);

  /** The file's pieces; between them what they held is written. */
  async function* paged(): AsyncGenerator<Uint8Array> {
    for await (const piece of readPieces(context, path)) {
      yield piece;
      if (page.length < PAGE_CHARACTERS) continue;
      await writeThrough(stdout, page);
      page = "";
    }
  }
}

export const transcriptShowCommand = buildCommand<TranscriptVerifyFlags, [string], PkiContext>({
  func: async function (flags, path) {
    await transcriptShow(this, flags, path);
  },
  parameters: {
    flags: { root: ROOT_FLAG, ...GLOBAL_FLAGS },
    positional: {
      kind: "tuple",
      parameters: [{ brief: "The transcript", parse: String, placeholder: "FILE" }],
    },
  },
  docs: {
    customUsage: ["FILE [--root FILE] [options]"],
    brief: "Show what was said, after it was verified",
    fullDescription:
      "Verifies a transcript as pki transcript verify does, and then shows what was said:\n" +
      "time (UTC, by the sender's clock), who, and what; without what could harm a\n" +
      "terminal. A signature that is missing is a warning here. If a line was altered\n" +
      "nothing is shown.\n\n" +
      "Examples:\n" +
      "  pki transcript show monday.jsonl\n" +
      "  pki transcript show monday.jsonl --json",
  },
});
