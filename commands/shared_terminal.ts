/**
 * A terminal that a talk shares with everything else that a command asks and says there: a question
 * has it to itself, with what is typed put aside, and what goes to stderr appears above that.
 */

import { Writable } from "node:stream";
import type { Terminal } from "../lib/client/terminal.ts";
import type { Chat } from "../lib/peer/chat.ts";
import type { OutputStream, PkiContext } from "./context.ts";

/** Stderr that goes above what is typed while something is. */
class Stderr extends Writable {
  readonly #real: OutputStream;
  readonly #chat: () => Chat | undefined;

  constructor(real: OutputStream, chat: () => Chat | undefined) {
    super({ decodeStrings: false });
    this.#real = real;
    this.#chat = chat;
  }

  get isTTY(): boolean {
    return this.#real.isTTY ?? false;
  }

  get columns(): number | undefined {
    return this.#real.columns;
  }

  override _write(chunk: string | Uint8Array, _encoding: string, done: () => void): void {
    const chat = this.#chat();
    if (!chat) return void this.#real.write(chunk, () => done());
    const text = typeof chunk === "string" ? chunk : new TextDecoder().decode(chunk);
    chat.note(text.replace(/\n$/, ""));
    done();
  }
}

export class SharedTerminal {
  /** What the rest of the command is to be given. */
  readonly context: PkiContext;
  /** Where a chat shows itself. */
  readonly stderr: OutputStream;
  #chat: Chat | undefined;
  /** Questions follow each other. */
  #questions: Promise<unknown> = Promise.resolve();

  constructor(context: PkiContext) {
    this.stderr = context.process.stderr;
    const { terminal } = context;
    const stderr = new Stderr(this.stderr, () => this.#chat) as OutputStream;
    this.context = {
      ...context,
      process: { ...context.process, stderr },
      terminal: terminal && this.#sharing(terminal),
    };
  }

  /** The chat that has the terminal from now on. */
  set chat(chat: Chat | undefined) {
    this.#chat = chat;
  }

  get chat(): Chat | undefined {
    return this.#chat;
  }

  #sharing(terminal: Terminal): Terminal {
    return {
      ...terminal,
      askPassword: (message) => this.#ask(() => terminal.askPassword(message)),
      askText: (message, placeholder, signal) =>
        this.#ask(() => terminal.askText(message, placeholder, signal)),
      confirm: (message, signal) => this.#ask(() => terminal.confirm(message, signal)),
    };
  }

  async #ask<T>(question: () => Promise<T>): Promise<T> {
    const answer = this.#questions.then(async () => {
      const chat = this.#chat;
      chat?.suspend();
      try {
        return await question();
      } finally {
        if (chat === this.#chat) chat?.resume();
      }
    });
    this.#questions = answer.catch(() => {}); // whoever asked is told
    return await answer;
  }
}
