import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import type { PkiContext } from "../../commands/context.ts";
import { SharedTerminal } from "../../commands/shared_terminal.ts";
import { Chat } from "../../lib/peer/chat.ts";
import { FakeScreen } from "../fakes/screen.ts";

test("SharedTerminal shows what goes to stderr above what is typed, and asks in between", async () => {
  const screen = new FakeScreen(40, 10);
  const input = new PassThrough();
  const questions: PromiseWithResolvers<string>[] = [];
  const shared = new SharedTerminal(
    {
      process: { stdin: input, stdout: screen, stderr: screen, env: {} },
      homeFolder: "",
      terminal: {
        askPassword: () => Promise.reject(new Error("nobody asks for it here")),
        confirm: () => Promise.resolve(true),
        askText: (message) => {
          screen.write(`${message} `);
          const question = Promise.withResolvers<string>();
          questions.push(question);
          return question.promise;
        },
      },
      signal: new AbortController().signal,
      now: Date.now,
    } satisfies PkiContext,
  );
  const { process: { stderr }, terminal } = shared.context;
  stderr.write("before\n");
  await screen.shows("before");
  const none = () => {};
  const chat = new Chat("alice> ", {
    input,
    output: shared.stderr,
    now: () => 0,
    onEnter: none,
    onEnd: none,
    onGone: none,
    onInterrupt: none,
  });
  shared.chat = chat;
  input.write("half");
  stderr.write("a warning\nof two lines\n");
  await screen.shows("before", "a warning", "of two lines", "alice> half");

  const first = terminal?.askText("Who is it?");
  const second = terminal?.askText("And now?");
  await screen.shows("before", "a warning", "of two lines", "Who is it?");
  stderr.write("meanwhile\n");
  screen.write("carol\r\n");
  questions[0]?.resolve("carol");
  assert.equal(await first, "carol");
  const asked = ["before", "a warning", "of two lines", "Who is it? carol", "meanwhile"];
  await screen.shows(...asked, "And now?");
  questions[1]?.reject(new Error("nobody answers"));
  await assert.rejects(second ?? Promise.resolve(), /nobody answers/);
  input.write("!");
  await screen.shows(...asked, "alice> half!");
  chat.close();
  shared.chat = undefined;
  stderr.write("after\n");
  await screen.shows(...asked, "after");
  input.destroy();
});
