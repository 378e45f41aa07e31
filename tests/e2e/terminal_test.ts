/** What a person sees and types: prompts and questions; talks are in `talk_test.ts`. */

import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { inWorld, needs, PASSWORDS, type World } from "./harness.ts";
import { calling } from "./talkers.ts";
import { freePort, inTerminal, sayYes, Terminal, type TerminalOptions } from "./terminal.ts";

const TMUX = needs("tmux");
const ALICE = PASSWORDS["alice"] ?? "";

function serverOf(world: World): readonly string[] {
  return ["--server", `localhost:${world.server.port}`];
}

function isCursorShown(raw: string): boolean {
  return raw.lastIndexOf("\x1b[?25h") > raw.lastIndexOf("\x1b[?25l");
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
