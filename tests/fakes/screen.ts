/** A terminal in memory: what is written to it is shown as a real one would, and can be resized. */

import { Writable } from "node:stream";
import xterm from "@xterm/headless";

/** How long rows may take before a test gives up. */
const PATIENCE_MS = 60_000;

export class FakeScreen extends Writable {
  readonly #terminal: InstanceType<typeof xterm.Terminal>;
  readonly #watchers = new Set<() => void>();
  /** Everything that was written. */
  raw = "";

  constructor(columns: number, rows: number) {
    super({ decodeStrings: false });
    this.#terminal = new xterm.Terminal({ cols: columns, rows, allowProposedApi: true });
  }

  get columns(): number {
    return this.#terminal.cols;
  }

  get rows(): number {
    return this.#terminal.rows;
  }

  override _write(chunk: string | Uint8Array, _encoding: string, done: () => void): void {
    const text = typeof chunk === "string" ? chunk : new TextDecoder().decode(chunk);
    this.raw += text;
    this.#terminal.write(text, () => {
      done();
      for (const watcher of [...this.#watchers]) watcher();
    });
  }

  resize(columns: number, rows: number): void {
    this.#terminal.resize(columns, rows);
    this.emit("resize");
  }

  /** Resolves once these rows are on the screen. */
  async shows(...rows: readonly string[]): Promise<void> {
    await this.#until(rows, () => this.screen);
  }

  /** Resolves once these rows are on the screen, and have scrolled out of it. */
  async hasShown(...rows: readonly string[]): Promise<void> {
    await this.#until(rows, () => this.history);
  }

  async #until(rows: readonly string[], look: () => readonly string[]): Promise<void> {
    const wanted = rows.join("\n");
    await new Promise<void>((resolve, reject) => {
      const watcher = () => {
        if (look().join("\n") !== wanted) return;
        clearTimeout(timer);
        this.#watchers.delete(watcher);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#watchers.delete(watcher);
        reject(new Error(`not:\n${wanted}\nbut:\n${look().join("\n")}`));
      }, PATIENCE_MS);
      this.#watchers.add(watcher);
      watcher();
    });
  }

  /** The rows on the screen, without spaces and empty rows at the end. */
  get screen(): readonly string[] {
    return this.#lines(this.#terminal.buffer.active.baseY);
  }

  /** These, and those that have scrolled out of it. */
  get history(): readonly string[] {
    return this.#lines(0);
  }

  /** Row and column of the cursor on the screen. */
  get cursor(): readonly [row: number, column: number] {
    const { cursorX, cursorY } = this.#terminal.buffer.active;
    return [cursorY, cursorX];
  }

  #lines(from: number): string[] {
    const { active } = this.#terminal.buffer;
    const lines: string[] = [];
    for (let at = from; at < active.baseY + this.rows; at++) {
      lines.push(active.getLine(at)?.translateToString().trimEnd() ?? "");
    }
    while (lines.at(-1) === "") lines.pop();
    return lines;
  }
}
