import assert from "node:assert/strict";
import { test } from "node:test";
import { typedRowsOf } from "../../lib/client/cells.ts";
import { TalkScreen } from "../../lib/client/talk_screen.ts";
import { FakeScreen } from "../fakes/screen.ts";

function typed(text: string): ReturnType<typeof typedRowsOf> {
  return typedRowsOf(text, { prompt: "> ", columns: 40 });
}

test("TalkScreen writes rows above what is typed, and marks them later", async () => {
  const output = new FakeScreen(40, 6);
  const screen = new TalkScreen(output);
  screen.above(["before anything is typed"]);
  screen.type(typed("abc"), [0, 5]);
  await output.shows("before anything is typed", "> abc");
  const place = screen.above(["one", "two"], 4);
  await output.shows("before anything is typed", "one", "two", "> abc");
  screen.mark(place, "!");
  screen.mark({ ...place, row: place.row - 1 }, "?");
  await output.shows("before anything is typed", "one ?", "two !", "> abc");
  assert.deepEqual(output.cursor, [3, 5]);
  screen.close();
  screen.above(["nobody reads this"]);
  await output.shows("before anything is typed", "one ?", "two !");
});

test("TalkScreen keeps what is shown while the terminal is somebody else's", async () => {
  const output = new FakeScreen(40, 6);
  const screen = new TalkScreen(output);
  screen.type(typed("abc"), [0, 5]);
  screen.leave();
  screen.above(["kept"]);
  output.write("a question\r\n");
  await output.shows("a question");
  screen.type(typed("abc"), [0, 5]);
  await output.shows("a question", "kept", "> abc");
  screen.clear();
  await output.shows("> abc");
  screen.leave();
  screen.above(["the last word"]);
  screen.close();
  await output.shows("the last word");
});

test("TalkScreen marks nothing that has scrolled out of the screen", async () => {
  const output = new FakeScreen(40, 4);
  const screen = new TalkScreen(output);
  screen.type(typed("abc\nde"), [0, 2]);
  const places = ["1", "2", "3"].map((row) => screen.above([row], 2));
  await output.shows("2", "3", "> abc", "de");
  for (const place of places) screen.mark(place, "!");
  await output.shows("2 !", "3 !", "> abc", "de");
  assert.deepEqual(output.history, ["1", "2 !", "3 !", "> abc", "de"]);
  screen.close();
});

test("TalkScreen has who shows too much wait, and lets go at the end", async () => {
  const output = new FakeScreen(40, 4);
  const screen = new TalkScreen(output);
  assert.equal(screen.room(), undefined);
  screen.type(typed(""), [0, 2]);
  screen.above(["x".repeat(39)]);
  for (let rows = 0; rows < 2000; rows++) screen.above(["x".repeat(39)]);
  await screen.room();
  assert.equal(screen.room(), undefined, "everything is on its way");
  for (let rows = 0; rows < 2000; rows++) screen.above(["y".repeat(39)]);
  const room = screen.room();
  assert.ok(room);
  screen.close();
  await room;
  await output.shows(...Array.from({ length: 3 }, () => "y".repeat(39)));
});
