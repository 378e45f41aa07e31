/**
 * How far a transfer of files is: a bar on stderr with rate and time left, for a person who looks at
 * it. What is said meanwhile goes above it. Not without a terminal that can draw a line anew, and not
 * with `--quiet` or `--json`. The package that draws the bar is loaded when one is drawn.
 */

import type { SingleBar } from "cli-progress";
import { barOptions } from "./progress.ts";
import type { Surroundings } from "./globals.ts";
import { formatBytes } from "./quantity.ts";

/** Leaves room for a title and the figures on 80 columns. */
const BAR_CHARACTERS = 20;
/** Of a title; more is cut. */
const TITLE_CHARACTERS_MAX = 24;
/** A rate is that of the last so many milliseconds: steady, and soon right where it changes. */
const RATE_MS = 5000;
/** A bar is drawn at most so often. */
const DRAW_MS = 100;

/** The rate of the last seconds, from sums at times. */
export class Rate {
  #samples: { readonly timeMs: number; readonly bytes: number }[] = [];

  add(timeMs: number, bytes: number): void {
    this.#samples.push({ timeMs, bytes });
    while ((this.#samples[1]?.timeMs ?? Infinity) < timeMs - RATE_MS) this.#samples.shift();
  }

  /** Bytes a second; `undefined` before there is one to tell. */
  get bytesPerSecond(): number | undefined {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (!first || !last || last.timeMs <= first.timeMs) return undefined;
    return (last.bytes - first.bytes) * 1000 / (last.timeMs - first.timeMs);
  }

  /** Forgets what was: bytes that were there already are no rate. */
  restart(): void {
    this.#samples = [];
  }
}

/** `0:07`, `12:34`, `3:05:10`. */
export function formatClock(seconds: number): string {
  const whole = Math.ceil(seconds);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n: number) => String(n).padStart(2, "0");
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

interface Progress {
  readonly rate: Rate;
  readonly total: number;
  readonly bytes: number;
}

/** `12.0 MiB/s  0:07 left`; nothing before there is a rate. */
function describeRate({ rate: { bytesPerSecond }, total, bytes }: Progress): string {
  if (!bytesPerSecond) return "";
  return `${formatBytes(bytesPerSecond)}/s  ${formatClock((total - bytes) / bytesPerSecond)} left`;
}

/** `43%  12.0 MiB/s  0:07 left`: where there is no room for a bar. */
export function describeProgress(progress: Progress): string {
  const { total, bytes } = progress;
  const percent = total === 0 ? 100 : Math.floor(bytes * 100 / total);
  return `${percent}%  ${describeRate(progress)}`.trimEnd();
}

export class TransferBar {
  readonly #surroundings: Surroundings;
  #bar: SingleBar | undefined;
  #rate = new Rate();
  #total = 0;
  #bytes = 0;
  #drawnMs = 0;
  /** Which start it was: a bar that is loaded after its end is not shown. */
  #round = 0;

  constructor(surroundings: Surroundings) {
    this.#surroundings = surroundings;
  }

  /** Begins to show how much of so many bytes is done. */
  async start(title: string, total: number): Promise<void> {
    this.stop();
    this.#rate = new Rate();
    this.#total = total;
    this.#bytes = 0;
    const { flags, context: { process: { stderr, env } } } = this.#surroundings;
    if (!stderr.isTTY || env["TERM"] === "dumb" || flags.quiet || flags.json) return;
    const round = ++this.#round;
    const { SingleBar } = await import("cli-progress");
    if (round !== this.#round) return;
    // What a format has in braces is a field: a name is given as one.
    this.#bar = new SingleBar(
      barOptions(stderr, {
        format: "{title} [{bar}] {percentage}%  {rate}",
        barsize: BAR_CHARACTERS,
      }),
    );
    const shown = title.length > TITLE_CHARACTERS_MAX
      ? `${title.slice(0, TITLE_CHARACTERS_MAX - 1)}…`
      : title;
    this.#bar.start(total, this.#bytes, { title: shown, rate: "" });
  }

  /** So many bytes of all are done. */
  tick(bytes: number): void {
    const timeMs = this.#surroundings.context.now();
    this.#bytes = bytes;
    this.#rate.add(timeMs, bytes);
    if (timeMs - this.#drawnMs < DRAW_MS) return;
    this.#drawnMs = timeMs;
    this.#bar?.update(bytes, { rate: this.#describe() });
  }

  /** What is counted next has not been sent: it was there. */
  skip(): void {
    this.#rate.restart();
  }

  #describe(): string {
    return describeRate({ rate: this.#rate, total: this.#total, bytes: this.#bytes });
  }

  /** Writes a line, above the bar where there is one. */
  note(line: string): void {
    const { stderr } = this.#surroundings.context.process;
    stderr.write(this.#bar ? `\r\u001b[K${line}\n` : `${line}\n`);
    this.#bar?.render();
  }

  stop(): void {
    this.#round++;
    this.#bar?.stop();
    this.#bar = undefined;
  }
}
