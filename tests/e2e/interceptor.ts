/**
 * Somebody in between: answers a caller with one certificate, calls the listener with another, and
 * hands on what both say, word for word, but for what stands in the way: the status of a certificate
 * that it does not show. It reads everything.
 */

import { parseUtf8 } from "../../lib/base/bytes.ts";
import type { Credential } from "./forge.ts";
import {
  callAs,
  type Control,
  control,
  frame,
  RawListener,
  type RawPeer,
  TYPE,
} from "./raw_peer.ts";

export type Mask = Credential & {
  /** Says nothing of its certificate's status. */
  readonly isUnstapled?: boolean;
};

export interface Masks {
  /** What it shows to who calls: a certificate of whom the caller expects. */
  readonly toCaller: Mask;
  /** What it shows to who listens: a certificate of the caller, as it were. */
  readonly toListener: Mask;
}

/** Hands on what one side says to the other, as of somebody who shows this certificate. */
async function handOn(from: RawPeer, to: RawPeer, mask: Mask): Promise<readonly string[]> {
  const heard: string[] = [];
  for (;;) {
    const said = await from.next();
    if (!("body" in said)) break;
    const text = new TextDecoder().decode(said.body);
    heard.push(text);
    if (said.type === TYPE.control && text.includes('"HELLO"')) {
      const { status: _, ...hello } = JSON.parse(parseUtf8(said.body)) as Control;
      to.send(control(mask.isUnstapled ? hello : { ...hello, status: mask.status }));
    } else to.send(frame(said.type, said.body));
  }
  return heard;
}

/** The one call that it has been in the middle of. */
export class Interceptor {
  readonly #listener: RawListener;
  /** Everything that it has heard, from both sides, once both are gone. */
  readonly heard: Promise<string>;

  private constructor(listener: RawListener, heard: Promise<string>) {
    this.#listener = listener;
    this.heard = heard;
  }

  /** @param port where the listener is, on this machine */
  static async start(masks: Masks, port: number): Promise<Interceptor> {
    const heard = Promise.withResolvers<string>();
    const relay = async (caller: RawPeer) => {
      const listener = await callAs(masks.toListener, port);
      // Who calls is left to end it: what was handed on last could be lost to an end of ours.
      const fromCaller = handOn(caller, listener, masks.toListener).finally(() => listener.leave());
      const both = await Promise.all([fromCaller, handOn(listener, caller, masks.toCaller)]);
      return both.flat().join("\n");
    };
    const listener = await RawListener.start(masks.toCaller, (caller) => {
      relay(caller).then(heard.resolve, heard.reject);
    });
    return new Interceptor(listener, heard.promise);
  }

  /** `host:port` for the caller. */
  get where(): string {
    return this.#listener.where;
  }

  close(): void {
    this.#listener.close();
  }
}
