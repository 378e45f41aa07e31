import assert from "node:assert/strict";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { after, test } from "node:test";
import fc from "fast-check";
import { CATALOGUE } from "../../commands/catalogue.ts";
import { completionScript, SHELLS } from "../../commands/completion_scripts.ts";
import type { PkiContext } from "../../commands/context.ts";
import { runProgram } from "../../commands/program.ts";

const FOLDER = fs.mkdtempSync(join(tmpdir(), "pki-completion-"));
after(() => fs.rmSync(FOLDER, { recursive: true }));

/** Bash's own breaks of words, as they are unless somebody changes them. */
const BREAKS = " \t\n\"'@><=;|&(:";

function makeHome(name: string, ids: readonly string[], config: string): string {
  const folder = join(FOLDER, name);
  for (const id of ids) {
    fs.mkdirSync(join(folder, "ids", id), { recursive: true });
    fs.writeFileSync(join(folder, "ids", id, "key.pem"), "");
  }
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(join(folder, "config.json"), config, { mode: 0o600 });
  return folder;
}

makeHome(
  ".pki",
  ["alice", "bob"],
  JSON.stringify({ server: "ca.example.org", peers: { "[::1]:7450": "carol" } }),
);
/** Somebody wrote into the home what no address and no name is. */
const STRANGE = makeHome(
  "strange",
  [],
  JSON.stringify({ server: "a\nb", peers: { "c\u001b[31m:1": "d\te", "f$(id);:1": "g" } }),
);
const OTHER = makeHome("other", ["dave"], "{}");
for (const name of ["frank.pem", ".gina.pem.0123.tmp", "$(id).pem"]) {
  fs.mkdirSync(join(OTHER, "contacts"), { recursive: true });
  fs.writeFileSync(join(OTHER, "contacts", name), "");
}
const BROKEN = makeHome("broken", ["erin"], "{");

async function ask(words: readonly string[]): Promise<readonly string[]> {
  let shown = "";
  const stdout = new PassThrough();
  stdout.on("data", (chunk) => shown += chunk);
  const stderr = new PassThrough();
  stderr.on("data", () => assert.fail("something is said on stderr"));
  const context: PkiContext = {
    process: { stdin: new PassThrough(), stdout, stderr, env: {} },
    homeFolder: FOLDER,
    terminal: undefined,
    signal: new AbortController().signal,
    now: () => 0,
  };
  assert.equal(await runProgram(["__complete", ...words], context), 0);
  await new Promise((resolve) => setImmediate(resolve));
  return shown === "" ? [] : shown.replace(/\n$/, "").split("\n");
}

/** A line as bash gives it, and what may stand in place of its last piece; FILES for the shell to find them. */
const BASH: readonly (readonly [line: string, answer: readonly string[]])[] = [
  ["pki li", ["words", "listen"]],
  ["pki zzz", []],
  ["pki zzz ", []],
  ["pki listen --al", ["words", "--allow"]],
  ["pki listen --allow ", ["words", "alice", "bob", "carol"]],
  ["pki listen --allow alice,b", ["words", "alice,bob"]],
  ["pki listen --once --onc", []],
  ["pki csr --key-type ", ["words", "p256", "p384", "rsa3072", "ed25519"]],
  ["pki csr --key-type=ed", ["words", "ed25519"]],
  ["pki csr --key-type=x", []],
  ["pki --color ", ["words", "auto", "always", "never"]],
  ["pki --color=al", ["words", "always"]],
  ["pki --json --color never ls --sta", ["words", "--state"]],
  ["pki ls --state ", ["words", "valid", "expired", "revoked"]],
  ["pki request c", ["words", "carol"]],
  ["pki request carol ", ["words", "--fingerprint"]],
  ["pki --id b", ["words", "bob"]],
  ["pki --id c", []],
  ["pki id use ", ["words", "alice", "bob"]],
  ["pki users disable ", ["words", "alice", "bob", "carol"]],
  ["pki invite --id=c", ["words", "carol"]],
  ["pki issuer add --dns a", []],
  ["pki request 'c", ["words", "carol"]],
  ['pki --id "alice" request "c', ["words", "carol"]],
  ["pki request \\c", ["words", "carol"]],
  ["pki connect [", ["words", "\\[::1\\]:7450"]],
  ["pki connect [::1]:7", ["words", "7450"]],
  ["pki connect ca", ["words", "carol", "ca.example.org"]],
  ["pki send ca", ["words", "carol", "ca.example.org"]],
  ["pki send --retry 3 bob@ca", ["words", "bob@ca.example.org"]],
  ["pki send carol ", ["files"]],
  ["pki connect bob@ca", ["words", "bob@ca.example.org"]],
  ["pki connect bob@", ["words", "bob@\\[::1\\]:7450", "bob@ca.example.org"]],
  ["pki --home ", ["folders"]],
  ["pki --home=", ["folders"]],
  ["pki csr --csr ", ["files"]],
  ["pki csr --csr=x", ["files"]],
  ["pki backup ", ["files"]],
  ["pki issuer ", ["words", "add", "ls", "revoke"]],
  ["pki contacts ", ["words", "ls", "show", "forget"]],
  ["pki --json issuer l", ["words", "ls"]],
  ["pki help iss", ["words", "issue", "issuer"]],
  ["pki help issuer a", ["words", "add"]],
  ["pki completion ", ["words", "bash", "zsh", "fish"]],
  ["pki csr --he", ["words", "--help"]],
  ["pki --ver", ["words", "--version"]],
  ["pki csr --ver", []],
  // Another home, in every way to name one.
  [`pki --home ${OTHER} request `, ["words", "dave", "frank"]],
  [`pki --home=${OTHER} request `, ["words", "dave", "frank"]],
  [`pki --home=${OTHER} contacts forget `, ["words", "frank"]],
  [`pki --home=${OTHER} contacts show --id `, ["words", "dave"]],
  [`pki request --home ${OTHER} d`, ["words", "dave"]],
  ["pki --home ~/other --id ", ["words", "dave"]],
  // What cannot be, is no fault and no prompt.
  [`pki --home ${BROKEN} connect `, []],
  [`pki --home ${STRANGE} connect `, ["words", "g", "f\\$\\(id\\)\\;:1"]],
  [`pki --home ${STRANGE} request `, ["words", "g"]],
  ["pki --home /nonexistent --id ", []],
  ["pki --nonsense --id ", ["words", "alice", "bob"]],
  ["pki csr extra words --key", []],
  ["pki constructor ", []],
  ["pki csr --constructor ", []],
  ["pki listen | csr --key", []],
  ["pki csr --id `id` --key-t", ["words", "--key-type"]],
  [`pki ${"x".repeat(20_000)}`, []],
  ["", ["words"]],
];

for (const [line, want] of BASH) {
  test(`bash is told what may follow "${line.slice(0, 60)}"`, async () => {
    const found = await ask(["bash", BREAKS, line]);
    const isWhole = !["pki request carol ", ""].includes(line);
    assert.deepEqual(isWhole ? found : found.slice(0, want.length), want);
  });
}

test("bash whose words do not break at = and : is given whole words", async () => {
  assert.deepEqual(await ask(["bash", " ", "pki csr --key-type=ed"]), [
    "words",
    "--key-type=ed25519",
  ]);
  assert.deepEqual(await ask(["bash", " ", "pki connect [::1]:7"]), ["words", "\\[::1\\]:7450"]);
});

for (const shell of ["zsh", "fish"]) {
  test(`${shell} is told what may follow, with what it is`, async () => {
    assert.deepEqual(await ask([shell, "li"]), ["words", "listen\tWait for a peer and converse"]);
    assert.deepEqual(await ask([shell, "ls", "--state=va"]), ["words", "--state=valid\t"]);
    assert.deepEqual(await ask([shell, "issuer", "a"]), [
      "words",
      "add\tMake a CA for names outside of the trust domain",
    ]);
    assert.deepEqual(await ask([shell, "csr", "--key"]), [
      "words",
      "--key-type\tKind of the key to make [p256]",
    ]);
    assert.deepEqual(await ask([shell, "connect", "["]), ["words", "[::1]:7450\t"]);
    assert.deepEqual(await ask([shell, "--home", OTHER, "--id", ""]), ["words", "dave\t"]);
    assert.deepEqual(await ask([shell, "csr", "--csr", ""]), ["files"]);
    assert.deepEqual(await ask([shell, "request", "--id", "a\nb", "ca"]), ["words", "carol\t"]);
    assert.deepEqual(await ask([shell]), await ask([shell, ""]));
  });
}

/** Words of real lines, words that mean something to a library or a shell, and anything at all. */
const WORD = fc.oneof(
  fc.constantFrom(
    ...Object.keys(CATALOGUE),
    "help",
    "ls",
    "use",
    "add",
    "--id",
    "--home",
    "--json",
  ),
  fc.constantFrom("--key-type=", "--state", "--allow", "--color", "-h", "-", "--", "--=", "=", ""),
  fc.constantFrom("constructor", "--constructor", "--no-to-string", "__proto__", "--__proto__"),
  fc.constantFrom("~", "~/other", OTHER, BROKEN, "$(id)", "`id`", "'", '"', "\\", ";", "|", "a\nb"),
  fc.string({ maxLength: 8 }),
  fc.string({ unit: "binary", maxLength: 8 }),
);

test("whatever is typed, a shell gets candidates or none, each on a line", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(WORD, { maxLength: 6 }), async (words) => {
      const answers = [
        await ask(["zsh", ...words]),
        await ask(["bash", BREAKS, `pki ${words.join(" ")}`]),
      ];
      for (const [kind, ...lines] of answers) {
        assert.ok([undefined, "words", "files", "folders"].includes(kind));
        assert.equal(kind === "words", lines.length > 0);
        for (const line of lines) assert.match(line, /^[^\p{Cc}\p{Zl}]*(?:\t[^\p{Cc}]*)?$/u);
      }
    }),
    { seed: 5, numRuns: 300 },
  );
});

test("completionScript() has one for each shell, which runs nothing that was typed", () => {
  for (const shell of SHELLS) {
    const script = completionScript(shell);
    assert.match(script, /__complete/);
    assert.doesNotMatch(script, /\beval\b|@\{/);
  }
});
