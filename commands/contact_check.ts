/**
 * Whether the peer is who it was before: the check that `listen`, `connect` and what else talks to
 * peers make before they say that they are ready. Somebody new is remembered once the conversation
 * has begun; a key that follows another needs the other's word, or a person's.
 *
 * The peer hears nothing of why it is refused: whoever pretends to be somebody shall not learn what
 * is known of them.
 */

import { PkiError } from "../lib/base/errors.ts";
import { judgeContact, type Standing } from "../lib/client/contact_standing.ts";
import { type Contact, isSameKey, keyFingerprintOf } from "../lib/client/contacts.ts";
import type { PeerIdentity } from "../lib/peer/identity.ts";
import type { LineHandlers } from "../lib/peer/line.ts";
import type { Peer } from "../lib/peer/ports.ts";
import { NO_REASON } from "../lib/protocol/peer_messages.ts";
import { type Certificate, parseCertificate } from "../lib/x509/certificate.ts";
import type { Conversing } from "./converse.ts";
import type { Surroundings } from "./globals.ts";
import { askAbout, type WaitingLine } from "./waiting_line.ts";

/**
 * Asks a person something that they must see and answer with care; where something else has the
 * terminal, it knows how. `signal` ends the question: the peer is gone.
 */
export type AskAboutTrust = (
  alarm: string,
  question: string,
  signal: AbortSignal,
) => Promise<string>;

export interface ContactCheckOptions {
  readonly surroundings: Surroundings;
  /** Whose pinned root peers are judged under. */
  readonly identity: Pick<PeerIdentity, "anchor">;
  readonly tell: Conversing["tell"];
  /** By default the terminal asks, where there is one. */
  readonly ask?: AskAboutTrust | undefined;
}

/** Hex digits that a person compares at a glance; all 64 are in the JSON and in `pki contacts show`. */
const SHOWN_DIGITS = 16;

const dateOf = (ms: number) => new Date(ms).toISOString().slice(0, 10);

function shortKey(certificate: Pick<Certificate, "spki">): string {
  return `${keyFingerprintOf(certificate).slice(0, SHOWN_DIGITS)}…`;
}

/** A peer that was let in, and why. */
interface Admitted {
  readonly leaf: Certificate;
  readonly known: Contact | undefined;
  readonly why: Standing["kind"];
  /** When the key before vouched for this one, by whoever made it. */
  readonly endorsedMs?: number | undefined;
}

export class ContactCheck {
  readonly #options: ContactCheckOptions;
  readonly #admitted = new WeakMap<Peer, Admitted>();
  /** Who is at the other end of a line, and lines whose peer asks its user about us. */
  readonly #peers = new WeakMap<WaitingLine, Peer>();
  readonly #asking = new WeakSet<WaitingLine>();

  constructor(options: ContactCheckOptions) {
    this.#options = options;
  }

  /** The handlers of a line with this check behind what they decide themselves. */
  guard(line: () => WaitingLine, handlers: LineHandlers): LineHandlers {
    return {
      ...handlers,
      admit: async (peer) => {
        const admission = await handlers.admit(peer);
        await this.admit(peer, line());
        return admission;
      },
      onOpen: (peer, opening) => {
        handlers.onOpen(peer, opening); // first, since a disk may be slow
        this.remember(peer);
        this.tellNews(peer);
      },
      onWait: (reason) => {
        handlers.onWait?.(reason);
        if (reason === "asked") this.peerAsks(line());
      },
    };
  }

  /**
   * Lets a peer in that is nobody else than before; asks a person where only that can tell.
   * @throws {PkiError} `untrusted` for another key; `malformed` if what is remembered cannot be read
   */
  async admit(peer: Peer, line: WaitingLine): Promise<void> {
    this.#peers.set(line, peer);
    if (this.#asking.has(line)) this.#tellAsked(peer);
    // What was judged good in the conversation's worker is safe to read here too.
    const leaf = parseCertificate(peer.certificate);
    const standing = judgeContact(this.#load(peer.id), {
      shown: leaf,
      root: this.#options.identity.anchor.root.der,
      endorsements: peer.endorsements,
    });
    if (standing.kind === "changed") await this.#confirm(peer, line, { leaf, standing });
    const known = standing.kind === "new" ? undefined : standing.contact;
    const endorsedMs = standing.kind === "endorsed"
      ? standing.endorsements.at(-1)?.timeMs
      : undefined;
    this.#admitted.set(peer, { leaf, known, why: standing.kind, endorsedMs });
  }

  #load(id: string): Contact | undefined {
    try {
      return this.#options.surroundings.home.contacts.load(id);
    } catch (error) {
      if (!(error instanceof PkiError)) throw error;
      const { kind, message, hint } = error;
      throw new PkiError(kind, message, {
        cause: error,
        report: NO_REASON,
        ...(hint ? { hint } : {}),
      });
    }
  }

  /** @throws {PkiError} `untrusted` if nobody says that the key is right */
  async #confirm(
    peer: Peer,
    line: WaitingLine,
    { leaf, standing }: {
      readonly leaf: Certificate;
      readonly standing: Extract<Standing, { kind: "changed" }>;
    },
  ): Promise<void> {
    const { id } = peer;
    const ask = this.#ask;
    if (!ask) {
      throw new PkiError(
        "untrusted",
        `"${id}" has another key than before, and the one before does not vouch for it`,
        {
          hint: `ask ${id} by another way; if the key is new, say so: pki contacts forget ${id}`,
          report: NO_REASON,
        },
      );
    }
    const alarm = describeAlarm(peer, leaf, standing);
    const question =
      `If ${id} has told you that the key is new, type the name in full; all else refuses it`;
    const answer = await askAbout(line, async (signal) => {
      try {
        return await ask(alarm, question, signal);
      } catch (cause) {
        throw new PkiError("interrupted", "interrupted", { cause, report: NO_REASON });
      }
    });
    if (answer.trim() === id) return;
    throw new PkiError(
      "untrusted",
      `"${id}" has another key than before, which was not confirmed`,
      {
        hint: `ask ${id} by another way whether the key is new`,
        report: NO_REASON,
      },
    );
  }

  get #ask(): AskAboutTrust | undefined {
    const { ask, surroundings } = this.#options;
    const { terminal } = surroundings.context;
    if (ask || !terminal) return ask;
    return async (alarm, question, signal) => {
      surroundings.warn(alarm);
      return await terminal.askText(question, undefined, signal);
    };
  }

  #of(peer: Peer): Admitted {
    const admitted = this.#admitted.get(peer);
    if (admitted) return admitted;
    throw new PkiError("internal", "a conversation with a peer that was not admitted");
  }

  /** Remembers a peer, once the conversation begins; whatever fails here, it goes on. */
  remember(peer: Peer): void {
    const { leaf, known } = this.#of(peer);
    const { id, issuing } = peer;
    const { surroundings, identity } = this.#options;
    const { home, context } = surroundings;
    const nowMs = context.now();
    const isSame = known !== undefined && isSameKey(known.leaf, leaf);
    const contact: Contact = {
      id,
      leaf,
      issuing,
      root: identity.anchor.root.der,
      firstSeenMs: known?.firstSeenMs ?? nowMs,
      pinnedMs: isSame ? known.pinnedMs : nowMs,
      lastSeenMs: nowMs,
    };
    try {
      if (home.contacts.save(contact, known)) return;
      surroundings.warn(
        `"${id}" is not remembered: another command has meanwhile talked to one with another key`,
        `see which is right: pki contacts show ${id}`,
      );
    } catch (error) {
      if (!(error instanceof PkiError)) throw error;
      surroundings.warn(`"${id}" is not remembered: ${error.message}`, error.hint);
    }
  }

  /** Tells what is new about a peer with whom the conversation has begun. */
  tellNews(peer: Peer): void {
    const admitted = this.#of(peer);
    const text = describeNews(peer, admitted);
    if (text === undefined) return;
    const { why, leaf } = admitted;
    const { id, words } = peer;
    const key = keyFingerprintOf(leaf);
    this.#options.tell({ event: "contact", peer: id, contact: why, key, words }, text);
  }

  /** The peer asks its user about us, who may want to compare the words. */
  peerAsks(line: WaitingLine): void {
    if (this.#asking.has(line)) return;
    this.#asking.add(line);
    const peer = this.#peers.get(line);
    if (peer) this.#tellAsked(peer);
  }

  #tellAsked({ id, words }: Peer): void {
    this.#options.tell(
      { event: "asked", peer: id, words },
      `if ${id} asks you for them, the safety words of this call are: ${words.join(" ")}`,
    );
  }
}

/** What a person needs in order to find out who it is. */
function describeAlarm(
  { id, words, notAfterMs }: Peer,
  leaf: Certificate,
  { contact, isOtherRoot }: Extract<Standing, { kind: "changed" }>,
): string {
  const root = isOtherRoot ? ", under another root" : "";
  return `${id} HAS ANOTHER KEY THAN BEFORE, and the one before does not vouch for it
  before  ${shortKey(contact.leaf)}  since ${dateOf(contact.pinnedMs)}${root}
  now     ${shortKey(leaf)}  certified until ${dateOf(notAfterMs)}
Either ${id} has made a new key, or this is somebody else with a certificate in that name:
whoever runs the server can make one. Ask ${id} by another way, by telephone say, whether the
key is new, and whether these words are shown there too:
  ${words.join("  ")}`;
}

/** What is worth saying of a peer; nothing of one who is known. */
function describeNews(
  { id, words }: Peer,
  { why, leaf, known, endorsedMs }: Admitted,
): string | undefined {
  switch (why) {
    case "new":
      return `first talk with ${id}, remembered by the key ${shortKey(leaf)}\n` +
        `compare these words by another way, by telephone say: ${words.join(" ")}`;
    case "endorsed":
      return `${id} has a new key${
        endorsedMs === undefined ? "" : ` since ${dateOf(endorsedMs)}`
      }, ` +
        `${shortKey(leaf)}, and the one before vouches for it`;
    case "changed":
      return `the new key of ${id}, ${shortKey(leaf)}, is remembered in place of ` +
        (known ? shortKey(known.leaf) : "the one before");
    case "known":
      return undefined;
  }
}
