/** Java's PKIX path validation, by `testdata/java/Referee.java`: all rows in one process. */

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { encodeBase64 } from "../../lib/base/bytes.ts";
import type { Bytes } from "../../lib/base/bytes.ts";
import { type Opinion, PURPOSES, type Referee, type Row } from "./row.ts";

const SOURCE = fileURLToPath(new URL("../../testdata/java/Referee.java", import.meta.url));
/** Java's own comparison of names is not for others, unless one says so. */
const NAMES = ["--add-exports", "java.base/sun.security.util=ALL-UNNAMED"];
/** It compiles first, and others may use the machine. */
const PATIENCE_MS = 60_000;

/** A row, and instead of CRLs possibly an OCSP response about the leaf. */
export type JavaRow = Row & { readonly response?: Bytes };

function lineOf(
  { leaf, cas, root, use, host, address, crls = [], atMs, response }: JavaRow,
): string {
  const encodeAll = (all: readonly Uint8Array[]) => all.map(encodeBase64).join(",");
  return [
    PURPOSES[use],
    host ?? address ?? "",
    `${atMs ?? Date.now()}`,
    encodeAll([leaf, ...cas, root].map(({ der }) => der)),
    encodeAll(crls),
    encodeAll(response ? [response] : []),
  ].join("\t");
}

function readOpinion(line: string): Opinion {
  if (!/^(?:accept|refuse .+)$/.test(line)) {
    throw new Error(`java says neither yes nor no: ${line}`);
  }
  return { accepts: line === "accept", output: line };
}

/** @throws where it says neither yes nor no */
export function judgeWithJava(rows: readonly JavaRow[]): readonly Opinion[] {
  const { status, stdout, stderr, error } = spawnSync("java", [...NAMES, SOURCE], {
    input: rows.map((row) => `${lineOf(row)}\n`).join(""),
    encoding: "utf8",
    maxBuffer: 2 ** 24,
    timeout: PATIENCE_MS,
  });
  if (error) throw error;
  const lines = stdout.split("\n").slice(0, -1);
  if (status !== 0 || lines.length !== rows.length) throw new Error(`java fails: ${stderr}`);
  return lines.map(readOpinion);
}

export const java: Referee = {
  name: "java",
  // The compiler's presence says that the source can be run.
  programs: ["java", "javac"],
  cannotJudge: () => undefined,
  judge: judgeWithJava,
  words: {
    "signature": /^refuse signature check failed$/,
    "issuer": /^refuse Path does not chain with any of the trust anchors$/,
    "time": /^refuse validity check failed$/,
    "critical-extension": /^refuse unrecognized critical extension\(s\)$/,
    "basic-constraints": /^refuse basic constraints check failed: this is not a CA certificate$/,
    "path-length": /^refuse basic constraints check failed: pathLenConstraint violated /,
    "key-usage":
      /^refuse (?:CA key usage check failed: keyCertSign bit is not set|target certificate constraints check failed)$/,
    "extended-key-usage": /^refuse target certificate constraints check failed$/,
    "name-constraints": /^refuse name constraints check failed$/,
    "names": /^refuse No subject alternative (?:DNS name|names) matching .* found\.?$/,
    "revocation": /^refuse Certificate has been revoked, reason: /,
  },
};
