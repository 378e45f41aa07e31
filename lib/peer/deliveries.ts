/**
 * What came from the peer and is on its way to where it belongs: one after the other, in order, and
 * counted, so that the line can stop reading while too much of it waits.
 */

/** What a delivery that waits costs besides its bytes: frames may be empty, and many. */
const DELIVERY_BYTES = 256;

export interface DeliveriesOptions {
  /** Whether the line is over: what is left is dropped, since it would come among what the next peer sends. */
  readonly isOver: () => boolean;
  readonly onDelivered: () => void;
  /** A delivery has failed; those behind it are tried all the same unless the line is over. */
  readonly onFailed: (error: unknown) => void;
}

export class Deliveries {
  readonly #options: DeliveriesOptions;
  #last: Promise<void> = Promise.resolve();
  #waitingBytes = 0;
  #deliveredBytes = 0;

  constructor(options: DeliveriesOptions) {
    this.#options = options;
  }

  /** What waits, and what that costs. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /** Bytes that are where they belong. */
  get deliveredBytes(): number {
    return this.#deliveredBytes;
  }

  /** @param work delivers so many bytes; what it returns is waited for */
  add(bytes: number, work: () => void | Promise<void>): void {
    const { isOver, onDelivered, onFailed } = this.#options;
    const cost = bytes + DELIVERY_BYTES;
    this.#waitingBytes += cost;
    this.#last = this.#last.then(() => isOver() ? undefined : work()).then(() => {
      this.#waitingBytes -= cost;
      this.#deliveredBytes += bytes;
      onDelivered();
    }, onFailed);
  }

  /** Does something once all that has been added until now is delivered. */
  after(work: () => void): void {
    void this.#last.then(work);
  }
}
