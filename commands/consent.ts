/**
 * Who may send files here, and what: asked at a terminal, and without one decided by `--allow` and
 * `--max-bytes`. What was accepted and then cut goes on without another question.
 */

import { PkiError } from "../lib/base/errors.ts";
import { printable } from "../lib/base/printable.ts";
import type { Peer } from "../lib/peer/ports.ts";
import type { Offer } from "../lib/protocol/incoming_files.ts";
import type { Conversing } from "./converse.ts";
import type { Surroundings } from "./globals.ts";
import { formatBytes } from "./quantity.ts";

/** How long a transfer that was cut may go on without another question. */
const GO_ON_MS = 60 * 60_000;

export interface ConsentFlags {
  readonly allow?: string;
  readonly maxBytes?: number;
}

/** What is left of a transfer that was accepted. */
interface Rest {
  /** Of the one file that was offered; other names nobody has been told. */
  readonly name?: string | undefined;
  readonly files: number;
  readonly bytes: number;
  readonly untilMs: number;
}

export class Consent {
  readonly #surroundings: Surroundings;
  readonly #tell: Conversing["tell"];
  readonly #bytesMax: number;
  readonly #isAsked: boolean;
  readonly #rests = new Map<string, Rest>();

  /** @throws {PkiError} `usage` where nobody can be asked and nobody is allowed */
  constructor(
    surroundings: Surroundings,
    { flags, tell }: { readonly flags: ConsentFlags; readonly tell: Conversing["tell"] },
  ) {
    const { context, flags: { yes } } = surroundings;
    this.#surroundings = surroundings;
    this.#tell = tell;
    this.#bytesMax = flags.maxBytes ?? Infinity;
    this.#isAsked = context.terminal !== undefined && !yes;
    if (this.#isAsked || flags.allow !== undefined) return;
    throw new PkiError(
      "usage",
      yes
        ? "cannot accept files from anybody: --yes says nothing about whom to trust"
        : "cannot ask whether to accept files: there is no terminal",
      { hint: "name those whose files are accepted with --allow" },
    );
  }

  /**
   * Resolves if an offer is accepted; `signal` ends the question.
   * @throws {PkiError} `refused`, in words for the sender
   */
  async decide(peer: Peer, offer: Offer, signal: AbortSignal): Promise<void> {
    if (offer.bytes > this.#bytesMax) {
      throw new PkiError("refused", `more than ${formatBytes(this.#bytesMax)} are not accepted`);
    }
    const rest = this.#rests.get(peer.id);
    this.#rests.delete(peer.id);
    const isRest = rest !== undefined && offer.files <= rest.files && offer.bytes <= rest.bytes &&
      (rest.name === undefined || offer.name === rest.name) &&
      this.#surroundings.context.now() < rest.untilMs;
    const what = describeOffer(offer);
    this.#tell(
      {
        event: "offered",
        peer: peer.id,
        name: offer.name,
        files: offer.files,
        bytes: offer.bytes,
        resumes: isRest,
      },
      isRest ? `${peer.id} goes on with ${what}` : `${peer.id} offers ${what}`,
    );
    if (isRest || !this.#isAsked) return;
    const question = `Accept ${what} from ${peer.id} (words: ${peer.words.join(" ")})?`;
    const { terminal } = this.#surroundings.context;
    // Ctrl-C at a question means no.
    const isAccepted = await terminal?.confirm(question, signal).catch(() => false);
    if (!isAccepted) throw new PkiError("refused", "not accepted");
  }

  /** A transfer that was accepted has ended, and these are left of it. */
  wasCut(peer: Peer, left: Omit<Rest, "untilMs">): void {
    const untilMs = this.#surroundings.context.now() + GO_ON_MS;
    this.#rests.set(peer.id, { ...left, untilMs });
  }
}

/** `"report.pdf" (1.2 MiB)`, `"photos" and 30 more (20 MiB)`. */
export function describeOffer({ name, files, bytes }: Offer): string {
  const more = files > 1 ? ` and ${`${files - 1} more`}` : "";
  return `${JSON.stringify(printable(name))}${more} (${formatBytes(bytes)})`;
}
