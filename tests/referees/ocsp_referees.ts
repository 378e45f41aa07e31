/** How openssl, GnuTLS and Java read an OCSP response that they are given as a file. */

import { encodeCertificatesPem } from "../../lib/x509/pem.ts";
import { inFolder, runTool } from "../tool.ts";
import { judgeWithJava } from "./java.ts";
import type { Answered, Said, Statement, StatementReferee } from "./statement.ts";

function filesOf({ leaf, issuing, root, response }: Statement) {
  return {
    "leaf.pem": encodeCertificatesPem([leaf.der]),
    "issuing.pem": encodeCertificatesPem([issuing.der]),
    "root.pem": encodeCertificatesPem([root.der]),
    response,
  };
}

function parseSaid(word: string | undefined, output: string): Said {
  if (word === "good" || word === "revoked" || word === "unknown") return word;
  throw new Error(`no status is said: ${output}`);
}

function askOpenssl(statement: Statement): Answered {
  const { output } = inFolder(filesOf(statement), (cwd) =>
    runTool("openssl", [
      ...["ocsp", "-sha1", "-issuer", "issuing.pem", "-cert", "leaf.pem", "-no_nonce"],
      ...["-respin", "response", "-CAfile", "root.pem", "-verify_other", "issuing.pem"],
    ], { cwd }));
  // It goes on after these, and shows what the response says.
  const isRefused = /^Response Verify Failure$|: WARNING: Status times invalid\.$/m.test(output) ||
    /^leaf\.pem: ERROR: No Status found\.$/m.test(output);
  if (isRefused) return { said: "refused", output };
  if (!/^Response verify OK$/m.test(output)) throw new Error(`openssl fails: ${output}`);
  const [, word] = /^leaf\.pem: (.*)$/m.exec(output) ?? [];
  return { said: parseSaid(word, output), output };
}

function askGnutls(statement: Statement): Answered {
  const { output } = inFolder(filesOf(statement), (cwd) =>
    runTool("ocsptool", [
      ...["--verify-response", "--load-cert", "leaf.pem", "--load-issuer", "issuing.pem"],
      ...["--load-signer", "issuing.pem", "--load-response", "response"],
    ], { cwd }));
  if (/^Verifying OCSP Response: Failure, /m.test(output)) return { said: "refused", output };
  if (!/^Verifying OCSP Response: Success\.$/m.test(output)) throw new Error(output);
  const [, word] = /^\s*Certificate Status: (.*)$/m.exec(output) ?? [];
  return { said: parseSaid(word, output), output };
}

/** To Java only good is good; of the others it tells revoked ones. */
function askJava(statements: readonly Statement[]): readonly Answered[] {
  const rows = statements.map(({ name, leaf, issuing, root, response }) => ({
    ...{ name, leaf, root, response },
    cas: [issuing],
    use: "client" as const,
  }));
  return judgeWithJava(rows).map(({ accepts, output }) => {
    if (accepts) return { said: "good", output };
    if (/^refuse Certificate has been revoked, /.test(output)) return { said: "revoked", output };
    const isUnknown = /^refuse Certificate's revocation status is unknown$/.test(output);
    return { said: isUnknown ? "unknown" : "refused", output };
  });
}

export const OCSP_REFEREES: readonly StatementReferee[] = [
  {
    name: "openssl",
    programs: ["openssl"],
    judge: (statements) => Promise.resolve(statements.map(askOpenssl)),
    words: {
      signer: /^Response Verify Failure$/m,
      time: /: WARNING: Status times invalid\.$/m,
      subject: /: ERROR: No Status found\.$/m,
    },
  },
  {
    name: "gnutls",
    programs: ["ocsptool"],
    judge: (statements) => Promise.resolve(statements.map(askGnutls)),
    words: {
      signer: /: Failure, Signature failure\.$/m,
      // It looks at neither.
      time: /^$/,
      subject: /^$/,
    },
  },
  {
    name: "java",
    programs: ["java", "javac"],
    judge: (statements) => Promise.resolve(askJava(statements)),
    words: {
      signer:
        /^refuse (?:Error verifying OCSP Response's signature|Unable to verify OCSP Response's signature)$/,
      time: /^refuse Response is unreliable: its validity interval is out-of-date$/,
      subject: /^refuse OCSP response does not include a response for a certificate /,
    },
  },
];
