import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import fc from "fast-check";
import { rowsOf, typedRowsOf } from "../../lib/client/cells.ts";
import { TextBuffer } from "../../lib/client/text_buffer.ts";
import { Chat } from "../../lib/peer/chat.ts";
import { FakeScreen } from "../fakes/screen.ts";

/** Noon, wherever the test runs. */
const NOON_MS = new Date(2026, 10, 26, 12, 0).getTime();

interface ChatWorld {
  readonly chat: Chat;
  readonly screen: FakeScreen;
  /** What happened, in order. */
  readonly events: string[];
  type(text: string): void;
}

/** Runs a test's body with a chat on a screen of so many columns and rows. */
async function inChat(
  [columns, rows]: readonly [number, number],
  body: (world: ChatWorld) => Promise<void>,
): Promise<void> {
  const input = new PassThrough();
  const screen = new FakeScreen(columns, rows);
  const events: string[] = [];
  const chat = new Chat("alice> ", {
    input,
    output: screen,
    now: () => NOON_MS,
    onEnter: (text) => events.push(`enter ${text}`),
    onEnd: () => events.push("end"),
    onGone: () => events.push("gone"),
    onInterrupt: () => events.push("interrupt"),
    complete: (text) => text === "/q" ? "/quit" : undefined,
  });
  try {
    await body({ chat, screen, events, type: (text) => void input.write(text) });
  } finally {
    chat.close();
    input.destroy();
  }
}

const LONG = "0123456789".repeat(5);

test("Chat shows what arrives above what is typed, in whatever rows", () =>
  inChat([30, 8], async ({ chat, screen, type }) => {
    await screen.shows("alice>");
    type("half");
    await screen.shows("alice> half");
    assert.deepEqual(screen.cursor, [0, 11]);
    chat.show("bob", "hello");
    await screen.shows("12:00 bob: hello", "alice> half");
    assert.deepEqual(screen.cursor, [1, 11]);
    type(`\x1b[D\x1b[D`);
    chat.show("bob", "more");
    await screen.shows("12:00 bob: hello", "12:00 bob: more", "alice> half");
    type("X");
    await screen.shows("12:00 bob: hello", "12:00 bob: more", "alice> haXlf");
    // Several rows, the cursor in the middle of them.
    type(`\x05${LONG}`);
    const typed = ["alice> haXlf01234567890123456", "78901234567890123456789012345", "6789"];
    await screen.shows("12:00 bob: hello", "12:00 bob: more", ...typed);
    type("\x1b[A");
    chat.show("bob", "third");
    await screen.shows("12:00 bob: hello", "12:00 bob: more", "12:00 bob: third", ...typed);
    assert.deepEqual(screen.cursor, [4, 4]);
    // At the last row of the screen, and beyond.
    chat.show("bob", "4");
    chat.show("bob", "5");
    chat.show("bob", "6");
    await screen.shows(
      ...["more", "third", "4", "5", "6"].map((text) => `12:00 bob: ${text}`),
      ...typed,
    );
    assert.deepEqual(screen.history[0], "12:00 bob: hello");
    type("!");
    await screen.shows(
      ...["more", "third", "4", "5", "6"].map((text) => `12:00 bob: ${text}`),
      typed[0] ?? "",
      "7890!123456789012345678901234",
      "56789",
    );
  }));

test("Chat finds its rows again when the terminal has another size", () =>
  inChat([40, 10], async ({ chat, screen, type }) => {
    chat.show("bob", "hello");
    type(LONG);
    await screen.shows("12:00 bob: hello", `alice> ${LONG.slice(0, 32)}`, LONG.slice(32));
    screen.resize(24, 10);
    await screen.shows(
      "12:00 bob: hello",
      `alice> ${LONG.slice(0, 16)}`,
      LONG.slice(16, 39),
      LONG.slice(39),
    );
    chat.show("bob", "still there");
    await screen.shows(
      "12:00 bob: hello",
      "12:00 bob: still there",
      `alice> ${LONG.slice(0, 16)}`,
      LONG.slice(16, 39),
      LONG.slice(39),
    );
    screen.resize(60, 10);
    await screen.shows("12:00 bob: hello", "12:00 bob: still there", `alice> ${LONG}`);
    screen.resize(60, 4);
    chat.show("bob", "end");
    await screen.shows(
      "12:00 bob: hello",
      "12:00 bob: still there",
      "12:00 bob: end",
      `alice> ${LONG}`,
    );
  }));

test("Chat shows of what is too long for the screen what is around the cursor", () =>
  inChat([30, 4], async ({ chat, screen, type }) => {
    type("\x1b[200~one\ntwo\nthree\nfour\nfive\x1b[201~");
    await screen.shows("three", "four", "five");
    chat.show("bob", "hi");
    await screen.shows("12:00 bob: hi", "three", "four", "five");
    type("\x1b[A\x1b[A\x1b[A\x1b[A");
    await screen.shows("12:00 bob: hi", "alice> one", "two", "three");
    assert.equal(chat.text, "one\ntwo\nthree\nfour\nfive");
  }));

test("Chat counts columns of wide and combining characters", () =>
  inChat([20, 6], async ({ chat, screen, type }) => {
    type("日本語日本語日"); // the seventh has no room in the first row
    await screen.shows("alice> 日本語日本語", "日");
    assert.deepEqual(screen.cursor, [1, 2]);
    type("\x1b[D\x1b[D");
    await screen.shows("alice> 日本語日本語", "日");
    chat.show("bob", "e\u0301e\u0301");
    await screen.shows("12:00 bob: e\u0301e\u0301", "alice> 日本語日本語", "日");
    assert.deepEqual(screen.cursor, [1, 17]);
    type("x");
    await screen.shows("12:00 bob: e\u0301e\u0301", "alice> 日本語日本x", "語日");
  }));

test("Chat lets no peer begin a row, whatever the terminal makes of widths", () =>
  inChat([30, 8], async ({ chat, screen }) => {
    const fake = "12:01 alice: yes, do it";
    chat.show("bob", `ok\n${fake}\r\n${fake}\n${" ".repeat(24)}${fake}`);
    const shown = [
      "12:00 bob: ok",
      `      ${fake}`,
      `      ${fake}`,
      "",
      `      ${fake}`,
    ];
    await screen.shows(...shown, "alice>");
    // We take a soft hyphen for nothing, this terminal for a column: the row ends at the margin.
    chat.show("bob", `${"\u00ad".repeat(19)}12:01 ok`);
    chat.show("bob", "end");
    await screen.shows(
      ...shown,
      `12:00 bob: ${"\u00ad".repeat(18)}k`,
      "12:00 bob: end",
      "alice>",
    );
  }));

test("Chat has Enter, Ctrl-D, Ctrl-C and Tab for its owner", () =>
  inChat([30, 8], async ({ chat, screen, events, type }) => {
    type("  \r"); // nothing to say
    type("hello\r");
    await screen.shows("alice> hello");
    assert.deepEqual(events, ["enter hello"]);
    assert.equal(chat.text, "hello", "what nobody takes stays");
    assert.equal(chat.take(), "hello");
    await screen.shows("alice>");
    type("/q\t");
    await screen.shows("alice> /quit");
    chat.take();
    type("\x04");
    type("\x03");
    await screen.shows("alice>");
    assert.deepEqual(events, ["enter hello", "end", "interrupt"]);
  }));

test("Chat ticks what has arrived, where it still stands", () =>
  inChat([30, 5], async ({ chat, screen, type }) => {
    type("typing");
    const first = chat.showSent("alice", "hello");
    const second = chat.showSent("alice", "日本語 wide 日本語");
    await screen.shows(
      "12:00 alice> hello",
      "12:00 alice> 日本語 wide",
      "      日本語",
      "alice> typing",
    );
    chat.tick(first);
    chat.tick(second);
    await screen.shows(
      "12:00✓alice> hello",
      "12:00✓alice> 日本語 wide",
      "      日本語",
      "alice> typing",
    );
    assert.deepEqual(screen.cursor, [3, 13]);
    const gone = chat.showSent("alice", "gone");
    for (const text of ["1", "2", "3", "4"]) chat.show("bob", text);
    const rows = ["1", "2", "3", "4"].map((text) => `12:00 bob: ${text}`);
    await screen.shows(...rows, "alice> typing");
    chat.tick(gone);
    type("!");
    await screen.shows(...rows, "alice> typing!");
    assert.ok(screen.history.includes("12:00 alice> gone"), "nothing noisy");
    const lost = chat.showSent("alice", "resized");
    await screen.shows(...rows.slice(1), "12:00 alice> resized", "alice> typing!");
    screen.resize(25, 5);
    chat.tick(lost);
    type("!");
    await screen.shows(...rows.slice(1), "12:00 alice> resized", "alice> typing!!");
  }));

test("Chat leaves the terminal to a question, and comes back with what was typed", () =>
  inChat([30, 8], async ({ chat, screen, type, events }) => {
    type("half a li");
    await screen.shows("alice> half a li");
    chat.suspend();
    chat.show("bob", "meanwhile");
    screen.write("Really? ");
    await screen.shows("Really?");
    screen.write("yes\r\n");
    chat.resume();
    await screen.shows("Really? yes", "12:00 bob: meanwhile", "alice> half a li");
    chat.close();
    await screen.shows("Really? yes", "12:00 bob: meanwhile");
    assert.equal(chat.text, "half a li");
    assert.deepEqual(events, []);
    assert.ok(screen.raw.endsWith("\x1b[?2004l"), "pastes are not marked any more");
  }));

test("Chat makes a peer wait that says more than can be shown, and takes keys meanwhile", () =>
  inChat([80, 24], async ({ chat, screen, type }) => {
    await screen.shows("alice>");
    let waits = 0;
    for (let at = 0; at < 3000; at++) {
      const room = chat.show("bob", `${at} ${"x".repeat(60)}`);
      if (at === 1500) type("typed meanwhile");
      if (room) {
        waits++;
        await room;
      }
    }
    assert.ok(waits > 0);
    type("!");
    chat.show("bob", "the end");
    await screen.shows(
      ...Array.from({ length: 22 }, (_, at) => `12:00 bob: ${2978 + at} ${"x".repeat(60)}`),
      "12:00 bob: the end",
      "alice> typed meanwhile!",
    );
  }));

test("Chat says when a paste was too long for it", () =>
  inChat([80, 6], async ({ chat, screen, type }) => {
    type(`\x1b[200~${"x".repeat(70_000)}\x1b[201~\x15y`);
    await screen.shows("what was pasted is cut off behind 65536 characters", "alice> y");
    assert.equal(chat.text, "y");
  }));

test("Chat shows what goes on in a row of its own, above what is typed", () =>
  inChat([30, 6], async ({ chat, screen, type }) => {
    type("abc");
    chat.setStatus("sending photo.jpg: 40 % of 3.1 MB, 2 s left");
    await screen.shows("sending photo.jpg: 40 % of", "alice> abc");
    assert.deepEqual(screen.cursor, [1, 10]);
    chat.show("bob", "hi");
    chat.setStatus("done");
    await screen.shows("12:00 bob: hi", "done", "alice> abc");
    chat.setStatus(undefined);
    await screen.shows("12:00 bob: hi", "alice> abc");
  }));

test("Chat shows our own notes in colour, and wraps what is too long", () =>
  inChat([30, 6], async ({ chat, screen }) => {
    chat.note("\x1b[31mred\x1b[39m\nnot so short: certified until some day in the winter");
    await screen.shows(
      "red",
      "not so short: certified until",
      "  some day in the winter",
      "alice>",
    );
    assert.ok(screen.raw.includes("\x1b[31mred\x1b[39m"));
  }));

/** What may happen in a talk, one thing after the other. */
const DEEDS = fc.array(
  fc.oneof(
    fc.record({
      type: fc.constant("keys" as const),
      text: fc.string({ unit: fc.constantFrom("a", " ", "日", "e\u0301", "ü"), maxLength: 30 }),
    }),
    fc.constantFrom(
      { type: "left" as const },
      { type: "right" as const },
      { type: "erase" as const },
      { type: "line" as const },
    ),
    fc.record({
      type: fc.constant("message" as const),
      text: fc.string({ unit: fc.constantFrom("a", " ", "日", "\n", "\x1b"), maxLength: 60 }),
    }),
  ),
  { minLength: 1, maxLength: 25 },
);

test("Chat shows everything that was said, and below it what is typed, whatever comes when", () =>
  fc.assert(
    fc.asyncProperty(DEEDS, (deeds) =>
      inChat([24, 7], async ({ chat, screen, type }) => {
        const said: string[] = [];
        const buffer = new TextBuffer();
        for (const deed of deeds) {
          switch (deed.type) {
            case "keys":
              type(deed.text);
              buffer.insert(deed.text);
              break;
            case "left":
              type("\x1b[D");
              buffer.left();
              break;
            case "right":
              type("\x1b[C");
              buffer.right();
              break;
            case "erase":
              type("\x7f");
              buffer.eraseLeft();
              break;
            case "line":
              type("\x1b\r");
              buffer.insert("\n");
              break;
            case "message":
              chat.show("bob", deed.text);
              said.push(
                ...rowsOf(deed.text, { columns: 24, head: "12:00 bob: ", indent: "      " }),
              );
          }
        }
        const typed = typedRowsOf(buffer.text, { prompt: "alice> ", columns: 24 });
        // Typing that fills the screen is shown around the cursor: then its last rows may be missing.
        fc.pre(typed.length <= 6);
        const rows = [...said, ...typed.map(({ shown }) => shown)].map((row) => row.trimEnd());
        while (rows.at(-1) === "") rows.pop();
        await screen.hasShown(...rows);
        assert.equal(chat.text, buffer.text);
      })),
    { numRuns: 60, endOnFailure: true }, // each wait for what does not come takes its time
  ));
