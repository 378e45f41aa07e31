/** Questions and answers between threads: numbered, over any port, each answered once. */

import type { MessagePort, Transferable } from "node:worker_threads";
import { type PackedError, packError, type PkiError, unpackError } from "./errors.ts";

export type Reply<Result> =
  | { readonly number: number; readonly ok: true; readonly result: Result }
  | { readonly number: number; readonly ok: false; readonly error: PackedError };

export interface Call<Question> {
  readonly number: number;
  readonly question: Question;
}

/** The asking end. */
export class Caller<Question, Result> {
  readonly #port: MessagePort;
  readonly #waiting = new Map<number, PromiseWithResolvers<Result>>();
  #number = 0;
  #failure: PkiError | undefined;

  constructor(port: MessagePort) {
    this.#port = port;
    port.on("message", (reply: Reply<Result>) => {
      const waiting = this.#waiting.get(reply.number);
      this.#waiting.delete(reply.number);
      if (reply.ok) waiting?.resolve(reply.result);
      else waiting?.reject(unpackError(reply.error));
    });
  }

  /** @throws {PkiError} what the other side failed with */
  ask(question: Question, transfer: Transferable[] = []): Promise<Result> {
    if (this.#failure) return Promise.reject(this.#failure);
    const number = ++this.#number;
    const waiting = Promise.withResolvers<Result>();
    this.#waiting.set(number, waiting);
    this.#port.postMessage({ number, question } satisfies Call<Question>, transfer);
    return waiting.promise;
  }

  /** The other side is gone: nothing is answered any more, also not what was asked before. */
  fail(error: PkiError): void {
    this.#failure ??= error;
    for (const { reject } of this.#waiting.values()) reject(this.#failure);
    this.#waiting.clear();
  }
}

/** The answering end: every question goes to the handler, what it throws goes back as a report. */
export function answerCalls<Question, Result>(
  port: MessagePort,
  handle: (question: Question) => Promise<Result>,
): void {
  port.on("message", async ({ number, question }: Call<Question>) => {
    try {
      const result = await handle(question);
      port.postMessage({ number, ok: true, result } satisfies Reply<Result>);
    } catch (error) {
      port.postMessage({ number, ok: false, error: packError(error) } satisfies Reply<Result>);
    }
  });
}
