/**
 * `listen` and `connect` at a terminal: two people talk, line by line. What is typed belongs to the
 * terminal, not to a conversation: it stays when the peer hangs up, and whoever calls next does not get
 * it unasked. Start reading at {@link Talking.handle}.
 */

import { messageOf, type PkiError } from "../lib/base/errors.ts";
import type { Place } from "../lib/client/talk_screen.ts";
import { Chat } from "../lib/peer/chat.ts";
import { LineSplitter } from "../lib/peer/line_splitter.ts";
import type { Line, LineHandlers } from "../lib/peer/line.ts";
import type { Peer } from "../lib/peer/ports.ts";
import type { PkiContext } from "./context.ts";
import { type ConverseOptions, type Conversing, teller, tellOpen, tellWait } from "./converse.ts";
import { formatDuration } from "./duration.ts";
import { formatError } from "./error_text.ts";
import type { Surroundings } from "./globals.ts";
import {
  completeCommand,
  describeCommands,
  describeUnknown,
  findCommand,
  readTyped,
  type TalkCommand,
} from "./talk_commands.ts";
import { describeEnd, endEventOf } from "./talk_end.ts";
import type { BetweenTalks, TalkExtension, TalkScene } from "./talk_scene.ts";

/** A conversation that is open. */
interface Talk {
  readonly line: Line;
  readonly peer: Peer;
  readonly sinceMs: number;
  /** Messages that were sent and not confirmed, by number. */
  readonly sent: Map<number, { readonly place: Place; readonly text: string }>;
  readonly extensions: readonly TalkExtension[];
  /** Who said goodbye. */
  by: "us" | "peer" | undefined;
}

/** So soon after a peer has hung up, who wants to hang up too does not mean to leave. */
const HUNG_UP_MS = 1000;
/** What Tab lists at most. */
const CHOICES_MAX = 50;

export function startTalking(surroundings: Surroundings, options: ConverseOptions): Conversing {
  return new Talking(surroundings, options);
}

class Talking implements Conversing {
  readonly mode = "talk";
  readonly tell: Conversing["tell"];
  readonly #surroundings: Surroundings;
  readonly #context: PkiContext;
  readonly #options: ConverseOptions;
  readonly #id: string;
  #chat: Chat | undefined;
  #talk: Talk | undefined;
  /** A call that we make, until it has become a talk. */
  #calling: { readonly target: string; readonly abort: AbortController } | undefined;
  /** Whom what is typed is meant for, if it was typed in a talk with somebody. */
  #meantFor: string | undefined;
  /** Whether what is typed is sent to who is on the line only when Enter is pressed once more. */
  #isHeld = false;
  #hungUpMs = -Infinity;
  /** There is no terminal any more: what is under way ends. */
  #isGone = false;

  constructor(surroundings: Surroundings, options: ConverseOptions) {
    this.#surroundings = surroundings;
    this.#context = surroundings.context;
    this.#options = options;
    this.#id = options.participant.identity.id;
    // What happens beside a talk, a second caller say, goes above what is typed.
    this.tell = teller(surroundings, (line) => {
      if (this.#chat) this.#chat.note(line);
      else options.terminal.stderr.write(`${line}\n`);
    });
  }

  handle(line: () => Line, admit: LineHandlers["admit"]): LineHandlers {
    const splitter = new LineSplitter();
    let peerId: string | undefined;
    let talk: Talk | undefined;
    const extensions = () => talk?.extensions ?? [];
    const show = async (text: string) => {
      if (peerId !== undefined) await this.#chat?.show(peerId, text);
    };
    const showAll = async (texts: readonly string[]) => {
      for (const text of texts) await show(text);
    };
    return {
      askStatus: this.#options.participant.askStatus,
      admit: (peer) => {
        peerId = peer.id;
        return admit(peer);
      },
      onWait: (reason) => tellWait(this.tell, { reason, peer: peerId }),
      onOpen: (peer) => {
        talk = this.#open(line(), peer);
      },
      onText: ({ text }) => show(text),
      onDelivered: (messages) => {
        if (talk) this.#tick(talk, messages);
      },
      onData: (bytes) => showAll(splitter.push(bytes)),
      onFile: async (file, bytes) => {
        for (const { handlers } of extensions()) await handlers?.onFile?.(file, bytes);
      },
      onFileControl: async (control) => {
        for (const { handlers } of extensions()) await handlers?.onFileControl?.(control);
      },
      onPeerEnd: async () => {
        await showAll(splitter.end());
        if (talk) talk.by ??= "peer";
        this.#hangUp(line());
      },
    };
  }

  over(line: Line, error: PkiError | undefined): void {
    const talk = this.#talk?.line === line ? this.#talk : undefined;
    if (!talk) {
      // It never was one: whoever called is told why by whoever made the call.
      if (!this.#options.between && error) {
        const { kind, message } = error;
        this.tell(
          { event: "failed", peer: null, kind, message },
          `the conversation failed: ${message}`,
        );
      }
      return;
    }
    this.#talk = undefined;
    for (const extension of talk.extensions) extension.over?.();
    this.#chat?.setStatus(undefined);
    const now = this.#context.now();
    if (talk.by === "peer") this.#hungUpMs = now;
    const undelivered = error ? [...talk.sent.values()].map(({ text }) => text) : [];
    if (!error) this.#tick(talk, Infinity);
    const { by, peer: { id: peer } } = talk;
    const end = { peer, by, durationMs: now - talk.sinceMs, error, undelivered };
    const rest = this.#chat?.text ?? "";
    this.#meantFor = rest === "" ? undefined : peer;
    this.#isHeld = false;
    if (!this.#options.between) this.close();
    this.tell(endEventOf(end), describeEnd(end));
    if (!this.#options.between) this.#giveBack(rest);
    if (this.#isGone) this.#options.between?.leave();
    this.#showPrompt();
  }

  idle(): void {
    if (!this.#options.between) return;
    const { json, quiet } = this.#surroundings.flags;
    const chat = this.#startChat();
    if (!json && !quiet) {
      chat.note("meanwhile /call NAME calls somebody, /help lists commands, /quit leaves");
    }
  }

  close(): void {
    this.#chat?.close();
    this.#chat = undefined;
    this.#options.terminal.chat = undefined;
  }

  /** What was typed and not sent is on the screen still, where it can be copied from. */
  #giveBack(text: string): void {
    if (text.trim() === "") return;
    const { terminal: { stderr } } = this.#options;
    stderr.write(`not sent: ${text.replaceAll("\n", "\n  ")}\n`);
  }

  #startChat(): Chat {
    if (this.#chat) return this.#chat;
    const chat: Chat = new Chat(this.#prompt, {
      input: this.#context.process.stdin,
      output: this.#options.terminal.stderr,
      now: this.#context.now,
      onEnter: (text) => this.#enter(chat, text),
      onEnd: () => this.#quit(),
      onGone: () => {
        this.#isGone = true;
        this.#quit();
      },
      onInterrupt: () => {
        if (this.#calling) this.#calling.abort.abort();
        else this.#options.onInterrupt();
      },
      complete: (text) => this.#complete(chat, text),
    });
    this.#chat = chat;
    this.#options.terminal.chat = chat;
    return chat;
  }

  #complete(chat: Chat, typed: string): string {
    const { text, choices } = completeCommand(this.#commands, typed);
    if (choices.length > 0) chat.note(choices.slice(0, CHOICES_MAX).join("  "));
    return text;
  }

  get #prompt(): string {
    if (this.#talk || !this.#options.between) return `${this.#id}> `;
    return this.#calling
      ? `${this.#id} (calling ${this.#calling.target})> `
      : `${this.#id} (listening)> `;
  }

  #showPrompt(): void {
    if (this.#chat) this.#chat.prompt = this.#prompt;
  }

  #open(line: Line, peer: Peer): Talk {
    const more = "\ntype a line and press Enter; /help lists commands, /quit or Ctrl-D hangs up";
    tellOpen(this.#surroundings, { peer, tell: this.tell, more });
    const chat = this.#startChat();
    const scene: TalkScene = {
      line,
      peer,
      note: (text) => chat.note(text),
      status: (text) => chat.setStatus(text),
    };
    const extensions = (this.#options.extensions ?? []).map((extend) => extend(scene));
    const sinceMs = this.#context.now();
    this.#talk = { line, peer, sinceMs, sent: new Map(), extensions, by: undefined };
    // A command is for us, whoever is on the line.
    const isText = chat.text.trim() !== "" && readTyped(chat.text).kind === "text";
    this.#isHeld = isText && this.#meantFor !== peer.id;
    this.#showPrompt();
    return this.#talk;
  }

  #tick({ sent }: Talk, messages: number): void {
    for (const [number, { place }] of sent) {
      if (number > messages) break; // they are in order
      this.#chat?.tick(place);
      sent.delete(number);
    }
  }

  #enter(chat: Chat, typed: string): void {
    const meaning = readTyped(typed);
    if (meaning.kind === "text") return this.#say(chat, meaning.text);
    const command = findCommand(this.#commands, meaning.name);
    if (!command) return chat.note(describeUnknown(this.#commands, meaning.name));
    chat.take();
    const complaint = command.run(meaning.rest);
    if (complaint === undefined) return;
    chat.note(complaint);
    chat.text = typed;
  }

  /** Sends something, or says why not, and leaves it where it is. */
  #say(chat: Chat, text: string): void {
    const talk = this.#talk;
    if (!talk || talk.by) {
      const how = this.#options.between?.call
        ? "; /call NAME or /call HOST:PORT calls somebody"
        : "";
      return chat.note(`nobody is on the line: what you have typed stays here${how}`);
    }
    if (this.#isHeld) {
      this.#isHeld = false;
      const whom = this.#meantFor === undefined ? "before" : `to ${this.#meantFor} before`;
      return chat.note(
        `you typed this ${whom} ${talk.peer.id} was on the line: Enter once more sends it to ${talk.peer.id}`,
      );
    }
    try {
      const { number } = talk.line.sendText(text);
      chat.take();
      talk.sent.set(number, { place: chat.showSent(this.#id, text), text });
    } catch (error) {
      chat.note(messageOf(error)); // it is too long, and can be made shorter
    }
  }

  #quit(): void {
    if (this.#talk) return this.#hangUp(this.#talk.line);
    if (this.#calling) return this.#calling.abort.abort();
    if (!this.#isGone && this.#context.now() - this.#hungUpMs < HUNG_UP_MS) {
      this.#hungUpMs = -Infinity;
      return this.#chat?.note("they have hung up already; once more to leave");
    }
    if (this.#options.between) this.#options.between.leave();
    else this.#options.onInterrupt(); // there is no terminal any more
  }

  #hangUp(line: Line): void {
    if (this.#talk?.line === line) {
      this.#talk.by ??= "us";
      // Nothing more is typed into what is over.
      if (!this.#options.between) this.#chat?.suspend();
    }
    line.hangUp();
  }

  get #commands(): readonly TalkCommand[] {
    const { between } = this.#options;
    const commands: TalkCommand[] = [
      {
        name: "help",
        brief: "This list",
        run: () => this.#reply(describeCommands(this.#commands)),
      },
      { name: "who", brief: "Who is on the line, and since when", run: () => this.#who() },
    ];
    for (const extension of this.#talk?.extensions ?? []) {
      commands.push(...extension.commands ?? []);
    }
    const call = between?.call;
    if (call) {
      commands.push({
        name: "call",
        usage: "NAME|HOST:PORT",
        brief: "Call somebody who listens",
        run: (target) => this.#call(target, call),
      });
    }
    const brief = this.#talk ? "Hang up; Ctrl-D too" : "Leave; Ctrl-D too";
    commands.push({ name: "quit", brief, run: () => this.#quit() });
    return commands;
  }

  #reply(text: string): void {
    this.#chat?.note(text);
  }

  #who(): void {
    const { between } = this.#options;
    if (!this.#talk) return this.#reply(between?.describe() ?? "nobody is on the line");
    const { peer, sinceMs, sent } = this.#talk;
    const until = new Date(peer.notAfterMs).toISOString().slice(0, 10);
    const since = new Date(sinceMs).toLocaleTimeString("en-GB", { timeStyle: "short" });
    const waits = sent.size === 0 ? [] : [`  not delivered yet  ${sent.size}`];
    this.#reply([
      `${peer.id} is on the line`,
      `  certificate        ${peer.fingerprint}`,
      `  certified until    ${until}`,
      `  safety words       ${peer.words.join(" ")}`,
      `                     (${peer.id} sees the same, unless somebody is in between)`,
      `  since              ${since} (${formatDuration(this.#context.now() - sinceMs)})`,
      ...waits,
    ].join("\n"));
  }

  #call(target: string, call: NonNullable<BetweenTalks["call"]>): string | void {
    if (this.#talk) return `you are talking to ${this.#talk.peer.id}: /quit hangs up first`;
    if (this.#calling) return `you are calling ${this.#calling.target}: /quit gives that up`;
    if (target === "") return "say whom or where: /call bob, or /call host.example:7450";
    const abort = new AbortController();
    this.#calling = { target, abort };
    this.#showPrompt();
    const done = () => {
      this.#calling = undefined;
      this.#showPrompt();
    };
    call(target, abort.signal).then(done, (error) => {
      done();
      this.#reply(
        abort.signal.aborted
          ? `the call to ${target} was given up`
          : formatError(error, this.#surroundings.style),
      );
    });
  }
}
