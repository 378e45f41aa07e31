/** GnuTLS's `certtool --verify`. It knows the present only. */

import { encodeCertificatesPem, encodePem } from "../../lib/x509/pem.ts";
import { inFolder, runTool } from "../tool.ts";
import { type Opinion, PURPOSES, type Referee, type Row } from "./row.ts";

function judgeOne({ leaf, cas, root, use, host, address, crls = [] }: Row): Opinion {
  const files = {
    "chain.pem": encodeCertificatesPem([leaf, ...cas].map(({ der }) => der)),
    "root.pem": encodeCertificatesPem([root.der]),
    "lists.pem": crls.map((crl) => encodePem("X509 CRL", crl)).join(""),
  };
  const name = host ?? address;
  const { output } = inFolder(files, (cwd) =>
    runTool("certtool", [
      ...["--verify", "--verify-profile", "medium", "--verify-purpose", PURPOSES[use]],
      ...(name === undefined ? [] : ["--verify-hostname", name]),
      ...(crls.length === 0 ? [] : ["--load-crl", "lists.pem"]),
      ...["--load-ca-certificate", "root.pem", "--infile", "chain.pem"],
    ], { cwd }));
  const [, verdict] = /^Chain verification output: (Verified|Not verified)\./m.exec(output) ?? [];
  if (verdict === undefined) throw new Error(`certtool says neither yes nor no: ${output}`);
  return { accepts: verdict === "Verified", output };
}

export const gnutls: Referee = {
  name: "gnutls",
  programs: ["certtool"],
  cannotJudge: ({ atMs }) => atMs === undefined ? undefined : "certtool knows the present only",
  judge: (rows) => rows.map(judgeOne),
  words: {
    "signature": /^Chain .* The signature in the certificate is invalid\./m,
    "issuer": /^Chain .* The certificate issuer is unknown\./m,
    "time": /^Chain .* The certificate chain uses (?:expired|not yet valid) certificate\./m,
    "critical-extension": /^Chain .* The certificate contains an unknown critical extension\./m,
    "basic-constraints":
      /^Chain .* (?:The certificate issuer is not a CA|The certificate chain violates the signer's constraints)\./m,
    "path-length": /^Chain .* The certificate chain violates the signer's constraints\./m,
    "key-usage": /^Chain .* The certificate chain violates the signer's constraints\./m,
    "extended-key-usage": /^Chain .* The certificate chain does not match the intended purpose\./m,
    "name-constraints": /^Chain .* The certificate chain violates the signer's constraints\./m,
    "names": /^Chain .* The name in the certificate does not match the expected\./m,
    "revocation": /^Chain .* The certificate chain is revoked\./m,
  },
};
