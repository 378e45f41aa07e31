/**
 * The keys that an agent keeps, each until its time is over. Two clocks count, and the first one to
 * say so ends it: the wall clock, which goes on while the machine is suspended, and the monotonic
 * one, which nobody sets back.
 *
 * Keys are bytes that are overwritten when they are forgotten. Copies that an engine made of them on
 * the way (strings of messages, buffers of sockets) stay in memory until it uses it otherwise.
 */

import { type Bytes, encodeBase64, parseBase64 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import type { AgentAnswer, AgentBody } from "../protocol/agent_messages.ts";

export interface KeptKeysOptions {
  /** Milliseconds since 1970, as the system's clock says. */
  readonly now: () => number;
  /** Milliseconds since any moment; never set. */
  readonly elapsed: () => number;
  /** Whether the file that a key was opened from is still what it was. */
  readonly isCurrent: (id: string, pemHash: string) => boolean;
}

interface KeptKey {
  /** PKCS #8. */
  readonly key: Bytes;
  readonly pemHash: string;
  readonly untilMs: number;
  readonly untilElapsedMs: number;
}

export class KeptKeys {
  readonly #options: KeptKeysOptions;
  readonly #kept = new Map<string, KeptKey>();

  constructor(options: KeptKeysOptions) {
    this.#options = options;
  }

  get isEmpty(): boolean {
    return this.#kept.size === 0;
  }

  /** Milliseconds until the next key's time is over; `undefined` if there is none. */
  get nextEndMs(): number | undefined {
    if (this.isEmpty) return undefined;
    const left = [...this.#kept.values()].map((kept) => this.#leftMs(kept));
    return Math.max(0, Math.min(...left));
  }

  #leftMs({ untilMs, untilElapsedMs }: KeptKey): number {
    const { now, elapsed } = this.#options;
    return Math.min(untilMs - now(), untilElapsedMs - elapsed());
  }

  /** Keeps a key in the place of the one before. @throws {PkiError} `busy` if there are too many */
  add({ id, key, pemHash, forMs }: AgentBody<"ADD">): AgentAnswer<"ADD"> {
    this.prune();
    if (this.#kept.size >= LIMITS.unlockedKeysMax && !this.#kept.has(id)) {
      throw new PkiError("busy", `cannot keep more than ${LIMITS.unlockedKeysMax} keys`, {
        hint: "have one forgotten with: pki lock --id NAME",
      });
    }
    this.#forget(id);
    const { now, elapsed } = this.#options;
    const untilMs = now() + forMs;
    this.#kept.set(id, {
      key: parseBase64(key),
      pemHash,
      untilMs,
      untilElapsedMs: elapsed() + forMs,
    });
    return { untilMs };
  }

  /** @throws {PkiError} `not-found` */
  find(id: string): AgentAnswer<"KEY"> {
    this.prune();
    const kept = this.#kept.get(id);
    if (!kept) {
      throw new PkiError("not-found", `the key of "${id}" is not unlocked`, {
        hint: `unlock it with: pki unlock --id ${id}`,
      });
    }
    const { key, pemHash, untilMs } = kept;
    return { key: encodeBase64(key), pemHash, untilMs };
  }

  list(): AgentAnswer<"LIST"> {
    this.prune();
    return { kept: [...this.#kept].map(([id, { untilMs }]) => ({ id, untilMs })) };
  }

  /** Forgets a key, or all. */
  lock(id?: string): AgentAnswer<"LOCK"> {
    this.prune();
    const ids = id === undefined ? [...this.#kept.keys()] : this.#kept.has(id) ? [id] : [];
    for (const one of ids) this.#forget(one);
    return { forgotten: ids };
  }

  /** Forgets keys whose time is over, or whose file is another one by now. */
  prune(): void {
    for (const [id, kept] of this.#kept) {
      const isOver = this.#leftMs(kept) <= 0;
      if (isOver || !this.#options.isCurrent(id, kept.pemHash)) this.#forget(id);
    }
  }

  #forget(id: string): void {
    this.#kept.get(id)?.key.fill(0);
    this.#kept.delete(id);
  }
}
