/**
 * Transcripts as people keep them: talks at terminals, both sides asked or willing, and what
 * `pki transcript verify` says of the files, whole, altered, broken off.
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { encodeBase64, encodeHex, sha256, utf8 } from "../../lib/base/bytes.ts";
import { encodePem } from "../../lib/x509/pem.ts";
import { keepWhole, makeTalk } from "../fakes/transcript.ts";
import { Forge } from "./forge.ts";
import { needs, ROOT, runProgram, World } from "./harness.ts";
import { checkFits, parseShapes } from "./json_shapes.ts";
import { callAs, control, endFrame, frame, REVEAL, textBody, TYPE } from "./raw_peer.ts";
import { inTerminal, sayYes, Terminal } from "./terminal.ts";

const TMUX = needs("tmux");

function listening(world: World, id: string, more: readonly string[] = []): readonly string[] {
  const password = ["--id", id, "--password-file", world.passwordFile(id)];
  return ["listen", "--host", "127.0.0.1", "--port", "0", ...password, ...more];
}

function calling(world: World, id: string, [port, ...more]: readonly [number, ...string[]]) {
  const password = ["--id", id, "--password-file", world.passwordFile(id)];
  return ["connect", `localhost:${port}`, ...password, ...more];
}

async function portOf(terminal: Terminal): Promise<number> {
  const [, port] = await terminal.waitFor(/ is listening on port (\d+);/);
  return Number(port);
}

const open = (path: string) =>
  fs.readFileSync(path, "utf8").trimEnd().split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);

const SHAPES = parseShapes(fs.readFileSync(join(ROOT, "docs", "json.md"), "utf8"));

/** What was printed, which is as docs/json.md says. */
function documented(heading: string, line: string): Record<string, unknown> {
  const value = JSON.parse(line) as Record<string, unknown>;
  checkFits(value, SHAPES.get(heading)?.fields ?? [], heading);
  return value;
}

test("transcripts of talks: kept, asked for, signed, and proven", TMUX, async (t) => {
  const world = new World();
  const [alices, bobs] = [world.path("alice.jsonl"), world.path("bob.jsonl")];
  try {
    await world.withUsers("alice", "bob");
    const foreign = await Forge.foreign(world); // before the talks, so that its root is good in them
    const verify = (path: string, ...more: readonly string[]) =>
      world.run(["transcript", "verify", path, ...more]);

    await inTerminal(world, listening(world, "alice", ["--transcript", alices]), async (alice) => {
      const port = await portOf(alice);

      await t.test("both keep one, and both sign", async () => {
        const args = calling(world, "bob", [port, "--transcript", bobs]);
        await inTerminal(world, args, async (bob) => {
          await bob.waitFor(
            /you and alice keep transcripts of this talk \(.*bob\.jsonl\), and both sign at the end/,
          );
          await alice.waitFor(
            /you and bob keep transcripts of this talk \(.*alice\.jsonl\), and both sign at the end/,
          );
          await bob.enter("hello alice");
          await alice.waitFor(/bob: hello alice/);
          await alice.enter("five million, agreed 👋");
          await bob.waitFor(/alice: five million, agreed/);
          await bob.enter("agreed");
          await alice.waitFor(/bob: agreed/);
          await bob.enter("/quit");
          await bob.waitFor(/the transcript is in .*bob\.jsonl, signed by both/);
          assert.equal(await bob.exitCode(), 0);
          await alice.waitFor(/the transcript is in .*alice\.jsonl, signed by both/);
        });
        for (const [path, keeper] of [[alices, "alice"], [bobs, "bob"]] as const) {
          assert.equal(fs.statSync(path).mode & 0o777, 0o600);
          const { code, stdout, stderr } = await verify(path);
          assert.equal(code, 0, stderr);
          assert.match(
            stdout,
            new RegExp(
              "^proven: a talk of bob and alice\n  bob    called    2 messages  signed\n" +
                "  alice  listened  1 message  signed\n" +
                `  kept by ${keeper}, and sealed; began .* UTC, ended .*\n$`,
            ),
          );
          const texts = open(path).flatMap(({ text }) => text === undefined ? [] : [text]);
          assert.deepEqual(texts, ["hello alice", "five million, agreed 👋", "agreed"]);
        }
        // Both have signed the same.
        const signed = (path: string) =>
          open(path).filter(({ type }) => type === "signature")
            .map(({ by, signature }) => `${by} ${signature}`).sort();
        assert.deepEqual(signed(alices), signed(bobs));
        assert.equal(signed(alices).length, 2);
        const seen = open(alices).filter(({ type }) => type === "message").map(({ seen }) => seen);
        assert.deepEqual(seen, [0, 1, 1], "an answer says that it has seen the question");
      });

      await t.test("the other side is asked: No is told, and nothing is signed", async () => {
        await alice.waitFor(/listening again/);
        await inTerminal(world, calling(world, "bob", [port]), async (bob) => {
          await bob.waitFor(/alice keeps a transcript of this talk and asks you to sign it/);
          await bob.press("Enter");
          await bob.waitFor(/alice keeps a transcript of this talk; you do not sign it/);
          await alice.waitFor(/\(.*alice-2\.jsonl\), but bob does not sign: it proves nothing/);
          await bob.enter("between us");
          await alice.waitFor(/bob: between us/);
          await bob.enter("/quit");
          assert.equal(await bob.exitCode(), 0);
          await alice.waitFor(/the transcript is in .*alice-2\.jsonl, not signed by bob/);
        });
        const { code, stdout, stderr } = await verify(world.path("alice-2.jsonl"));
        assert.equal(code, 4);
        assert.match(
          stdout,
          /^not proven: a talk of bob and alice\n {2}bob {4}called {4}1 message {2}did not want to sign$/m,
        );
        assert.match(
          stderr,
          /^pki: error: cannot prove the transcript: neither bob nor alice has signed it$/m,
        );
        assert.match(stderr, /^pki: hint: .* which is the word of alice alone$/m);
      });

      await t.test("Yes signs, although only one keeps a file", async () => {
        await inTerminal(world, calling(world, "bob", [port]), async (bob) => {
          await bob.waitFor(/asks you to sign it/);
          await sayYes(bob);
          await bob.waitFor(
            /alice keeps a transcript of this talk, and you both sign it at the end/,
          );
          await bob.enter("to whom it may concern");
          await alice.waitFor(/bob: to whom it may concern/);
          await bob.press("C-d");
          assert.equal(await bob.exitCode(), 0);
          await alice.waitFor(/the transcript is in .*alice-3\.jsonl, signed by both/);
        });
        assert.equal((await verify(world.path("alice-3.jsonl"))).code, 0);
      });

      await t.test("a program at the other end: no transcript of a pipe", async () => {
        const caller = world.startAs("bob", ["connect", `localhost:${port}`], { input: "data\n" });
        assert.equal((await caller.finished).code, 0);
        await alice.waitFor(/no transcript is kept: bob does not talk, but sends data/);
        assert.equal(fs.existsSync(world.path("alice-4.jsonl")), false);
      });

      await t.test("a peer whose signature does not fit has broken the protocol", async () => {
        const raw = await callAs(
          await (await Forge.ofServer(world)).registered(world, "bob"),
          port,
        );
        const hello = { ...raw.hello, mode: "talk" };
        raw.send(control(hello), control(REVEAL));
        await raw.control("HELLO");
        await raw.control("NONCE");
        await raw.control("READY");
        const signature = encodeBase64(new Uint8Array(70));
        raw.send(
          control({ type: "READY", signs: true }),
          frame(TYPE.text, textBody(utf8("I will deny this"))),
          endFrame(33),
        );
        for (let heard = await raw.next(); heard.type !== TYPE.end; heard = await raw.next()) {
          assert.notEqual(heard.type, "closed");
        }
        raw.send(control({ type: "SIGNATURE", signature }));
        await alice.waitFor(/a signature that does not fit what was said/);
        await alice.waitFor(/the transcript is in .*alice-4\.jsonl, not signed by bob/);
        raw.hangUp();
        const { code, stdout } = await verify(world.path("alice-4.jsonl"));
        assert.equal(code, 4);
        assert.match(stdout, /^ {2}kept by alice, and sealed; .* a signature that does not fit/m);
      });

      await t.test("Ctrl-C ends a transcript as well", async () => {
        const path = world.path("interrupted.jsonl");
        const args = calling(world, "bob", [port, "--transcript", path, "--json"]);
        await inTerminal(world, args, async (bob) => {
          await bob.waitFor(/"event":"transcript"/);
          await bob.enter("I have to go");
          await alice.waitFor(/bob: I have to go/);
          await bob.press("C-c");
          assert.equal(await bob.exitCode(), 130);
          const told = bob.raw().match(/\{"event":"transcript[^}]*\}/g) ?? [];
          const events = told.map((line) => {
            const { event } = JSON.parse(line) as { readonly event: string };
            documented(`${event} (pki listen, pki connect)`, line);
            return event;
          });
          assert.deepEqual(events, ["transcript", "transcript-kept"]);
          await alice.waitFor(/the transcript is in .*alice-5\.jsonl, /);
        });
        assert.equal(open(path).at(-1)?.["type"], "seal");
        assert.ok([0, 4].includes((await verify(path)).code ?? -1));
      });

      await t.test("a talk that is cut is kept as far as it went", async () => {
        const path = world.path("cut.jsonl");
        await inTerminal(
          world,
          calling(world, "bob", [port, "--transcript", path]),
          async (bob) => {
            await alice.waitFor(/you and bob keep transcripts of this talk \(.*alice-6\.jsonl\)/);
            await bob.enter("hello?");
            await alice.waitFor(/bob: hello\?/);
            await bob.kill("SIGKILL");
            await alice.waitFor(
              /the transcript is in .*alice-6\.jsonl, not signed by bob, since the talk broke off/,
            );
          },
        );
        // Of the one who was killed: whole lines, and nothing that vouches for them.
        assert.deepEqual(open(path).map(({ type }) => type), ["transcript", "message"]);
        const killed = await verify(path);
        assert.equal(killed.code, 4);
        assert.match(killed.stdout, /^ {2}kept by bob; began .* UTC, the file breaks off$/m);
        assert.match(
          killed.stderr,
          /^pki: error: cannot prove the transcript: the talk broke off before it was signed\npki: hint: nobody vouches /m,
        );
        const left = await verify(world.path("alice-6.jsonl"));
        assert.equal(left.code, 4);
        assert.match(
          left.stdout,
          /^ {2}kept by alice, and sealed; began .* UTC, broke off .*: the line was cut /m,
        );
      });
    });

    await t.test("who listens is asked too, and a file is in it that was sent meanwhile", async () => {
      const [path, plan] = [world.path("asked.jsonl"), world.path("the plan.txt")];
      fs.writeFileSync(plan, "hello");
      await inTerminal(world, listening(world, "bob"), async (bob) => {
        const args = calling(world, "alice", [await portOf(bob), "--transcript", path]);
        await inTerminal(world, args, async (alice) => {
          await bob.waitFor(/alice keeps a transcript of this talk and asks you to sign it/);
          await alice.waitFor(/if bob asks you for them, the safety words/); // she is told why she waits
          await sayYes(bob);
          await bob.waitFor(/alice keeps a transcript of this talk, and you both sign it/);
          await bob.enter("that is fine with me");
          await alice.waitFor(/bob: that is fine with me/);
          await alice.enter(`/send "${plan}"`);
          await bob.waitFor(/alice offers "the plan\.txt" \(5 bytes\)/);
          await bob.enter("/accept");
          await alice.waitFor(/sent "the plan\.txt" \(5 bytes\) to bob/);
          await alice.enter("/quit");
          assert.equal(await alice.exitCode(), 0);
        });
      }, { cwd: fs.mkdtempSync(world.path("bob-")) });
      const { code, stdout } = await verify(path);
      assert.equal(code, 0);
      assert.match(stdout, /^ {2}alice {2}called {4}0 messages, 1 file {2}signed$/m);
      assert.deepEqual(
        open(path).flatMap(({ type, path: names, size }) => type === "file" ? [names, size] : []),
        [["the plan.txt"], 5],
      );
    });

    await t.test("what was done to a file is told, with the line", async () => {
      const whole = fs.readFileSync(alices, "utf8");
      const rows: readonly (readonly [string, string, number, number | null, RegExp])[] = [
        [
          "a word",
          whole.replace("five million", "six million"),
          6,
          3,
          /^pki: error: cannot trust the transcript: line 3 was altered, or added$/m,
        ],
        [
          "a sender",
          whole.replace('"from":"caller"', '"from":"listener"'),
          6,
          2,
          /line 2 was altered/,
        ],
        [
          "a line removed",
          whole.replace(/.*five million.*\n/, ""),
          6,
          3,
          /line 3 is missing, or not in its place: line 4 stands there$/m,
        ],
        [
          "a line twice",
          whole.replace(/(.*five million.*\n)/, "$1$1"),
          6,
          4,
          /line 4 was added, or is not in its place/,
        ],
        [
          "two lines swapped",
          whole.replace(/(.*hello alice.*\n)(.*five million.*\n)/, "$2$1"),
          6,
          2,
          /line 2 is missing, or not in its place/,
        ],
        [
          "a signature",
          whole.replace(/"signature":"..../, '"signature":"AAAA'),
          6,
          5,
          /line 5 was altered/,
        ],
        [
          "a certificate",
          whole.replace("BEGIN CERTIFICATE-----\\nMIIB", "BEGIN CERTIFICATE-----\\nMIIC"),
          6,
          1,
          /line 1 was altered|the certificate of/,
        ],
        [
          "the end missing",
          whole.split("\n").slice(0, -4).join("\n"),
          4,
          null,
          /alice has not signed it$|bob has not signed it$/m,
        ],
        [
          "not one",
          "hello\n",
          3,
          null,
          /^pki: error: cannot trust the transcript: line 1 is not one of a transcript/m,
        ],
      ];
      const path = world.path("altered.jsonl");
      for (const [what, text, code, line, message] of rows) {
        assert.notEqual(text, whole, what);
        fs.writeFileSync(path, text);
        const plain = await verify(path);
        assert.equal(plain.code, code, `${what}: ${plain.stderr}`);
        assert.match(plain.stderr, message, what);
        const json = await verify(path, "--json");
        if (code === 3) assert.equal(json.stdout, "");
        else assert.equal(documented("pki transcript verify", json.stdout)["line"], line, what);
      }
      assert.equal((await verify(world.path("none.jsonl"))).code, 5);
    });

    await t.test("it is proven without a home, by the root alone", async () => {
      const home = { PKI_HOME: world.path("elsewhere") };
      const args = ["transcript", "verify", alices];
      assert.equal((await world.run(args, { env: home })).code, 5, "nothing is pinned there");
      const root = ["--root", `${world.home}/root.crt`];
      assert.equal((await world.run([...args, ...root], { env: home })).code, 0);
      const untrusted = await verify(alices, "--root", foreign.rootPath, "--json");
      assert.equal(untrusted.code, 6);
      const { outcome, line, why } = documented("pki transcript verify", untrusted.stdout);
      assert.deepEqual([outcome, line], ["wrong", null]);
      assert.match(String(why), /^cannot trust the transcript: the certificate of bob: /);
      assert.match(untrusted.stderr, /it was kept under another root: if you trust that, name it/);
      const piped = await world.run(["transcript", "verify", "-", "--json"], {
        input: fs.readFileSync(alices),
      });
      assert.equal(piped.code, 0);
      assert.equal(documented("pki transcript verify", piped.stdout)["outcome"], "proven");
    });

    await t.test("Python and openssl find it proven too", needs("python3", "openssl"), async () => {
      const script = join(ROOT, "testdata", "transcript", "verify.py");
      for (const [path, sealed] of [[alices, "listener"], [bobs, "caller"]] as const) {
        const { code, stdout, stderr } = await runProgram("python3", [script, path]);
        assert.equal(code, 0, stderr);
        assert.deepEqual(JSON.parse(stdout), { signed: ["caller", "listener"], sealed });
      }
    });

    await t.test("show shows what was said, and nothing that could harm a terminal", async () => {
      const talk = await makeTalk();
      const [path, root] = [world.path("shown.jsonl"), world.path("other-root.crt")];
      const whole = keepWhole(talk, path);
      fs.writeFileSync(root, encodePem("CERTIFICATE", talk.ca.root.certificate.der));
      const show = (...more: readonly string[]) =>
        world.run(["transcript", "show", path, "--root", root, ...more]);
      const { code, stdout, stderr } = await show();
      assert.equal(code, 0, stderr);
      assert.equal(stderr, "proven: both alice and bob have signed this\n");
      const file = JSON.stringify("plan/größe.txt");
      assert.deepEqual(stdout.split("\n"), [
        "2026-11-01 12:00:00  alice  hello bob",
        "2026-11-01 12:00:00  bob    hello alice",
        "2026-11-01 12:00:00  alice  ",
        `2026-11-01 12:00:00  alice  sent ${file}, 5 bytes, SHA-256 ${
          encodeHex(sha256(utf8("hello")))
        }`,
        "2026-11-01 12:00:00  alice  five million \ufffd\ufffd[2J👋",
        "2026-11-01 12:00:00  bob    agreed",
        "",
      ]);
      const json = await show("--json");
      const lines = json.stdout.trimEnd().split("\n");
      assert.equal(lines.length, 6);
      for (const line of lines) documented("pki transcript show", line);
      // Without a signature it is a warning; where a line was altered nothing is shown.
      fs.writeFileSync(path, whole.split("\n").slice(0, 8).join("\n") + "\n");
      const unsigned = await show("--quiet");
      assert.deepEqual([unsigned.code, unsigned.stdout], [0, stdout]);
      assert.equal(
        unsigned.stderr,
        "pki: warning: cannot prove the transcript: bob has not signed it\n",
      );
      fs.writeFileSync(path, whole.replace("agreed", "refused"));
      const altered = await show();
      assert.deepEqual([altered.code, altered.stdout], [6, ""]);
      assert.equal((await world.run(["transcript", "show", "-"])).code, 2);
    });

    await t.test("no file is written over, and none in a pipe", async () => {
      const before = fs.readFileSync(alices);
      for (const command of [["listen"], ["connect", "localhost:1"]]) {
        await inTerminal(
          world,
          [...command, "--transcript", alices, "--id", "bob"],
          async (bob) => {
            await bob.waitFor(
              /^pki: error: cannot write the transcript to ".*alice\.jsonl": it is there already$/m,
            );
            assert.equal(await bob.exitCode(), 5);
          },
        );
        const piped = await world.as("bob", [...command, "--transcript", world.path("new.jsonl")]);
        assert.equal(piped.code, 2);
        assert.match(piped.stderr, /^pki: error: cannot keep a transcript of a pipe/m);
      }
      assert.deepEqual(fs.readFileSync(alices), before);
      assert.equal(fs.existsSync(world.path("new.jsonl")), false);
    });
  } finally {
    await world.close();
  }
});
