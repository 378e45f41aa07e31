/**
 * PKCS #12 in other people's hands: every kind of key and of password, as we write it, and what each
 * program does not take. What they write is read in `tests/e2e/identities_test.ts`.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { KeyType } from "../../lib/x509/algorithms.ts";
import { encodePkcs12 } from "../../lib/x509/pkcs12.ts";
import { makeTestCa, makeUser } from "../fakes/ca.ts";
import { inFolder, runTool, without } from "../tool.ts";

/** Few, since it is the form that is tried; the built program is tried with all of them. */
const ROUNDS = 100;
const FILE = "it.p12";
const ASCII = "seven grey kettles sing";

interface Referee {
  readonly name: string;
  readonly programs: readonly string[];
  /** Opens the file in a folder; returns what the program says, and how it ended. */
  readonly open: (cwd: string, password: string) => ReturnType<typeof runTool>;
  /** What it says of a file with key and chain that it has opened. */
  readonly opened: RegExp;
  /** What it does not take, and says then; everything else it does. */
  readonly refuses?: (draft: Draft) => RegExp | undefined;
}

interface Draft {
  readonly keyType: KeyType;
  readonly password: string;
}

const isAscii = (text: string) => /^[\x20-\x7e]*$/.test(text);

const REFEREES: readonly Referee[] = [
  {
    name: "openssl",
    programs: ["openssl"],
    open: (cwd, password) =>
      runTool("openssl", ["pkcs12", "-in", FILE, "-noenc", "-passin", `pass:${password}`], { cwd }),
    opened: /friendlyName: alice[^]*(?:BEGIN CERTIFICATE[^]*){3}BEGIN PRIVATE KEY/,
  },
  {
    name: "Java",
    programs: ["keytool"],
    open: (cwd, password) =>
      runTool("keytool", ["-list", "-v", "-keystore", FILE, "-storepass", password], { cwd }),
    opened: /Alias name: alice[^]*Entry type: PrivateKeyEntry\s+Certificate chain length: 3/,
    refuses: ({ password }) => isAscii(password) ? undefined : /password was incorrect/,
  },
  {
    name: "NSS",
    programs: ["pk12util", "certutil"],
    open: (cwd, password) => {
      const made = runTool("certutil", ["-N", "-d", "sql:.", "--empty-password"], { cwd });
      assert.equal(made.status, 0, made.output);
      const imported = runTool("pk12util", ["-i", FILE, "-d", "sql:.", "-W", password], { cwd });
      if (imported.status !== 0) return imported;
      const { output } = runTool("certutil", ["-L", "-d", "sql:."], { cwd });
      return { status: 0, output: imported.output + output };
    },
    opened: /IMPORT SUCCESSFUL[^]*\nalice +u,u,u/,
    refuses: ({ keyType }) => keyType === "ed25519" ? /UNABLE_TO_IMPORT_KEY/ : undefined,
  },
  {
    name: "GnuTLS",
    programs: ["certtool"],
    open: (cwd, password) =>
      runTool(
        "certtool",
        ["--p12-info", "--inder", "--infile", FILE, "--password", password],
        { cwd },
      ),
    opened: /(?:BEGIN CERTIFICATE[^]*){3}BEGIN (?:ENCRYPTED )?PRIVATE KEY/,
  },
];

const DRAFTS: readonly Draft[] = [
  { keyType: "p256", password: ASCII },
  { keyType: "p384", password: ASCII },
  { keyType: "rsa3072", password: ASCII },
  { keyType: "ed25519", password: ASCII },
  { keyType: "p256", password: "sieben grüne Kessel" },
  { keyType: "p256", password: "сім €-чайників 🔑" },
];

const CA = await makeTestCa();
const FILES = await Promise.all(DRAFTS.map(async ({ keyType, password }) => {
  const { key, shown } = await makeUser(CA, { id: "alice", keyType });
  const certificates = [...shown, CA.root.certificate.der];
  return await encodePkcs12({ key, certificates }, { password, name: "alice", rounds: ROUNDS });
}));

for (const { name, programs, open, opened, refuses } of REFEREES) {
  for (const [at, draft] of DRAFTS.entries()) {
    const { keyType, password } = draft;
    const refused = refuses?.(draft);
    test(`${name} ${refused ? "refuses" : "opens"} ${keyType} under "${password}"`, {
      skip: without(...programs),
    }, () => {
      inFolder({ [FILE]: FILES[at] ?? new Uint8Array() }, (cwd) => {
        const { status, output } = open(cwd, password);
        assert.match(output, refused ?? opened);
        assert.equal(status === 0, refused === undefined, output);
      });
    });
  }

  test(`${name} refuses a wrong password`, { skip: without(...programs) }, () => {
    inFolder({ [FILE]: FILES[0] ?? new Uint8Array() }, (cwd) => {
      const { status, output } = open(cwd, "another password");
      assert.doesNotMatch(output, opened);
      assert.notEqual(status, 0, output);
    });
  });
}
