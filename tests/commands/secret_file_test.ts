import assert from "node:assert/strict";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Readable, Writable } from "node:stream";
import { after, test } from "node:test";
import type { InputStream, PkiContext } from "../../commands/context.ts";
import { readSecret } from "../../commands/secret_file.ts";
import { claimStdin } from "../../commands/stdin.ts";
import { LIMITS } from "../../lib/base/limits.ts";

const root = fs.mkdtempSync(join(tmpdir(), "pki-secret-"));
after(() => fs.rmSync(root, { recursive: true }));

type Context = Pick<PkiContext, "process" | "signal">;

function contextWith(stdin: InputStream): Context {
  const sink = () => new Writable({ write: (_chunk, _encoding, done) => done() });
  const streams = { stdin, stdout: sink(), stderr: sink() };
  return { process: { ...streams, env: {} }, signal: new AbortController().signal };
}

const stdinOf = (...parts: readonly string[]) =>
  Readable.from(parts.map((part) => new TextEncoder().encode(part))) as InputStream;

interface Read {
  readonly secret: string;
  readonly warnings: readonly string[];
}

async function read(context: Context, path: string, what = "the password"): Promise<Read> {
  const warnings: string[] = [];
  const secret = await readSecret(context, path, {
    what,
    option: "--password-file",
    warn: (message, hint) => warnings.push(`${message} (${hint})`),
  });
  return { secret, warnings };
}

function fileWith(content: string, mode: number): string {
  const path = join(fs.mkdtempSync(join(root, "x-")), "secret");
  fs.writeFileSync(path, content);
  fs.chmodSync(path, mode);
  return path;
}

test("readSecret() takes the first line of stdin, in however many parts it comes", async () => {
  const rows: readonly (readonly [readonly string[], string])[] = [
    [["one two three\n"], "one two three"],
    [["one"], "one"],
    [["o", "n", "e\r\n", "two\n"], "one"],
    [["\nx\n"], ""],
    [[], ""],
  ];
  for (const [parts, secret] of rows) {
    assert.equal((await read(contextWith(stdinOf(...parts)), "-")).secret, secret);
  }
});

test("readSecret() does not wait for the end of stdin", async () => {
  const stdin = new Readable({ read: () => {} }) as InputStream;
  stdin.push(new TextEncoder().encode("a line\n")); // and never an end
  assert.equal((await read(contextWith(stdin), "-")).secret, "a line");
});

test("readSecret() reads stdin once, for one thing", async () => {
  const context = contextWith(stdinOf("first\nsecond\n"));
  assert.equal((await read(context, "-")).secret, "first");
  assert.equal((await read(context, "-")).secret, "first", "asked again, it is the same");
  await assert.rejects(read(context, "-", "the new password"), {
    kind: "usage",
    message: "cannot read the new password from standard input: the password comes from there",
    hint: "name a file for one of the two",
  });
});

test("readSecret() refuses a stdin that is a terminal, or for something else", async () => {
  const terminal = Object.assign(stdinOf("seen\n"), { isTTY: true });
  await assert.rejects(read(contextWith(terminal), "-"), {
    kind: "usage",
    message: "cannot read the password from standard input: it is a terminal",
    hint: "leave --password-file out to be asked for it, unseen",
  });
  const context = contextWith(stdinOf("bytes"));
  claimStdin(context.process, "what goes to the peer");
  await assert.rejects(read(context, "-"), {
    kind: "usage",
    message: "cannot read the password from standard input: what goes to the peer comes from there",
  });
});

test("readSecret() refuses a line that is longer than any file it reads", async () => {
  const long = "x".repeat(LIMITS.fileBytesMax + 1);
  await assert.rejects(read(contextWith(stdinOf(long)), "-"), {
    kind: "malformed",
    message: `cannot read the password from standard input: more than ${LIMITS.fileBytesMax} bytes`,
  });
});

test(
  "readSecret() warns of a file that everybody can read",
  { skip: process.platform === "win32" ? "modes mean nothing there" : false },
  async () => {
    const context = contextWith(stdinOf());
    const open = fileWith("secret\n", 0o644);
    assert.deepEqual(await read(context, open), {
      secret: "secret",
      warnings: [
        `everybody on this machine can read the password in "${open}" (chmod 600 ${open})`,
      ],
    });
    for (const mode of [0o600, 0o640, 0o400]) {
      const { warnings } = await read(context, fileWith("secret\n", mode));
      assert.deepEqual(warnings, [], mode.toString(8));
    }
    const descriptor = fs.openSync(open, "r");
    try {
      assert.deepEqual(await read(context, `/dev/fd/${descriptor}`), {
        secret: "secret",
        warnings: [],
      });
    } finally {
      fs.closeSync(descriptor);
    }
  },
);
