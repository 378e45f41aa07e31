/**
 * Questions and answers between threads: numbered, over any port, each answered once. A question and
 * an answer are objects of their own fields and travel with the number among them: engines copy flat
 * objects of strings and numbers several times faster than objects in objects.
 */

import type { MessagePort, Transferable } from "node:worker_threads";
import { type PackedError, packError, type PkiError, unpackError } from "./errors.ts";

interface Numbered {
  readonly number: number;
}

export type Call<Question extends object> = Question & Numbered;

export type Reply<Result extends object> =
  | Result & Numbered & { readonly failure?: never }
  | Numbered & { readonly failure: PackedError };

/** The asking end. */
export class Caller<Question extends object, Result extends object> {
  readonly #port: MessagePort;
  readonly #waiting = new Map<number, PromiseWithResolvers<Result>>();
  #number = 0;
  #failure: PkiError | undefined;

  constructor(port: MessagePort) {
    this.#port = port;
    port.on("message", (reply: Reply<Result>) => {
      const waiting = this.#waiting.get(reply.number);
      this.#waiting.delete(reply.number);
      if (reply.failure) waiting?.reject(unpackError(reply.failure));
      else waiting?.resolve(reply);
    });
  }

  /** How many questions have not been answered. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** @throws {PkiError} what the other side failed with */
  ask(question: Question, transfer: Transferable[] = []): Promise<Result> {
    if (this.#failure) return Promise.reject(this.#failure);
    const number = ++this.#number;
    const waiting = Promise.withResolvers<Result>();
    this.#waiting.set(number, waiting);
    this.#port.postMessage({ ...question, number } satisfies Call<Question>, transfer);
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
export function answerCalls<Question extends object, Result extends object>(
  port: MessagePort,
  handle: (question: Question) => Promise<Result>,
): void {
  port.on("message", async (question: Call<Question>) => {
    const { number } = question;
    try {
      port.postMessage({ ...await handle(question), number });
    } catch (error) {
      port.postMessage({ number, failure: packError(error) });
    }
  });
}
