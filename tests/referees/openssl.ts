/** OpenSSL's `verify`, strict: it holds CAs and leaves to what RFC 5280 asks of who makes them, too. */

import { encodeCertificatesPem, encodePem } from "../../lib/x509/pem.ts";
import { inFolder, runTool } from "../tool.ts";
import type { Opinion, Referee, Row } from "./row.ts";

function judgeOne(row: Row): Opinion {
  const { leaf, cas, root, use, host, address, crls = [], atMs } = row;
  const files = {
    "leaf.pem": encodeCertificatesPem([leaf.der]),
    "cas.pem": encodeCertificatesPem(cas.map(({ der }) => der)),
    "root.pem": encodeCertificatesPem([root.der]),
    "lists.pem": crls.map((crl) => encodePem("X509 CRL", crl)).join(""),
  };
  const { status, output } = inFolder(files, (cwd) =>
    runTool("openssl", [
      ...["verify", "-x509_strict", "-purpose", use === "server" ? "sslserver" : "sslclient"],
      ...(host === undefined ? [] : ["-verify_hostname", host]),
      ...(address === undefined ? [] : ["-verify_ip", address]),
      ...(crls.length === 0 ? [] : ["-crl_check_all", "-CRLfile", "lists.pem"]),
      ...(atMs === undefined ? [] : ["-attime", `${atMs / 1000}`]),
      ...(cas.length === 0 ? [] : ["-untrusted", "cas.pem"]),
      ...["-CAfile", "root.pem", "-no-CApath", "-no-CAstore", "leaf.pem"],
    ], { cwd }));
  if (status !== 0 && !/^error \d+ at \d+ depth lookup: /m.test(output)) {
    throw new Error(`openssl says neither yes nor no: ${output}`);
  }
  return { accepts: status === 0, output };
}

export const openssl: Referee = {
  name: "openssl",
  programs: ["openssl"],
  cannotJudge: () => undefined,
  judge: (rows) => rows.map(judgeOne),
  words: {
    "signature": /: certificate signature failure$/m,
    "issuer": /: unable to get local issuer certificate$/m,
    "time": /: certificate (?:has expired|is not yet valid)$/m,
    "critical-extension": /: unhandled critical extension$/m,
    "basic-constraints": /: invalid CA certificate$/m,
    "path-length": /: path length constraint exceeded$/m,
    "key-usage":
      /: (?:unsuitable certificate purpose|key usage does not include certificate signing|Key usage keyCertSign invalid for non-CA cert)$/m,
    "extended-key-usage": /: unsuitable certificate purpose$/m,
    "name-constraints": /: (?:permitted|excluded) subtree violation$/m,
    "names": /: (?:hostname|IP address) mismatch$/m,
    "revocation": /: certificate revoked$/m,
  },
};
