/** Entry of the authority worker: the only thread that ever has the issuing CA's key. */

import { type MessagePort, parentPort } from "node:worker_threads";
import { answerCalls } from "../base/call.ts";
import { PkiError } from "../base/errors.ts";
import { readText } from "../base/files.ts";
import { type Authority, createAuthority } from "../ca/authority.ts";
import { parseProfiles } from "../ca/profile_config.ts";
import { parseCertificate } from "../x509/certificate.ts";
import { domainOf } from "../x509/chain.ts";
import { decryptPrivateKey } from "../x509/keys.ts";
import { parsePemBlock } from "../x509/pem.ts";
import { serverFiles } from "./files.ts";
import type { FromAuthority, ToAuthority } from "./ports.ts";

let authority: Authority | undefined;

async function answer(question: ToAuthority): Promise<FromAuthority> {
  if (question.type === "start") {
    const files = serverFiles(question.folder);
    const issuing = parseCertificate(
      parsePemBlock(readText(files.issuingCertificate), ["CERTIFICATE"], files.issuingCertificate),
    );
    const key = await decryptPrivateKey(
      readText(files.issuingKey),
      question.passphrase,
      files.issuingKey,
    );
    const domain = domainOf(issuing);
    authority = createAuthority({
      issuing: { certificate: issuing, key },
      domain,
      profiles: parseProfiles(undefined, domain),
    });
    answerCalls(question.directory, answer);
    return {};
  }
  if (!authority) throw new PkiError("internal", "the authority has not started");
  const certificate = question.type === "certify-user"
    ? authority.certifyUser(question.id, question.csr)
    : authority.certifyServer(question.spki);
  return { certificate };
}

answerCalls(parentPort as MessagePort, answer);
