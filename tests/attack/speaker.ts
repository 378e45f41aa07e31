/**
 * A client of `pki/1` on the attacker's own TLS: whole requests, halves of them, and leaving at any
 * moment. Its passwords are stretched with next to no Argon2id, which is the client's affair alone, so
 * that a login costs the tests nothing.
 */

import assert from "node:assert/strict";
import * as opaque from "@serenity-kit/opaque";
import { concatBytes, encodeBase64, sha256 } from "../../lib/base/bytes.ts";
import { FrameReader } from "../../lib/protocol/frame.ts";
import { bindLogin } from "../../lib/protocol/opaque.ts";
import { type Message, requestFrame } from "../e2e/raw_client.ts";
import type { Scene } from "./scene.ts";
import { type Shown, TlsClient } from "./tls_client.ts";
import { CONTENT } from "./tls_hello.ts";

const STRETCHING = { "argon2id-custom": { iterations: 1, memory: 8, parallelism: 1 } } as const;
const PASSWORD = "a password of an attacker";

export interface SpeakerOptions {
  readonly from?: string;
  readonly shown?: Shown;
}

export type Leaving = "finish" | "reset";
export const LEAVINGS: readonly Leaving[] = ["finish", "reset"];

export class Speaker {
  readonly client: TlsClient;
  readonly #frames = new FrameReader();
  readonly #rootFingerprint: string;
  #seq = 0;

  private constructor(client: TlsClient, rootFingerprint: string) {
    this.client = client;
    this.#rootFingerprint = rootFingerprint;
  }

  /** Connected, and not greeted. */
  static async open({ port, world }: Scene, options: SpeakerOptions = {}): Promise<Speaker> {
    await opaque.ready;
    const { from, shown } = options;
    const client = await TlsClient.open({ port, from }, shown ? { shown } : {});
    return new Speaker(client, world.server.fingerprint);
  }

  /** SHA-256 of the leaf that the server showed. */
  get leafHash(): Uint8Array {
    return sha256(this.client.leaf);
  }

  write(bytes: Uint8Array): void {
    this.client.data(bytes);
  }

  #frame(type: string, body: object): Uint8Array {
    return requestFrame(++this.#seq, type, body);
  }

  /** Sends a request and does not wait. */
  say(type: string, body: object = {}): void {
    this.write(this.#frame(type, body));
  }

  sayHalf(type: string, body: object = {}): void {
    const frame = this.#frame(type, body);
    this.write(frame.subarray(0, frame.length >> 1));
  }

  /** The next message, or `undefined` once the connection has ended. */
  async next(): Promise<Message | undefined> {
    for (;;) {
      const body = this.#frames.read();
      if (body) return JSON.parse(new TextDecoder().decode(body)) as Message;
      const heard = await this.client.next();
      if (!heard) return undefined;
      if (heard.type === CONTENT.data) this.#frames.push(heard.body);
    }
  }

  async ask(type: string, body: object = {}): Promise<Message> {
    this.say(type, body);
    const answer = await this.next();
    assert.ok(answer, `closed in place of an answer to ${type}`);
    return answer;
  }

  async ok(type: string, body: object = {}): Promise<Message> {
    const answer = await this.ask(type, body);
    assert.equal(answer.type, "OK", `${type}: ${answer.code} ${answer.message}`);
    return answer;
  }

  /** All that comes until the end, in words: `OK, MALFORMED, closed`. */
  async hear(): Promise<string> {
    const words: string[] = [];
    for (let next = await this.next(); next; next = await this.next()) {
      words.push(next.code ?? next.type);
    }
    return [...words, "closed"].join(", ");
  }

  /** What is sent after all this is read, and the connection closed. */
  async hearAfter(...frames: readonly Uint8Array[]): Promise<string> {
    this.write(concatBytes(...frames));
    return await this.hear();
  }

  #identifiers(id: string) {
    return { client: id, server: this.#rootFingerprint };
  }

  /** `REGISTER`, and what is to follow it. */
  registration(id: string) {
    const { clientRegistrationState, registrationRequest } = opaque.client.startRegistration({
      password: PASSWORD,
    });
    return {
      request: { id, request: registrationRequest },
      finish: ({ response }: Message) => ({
        record: opaque.client.finishRegistration({
          clientRegistrationState,
          registrationResponse: String(response),
          password: PASSWORD,
          identifiers: this.#identifiers(id),
          keyStretching: STRETCHING,
        }).registrationRecord,
      }),
    };
  }

  async register(id: string): Promise<void> {
    const { request, finish } = this.registration(id);
    await this.ok("REGISTER_FINISH", finish(await this.ok("REGISTER", request)));
  }

  /** `LOGIN`, and what is to follow it if that is the password of {@link register}. */
  login(id: string) {
    const { clientLoginState, startLoginRequest } = opaque.client.startLogin({
      password: PASSWORD,
    });
    return {
      request: { id, request: startLoginRequest },
      finish: ({ response }: Message) => {
        const finished = opaque.client.finishLogin({
          clientLoginState,
          loginResponse: String(response),
          password: PASSWORD,
          identifiers: this.#identifiers(id),
          keyStretching: STRETCHING,
        });
        assert.ok(finished, `the password of ${id} is another`);
        return {
          finish: finished.finishLoginRequest,
          binding: encodeBase64(bindLogin(finished.sessionKey, this.leafHash)),
        };
      },
    };
  }

  async logIn(id: string): Promise<void> {
    const { request, finish } = this.login(id);
    await this.ok("LOGIN_FINISH", finish(await this.ok("LOGIN", request)));
  }

  leave(how: Leaving): void {
    this.client.wire[how]();
  }

  close(): void {
    this.client.wire.close();
  }
}

/** Runs something with a speaker that has said HELLO, and ends it. */
export async function speaking<T>(
  scene: Scene,
  options: SpeakerOptions,
  work: (speaker: Speaker) => Promise<T>,
): Promise<T> {
  const speaker = await Speaker.open(scene, options);
  try {
    await speaker.ok("HELLO");
    return await work(speaker);
  } finally {
    speaker.close();
  }
}
