/** What is wrong with a transcript, and in which of its lines. */

import { PkiError } from "../base/errors.ts";

/** What to do about what somebody has changed. */
const ASK_AGAIN = "rely on none of it: ask both of them for theirs, which must say the same";

/** The first thing that is wrong with a transcript. */
export class TranscriptFault extends PkiError {
  /** Counted from 1; absent where it is no line's fault. */
  readonly line: number | undefined;

  constructor(
    kind: "untrusted" | "malformed",
    what: string,
    { line, hint = ASK_AGAIN }: { readonly line?: number; readonly hint?: string } = {},
  ) {
    const where = line === undefined ? "" : `line ${line} `;
    super(kind, `cannot trust the transcript: ${where}${what}`, { hint });
    this.line = line;
  }
}
