/** `pki` alone at a terminal: who one is, then operations by name, with one login for all of them. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { inWorld, needs, PASSWORDS } from "./harness.ts";
import { freePort, inTerminal, sayYes, Terminal } from "./terminal.ts";

const TMUX = needs("tmux");
const ALICE = PASSWORDS["alice"] ?? "";
const CAROL = PASSWORDS["carol"] ?? "";
const BOB = PASSWORDS["bob"] ?? "";

/** The prompt of somebody, with nothing typed behind it. */
const promptOf = (who: string) =>
  new RegExp(`^${who.replace(/[()]/g, "\\$&")}> *$(?![^]*\\S)`, "m");

/** Enters a line and gives what is on the screen behind it when the prompt is there again. */
async function operate(terminal: Terminal, line: string, who = "alice"): Promise<string> {
  await terminal.press("C-l"); // an empty screen, and the prompt at its top
  await terminal.waitFor(new RegExp(`^${who.replace(/[()]/g, "\\$&")}> *$`));
  await terminal.enter(line);
  const quoted = line.replace(/[^\w ]/g, "\\$&");
  await terminal.waitFor(new RegExp(`> ${quoted}\\n[^]*${promptOf(who).source}`, "m"));
  return await terminal.screen();
}

test(
  "the session says who, where and until when, and asks for one password",
  TMUX,
  () =>
    inWorld(async (world) => {
      await world.withUsers("alice", "bob");
      const { port } = world.server;
      await inTerminal(world, ["--server", `localhost:${port}`], async (terminal) => {
        await terminal.waitFor(/◆ +Who are you\?/);
        await terminal.enter("alice");
        await terminal.waitFor(/◆ +Password of alice, which unlocks the key/);
        await terminal.enter("not alice's password");
        await terminal.waitFor(
          /^pki: error: cannot open the key of "alice"[^]*◆ +Password of alice/m,
        );
        await terminal.enter(ALICE);
        await terminal.waitFor(
          new RegExp(
            `^alice at localhost:${port}: certified until \\d{4}-\\d\\d-\\d\\d \\(\\d+ days\\)$`,
            "m",
          ),
        );
        await terminal.waitFor(promptOf("alice"));

        assert.match(await operate(terminal, "CSR"), /"alice" is certified until /);
        assert.match(await operate(terminal, "renew"), /"alice" is certified until /);
        const out = join(world.folder, "bob of ours.pem");
        assert.match(
          await operate(terminal, `CERTREQ bob --out '${out}'`),
          /"bob" is certified by/,
        );
        assert.match(fs.readFileSync(out, "utf8"), /^-----BEGIN CERTIFICATE-----\n/);
        assert.match(
          await operate(terminal, "requst bob"),
          /no command "requst": did you mean request/,
        );
        assert.match(await operate(terminal, "csr 'x"), /a single quote is not closed/);
        assert.match(await operate(terminal, "serve"), /cannot run serve inside of the session/);
        await terminal.enter("HELP"); // longer than the screen: the line itself is gone
        await terminal.waitFor(
          new RegExp(
            `^ +CERTREQ, REQUEST +Get somebody's cert[^]*${promptOf("alice").source}`,
            "m",
          ),
        );
        assert.match(await operate(terminal, "help certreq"), /^ +pki request NAME/m);
        assert.match(await operate(terminal, "request ../x"), /cannot use id "..\/x"/);
        assert.match(await operate(terminal, "connect localhost:1"), /nobody listens there/);

        // Completion: an operation, a name, an option and its value, a file.
        await terminal.type("certr");
        await terminal.press("Tab");
        await terminal.waitFor(/^alice> certreq *$/m);
        await terminal.type("bo");
        await terminal.press("Tab");
        await terminal.type("--o");
        await terminal.press("Tab");
        await terminal.type(`${world.folder}/bob\\ of`);
        await terminal.press("Tab");
        const line = new RegExp(
          `^alice> certreq bob --out ${world.folder}/bob\\\\ of\\\\ ours.pem *$`,
          "m",
        );
        await terminal.waitFor(line);
        await terminal.press("Enter");
        await terminal.waitFor(promptOf("alice"));

        // Ctrl-C: an operation, a question, a line, nothing.
        await terminal.enter("listen --host 127.0.0.1 --port 0");
        await terminal.waitFor(/alice is listening on port \d+;[^]*^alice \(listening\)> *$/m);
        await terminal.press("C-c");
        await terminal.waitFor(
          new RegExp(`error: interrupted\n[^]*${promptOf("alice").source}`, "m"),
        );
        await terminal.enter("certreq");
        await terminal.waitFor(/◆ +Whose certificate\?/);
        await terminal.press("C-c");
        await terminal.waitFor(
          new RegExp(`■ +Whose certificate\\?[^]*${promptOf("alice").source}`, "m"),
        );
        await terminal.enter("revoke");
        await terminal.waitFor(/Revoking it cannot be undone\. Revoke it\?/);
        await terminal.press("Enter");
        await terminal.waitFor(
          new RegExp(`pki: error: nothing was revoked\n${promptOf("alice").source}`, "m"),
        );
        await terminal.type("revoke --y");
        await terminal.press("C-c");
        await terminal.waitFor(/^alice> revoke --y\^C\nalice> *$/m);
        await terminal.press("C-c");
        await terminal.press("C-c");
        await terminal.waitFor(/^Ctrl-D or QUIT leaves\nalice> *$/m);

        // What is pasted waits, each line for an Enter.
        await terminal.paste("who\nrevoke --yes\n");
        await terminal.waitFor(/^alice> who$/m);
        await terminal.press("Enter");
        await terminal.waitFor(/^pasted, the last line: Enter does it[^]*^alice> revoke --yes$/m);
        await terminal.press("C-c");
        await terminal.waitFor(/^alice> revoke --yes\^C\nalice> *$/m);

        await terminal.enter("my secret words");
        await terminal.waitFor(/there is no command "my"/);
        await terminal.enter("as bob");
        await terminal.waitFor(/◆ +Password of bob, which unlocks the key/);
        await terminal.enter(BOB);
        await terminal.waitFor(/^bob at localhost:\d+: certified until [^]*^bob> *$/m);
        assert.match(await operate(terminal, "renew", "bob"), /"bob" is certified until /);
        await terminal.enter("id use alice"); // unlocked before
        await terminal.waitFor(/^alice at localhost:\d+: certified until [^]*^alice> *$/m);
        await terminal.press("C-d");
        assert.equal(await terminal.exitCode(), 0);
        for (const password of [ALICE, BOB]) assert.ok(!terminal.raw().includes(password));
      });

      const historyPath = join(world.home, "history");
      const history = fs.readFileSync(historyPath, "utf8");
      assert.equal(fs.statSync(historyPath).mode & 0o777, 0o600);
      assert.match(history, /^CSR\nrenew\nCERTREQ bob --out '/);
      assert.match(history, /\nas bob\nrenew\nid use alice\n$/);
      assert.doesNotMatch(history, /secret|requst/, "what is no operation may be a password");

      // The server is away: what needs none works still, and what was typed before is there.
      await world.server.running.end();
      const root = join(world.home, "root.crt");
      const options = { env: { PKI_PASSWORD_FILE: world.passwordFile("alice") } };
      await inTerminal(world, ["--id", "alice"], async (terminal) => {
        await terminal.waitFor(
          /^pki: error: cannot reach localhost:\d+[^]*^alice at localhost:\d+ \(offline; /m,
        );
        await terminal.waitFor(promptOf("alice (offline)"));
        assert.match(
          await operate(terminal, `inspect ${root}`, "alice (offline)"),
          /CN=pki.internal root/,
        );
        assert.match(await operate(terminal, "request bob", "alice (offline)"), /cannot reach/);
        await terminal.press("Up");
        await terminal.press("Up");
        await terminal.press("Up");
        await terminal.waitFor(/^alice \(offline\)> id use alice$/m);
        await terminal.press("C-u");
        await terminal.type("hel");
        await terminal.press("Up"); // the last one that begins so
        await terminal.waitFor(/^alice \(offline\)> help certreq$/m);
        await terminal.press("C-u");
        await terminal.press("C-r"); // the last one that has it anywhere
        await terminal.type("--port");
        await terminal.waitFor(/^\(--port\)> listen --host 127\.0\.0\.1 --port 0$/m);
        await terminal.press("Right");
        await terminal.waitFor(/^alice \(offline\)> listen --host 127\.0\.0\.1 --port 0$/m);
        await terminal.press("C-u");
        await terminal.enter("Quit");
        assert.equal(await terminal.exitCode(), 0);
      }, options);
      const kept = fs.readFileSync(historyPath, "utf8");
      // Another server is where the one with the pinned root was.
      const other = await world.serve(["--data", join(world.folder, "other")]);
      const elsewhere = ["--server", `localhost:${other.port}`];
      await inTerminal(world, ["--id", "alice", "--no-history", ...elsewhere], async (terminal) => {
        await terminal.waitFor(promptOf("alice (not trusted)"));
        await terminal.enter("who");
        await terminal.waitFor(/> who\nalice at [^ ]* \(not trusted; /);
        await terminal.press("C-d");
        assert.equal(await terminal.exitCode(), 0);
      }, options);
      assert.equal(fs.readFileSync(historyPath, "utf8"), kept);
    }),
);

test(
  "a newcomer registers in the session, and SIGTERM ends it",
  TMUX,
  () =>
    inWorld(async (world) => {
      await world.withUsers("bob");
      await inTerminal(world, [], async (terminal) => {
        await terminal.waitFor(/◆ +Password of bob/); // the only identity in the home
        await terminal.press("C-c");
        assert.equal(await terminal.exitCode(), 130);
      });
      await inTerminal(world, ["--id", "alice"], async (terminal) => {
        await terminal.waitFor(/◆ +Password of alice/);
        await terminal.enter(ALICE);
        await terminal.waitFor(/● No/);
        await sayYes(terminal);
        await terminal.waitFor(/◆ +The same password again/);
        await terminal.enter(ALICE);
        await terminal.waitFor(/^alice at localhost:\d+: no certificate yet; CSR gets one$/m);
        const none = "alice (no certificate)";
        await terminal.waitFor(promptOf(none));
        assert.match(
          await operate(terminal, "upload", none),
          /cannot find a certificate of "alice"/,
        );
        await terminal.enter("CSR");
        await terminal.waitFor(/"alice" is certified until [^]*^alice> *$/m);
        assert.match(await operate(terminal, "CertUp"), /the certificate of "alice" is published/);
        assert.match(
          await operate(terminal, "REQUEST carol"),
          /the server says: cannot find "carol"/,
        );
        await terminal.enter("certreq");
        await terminal.waitFor(/◆ +Whose certificate\?/);
        await terminal.enter("bob");
        await terminal.waitFor(/-----END CERTIFICATE-----\nalice> *$/);
        await terminal.type("half a li");
        await terminal.kill("SIGTERM");
        assert.equal(await terminal.exitCode(), 130);
      });
      await world.ok("bob", ["request", "alice"]);

      // Somebody who was invited needs nothing but the line, in a home where nothing is yet.
      const { stdout: invitation } = await world.run(["invite", "--id", "carol"]);
      const home = join(world.folder, "carol");
      await inTerminal(world, [], async (terminal) => {
        await terminal.waitFor(/◆ +Who are you\?\n[^\n]*an invitation/);
        await terminal.enter("pki1:AAAA");
        await terminal.waitFor(/pki: error: [^]*◆ +Who are you\?/);
        await terminal.enter(invitation.trim());
        await terminal.waitFor(/◆ +Choose a password for carol/);
        await terminal.enter(CAROL);
        await terminal.waitFor(/"carol" has joined [^]*^carol at 127.0.0.1:\d+: certified until/m);
        await terminal.waitFor(promptOf("carol"));
        await terminal.enter("request bob");
        await terminal.waitFor(/"bob" is certified by this CA[^]*^carol> *$/m);
        await terminal.press("C-d");
        assert.equal(await terminal.exitCode(), 0);
      }, { home });
      assert.doesNotMatch(fs.readFileSync(join(home, "history"), "utf8"), /pki1/);
    }),
);

test(
  "the session refuses a password that stays wrong, exit 4",
  TMUX,
  () =>
    inWorld(async (world) => {
      await world.withUsers("alice");
      await inTerminal(world, [], async (terminal) => {
        for (let tries = 1; tries <= 3; tries++) {
          await terminal.waitFor(
            new RegExp(`(?:Password of alice[^]*){${tries}}▪?$|◆ +Password of alice`),
          );
          await terminal.enter(`not alice's password ${tries}`);
          await terminal.waitFor(new RegExp(`(?:cannot open the key of "alice"[^]*){${tries}}`));
        }
        assert.equal(await terminal.exitCode(), 4);
      });
      fs.rmSync(join(world.home, "ids", "alice"), { recursive: true }); // as on another machine
      await inTerminal(world, ["--id", "alice"], async (terminal) => {
        await terminal.waitFor(/◆ +Password of alice/);
        await terminal.enter("not alice's password");
        await terminal.waitFor(/● No/);
        await terminal.press("Enter");
        assert.equal(await terminal.exitCode(), 4);
        assert.match(
          await terminal.screen(),
          /^pki: error: cannot log in: the id or the password/m,
        );
      });
      await inTerminal(world, ["--id", "alice"], async (terminal) => {
        await terminal.waitFor(/◆ +Password of alice/);
        await terminal.enter("not alice's password");
        await terminal.waitFor(/● No/);
        await sayYes(terminal);
        await terminal.waitFor(/◆ +The same password again/);
        await terminal.enter("not alice's password");
        assert.equal(await terminal.exitCode(), 5, "an id is given out once");
        assert.match(await terminal.screen(), /^pki: error: the server says: .*"alice"/m);
      });
    }),
);

test(
  "LISTEN and CONNECT by name converse, and the session goes on",
  TMUX,
  () =>
    inWorld(async (world) => {
      await world.withUsers("alice", "bob");
      const port = await freePort();
      const session = async (id: string) => {
        const args = ["--id", id, "--password-file", world.passwordFile(id)];
        const terminal = await Terminal.start(world, args);
        await terminal.waitFor(promptOf(id));
        return terminal;
      };
      const alice = await session("alice");
      const bob = await session("bob");
      try {
        for (
          const [listener, caller, hear] of [[alice, bob, "one"], [bob, alice, "two"]] as const
        ) {
          await listener.enter(`LISTEN ${port}`);
          await listener.waitFor(
            new RegExp(`> LISTEN ${port}\n[^>]* is listening on port ${port};`),
          );
          await caller.enter("connect");
          await caller.waitFor(/◆ +Whom\?/);
          await caller.enter(`localhost:${port}`);
          if (caller === alice) { // that alice answered there is remembered
            await caller.waitFor(/◆ +At localhost:\d+ alice answered before; now it is bob\./);
            await sayYes(caller);
          }
          await caller.waitFor(/is on the line[^]*^(?:alice|bob)> *$/m);
          await listener.waitFor(/is on the line[^]*^(?:alice|bob)> *$/m);
          await caller.enter(`number ${hear}`);
          await listener.waitFor(new RegExp(`^\\d\\d:\\d\\d (?:alice|bob): number ${hear}$`, "m"));
          await listener.enter(`heard ${hear}`);
          await caller.waitFor(new RegExp(`^\\d\\d:\\d\\d (?:alice|bob): heard ${hear}$`, "m"));
          await caller.enter("/quit");
          for (const terminal of [caller, listener]) {
            await terminal.waitFor(
              /the conversation with (?:alice|bob) has ended [^\n]*\n(?:alice|bob)> *$/,
            );
            // The line editor is as it was: it completes, and goes back.
            await terminal.type("whoa");
            await terminal.press("C-u");
            await terminal.type("wh");
            await terminal.press("Tab");
            await terminal.press("Enter");
            await terminal.waitFor(/> who *\n(?:alice|bob) at localhost[^\n]*\n(?:alice|bob)> *$/);
          }
        }
        for (const terminal of [alice, bob]) {
          await terminal.enter("quit");
          assert.equal(await terminal.exitCode(), 0);
        }
      } finally {
        await alice.close();
        await bob.close();
      }
    }),
);
