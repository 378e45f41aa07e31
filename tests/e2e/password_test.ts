import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { inWorld, needs, runProgram } from "./harness.ts";

/** Letters of several scripts, composed and with one kind of space. */
const COMPOSED = "caf\u00e9 \ud55c\uae00 \u043a\u043e\u0448\u043a\u0430 \u30a2\u30e1\u30ea\u30ab";
/** The same as another keyboard and another system have it, and as an editor of theirs ends a file. */
const DECOMPOSED = `${COMPOSED.normalize("NFD").replaceAll(" ", "\u00a0")}\r\n`;

const REFUSED: readonly (readonly [string, string])[] = [
  ["passwordpassword", "it is easy to guess: it repeats itself"],
  [
    "alice@pki.internal",
    "it is easy to guess: it says who you are or what it is for, and little else",
  ],
  ["kT7!mQ", "it is shorter than 8 characters"],
  ["seven\tblue batteries", "character 6 is a control character"],
];

test(
  "a password is refused if it is easy, and is the same however it was typed",
  needs("openssl"),
  () =>
    inWorld(async (world) => {
      await world.serve();
      const file = world.path("chosen.pass");
      const choose = async (password: string) => {
        fs.writeFileSync(file, password);
        return await world.run(["csr", "--register", "--id", "alice", "--password-file", file]);
      };
      for (const [password, why] of REFUSED) {
        const { code, stderr } = await choose(`${password}\n`);
        assert.equal(code, 2, stderr);
        assert.ok(stderr.includes(`pki: error: cannot use the password: ${why}\n`), stderr);
        assert.ok(!stderr.includes(password), "it is not shown");
      }
      assert.equal((await choose(DECOMPOSED)).code, 0);
      const env = { PKI_ID: "alice", PKI_PASSWORD: COMPOSED };
      const asked = await world.run(["request", "alice", "--with-password"], { env });
      assert.equal(asked.code, 0, asked.stderr);
      // The key at home is under what the account has, as any program reads it.
      const key = join(world.home, "ids", "alice", "key.pem");
      const opened = await runProgram(
        "openssl",
        ["pkey", "-in", key, "-noout", "-passin", "stdin"],
        {
          input: `${COMPOSED}\n`,
        },
      );
      assert.equal(opened.code, 0, opened.stderr);
      // As long as it may be.
      const long = "a very long pass phrase ".repeat(50).slice(0, 1024);
      fs.writeFileSync(file, `${long}\n`);
      const changed = await world.run(["passwd", "--new-password-file", file], { env });
      assert.equal(changed.code, 0, changed.stderr);
      const again = await world.run(["request", "alice", "--with-password", "--id", "alice"], {
        env: { PKI_PASSWORD_FILE: file },
      });
      assert.equal(again.code, 0, again.stderr);
    }),
);
