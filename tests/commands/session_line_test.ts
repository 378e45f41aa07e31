import assert from "node:assert/strict";
import { test } from "node:test";
import { interpretLine, isForHistory, type Meaning } from "../../commands/session_line.ts";
import { PkiError } from "../../lib/base/errors.ts";

const run = (...words: readonly string[]): Meaning => ({ kind: "run", words });
const help = (...words: readonly string[]): Meaning => ({ kind: "help", words });

const LINES: ReadonlyArray<readonly [string, Meaning]> = [
  ["", { kind: "nothing" }],
  ["   ", { kind: "nothing" }],
  ["pki", { kind: "nothing" }],
  // The operations of the system before, in any case.
  ["CSR", run("csr")],
  ["CERTUP", run("upload")],
  ["certup", run("upload")],
  ["CertReq bob", run("request", "bob")],
  ["UPLOAD", run("upload")],
  ["REQUEST Bob", run("request", "Bob")],
  ["certreq", { kind: "run", words: ["request"], question: "Whose certificate?" }],
  ["connect", { kind: "run", words: ["connect"], question: "Whom? (a name, or host:port)" }],
  ["connect localhost:7450", run("connect", "localhost:7450")],
  ["CERTREQ --out 'my file' bob", run("request", "--out", "my file", "bob")],
  // As it is typed in a shell.
  ["pki csr --id alice", run("csr", "--id", "alice")],
  ["./pki issuer ls", run("issuer", "ls")],
  ["Issuer LS", run("issuer", "LS")],
  // After a conversation it is the prompt's turn again.
  ["listen", run("listen", "--once")],
  ["LISTEN 7450", run("listen", "--port", "7450", "--once")],
  ["listen --port 0 --once", run("listen", "--port", "0", "--once")],
  ["listen 7450 --allow bob", run("listen", "7450", "--allow", "bob", "--once")],
  ["listen --help", run("listen", "--help", "--once")],
  // Its own words.
  ["QUIT", { kind: "leave" }],
  ["Exit", { kind: "leave" }],
  ["who", { kind: "who" }],
  ["WHOAMI", { kind: "who" }],
  ["as bob", { kind: "as", id: "bob" }],
  ["help", help()],
  ["?", help()],
  ["--help", help()],
  ["HELP csr", help("csr")],
  ["help CERTREQ", help("request")],
  ["help issuer add", help("issuer", "add")],
  ["csr ?", help("csr")],
  ["serve --help", run("serve", "--help")],
  ["pki1:AbCd", run("join", "pki1:AbCd")],
  ["pki join pki1:AbCd", run("join", "pki1:AbCd")],
  ["frobnicate", run("frobnicate")],
  ["constructor", run("constructor")],
];

for (const [line, meaning] of LINES) {
  test(`interpretLine() reads ${JSON.stringify(line)}`, () => {
    assert.deepEqual(interpretLine(line), meaning);
  });
}

const REFUSED: ReadonlyArray<readonly [string, string, string | undefined]> = [
  [
    "serve",
    "cannot run serve inside of the session: a server runs for itself",
    "run it in a terminal of its own: pki serve",
  ],
  [
    "SERVE --port 0",
    "cannot run serve inside of the session: a server runs for itself",
    "run it in a terminal of its own: pki serve",
  ],
  [
    "session",
    "cannot run session inside of the session: this is the session",
    "to be somebody else: as NAME",
  ],
  [
    "completion bash",
    "cannot run completion inside of the session: it is for a shell",
    "here Tab completes by itself",
  ],
  [
    "inspect -",
    "cannot read standard input: in the session it is the terminal",
    "name a file",
  ],
  [
    "csr --password-file=-",
    "cannot read standard input: in the session it is the terminal",
    "name a file",
  ],
  ["as", "cannot read the line: one name follows as", undefined],
  ["as bob carol", "cannot read the line: one name follows as", undefined],
  ["csr 'x", "cannot read the line: a single quote is not closed", undefined],
];

test("interpretLine() refuses what cannot be done inside of the session", () => {
  for (const [line, message, hint] of REFUSED) {
    assert.throws(() => interpretLine(line), (error) => {
      assert.ok(error instanceof PkiError && error.kind === "usage", line);
      assert.equal(error.message, message);
      assert.equal(error.hint, hint);
      return true;
    });
  }
});

test("isForHistory() keeps operations, and nothing that may be a secret", () => {
  const commands = ["csr", "request", "join"];
  const rows: ReadonlyArray<readonly [string, boolean]> = [
    ["csr", true],
    ["CERTREQ bob", true],
    ["pki csr", true],
    ["help", true],
    ["as bob", true],
    [" csr", false], // a blank in front, as in shells
    ["alice rides a paper horse", false], // a password at the wrong moment
    ["join pki1:AAAA", false],
    ["join 'PKI1:AAAA'", false],
    ["csr 'open", false],
    ["constructor", false],
    ["", false],
  ];
  for (const [line, isKept] of rows) assert.equal(isForHistory(line, commands), isKept, line);
});
