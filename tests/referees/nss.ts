/**
 * NSS's `certutil -V`, each row in a database of its own. It compares no host's names; of CRLs it takes
 * those that were put into the database before.
 */

import * as fs from "node:fs";
import { join } from "node:path";
import { inFolder, runTool } from "../tool.ts";
import type { Opinion, Referee, Row } from "./row.ts";

/** As `certutil -b` takes a time: YYMMDDHHMMSSZ. */
function formatTime(timeMs: number): string {
  return `${new Date(timeMs).toISOString().slice(2, 19).replace(/[-T:]/g, "")}Z`;
}

/** An empty database with an empty password. */
export function makeDatabase(folder: string): void {
  fs.mkdirSync(folder);
  const args = ["-N", "-d", `sql:${folder}`, "--empty-password"];
  const { status, output } = runTool("certutil", args, { cwd: folder });
  if (status !== 0) throw new Error(`certutil makes no database: ${output}`);
}

/** A line for `certutil -B` that takes a certificate from its file. */
export function addLine(name: string, trust: string): string {
  return `-A -n ${name} -t ${trust} -i ${name}.der\n`;
}

function judgeOne(row: Row, empty: string): Opinion {
  const { leaf, cas, root, use, crls = [], atMs } = row;
  const at = atMs === undefined ? "" : ` -b ${formatTime(atMs)}`;
  const files = {
    "leaf.der": leaf.der,
    "root.der": root.der,
    ...Object.fromEntries(cas.map(({ der }, i) => [`ca${i}.der`, der])),
    ...Object.fromEntries(crls.map((crl, i) => [`list${i}.der`, crl])),
    "add": [
      addLine("root", "CT,,"),
      ...cas.map((_, i) => addLine(`ca${i}`, ",,")),
      addLine("leaf", ",,"),
    ].join(""),
    "verify": `-V -n leaf -e -u ${use === "server" ? "V" : "C"}${at}\n`,
  };
  const output = inFolder(files, (cwd) => {
    fs.cpSync(empty, join(cwd, "db"), { recursive: true });
    const run = (program: string, ...args: readonly string[]) =>
      runTool(program, [...args, "-d", "sql:db"], { cwd }).output;
    return [
      run("certutil", "-B", "-i", "add"),
      // The option -B leaves the lists unjudged until they are used.
      ...crls.map((_, i) => run("crlutil", "-I", "-B", "-t", "1", "-i", `list${i}.der`)),
      run("certutil", "-B", "-i", "verify"),
    ].join("");
  });
  const [, verdict] =
    /^certutil: (certificate is valid|certificate is invalid: .*|could not add certificate .*)$/m
      .exec(output) ?? [];
  if (verdict === undefined) throw new Error(`certutil says neither yes nor no: ${output}`);
  return { accepts: verdict === "certificate is valid", output };
}

export const nss: Referee = {
  name: "nss",
  programs: ["certutil", "crlutil"],
  cannotJudge: ({ host, address, refusedBy }) =>
    refusedBy === "names" && (host ?? address) !== undefined
      ? "certutil compares no host's names"
      : undefined,
  judge: (rows) =>
    inFolder({}, (folder) => {
      const empty = join(folder, "empty");
      makeDatabase(empty);
      return rows.map((row) => judgeOne(row, empty));
    }),
  words: {
    "signature": /: Peer's certificate has an invalid signature\.$/m,
    "issuer": /: Peer's Certificate issuer is not recognized\.$/m,
    "time":
      /: (?:Peer's Certificate has expired\.|The certificate issuer's certificate has expired\. .*)$/m,
    "critical-extension": /: Certificate contains unknown critical extension\.$/m,
    // Only CAs are looked for among issuers.
    "basic-constraints": /: Peer's Certificate issuer is not recognized\.$/m,
    "path-length": /: Certificate path length constraint is invalid\.$/m,
    "key-usage": /: Certificate key usage inadequate for attempted operation\.$/m,
    "extended-key-usage": /: Certificate type not approved for application\.$/m,
    "name-constraints":
      /: The Certifying Authority for this certificate is not permitted to issue a certificate with this name\.$/m,
    "revocation": /: (?:Peer's Certificate|Issuer's certificate) has been revoked\.$/m,
  },
};
