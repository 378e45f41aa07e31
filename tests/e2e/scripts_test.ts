/** `docs/scripts.md` against the built program: its script runs, and its table of questions is true. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { inWorld, needs, PKI, ROOT, runProgram, type World } from "./harness.ts";

const DOCUMENT = fs.readFileSync(join(ROOT, "docs", "scripts.md"), "utf8");

test(
  "the script of docs/scripts.md runs with no terminal and an empty environment",
  needs("openssl"),
  () =>
    inWorld(async (world) => {
      const [, script] = /^```sh\n([^]*?)^```$/m.exec(DOCUMENT) ?? [];
      assert.ok(script);
      fs.writeFileSync(world.path("journey.sh"), script);
      const folder = world.path("journey");
      const { code, stdout, stderr } = await runProgram("env", [
        ...["-i", "/bin/sh", world.path("journey.sh"), PKI, folder],
      ]);
      assert.equal(code, 0, stdout + stderr);
      assert.match(
        stdout,
        /^"alice" has joined [^]*^subject=CN ?= ?bob\n[^]*^from bob\nfrom alice\n[^]*^doctor: 6\ndone\n$/m,
      );
      assert.equal(stderr, "", "quiet is quiet");
      const { error } = JSON.parse(fs.readFileSync(join(folder, "doctor.err"), "utf8"));
      assert.equal(error.exitCode, 6);
    }),
);

/** A command that would have to ask, and does not: `{folder}` and the like stand for the world's. */
interface Row {
  /** As the documentation has it. */
  readonly question: string;
  readonly args: readonly string[];
  readonly code?: number;
  /** What the error names; the first thing that the documentation names where nothing is said. */
  readonly names?: string;
  readonly input?: string;
}

const ALICE = ["--id", "alice", "--password-file", "{folder}/alice.pass"];

/** With a server, alice in the home, and a data folder whose server does not run. */
const ROWS: readonly Row[] = [
  { question: "the password", args: ["csr", "--id", "alice"] },
  { question: "the password", args: ["upload", "--id", "alice"] },
  { question: "the password", args: ["request", "alice", "--id", "alice"] },
  { question: "the password", args: ["renew", "--id", "alice"] },
  { question: "the password", args: ["revoke", "--id", "alice", "--yes"] },
  { question: "the password", args: ["listen", "--id", "alice", "--port", "0"] },
  { question: "the password", args: ["connect", "localhost:1", "--id", "alice"] },
  { question: "the password", args: ["unlock", "--id", "alice"] },
  { question: "the password", args: ["passwd", "--id", "alice"] },
  { question: "the password", args: ["id", "export", "alice", "--p12", "{folder}/a.p12"] },
  { question: "a new password", args: ["passwd", ...ALICE] },
  {
    question: "a password for a file",
    args: ["id", "export", "alice", "--p12", "{folder}/a.p12", ...ALICE],
  },
  { question: "a password for a file", args: ["id", "import", "{folder}/bob.p12", ...ALICE] },
  {
    question: "a password for a new key",
    args: ["issue", "--profile", "service", "--name", "x", "--out", "{folder}/x.pem"],
  },
  ...[
    ["serve", "--port", "0"],
    ["ls"],
    [
      "issue",
      "--profile",
      "server",
      "--dns",
      "x.pki.internal",
      "--plain-key",
      "--out",
      "{folder}/y",
    ],
    ["invite"],
    ["users"],
    ["revoke", "--user", "alice", "--yes"],
    ["rotate"],
    ["issuer", "add", "--dns", "example.org"],
    ["passphrase"],
  ].map((args) => ({
    question: "the passphrase of the server's keys",
    args: [...args, "--data", "{away}"],
  })),
  {
    question: "a new passphrase",
    args: ["passphrase", "--data", "{away}", "--passphrase-file", "{away-passphrase}"],
  },
  {
    question: "the passphrase of the root's key",
    args: ["rotate", "--data", "{away}", "--passphrase-file", "{away-passphrase}"],
    code: 4, // it is tried with the server's passphrase, which does not fit
  },
  {
    question: "the passphrase of the root's key",
    args: [
      ...["init", "--data", "{folder}/own", "--root-cert", "{away}/root.crt"],
      ...["--root-key", "{away}/root.key"],
    ],
  },
  { question: "who you are", args: ["csr", "--home", "{folder}/nobody"] },
  { question: "who you are", args: ["join", "{invitation}", "--home", "{folder}/nobody"] },
  { question: "the invitation", args: ["join", "--home", "{folder}/nobody"] },
  {
    question: "whether the root is the right one",
    args: ["csr", "--register", "--home", "{folder}/nobody", ...ALICE],
    code: 6,
  },
  { question: "whether the root is the right one", args: ["trust"] },
  {
    question: "whether to register",
    args: ["csr", "--id", "dave", "--password-file", "{folder}/bob.pass"],
    code: 4,
  },
  { question: "whether to revoke, delete or remove", args: ["revoke", ...ALICE] },
  { question: "whether to revoke, delete or remove", args: ["revoke", "--user", "alice"] },
  { question: "whether to revoke, delete or remove", args: ["users", "delete", "alice"] },
  { question: "whether to revoke, delete or remove", args: ["id", "rm", "alice"] },
  { question: "what to do", args: [], names: "--help" },
];

/** Where somebody else answers, which takes a conversation to find out; see `peer_trust_test.ts`. */
const ELSEWHERE = ["whether somebody else may answer"];

/** The table of questions: each with the first thing that answers it beforehand. */
function documentedQuestions(): ReadonlyMap<string, string> {
  const rows = DOCUMENT.matchAll(/^\| ([^|`]+?) +\| [^|]+\| `([^`]+)`[^|]*\|$/gm);
  return new Map([...rows].map(([, question = "", instead = ""]) => [question, instead]));
}

async function prepare(world: World): Promise<(text: string) => string> {
  const away = world.path("away");
  const made = await world.run([
    ...["init", "--home", away, "--data", join(away, "data")],
    ...["--root-passphrase-file", world.passwordFile("carol")],
  ]);
  assert.equal(made.code, 0, made.stderr);
  await world.serve();
  await world.ok("alice", ["csr", "--register"]);
  const exported = await world.as("alice", [
    ...["id", "export", "alice", "--p12", world.path("bob.p12")],
    ...["--p12-password-file", world.passwordFile("carol")],
  ]);
  assert.equal(exported.code, 0, exported.stderr);
  const invited = await world.run(["invite", "--quiet"]);
  assert.equal(invited.code, 0, invited.stderr);
  // Where commands look for it, another folder's passphrase is not.
  return (text) =>
    text.replace("{away-passphrase}", join(away, "server.passphrase"))
      .replace("{away}", join(away, "data")).replace("{folder}", world.folder)
      .replace("{invitation}", invited.stdout.trim());
}

test("no command asks where there is no terminal: it names what answers beforehand", () =>
  inWorld(async (world) => {
    const fill = await prepare(world);
    const questions = documentedQuestions();
    const asked = new Set([...ROWS.map(({ question }) => question), ...ELSEWHERE]);
    assert.deepEqual([...questions.keys()].sort(), [...asked].sort());
    const passphrase = join(world.home, "server.passphrase");
    for (const { question, args, code = 2, names } of ROWS) {
      const isAway = args.includes("{away}");
      if (isAway) fs.renameSync(passphrase, `${passphrase}.away`);
      const found = await world.run(args.map(fill));
      if (isAway) fs.renameSync(`${passphrase}.away`, passphrase);
      const what = `pki ${args.join(" ")}: ${found.stderr}`;
      assert.equal(found.code, code, what);
      assert.equal(found.stdout, "", what);
      const named = names ?? questions.get(question) ?? "?";
      assert.match(found.stderr, new RegExp(`(?<![\\w-])${named}(?![\\w-])`), what);
    }
  }));

test(
  "stdin is read for one thing, and a password may be in its first line",
  needs("openssl"),
  () =>
    inWorld(async (world) => {
      await world.serve();
      const password = fs.readFileSync(world.passwordFile("alice"));
      const stdin = ["--id", "alice", "--password-file", "-"];
      const made = await world.run(["csr", "--register", ...stdin], { input: password });
      assert.equal(made.code, 0, made.stderr);
      const variable = { env: { PKI_PASSWORD_FILE: "-" }, input: password };
      const found = await world.run(["request", "alice", "--id", "alice", "--quiet"], variable);
      assert.equal(found.code, 0, found.stderr);
      const shown = await runProgram("openssl", ["x509", "-noout", "-subject"], {
        input: found.stdout,
      });
      assert.match(shown.stdout, /^subject=CN ?= ?alice\n$/);
      const verified = await world.run(["verify", "-", "--user", "alice"], { input: found.stdout });
      assert.equal(verified.code, 0, verified.stderr);
      const published = await world.as("alice", [
        "upload",
        "--cert",
        "-",
        "--key",
        join(world.home, "ids", "alice", "key.pem"),
      ], { input: found.stdout });
      assert.equal(published.code, 0, published.stderr);

      const taken = "comes from there\npki: hint: name a file for one of the two\n";
      const rows: readonly (readonly [readonly string[], string])[] = [
        [["csr", "--csr", "-", ...stdin], `the password from standard input: a file ${taken}`],
        [
          ["connect", "localhost:1", ...stdin],
          `the password from standard input: what goes to the peer ${taken}`,
        ],
        [
          ["listen", "--port", "0", ...stdin],
          `the password from standard input: what goes to the peer ${taken}`,
        ],
        [["verify", "-", "--crl", "-"], `a file from standard input: a file ${taken}`],
        [
          ["passwd", "--new-password-file", "-", ...stdin],
          `the new password from standard input: the password ${taken}`,
        ],
      ];
      const csr = await runProgram("openssl", [
        ...["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
        ...["-keyout", world.path("alice.key"), "-subj", "/CN=alice"],
      ]);
      for (const [args, says] of rows) {
        const input = args[0] === "csr"
          ? csr.stdout
          : args[0] === "verify"
          ? found.stdout
          : password;
        const refused = await world.run(args, { input });
        assert.equal(refused.code, 2, `${args.join(" ")}: ${refused.stderr}`);
        assert.equal(refused.stderr, `pki: error: cannot read ${says}`);
      }
      const certified = await world.as("alice", ["csr", "--csr", "-"], { input: csr.stdout });
      assert.match(certified.stdout, /^-----BEGIN CERTIFICATE-----\n/);
      const invited = await world.run(["invite", "--id", "carol", "--quiet"]);
      const joined = await world.run([
        ...["join", "--invite-file", "-", "--home", world.path("carols")],
        ...["--password-file", world.passwordFile("carol")],
      ], { input: invited.stdout });
      assert.equal(joined.code, 0, joined.stderr);
      await world.server.running.end();
      const listed = await world.run(["ls", "--passphrase-file", "-", "--json"], {
        input: fs.readFileSync(join(world.home, "server.passphrase")),
      });
      assert.equal(listed.code, 0, listed.stderr);
      assert.match(listed.stdout, /"id":"carol"/);
    }),
);
