import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { join } from "node:path";
import { type Build, describeVersion, versionLine } from "../../commands/version.ts";
import { ROOT, runProgram } from "../e2e/harness.ts";

const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const HERE = `deno ${process.versions["deno"]}, ${process.platform} ${process.arch}`;

const ROWS: readonly (readonly [what: string, build: Build, line: string])[] = [
  [
    "a commit",
    { version: "1.2.3", commit: COMMIT, isModified: false },
    `pki 1.2.3, commit 0123456789ab, ${HERE}`,
  ],
  [
    "a commit and more",
    { version: "1.2.3", commit: COMMIT, isModified: true },
    `pki 1.2.3, commit 0123456789ab (modified), ${HERE}`,
  ],
  [
    "no git",
    { version: "1.2.3", commit: "unknown", isModified: false },
    `pki 1.2.3, commit unknown, ${HERE}`,
  ],
];

for (const [what, build, line] of ROWS) {
  test(`versionLine() and describeVersion() say what was built from ${what}`, () => {
    assert.equal(versionLine(build), line);
    const { version, commit, modified, engine } = describeVersion(build);
    assert.deepEqual(
      { version, commit, modified, engine },
      { version: build.version, commit: build.commit, modified: build.isModified, engine: "deno" },
    );
  });
}

test("a program that runs from source says so", async () => {
  const args = ["run", "--quiet", "-A", join(ROOT, "main.ts"), "--version"];
  const { code, stdout } = await runProgram(process.execPath, args);
  assert.equal(code, 0);
  assert.equal(stdout, `pki (from source), commit unknown, ${HERE}\n`);
});
