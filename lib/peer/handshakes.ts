/**
 * Connections that have not shown yet whether they speak TLS: anybody can open as many as they like. No
 * more than so many are held; beyond that the oldest one makes room, since whoever means to call is
 * done within moments. No I/O here.
 */

/** Each costs a descriptor, of which a process has 1,024 as a rule. */
export const HANDSHAKES_MAX = 128;

export class Handshakes {
  /** How to end each, the oldest first. */
  readonly #pending = new Map<string, () => void>();

  get size(): number {
    return this.#pending.size;
  }

  /**
   * @param from where the connection comes from, address and port
   * @param end ends it
   */
  begin(from: string, end: () => void): void {
    this.#pending.delete(from);
    this.#pending.set(from, end);
    if (this.#pending.size <= HANDSHAKES_MAX) return;
    const [oldest] = this.#pending;
    if (!oldest) return;
    const [other, endOther] = oldest;
    this.#pending.delete(other);
    endOther();
  }

  /** It speaks TLS, or is closed. */
  over(from: string): void {
    this.#pending.delete(from);
  }
}
