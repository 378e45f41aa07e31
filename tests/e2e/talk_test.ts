/** Talks: two people at two terminals, and others who call meanwhile. */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { inWorld, needs } from "./harness.ts";
import { bothTalk, calling, inTalk, listenAt } from "./talkers.ts";
import { inTerminal } from "./terminal.ts";

const TMUX = needs("tmux");

/** A time of the day, and behind what was sent and has arrived a tick. */
const AT = "^\\d\\d:\\d\\d ";
const SENT = "^\\d\\d:\\d\\d✓";

/** Rows of the screen; each begins where it says. */
function rows(...patterns: readonly string[]): RegExp {
  return new RegExp(patterns.map((pattern) => `${pattern} *`).join("\n"), "m");
}

test(
  "a talk leaves what is typed alone, whatever arrives, and ticks what has arrived",
  TMUX,
  () =>
    inTalk(async ({ alice, bob }) => {
      await alice.type("half a li");
      await alice.waitFor(/^alice> half a li$/m);
      await bob.enter("hello alice");
      await alice.waitFor(rows(`${AT}bob: hello alice`, "alice> half a li$"));
      await bob.waitFor(rows(`${SENT}bob> hello alice`, "bob>"));
      // Where the cursor stood it still stands.
      for (let step = 0; step < 2; step++) await alice.press("Left");
      await bob.enter("and more");
      await alice.waitFor(rows(`${AT}bob: hello alice`, `${AT}bob: and more`, "alice> half a li$"));
      await alice.type("LITTLE ");
      await alice.waitFor(/^alice> half a LITTLE li$/m);
      await alice.press("Enter");
      await bob.waitFor(rows(`${AT}alice: half a LITTLE li`, "bob>"));
      await alice.waitFor(rows(`${SENT}alice> half a LITTLE li`, "alice>"));
      await bob.enter("   "); // nothing to say is not sent

      // What fills several rows is shown whole, below what arrives meanwhile.
      await alice.type(`${"0123456789".repeat(15)}end`); // the terminal has 120 columns
      await alice.waitFor(/3456789end$/m);
      for (const text of ["the first", "the second", "the third"]) {
        await bob.enter(text);
        await alice.waitFor(new RegExp(`${AT}bob: ${text}$`, "m"));
      }
      await alice.waitFor(rows(
        ...["first", "second", "third"].map((text) => `${AT}bob: the ${text}`),
        "alice> (?:0123456789){11}01$",
        "23456789(?:0123456789){3}end$",
      ));
      await alice.press("Enter");
      await bob.waitFor(/3456789end$/m);

      for (
        const text of [
          "Grüße, 日本語 и кириллица",
          "שלום",
          "👩 zwölf Boxkämpfer",
          "a  b\\n'\"$HOME",
        ]
      ) {
        await bob.enter(text);
        await alice.waitForRaw((raw) => raw.includes(`bob: ${text}\r`), text);
      }
      const long = "x".repeat(400); // more than three rows of the screen, which are indented
      await bob.enter(long);
      await alice.waitFor(rows(`${AT}bob: x{109}`, " {6}x{114}", " {6}x{114}", " {6}x{63}$"));

      // What is pasted is one message, to be edited and sent with one Enter; nobody is faked by it.
      await bob.paste("see:\n\t12:00 alice: yes\nend");
      await bob.waitFor(rows("bob> see:", " {4}12:00 alice: yes", "end$"));
      await bob.type("!");
      await bob.press("Enter");
      await alice.waitFor(rows(`${AT}bob: see:`, " {10}12:00 alice: yes", " {6}end!", "alice>"));
      await bob.press("Up");
      await bob.waitFor(rows("bob> see:", " {4}12:00 alice: yes", "end!$"));
      await bob.press("C-u");
      for (let line = 0; line < 2; line++) {
        await bob.press("BSpace");
        await bob.press("C-u");
      }

      await bob.enter("/whoo");
      await bob.waitFor(/^there is no \/whoo: did you mean \/who\?$/m);
      await bob.press("BSpace"); // it stays to be corrected
      await bob.press("Enter");
      const [, words] = await bob.waitFor(/^ {2}safety words +([a-z]+(?: [a-z]+){4})$/m);
      await bob.waitFor(/^ {2}certificate +[0-9a-f]{64}$/m);
      await alice.enter("/who");
      await alice.waitFor(new RegExp(`^  safety words +${words}$`, "m"));
      await bob.enter("//quit is a word");
      await alice.waitFor(new RegExp(`${AT}bob: /quit is a word$`, "m"));
      await alice.enter("/help");
      await alice.waitFor(/^ {2}\/quit +Hang up; Ctrl-D too$/m);
      await bob.enter("/quit");
      assert.equal(await bob.exitCode(), 0);
      assert.match(
        await bob.screen(),
        /^the conversation with alice has ended after [\dms ]+: you said goodbye$/m,
      );
      await alice.waitFor(
        /^the conversation with bob has ended after [\dms ]+: bob said goodbye$/m,
      );
      await alice.waitFor(/^listening again\nalice \(listening\)> *$/m);
      await alice.enter("/quit");
      await alice.waitFor(/^they have hung up already; once more to leave$|^exit=0$/m);
      if (!/^exit=0$/m.test(await alice.screen())) await alice.enter("/quit");
      assert.equal(await alice.exitCode(), 0);
    }),
);

test(
  "what is typed stays when the peer hangs up, and is not for whoever calls next",
  TMUX,
  () =>
    inTalk(async ({ world, alice, bob, port }) => {
      await bob.type("half of bob");
      await bob.waitFor(/^bob> half of bob$/m);
      await alice.press("C-d"); // the listener hangs up
      assert.equal(await bob.exitCode(), 0);
      assert.match(await bob.screen(), /: alice said goodbye\nnot sent: half of bob$/m);
      await alice.waitFor(/: you said goodbye\nlistening again\nalice \(listening\)> *$/m);
      await alice.type("for bob");
      await alice.press("Enter");
      await alice.waitFor(/^nobody is on the line: what you have typed stays here[^]*> for bob$/m);

      await inTerminal(world, calling(world, "carol", port), async (carol) => {
        await alice.waitFor(/^carol is on the line:[^]*^alice> for bob$/m);
        await carol.waitFor(/^carol> *$/m);
        await carol.enter("carol here");
        await alice.waitFor(rows(`${AT}carol: carol here`, "alice> for bob$"));
        await alice.press("Enter");
        await alice.waitFor(
          /^you typed this before carol was on the line: Enter once more sends it/m,
        );
        await alice.press("C-u");
        await alice.enter("hello carol");
        await carol.waitFor(new RegExp(`${AT}alice: hello carol$`, "m"));
        assert.doesNotMatch(await carol.screen(), /for bob/);

        // A peer that does not read has nothing, and one that is killed says no goodbye.
        await alice.waitFor(new RegExp(`${SENT}alice> hello carol$`, "m"));
        await carol.kill("SIGSTOP");
        await alice.enter("are you there?");
        await alice.waitFor(new RegExp(`${AT}alice> are you there\\?$`, "m"));
        await alice.type("half a li");
        await carol.kill("SIGKILL");
        await alice.waitFor(rows(
          "^the conversation with carol broke off after [\\dms ]+: the connection was lost",
          "not delivered: are you there\\?",
          "listening again",
          "alice \\(listening\\)> half a li$",
        ));
      });
      await alice.press("C-c");
      assert.equal(await alice.exitCode(), 130);

      const { terminal: listener, port: bobsPort } = await listenAt(world, "bob", ["--once"]);
      try {
        await inTerminal(world, calling(world, "alice", bobsPort), async (caller) => {
          await listener.waitFor(/^alice is on the line:/m);
          await caller.waitFor(/^alice> *$/m);
          await listener.waitFor(/^bob> *$/m);
          await listener.enter("other way round");
          await caller.waitFor(new RegExp(`${AT}bob: other way round$`, "m"));
          await caller.enter("/quit");
          assert.equal(await caller.exitCode(), 0);
        });
        assert.equal(await listener.exitCode(), 0, "--once");
        assert.match(await listener.screen(), /^the conversation with alice has ended .*$/m);
      } finally {
        await listener.close();
      }
    }),
);

test(
  "who calls during a talk hears busy, exit 8, or waits in order",
  TMUX,
  () =>
    inTalk(async ({ world, alice, bob, port }) => {
      await alice.type("half");
      await inTerminal(world, calling(world, "carol", port), async (carol) => {
        assert.equal(await carol.exitCode(), 8);
        assert.match(await carol.screen(), /another conversation is under way, try again later/);
        assert.match(await carol.screen(), /^pki: hint: to wait for them: --wait$/m);
      });
      await alice.waitFor(/^carol called meanwhile and heard "busy"$/m);
      await alice.waitFor(/^alice> half$/m);
      await bob.enter("still here");
      await alice.waitFor(rows(`${AT}bob: still here`, "alice> half$"));

      const waiting = [...calling(world, "carol", port), "--wait"];
      const told = /^alice is talking to somebody else: waiting; Ctrl-C gives up$/m;
      await inTerminal(world, waiting, async (carol) => {
        await carol.waitFor(told);
        await alice.waitFor(/^carol calls and waits$/m);
        await carol.press("C-c");
        assert.equal(await carol.exitCode(), 130);
        await alice.waitFor(/^carol does not wait any longer$/m);
      });
      await inTerminal(world, waiting, async (carol) => {
        await carol.waitFor(told);
        await alice.waitFor(/^carol does not wait any longer\n[^]*^carol calls and waits$/m);
        await bob.enter("/quit");
        assert.equal(await bob.exitCode(), 0);
        await alice.waitFor(/: bob said goodbye\nlistening again\ncarol is on the line:/m);
        await carol.waitFor(/^alice is on the line:/m);
        await carol.enter("at last");
        await alice.waitFor(rows(`${AT}carol: at last`, "alice> half$"));
      });
    }),
);

test(
  "Ctrl-C in a talk exits 130 on this side and is a goodbye on the other",
  TMUX,
  () =>
    inTalk(async ({ world, alice, bob, port }) => {
      await bob.press("C-c");
      assert.equal(await bob.exitCode(), 130);
      await alice.waitFor(/: bob said goodbye\nlistening again$/m);
      await inTerminal(world, calling(world, "bob", port), async (again) => {
        await alice.waitFor(/^listening again\nbob is on the line/m);
        await again.waitFor(/^bob> *$/m);
        await again.type("/quit\nmore\n"); // what is typed behind it is not an error
        assert.equal(await again.exitCode(), 0);
      });
      await alice.waitFor(
        /: bob said goodbye\nlistening again\n[^]*: bob said goodbye\nlistening/m,
      );
      await inTerminal(world, calling(world, "bob", port), async (again) => {
        await bothTalk(alice, again);
        await alice.press("C-c");
        assert.equal(await alice.exitCode(), 130);
        assert.match(await alice.screen(), /^pki: error: interrupted$/m);
        assert.equal(await again.exitCode(), 0);
        assert.match(
          await again.screen(),
          /^the conversation with alice has ended .*: alice said/m,
        );
      });
    }),
);

test(
  "a listener calls others between two talks, and listens again behind that",
  TMUX,
  () =>
    inTalk(async ({ world, alice, bob, port }) => {
      await alice.enter("/call carol@localhost:1");
      await alice.waitFor(/^you are talking to bob: \/quit hangs up first\nalice> \/call carol@/m);
      await alice.press("C-u");
      await bob.enter("/quit");
      await alice.waitFor(/^listening again\nalice \(listening\)> *$/m);
      const { terminal: carol, port: carols } = await listenAt(world, "carol");
      try {
        await alice.enter("/call bob@localhost:1");
        await alice.waitFor(/^pki: error: cannot reach localhost:1: nobody listens there$/m);
        await alice.waitFor(/^alice \(listening\)> *$/m);
        await alice.enter(`/call carol@localhost:${carols}`);
        await alice.waitFor(/^carol is on the line:[^]*^alice> *$/m);
        await carol.waitFor(/^alice is on the line:[^]*^carol> *$/m);
        await alice.enter("I call you");
        await carol.waitFor(new RegExp(`${AT}alice: I call you$`, "m"));
        // Meanwhile it is busy for others, who may wait here as well.
        const waiting = [...calling(world, "bob", port), "--wait"];
        await inTerminal(world, waiting, async (again) => {
          await again.waitFor(/^alice is talking to somebody else: waiting/m);
          await carol.enter("/quit");
          await alice.waitFor(/: carol said goodbye\nlistening again\nbob is on the line:/m);
          await again.waitFor(/^bob> *$/m);
          await again.press("C-d");
          assert.equal(await again.exitCode(), 0);
        });
        await alice.waitFor(/: bob said goodbye\nlistening again\nalice \(listening\)> *$/m);
        // A call that has to wait can be given up.
        await inTerminal(world, calling(world, "bob", carols), async (other) => {
          await other.waitFor(/^carol is on the line:/m);
          await alice.enter(`/call carol@localhost:${carols}`);
          await alice.waitFor(/^carol is talking to somebody else: waiting[^]*\(calling carol@/m);
          await carol.waitFor(/^alice calls and waits$/m);
          await alice.press("C-c");
          await alice.waitFor(/^the call to carol@localhost:\d+ was given up$/m);
          await alice.waitFor(/^alice \(listening\)> *$/m);
          await carol.waitFor(/^alice does not wait any longer$/m);
          await other.enter("/quit");
        });
      } finally {
        await carol.close();
      }
    }),
);

/** What a peer may send to do harm, and what a person sees of it. */
const HOSTILE: readonly (readonly [does: string, bytes: string | Buffer, shown: string])[] = [
  ["clears the screen", "\x1b[2Jevil", "\ufffd[2Jevil"],
  ["sets the title", "\x1b]0;owned\x07", "\ufffd]0;owned\ufffd"],
  ["rings and goes back", "bell\x07\x08\x08x", "bell\ufffd\ufffd\ufffdx"],
  ["overwrites its line", "spoofed\rbob: fine", "spoofed\ufffdbob: fine"],
  ["uses C1 controls", "\u009b2J\u0090x", "\ufffd2J\ufffdx"],
  ["uses C1 as bytes", Buffer.from([0x9b, 0x32, 0x4a]), "\ufffd2J"],
  ["turns the writing", "\u202etxt.exe\u202c\u2066x\u2069", "\ufffdtxt.exe\ufffd\ufffdx\ufffd"],
  ["hides text", "a\u200bb\u{e0041}c", "a\ufffdb\ufffdc"],
  ["breaks lines", "a\u2028b\x0bc\x0cd\x85e", "a\ufffdb\ufffdc\ufffdd\ufffde"],
  ["is not UTF-8", Buffer.from([0x61, 0xff, 0xc0, 0x62]), "a\ufffd\ufffdb"],
  ["deletes", "a\x7fb\0c", "a\ufffdb\ufffdc"],
];

test(
  "control characters of a piped peer never reach the terminal",
  TMUX,
  () =>
    inWorld(async (world) => {
      await world.withUsers("alice", "bob");
      const { terminal: alice, port } = await listenAt(world, "alice");
      try {
        const caller = world.start(calling(world, "bob", port), { keepStdin: true });
        await alice.waitFor(/^bob is on the line:[^]*^alice> *$/m);
        const before = alice.raw().length;
        for (const [does, bytes, shown] of HOSTILE) {
          caller.child.stdin?.write(Buffer.concat([Buffer.from(bytes), Buffer.from("\r\n")]));
          const expected = `bob: ${shown}\r`;
          await alice.waitForRaw((raw) => raw.includes(expected), does);
        }
        caller.child.stdin?.write("one last half line \x1b[5n");
        caller.child.stdin?.end();
        assert.equal((await caller.finished).code, 0);
        await alice.waitFor(/: bob said goodbye\nlistening again$/m);
        assert.match(await alice.screen(), /^\d\d:\d\d bob: one last half line \ufffd\[5n$/m);
        // What the line editor itself sends, and nothing else that is not text.
        const raw = alice.raw().slice(before)
          // deno-lint-ignore no-control-regex -- control characters are what it is about
          .replaceAll(/\x1b\[(?:\d+G|[0-2]?[JK]|\d+[ABCD]|\?\d+[hl])|\r\n|\r/g, "");
        // deno-lint-ignore no-control-regex -- control characters are what it is about
        assert.doesNotMatch(raw, /[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069]/);
        assert.ok(!raw.includes("\x1b"), "no escape sequence of the peer");
      } finally {
        await alice.close();
      }
    }),
);

test(
  "a talk with --offline begins with a warning, above the line that is typed",
  TMUX,
  () =>
    inWorld(async (world) => {
      await world.withUsers("alice", "bob");
      await world.server.running.end();
      const { terminal: alice, port } = await listenAt(world, "alice", ["--offline"]);
      try {
        await inTerminal(world, [...calling(world, "bob", port), "--offline"], async (bob) => {
          const warned = (id: string, own: string) =>
            new RegExp(
              `^pki: warning: whether the certificate of ${id} was revoked is not known[^]*` +
                `^${id} is on the line:[^]*^${own}> *$`,
              "m",
            );
          await alice.waitFor(warned("bob", "alice"));
          await bob.waitFor(warned("alice", "bob"));
          await bob.enter("good morning");
          await alice.waitFor(new RegExp(`${AT}bob: good morning$`, "m"));
        });
      } finally {
        await alice.close();
      }
    }),
);
