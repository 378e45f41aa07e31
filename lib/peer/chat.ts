/**
 * A terminal during a talk: one place to type in at the bottom, what arrives above it, and neither gets
 * into the other's way. What a line means is for its owner to say. Everything shown of a peer has been
 * made harmless first, and only our own rows begin at the left margin.
 */

import { Buffer } from "node:buffer";
import { EventEmitter } from "node:events";
import process from "node:process";
import { emitKeypressEvents } from "node:readline";
import type { Readable } from "node:stream";
import { stripVTControlCharacters } from "node:util";
import { rowsOf, type TypedRow, widthOf } from "../client/cells.ts";
import {
  ASK_FOR_MARKS,
  ASK_FOR_NO_MARKS,
  PASTE_CHARACTERS_MAX,
  PasteFilter,
  type TerminalInput,
} from "../client/paste.ts";
import { type Place, type ScreenOutput, TalkScreen } from "../client/talk_screen.ts";
import { type Key, Typing, type Wish } from "../client/typing.ts";

export interface ChatOptions {
  readonly input: Readable & { setRawMode?(isRaw: boolean): unknown };
  /** Where the terminal shows things. */
  readonly output: ScreenOutput;
  readonly now: () => number;
  /** Enter: the handler takes what was typed with {@link Chat.take}, or leaves it there. */
  readonly onEnter: (text: string) => void;
  /** Ctrl-D where nothing is typed. */
  readonly onEnd: () => void;
  /** There is no terminal any more. */
  readonly onGone: () => void;
  /** Ctrl-C, which the terminal does not turn into a signal while something is typed. */
  readonly onInterrupt: () => void;
  /** Tab behind a text: what it is completed to, if there is one way to. */
  readonly complete?: (text: string) => string | undefined;
}

/** How long a key that begins as a mark does is held back: a terminal sends the rest at once. */
const UNDECIDED_MS = 50;
/** Under the name of whoever speaks: the columns of the time. */
const INDENT = "      ";
const TICK = "✓";
/**
 * Between time and name: there the column is sure, which behind a text it is not, since terminals
 * differ in how wide some of it is.
 */
const TICK_COLUMN = 5;

function clockOf(timeMs: number): string {
  const time = new Date(timeMs);
  const digits = (value: number) => String(value).padStart(2, "0");
  return `${digits(time.getHours())}:${digits(time.getMinutes())}`;
}

export class Chat {
  readonly #options: ChatOptions;
  readonly #screen: TalkScreen;
  readonly #typing = new Typing();
  readonly #filter = new PasteFilter();
  readonly #decoder = new TextDecoder();
  readonly #keys = new EventEmitter();
  #prompt: string;
  #status: string | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #hasTerminal = false;
  #isClosed = false;

  readonly #onData = (chunk: Uint8Array) => {
    clearTimeout(this.#timer);
    this.#take(this.#filter.push(this.#decoder.decode(chunk, { stream: true })));
    if (this.#filter.isUndecided) {
      this.#timer = setTimeout(() => this.#take(this.#filter.flush()), UNDECIDED_MS);
    }
  };
  readonly #onGone = () => this.#options.onGone();
  readonly #onResize = () => {
    this.#screen.resized();
    this.#draw();
  };
  readonly #onContinue = () => this.resume();

  constructor(prompt: string, options: ChatOptions) {
    this.#prompt = prompt;
    this.#options = options;
    this.#screen = new TalkScreen(options.output);
    this.#keys.on("keypress", (character: string | undefined, key: Key) => {
      const wish = this.#typing.press(character, key, this.#surface);
      if (wish) this.#grant(wish);
    });
    emitKeypressEvents(this.#keys as unknown as Readable);
    this.resume();
  }

  /** What is typed and not entered. */
  get text(): string {
    return this.#typing.text;
  }

  /** Puts something in place of what is typed. */
  set text(text: string) {
    this.#typing.text = text;
    this.#draw();
  }

  /** Shows a row between what has happened and what is typed, as long as it is true. */
  setStatus(text: string | undefined): void {
    if (text === this.#status) return;
    this.#status = text;
    this.#draw();
  }

  /** What stands in front of what is typed. */
  set prompt(prompt: string) {
    this.#prompt = prompt;
    this.#draw();
  }

  /** Takes what was typed: it was entered, and something was done with it. */
  take(): string {
    const text = this.#typing.take();
    this.#draw();
    return text;
  }

  /**
   * Shows what a peer says.
   * @returns a promise if there is so much that the peer has to wait
   */
  show(from: string, text: string): Promise<void> | undefined {
    this.#say(`${from}: `, text);
    return this.#screen.room();
  }

  /** Shows what was sent by `from`; {@link tick} says later that it has arrived. */
  showSent(from: string, text: string): Place {
    return this.#say(`${from}> `, text);
  }

  /** Marks something sent as delivered, if it is still on the screen. */
  tick(place: Place): void {
    this.#screen.mark(place, TICK);
  }

  /** Says something of ours, which may be painted. */
  note(text: string): void {
    const { columns } = this.#screen;
    this.#screen.above(
      text.split("\n").flatMap((line) =>
        widthOf(line) <= columns
          ? [line]
          : rowsOf(stripVTControlCharacters(line), { columns, head: "", indent: "  " })
      ),
    );
  }

  /** Leaves the terminal to others, a question say, until {@link resume}. */
  suspend(): void {
    if (!this.#hasTerminal) return;
    this.#hasTerminal = false;
    const { input, output } = this.#options;
    clearTimeout(this.#timer);
    input.off("data", this.#onData);
    input.off("end", this.#onGone);
    input.off("error", this.#onGone);
    output.off("resize", this.#onResize);
    process.off("SIGCONT", this.#onContinue);
    this.#screen.leave();
    output.write(ASK_FOR_NO_MARKS);
    input.setRawMode?.(false);
    input.pause();
  }

  resume(): void {
    if (this.#hasTerminal || this.#isClosed) return;
    this.#hasTerminal = true;
    const { input, output } = this.#options;
    input.on("data", this.#onData);
    input.on("end", this.#onGone);
    input.on("error", this.#onGone); // the terminal is gone
    output.on("resize", this.#onResize);
    input.setRawMode?.(true);
    output.write(ASK_FOR_MARKS);
    input.resume();
    this.#draw();
  }

  /** Gives the terminal back. */
  close(): void {
    this.suspend();
    this.#isClosed = true;
    this.#screen.close();
  }

  get #surface() {
    return { prompt: this.#prompt, columns: this.#screen.columns };
  }

  #draw(): void {
    if (!this.#hasTerminal) return;
    const rows = this.#typing.rows(this.#surface);
    const [row, column] = this.#typing.cursorIn(rows);
    const status = this.#statusRows;
    this.#screen.type([...status, ...rows], [status.length + row, column]);
  }

  get #statusRows(): readonly TypedRow[] {
    if (this.#status === undefined) return [];
    const columns = this.#screen.columns - 1;
    const [shown = ""] = rowsOf(this.#status, { columns, head: "", indent: "" });
    return [{ shown, width: widthOf(shown), stops: [] }];
  }

  #say(head: string, text: string): Place {
    const { columns } = this.#screen;
    const time = clockOf(this.#options.now());
    const rows = rowsOf(text, { columns, head: `${time} ${head}`, indent: INDENT });
    const last = this.#screen.above(rows, TICK_COLUMN);
    return { ...last, row: last.row - rows.length + 1 };
  }

  #take(found: readonly TerminalInput[]): void {
    for (const input of found) {
      if (!this.#hasTerminal) return; // what is typed behind the end is for nobody
      if (input.kind === "keys") {
        this.#keys.emit("data", Buffer.from(input.text));
        continue;
      }
      this.#typing.paste(input.text);
      if (input.isCut) {
        this.note(`what was pasted is cut off behind ${PASTE_CHARACTERS_MAX} characters`);
      }
    }
    this.#draw();
  }

  #grant(wish: Wish): void {
    switch (wish) {
      case "enter":
        if (this.#typing.text.trim() !== "") this.#options.onEnter(this.#typing.text);
        else this.#typing.text = "";
        return;
      case "end":
        return this.#options.onEnd();
      case "interrupt":
        return this.#options.onInterrupt();
      case "clear":
        return this.#screen.clear();
      case "complete": {
        const text = this.#typing.isAtEnd ? this.#options.complete?.(this.#typing.text) : undefined;
        if (text !== undefined) this.#typing.text = text;
        return;
      }
      case "suspend":
        // The terminal makes no signal of Ctrl-Z while something is typed.
        this.suspend();
        process.once("SIGCONT", this.#onContinue);
        process.kill(process.pid, "SIGTSTP");
        return;
    }
  }
}
