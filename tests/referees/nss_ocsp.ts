/**
 * How NSS reads OCSP responses: its `ocspclnt` fetches them by HTTP from where the certificate says. The
 * responder here answers everybody who asks under a statement's path with that statement's response.
 */

import { spawn } from "node:child_process";
import * as fs from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { concatBytes, parseBase64 } from "../../lib/base/bytes.ts";
import { parseOcspRequest } from "../../lib/x509/ocsp.ts";
import { runTool } from "../tool.ts";
import { addLine, makeDatabase } from "./nss.ts";
import type { Answered, Said, Statement, StatementReferee } from "./statement.ts";

/** How long one question may take. */
const PATIENCE_MS = 60_000;

/** A responder whose address is known before there is anything to say. */
export interface Responder {
  /** Where to ask for the response of one statement, by its place. */
  readonly urlOf: (index: number) => string;
  readonly referee: StatementReferee;
  readonly close: () => Promise<void>;
}

const SAID: Readonly<Record<string, Said>> = {
  "Peer's Certificate has been revoked.": "revoked",
  "The OCSP server has no status for the certificate.": "unknown",
};

function readAnswer(output: string): Answered {
  if (/^Verification of certificate ".*" succeeded\.$/m.test(output)) {
    return { said: "good", output };
  }
  const [, reason] = / Reason:\n(.*)$/m.exec(output) ?? [];
  if (reason === undefined) throw new Error(`ocspclnt fails: ${output}`);
  return { said: SAID[reason] ?? "refused", output };
}

/** Runs it without blocking: the answer comes from this process. */
function runClient(leaf: string, folder: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn("ocspclnt", ["-V", leaf, "-u", "c", "-d", "sql:db"], {
      cwd: folder,
      stdio: ["ignore", "pipe", "pipe"],
      timeout: PATIENCE_MS,
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => output += text);
    }
    child.on("error", reject);
    child.on("close", () => resolve(output));
  });
}

function fill(folder: string, statements: readonly Statement[]): void {
  makeDatabase(join(folder, "db"));
  const [first] = statements;
  if (!first) return;
  const certificates = [
    ["root", "CT,,", first.root],
    ["issuing", ",,", first.issuing],
    ...statements.map(({ leaf }, i) => [`leaf${i}`, ",,", leaf] as const),
  ] as const;
  for (const [name, , { der }] of certificates) {
    fs.writeFileSync(join(folder, `${name}.der`), der);
  }
  fs.writeFileSync(
    join(folder, "add"),
    certificates.map(([name, trust]) => addLine(name, trust)).join(""),
  );
  const { status, output } = runTool("certutil", ["-B", "-i", "add", "-d", "sql:db"], {
    cwd: folder,
  });
  if (status !== 0) throw new Error(`certutil takes no certificates: ${output}`);
}

/** Starts a responder on a free port of this machine. */
export async function startResponder(): Promise<Responder> {
  let known: readonly Statement[] = [];
  const server = createServer(async (incoming, outgoing) => {
    const [, index, path = ""] = /^\/(\d+)\/(.*)$/.exec(incoming.url ?? "") ?? [];
    // RFC 6960, appendix A.1: it is the body, or the rest of the path in base64.
    const request = incoming.method === "POST"
      ? concatBytes(...await Array.fromAsync(incoming))
      : parseBase64(decodeURIComponent(path));
    const statement = known[Number(index)];
    const isRequest = parseOcspRequest(request).certIds[0]?.serial === statement?.leaf.serial;
    outgoing.writeHead(isRequest ? 200 : 400, { "content-type": "application/ocsp-response" });
    outgoing.end(isRequest ? statement?.response : undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;

  async function judge(statements: readonly Statement[]): Promise<readonly Answered[]> {
    known = statements;
    const folder = fs.mkdtempSync(join(tmpdir(), "pki-tool-"));
    try {
      fill(folder, statements);
      const answers: Answered[] = [];
      for (const index of statements.keys()) {
        answers.push(readAnswer(await runClient(`leaf${index}`, folder)));
      }
      return answers;
    } finally {
      fs.rmSync(folder, { recursive: true });
    }
  }

  return {
    urlOf: (index) => `http://127.0.0.1:${port}/${index}/`,
    referee: {
      name: "nss",
      programs: ["certutil", "ocspclnt"],
      judge,
      words: {
        signer:
          /^(?:OCSP response has an invalid signature|Invalid OCSP signing certificate in OCSP response)\.$/m,
        time: /^The OCSP response (?:contains out-of-date information|is not yet valid .*)\.$/m,
        subject: /^$/,
      },
    },
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
