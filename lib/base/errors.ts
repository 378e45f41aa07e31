/**
 * The one error class, and the one table that says what each kind of error means outside this
 * process: its exit code, its code on the wire, and whether its message may be sent to a client.
 *
 * Start reading at {@link ERROR_KINDS}.
 */

interface KindRow {
  /** What the process ends with when a command fails for this reason. */
  readonly exitCode: number;
  /** What an `ERROR` answer or a `REFUSED` control frame carries. */
  readonly wireCode: string;
  /** Whether the message was written for the other side; where not, it hears a general sentence. */
  readonly detailLeaves: boolean;
}

/** Every way in which something can fail. The exit codes are part of the command line's contract. */
export const ERROR_KINDS = {
  internal: { exitCode: 1, wireCode: "INTERNAL", detailLeaves: false },
  usage: { exitCode: 2, wireCode: "USAGE", detailLeaves: true },
  malformed: { exitCode: 3, wireCode: "MALFORMED", detailLeaves: true },
  refused: { exitCode: 4, wireCode: "REFUSED", detailLeaves: true },
  "not-found": { exitCode: 5, wireCode: "NOT_FOUND", detailLeaves: true },
  conflict: { exitCode: 5, wireCode: "CONFLICT", detailLeaves: true },
  untrusted: { exitCode: 6, wireCode: "UNTRUSTED", detailLeaves: true },
  protocol: { exitCode: 7, wireCode: "PROTOCOL", detailLeaves: true },
  truncated: { exitCode: 7, wireCode: "TRUNCATED", detailLeaves: true },
  unreachable: { exitCode: 8, wireCode: "UNREACHABLE", detailLeaves: true },
  busy: { exitCode: 8, wireCode: "BUSY", detailLeaves: true },
  timeout: { exitCode: 8, wireCode: "TIMEOUT", detailLeaves: true },
  storage: { exitCode: 9, wireCode: "STORAGE", detailLeaves: false },
  interrupted: { exitCode: 130, wireCode: "INTERRUPTED", detailLeaves: true },
} as const satisfies Record<string, KindRow>;

export type ErrorKind = keyof typeof ERROR_KINDS;

/** A failure that was foreseen: it has a kind, a sentence for a person and, where there is one, a way out. */
export class PkiError extends Error {
  override readonly name = "PkiError";
  readonly kind: ErrorKind;
  /** What to do about it, as one sentence without a final period. */
  readonly hint: string | undefined;
  /** What the other side hears in place of this; it stays in the thread in which it was said. */
  readonly report: ErrorReport | undefined;

  constructor(
    kind: ErrorKind,
    message: string,
    options: { hint?: string; cause?: unknown; report?: ErrorReport } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
    this.hint = options.hint;
    this.report = options.report;
  }

  get exitCode(): number {
    return ERROR_KINDS[this.kind].exitCode;
  }
}

/** An error as it crosses a thread or the wire. */
export interface ErrorReport {
  readonly code: string;
  readonly message: string;
}

const GENERAL_SENTENCE: Partial<Record<ErrorKind, string>> = {
  internal: "something failed inside; whoever runs the program can read what",
  storage: "nothing can be stored now; whoever runs the program can read why",
};

/** What the other side may hear of an error; a fault that nobody foresaw is `INTERNAL`. */
export function reportError(error: unknown): ErrorReport {
  if (error instanceof PkiError && error.report) return error.report;
  const kind = error instanceof PkiError ? error.kind : "internal";
  const row = ERROR_KINDS[kind];
  const message = row.detailLeaves && error instanceof Error
    ? error.message
    : GENERAL_SENTENCE[kind] ?? "failed";
  return { code: row.wireCode, message };
}

/** The kind that a wire code stands for; a code of a newer version counts as a refusal. */
export function kindOfWireCode(code: string): ErrorKind {
  for (const [kind, row] of Object.entries(ERROR_KINDS)) {
    if (row.wireCode === code) return kind as ErrorKind;
  }
  return "refused";
}

/** An error as it crosses between our own threads: nothing is held back. */
export interface PackedError {
  readonly kind: ErrorKind;
  readonly message: string;
  readonly hint?: string;
}

export function packError(error: unknown): PackedError {
  if (!(error instanceof PkiError)) return { kind: "internal", message: messageOf(error) };
  const { kind, message, hint } = error;
  return hint === undefined ? { kind, message } : { kind, message, hint };
}

export function unpackError({ kind, message, hint }: PackedError): PkiError {
  return new PkiError(kind, message, hint === undefined ? {} : { hint });
}

/** The message of anything thrown, for a log line or a cause. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** The `code` of a system error (`ENOENT`, …), if it is one. */
export function systemCodeOf(thrown: unknown): string | undefined {
  const code = (thrown as { code?: unknown } | null | undefined)?.code;
  return typeof code === "string" ? code : undefined;
}
