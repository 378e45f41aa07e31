/** What a person sees and types: prompts, the interactive session, talks. */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { X509Certificate } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { inWorld, needs, PASSWORDS, type World } from "./harness.ts";
import { freePort, inTerminal, sayYes, Terminal, type TerminalOptions } from "./terminal.ts";

const TMUX = needs("tmux");
const ALICE = PASSWORDS["alice"] ?? "";

function serverOf(world: World): readonly string[] {
  return ["--server", `localhost:${world.server.port}`];
}

/** Starts `listen` at a terminal and waits until it does. */
async function listenAt(
  world: World,
  id: string,
  options: readonly string[] = [],
): Promise<{ readonly terminal: Terminal; readonly port: number }> {
  const terminal = await Terminal.start(world, [
    ...["listen", "--id", id, "--host", "127.0.0.1", "--port", "0"],
    ...["--password-file", world.passwordFile(id), ...options],
  ]);
  const [, port] = await terminal.waitFor(/ is listening on port (\d+);/);
  return { terminal, port: Number(port) };
}

function isCursorShown(raw: string): boolean {
  return raw.lastIndexOf("\x1b[?25h") > raw.lastIndexOf("\x1b[?25l");
}

/** The arguments of `connect`. */
function calling(world: World, id: string, port: number): readonly string[] {
  const passwordFile = world.passwordFile(id);
  return ["connect", `localhost:${port}`, "--id", id, "--password-file", passwordFile];
}

interface Talk {
  readonly world: World;
  /** Alice listens, bob calls; both are on the line. */
  readonly alice: Terminal;
  readonly bob: Terminal;
  readonly port: number;
}

/** Runs a test's body with alice and bob talking at two terminals. */
async function inTalk(
  body: (talk: Talk) => Promise<void>,
  options: readonly string[] = [],
): Promise<void> {
  await inWorld(async (world) => {
    await world.withUsers("alice", "bob", "carol");
    const { terminal: alice, port } = await listenAt(world, "alice", options);
    try {
      await inTerminal(world, calling(world, "bob", port), async (bob) => {
        await alice.waitFor(/^bob is on the line:[^]*^alice> *$/m);
        await bob.waitFor(/^alice is on the line:[^]*^bob> *$/m);
        await body({ world, alice, bob, port });
      });
    } finally {
      await alice.close();
    }
  });
}

test(
  "csr asks for the password unseen, offers to register, asks again",
  TMUX,
  () =>
    inWorld(async (world) => {
      await world.serve();
      await inTerminal(world, ["csr", "--id", "alice", ...serverOf(world)], async (terminal) => {
        await terminal.waitFor(/Password of alice/);
        await terminal.enter(ALICE);
        await terminal.waitFor(/The server knows no "alice" with this password\. Register/);
        await terminal.waitFor(/○ Yes \/ ● No/);
        await sayYes(terminal);
        await terminal.waitFor(/◆ +The same password again/);
        await terminal.enter(ALICE);
        assert.equal(await terminal.exitCode(), 0);
        const screen = await terminal.screen();
        assert.match(
          screen,
          /^registered "alice"\n"alice" is certified until \d{4}-\d\d-\d\d, and published: others/m,
        );
        await terminal.waitForRaw((raw) => raw.includes("certified until"), "the result");
        const raw = terminal.raw();
        for (const word of ALICE.split(" ")) {
          if (word.length > 1 && word !== "alice") {
            assert.ok(!raw.includes(word), `echoed: ${word}`);
          }
        }
        await terminal.waitForRaw(isCursorShown, "the cursor is back");
      });
      const pem = fs.readFileSync(join(world.home, "ids", "alice", "cert.pem"), "utf8");
      assert.equal(new X509Certificate(pem).subject, "CN=alice");
      // The password that was typed is the one of the file, and nothing is left to do.
      assert.equal((await world.ok("alice", ["request", "alice"])).stdout, pem);
    }),
);

test(
  "csr refuses two different passwords and registers nobody, exit 2",
  TMUX,
  () =>
    inWorld(async (world) => {
      await world.serve();
      await inTerminal(world, ["csr", "--id", "alice", ...serverOf(world)], async (terminal) => {
        await terminal.waitFor(/Password of alice/);
        await terminal.enter(ALICE);
        await terminal.waitFor(/Register/);
        await sayYes(terminal);
        await terminal.waitFor(/◆ +The same password again/);
        await terminal.enter(`${ALICE}!`);
        assert.equal(await terminal.exitCode(), 2);
        assert.match(
          await terminal.screen(),
          /^pki: error: cannot register: the two passwords are different$/m,
        );
      });
      assert.equal((await world.as("alice", ["csr"])).code, 4, "nobody was registered");
      // Whoever says beforehand that it is to register types the password once.
      const args = ["csr", "--id", "alice", "--register", ...serverOf(world)];
      await inTerminal(world, args, async (terminal) => {
        await terminal.waitFor(/Password of alice/);
        await terminal.enter(ALICE);
        assert.equal(await terminal.exitCode(), 0);
        assert.match(await terminal.screen(), /^"alice" is certified until .*, and published/m);
      });
    }),
);

test("csr takes no for an answer and Enter for no, exit 4", TMUX, () =>
  inWorld(async (world) => {
    await world.serve();
    await inTerminal(world, ["csr", "--id", "alice", ...serverOf(world)], async (terminal) => {
      await terminal.waitFor(/Password of alice/);
      await terminal.enter(ALICE);
      await terminal.waitFor(/● No/);
      await terminal.press("Enter");
      assert.equal(await terminal.exitCode(), 4);
      assert.match(
        await terminal.screen(),
        /^pki: error: cannot log in: the id or the password is wrong$/m,
      );
    });
    assert.equal((await world.as("alice", ["csr"])).code, 4);
  }));

test(
  "csr refuses a short password before it is asked for again, exit 2",
  TMUX,
  () =>
    inWorld(async (world) => {
      await world.serve();
      await inTerminal(world, ["csr", "--id", "alice", ...serverOf(world)], async (terminal) => {
        await terminal.waitFor(/Password of alice/);
        await terminal.enter("7 chars");
        await terminal.waitFor(/Register/);
        await sayYes(terminal);
        assert.equal(await terminal.exitCode(), 2);
        assert.match(await terminal.screen(), /it is shorter than 8 characters$/m);
      });
    }),
);

test(
  "the first contact shows the fingerprint: Yes pins, No exits 6",
  TMUX,
  () =>
    inWorld(async (world) => {
      await world.serve();
      const home = world.path("elsewhere");
      // `--yes` answers questions, but never one about trust.
      const args = ["csr", "--id", "alice", "--yes", ...serverOf(world)];
      const options: TerminalOptions = { home, env: { PKI_PASSWORD: ALICE } };
      const question = /◆ +First contact with localhost:\d+\.[^]*Is it the same\?[^]*● No/;
      await inTerminal(world, args, async (terminal) => {
        await terminal.waitFor(question);
        assert.ok((await terminal.screen()).includes(world.server.fingerprint));
        await terminal.press("Enter");
        assert.equal(await terminal.exitCode(), 6);
        assert.match(
          await terminal.screen(),
          /^pki: error: the root of localhost:\d+ was not trusted$/m,
        );
        assert.equal(fs.existsSync(join(home, "root.crt")), false);
      }, options);
      const register = ["csr", "--id", "alice", "--register", ...serverOf(world)];
      await inTerminal(world, register, async (terminal) => {
        await terminal.waitFor(question);
        await sayYes(terminal);
        assert.equal(await terminal.exitCode(), 0);
      }, options);
      const pinned = new X509Certificate(fs.readFileSync(join(home, "root.crt"), "utf8"));
      const fingerprint = pinned.fingerprint256.replaceAll(":", "").toLowerCase();
      assert.equal(fingerprint, world.server.fingerprint);
      await inTerminal(world, ["csr", "--id", "alice"], async (terminal) => {
        assert.equal(
          await terminal.exitCode(),
          0,
          "it is not asked again, and the server is known",
        );
      }, options);
    }),
);

/** A question that is on the screen. */
const QUESTIONS = [
  {
    does: "a password",
    ask: async (world: World) => {
      await world.ok("alice", ["csr", "--register"]);
      const terminal = await Terminal.start(world, ["upload", "--id", "alice"]);
      await terminal.waitFor(/◆ +Password of alice/);
      return terminal;
    },
  },
  {
    does: "yes or no",
    ask: async (world: World) => {
      const args = ["csr", "--id", "alice", ...serverOf(world)];
      const terminal = await Terminal.start(world, args, { home: world.path("elsewhere") });
      await terminal.waitFor(/◆ +First contact/);
      return terminal;
    },
  },
  {
    does: "a text",
    ask: async (world: World) => {
      const terminal = await Terminal.start(world, []);
      await terminal.waitFor(/◆ +Who are you\?/);
      return terminal;
    },
  },
] as const;

for (const { does, ask } of QUESTIONS) {
  test(
    `Ctrl-C, Ctrl-D and SIGTERM at a question for ${does} exit 130`,
    TMUX,
    () =>
      inWorld(async (world) => {
        await world.serve();
        for (const way of ["C-c", "C-d", "SIGTERM"] as const) {
          const terminal = await ask(world);
          try {
            if (way === "SIGTERM") await terminal.kill(way);
            else await terminal.press(way);
            assert.equal(await terminal.exitCode(), 130, way);
            assert.match(await terminal.screen(), /^pki: error: interrupted$/m);
            await terminal.waitForRaw(isCursorShown, "the cursor is back");
          } finally {
            await terminal.close();
          }
        }
      }),
  );
}

test(
  "a talk leaves half-typed lines alone and ends with /quit",
  TMUX,
  () =>
    inTalk(async ({ alice, bob }) => {
      await alice.type("half a li");
      await alice.waitFor(/^alice> half a li$/m);
      await bob.enter("hello alice");
      await alice.waitFor(/^bob: hello alice\nalice> half a li$/m);
      await bob.enter("and more");
      await alice.waitFor(/^bob: hello alice\nbob: and more\nalice> half a li$/m);
      // Where the cursor stood it still stands.
      for (let step = 0; step < 2; step++) await alice.press("Left");
      await bob.enter("third");
      await alice.waitFor(/^bob: third\nalice> half a li$/m);
      await alice.type("LITTLE ");
      await alice.waitFor(/^alice> half a LITTLE li$/m);
      await alice.press("Enter");
      await bob.waitFor(/^alice: half a LITTLE li\nbob> *$/m);

      await bob.enter("   "); // nothing to say is not sent
      await bob.enter("last");
      await alice.waitFor(/^bob: third\nalice> half a LITTLE li\nbob: last\nalice> *$/m);
      await bob.enter("/quit");
      assert.equal(await bob.exitCode(), 0);
      assert.match(await bob.screen(), /^the conversation with alice has ended$/m);
      await alice.waitFor(/^the conversation with bob has ended\nlistening again$/m);
      await alice.press("C-c");
      assert.equal(await alice.exitCode(), 130);
    }),
);

test(
  "Ctrl-D hangs up, the listener takes the next call, roles change",
  TMUX,
  () =>
    inTalk(async ({ world, alice, bob, port }) => {
      await alice.press("C-d"); // the listener hangs up
      assert.equal(await bob.exitCode(), 0);
      await alice.waitFor(/^the conversation with bob has ended\nlistening again$/m);

      await inTerminal(world, calling(world, "carol", port), async (carol) => {
        await alice.waitFor(/^carol is on the line:/m);
        await carol.waitFor(/^carol> *$/m);
        await carol.enter("carol here");
        await alice.waitFor(/^carol: carol here$/m);
        await alice.enter("hello carol");
        await carol.waitFor(/^alice: hello carol$/m);
        await carol.press("C-d"); // the caller hangs up
        assert.equal(await carol.exitCode(), 0);
        await alice.waitFor(/^the conversation with carol has ended\nlistening again$/m);
      });
      await alice.press("C-c");
      assert.equal(await alice.exitCode(), 130);

      const { terminal: listener, port: bobsPort } = await listenAt(world, "bob");
      try {
        await inTerminal(world, calling(world, "alice", bobsPort), async (caller) => {
          await listener.waitFor(/^alice is on the line:/m);
          await caller.waitFor(/^alice> *$/m);
          await listener.waitFor(/^bob> *$/m);
          await listener.enter("other way round");
          await caller.waitFor(/^bob: other way round$/m);
          await caller.enter("/quit");
          assert.equal(await caller.exitCode(), 0);
        });
      } finally {
        await listener.close();
      }
    }),
);

test(
  "a second caller hears that the line is busy, exit 8, and disturbs nobody",
  TMUX,
  () =>
    inTalk(async ({ world, alice, bob, port }) => {
      await alice.type("half");
      await inTerminal(world, calling(world, "carol", port), async (carol) => {
        assert.equal(await carol.exitCode(), 8);
        assert.match(await carol.screen(), /another conversation is under way, try again later/);
      });
      await alice.waitFor(/^carol called meanwhile and heard "busy"$/m);
      await alice.waitFor(/^alice> half$/m);
      await bob.enter("still here");
      await alice.waitFor(/^bob: still here\nalice> half$/m);
    }),
);

test(
  "Ctrl-C in a talk exits 130 on this side and is a goodbye on the other",
  TMUX,
  () =>
    inTalk(async ({ alice, bob }) => {
      await bob.press("C-c");
      assert.equal(await bob.exitCode(), 130);
      await alice.waitFor(/^the conversation with bob has ended\nlistening again$/m);
      await alice.press("C-c");
      assert.equal(await alice.exitCode(), 130);
      assert.match(await alice.screen(), /^(?:\^C)?pki: error: interrupted$/m);
    }),
);

test(
  "a listener that is talking exits 130 at Ctrl-C, and its caller is told",
  TMUX,
  () =>
    inTalk(async ({ alice, bob }) => {
      await alice.press("C-c");
      assert.equal(await alice.exitCode(), 130);
      assert.equal(await bob.exitCode(), 0);
      assert.match(await bob.screen(), /^the conversation with alice has ended$/m);
    }),
);

test("what is typed behind /quit is not an error", TMUX, () =>
  inTalk(async ({ alice, bob }) => {
    await bob.type("/quit\nmore\n");
    assert.equal(await bob.exitCode(), 0);
    await alice.waitFor(/^the conversation with bob has ended\nlistening again$/m);
  }));

test(
  "what arrives while a line of several rows is typed is shown whole, above it",
  TMUX,
  () =>
    inTalk(async ({ alice, bob }) => {
      const long = `${"0123456789".repeat(15)}end`; // the terminal has 120 columns
      await alice.type(long);
      await alice.waitFor(/3456789end$/m);
      for (const text of ["the first", "the second", "the third"]) {
        await bob.enter(text);
        await alice.waitFor(new RegExp(`^bob: ${text}$`, "m"));
      }
      const shown = new RegExp(
        `bob: the first\nbob: the second\nbob: the third\nalice> 0123456789`,
      );
      await alice.waitFor(shown);
      await alice.press("Enter");
      await bob.waitFor(/3456789end$/m);
    }),
);

test(
  "a pipe that ends in a terminal shows what comes as harmless lines",
  TMUX,
  () =>
    inWorld(async (world) => {
      await world.withUsers("alice", "bob");
      const listener = await world.listen("alice", ["--once"], {
        input: "\u001b]0;owned\u0007\u001b[31mred\n",
      });
      const args = calling(world, "bob", listener.port);
      await inTerminal(world, args, async (terminal) => {
        assert.equal(await terminal.exitCode(), 0);
        await terminal.waitForRaw((raw) => raw.includes("]0;owned"), "the text");
        const raw = terminal.raw();
        assert.ok(!raw.includes("\u001b]0;owned") && !raw.includes("\u001b[31m"), "harmless");
      }, { behind: "</dev/null" });
    }),
);

test("listen --once ends after its talk, exit 0", TMUX, () =>
  inTalk(async ({ alice, bob }) => {
    await bob.enter("/quit");
    assert.equal(await bob.exitCode(), 0);
    assert.equal(await alice.exitCode(), 0);
    assert.match(await alice.screen(), /^the conversation with bob has ended$/m);
  }, ["--once"]));

test("text of any script arrives as it was typed", TMUX, () =>
  inTalk(async ({ alice, bob }) => {
    for (
      const text of ["Grüße, 日本語 и кириллица", "שלום", "👩 zwölf Boxkämpfer", "a  b\\n'\"$HOME"]
    ) {
      await bob.enter(text);
      const shown = text.replaceAll(/[\\$'"]/g, "\\$&");
      await alice.waitFor(new RegExp(`^bob: ${shown}$`, "m"));
      await alice.waitForRaw((raw) => raw.includes(`bob: ${text}\r\n`), text);
    }
    const long = "x".repeat(400); // more than three lines of the screen
    await bob.enter(long);
    await alice.waitFor(new RegExp(`^bob: ${long}$`, "m"));
    await alice.waitFor(/^alice> *$/m);
  }));

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
        await alice.waitFor(/^alice> *$/m);
        const before = alice.raw().length;
        for (const [does, bytes, shown] of HOSTILE) {
          caller.child.stdin?.write(Buffer.concat([Buffer.from(bytes), Buffer.from("\r\n")]));
          const expected = `bob: ${shown}\r\n`;
          await alice.waitForRaw((raw) => raw.includes(expected), does);
        }
        caller.child.stdin?.write("one last half line \x1b[5n");
        caller.child.stdin?.end();
        assert.equal((await caller.finished).code, 0);
        await alice.waitFor(/^the conversation with bob has ended\nlistening again$/m);
        assert.match(await alice.screen(), /^bob: one last half line \ufffd\[5n$/m);
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
  "somebody else at an address is a question: No exits 6, Yes talks",
  TMUX,
  () =>
    inWorld(async (world) => {
      await world.withUsers("alice", "bob", "carol");
      const port = await freePort();
      const listening = [
        ...["listen", "--host", "127.0.0.1", "--port", String(port), "--json", "--once"],
      ];
      const first = world.startAs("alice", listening);
      await first.waitFor(/"event":"listening"/);
      assert.equal((await world.run(calling(world, "bob", port))).code, 0);
      await first.finished;

      const other = world.startAs("carol", listening.slice(0, -1), { keepStdin: true });
      await other.waitFor(/"event":"listening"/);
      const question =
        /◆ +At localhost:\d+ alice answered before; now it is carol\. Talk to carol\?/;
      await inTerminal(world, calling(world, "bob", port), async (bob) => {
        await bob.waitFor(question);
        await bob.press("Enter");
        assert.equal(await bob.exitCode(), 6);
        assert.match(
          await bob.screen(),
          /^pki: hint: if that is right, say so with --expect carol$/m,
        );
      });
      assert.doesNotMatch(other.stderr, /"event":"connected"/, "nobody was on the line");
      await inTerminal(world, calling(world, "bob", port), async (bob) => {
        await bob.waitFor(question);
        await sayYes(bob);
        await bob.waitFor(/^carol is on the line:[^]*^bob> *$/m);
        await bob.enter("/quit");
        await other.waitFor(/"event":"connected","peer":"bob"/);
        other.child.stdin?.end();
        assert.equal(await bob.exitCode(), 0);
      });
    }),
);

test("serve asks for the passphrase that is not in its file", TMUX, () =>
  inWorld(async (world) => {
    await world.serve();
    await world.server.running.end();
    const path = join(world.home, "server.passphrase");
    const passphrase = fs.readFileSync(path, "utf8").trim();
    fs.rmSync(path);
    await inTerminal(world, ["serve", "--port", "0"], async (terminal) => {
      await terminal.waitFor(/◆ +Passphrase of the server's keys/);
      await terminal.enter(`${passphrase}x`);
      assert.notEqual(await terminal.exitCode(), 0);
      assert.match(await terminal.screen(), /^pki: error: cannot open .*$/m);
    });
    await inTerminal(world, ["serve", "--port", "0"], async (terminal) => {
      await terminal.waitFor(/◆ +Passphrase of the server's keys/);
      await terminal.enter(passphrase);
      await terminal.waitFor(/^pki server for pki\.internal, ready$/m);
      assert.ok(!terminal.raw().includes(passphrase), "not echoed");
      await terminal.press("C-c");
      assert.equal(await terminal.exitCode(), 0);
    });
    assert.equal(fs.existsSync(path), false, "it is not kept unasked");
  }));

test(
  "questions are asked at the terminal while stdout goes to a file",
  TMUX,
  () =>
    inWorld(async (world) => {
      await world.withUsers("alice");
      const out = world.path("out.pem");
      const args = ["request", "alice", "--id", "alice"];
      for (const behind of [`>'${out}'`, `>'${out}' </dev/null`]) {
        await inTerminal(world, args, async (terminal) => {
          await terminal.waitFor(/◆ +Password of alice/);
          await terminal.enter(ALICE);
          assert.equal(await terminal.exitCode(), 0);
          assert.match(fs.readFileSync(out, "utf8"), /^-----BEGIN CERTIFICATE-----\n[\w+/=\n -]*$/);
        }, { behind });
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
          await alice.waitFor(/^bob: good morning$/m);
        });
      } finally {
        await alice.close();
      }
    }),
);
