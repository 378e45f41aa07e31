/**
 * Entry of the authority worker: the only thread that ever has the keys of the CAs. It writes all
 * that it signs itself.
 */

import { type MessagePort, parentPort } from "node:worker_threads";
import { type Bytes, encodeLatin1, parseLatin1 } from "../base/bytes.ts";
import { answerCalls } from "../base/call.ts";
import { PkiError } from "../base/errors.ts";
import { causeFault } from "../base/faults.ts";
import { type Authority, createAuthority, type Issuer } from "../ca/authority.ts";
import { domainOf } from "../x509/chain.ts";
import { encodeTbsCrl, signCrl } from "../x509/crl.ts";
import { keyIdOf } from "../x509/encode.ts";
import { encodeOcspResponse } from "../x509/ocsp.ts";
import { packCertified, unpackCertification } from "./authority_port.ts";
import { type ServerFiles, serverFiles } from "./files.ts";
import {
  allIssuers,
  keyIdHex,
  loadIssuers,
  loadIssuing,
  openIssuingKey,
  openOtherKey,
} from "./issuers.ts";
import { loadProfiles } from "./profiles_file.ts";
import type { FromAuthority, ListToSign, StatusToSign, ToAuthority } from "./ports.ts";

interface Opened {
  readonly authority: Authority;
  /** By the key identifier in hex. */
  readonly issuers: ReadonlyMap<string, Issuer>;
}

/** `HAS_FAULTS` once more: the bundler leaves code out for a constant of the same file only. */
declare const PKI_FAULTS: boolean | undefined;

let opened: Opened | undefined;
/** What `reload` takes into use. */
let prepared: Opened | undefined;
/** For `prepare-reload`: a CA that was added is opened with the same passphrase. */
let source: { readonly files: ServerFiles; readonly passphrase: string } | undefined;

async function open(files: ServerFiles, passphrase: string): Promise<Opened> {
  const domain = domainOf(loadIssuing(files));
  const issuers = loadIssuers(files, domain);
  const known = opened?.issuers;
  const all = await Promise.all(
    allIssuers(issuers).map(async (certificate): Promise<Issuer> => {
      const keyId = keyIdHex(certificate);
      const key = known?.get(keyId)?.key ??
        await (certificate === issuers.current ? openIssuingKey : openOtherKey)(
          files,
          certificate,
          passphrase,
        );
      return { certificate, key };
    }),
  );
  const [issuing, ...more] = all;
  if (!issuing) throw new PkiError("internal", "there is no issuing CA");
  // They answer for what they have signed, and sign nothing new.
  const others = more.filter(({ certificate }) => !issuers.revoked.has(certificate.serial));
  const profiles = loadProfiles(files.profiles, domain);
  return {
    authority: createAuthority({ issuing, others, domain, profiles }),
    issuers: new Map(all.map((issuer) => [keyIdHex(issuer.certificate), issuer])),
  };
}

function issuerOf({ issuers }: Opened, keyId: string): Issuer {
  const issuer = issuers.get(keyId);
  if (!issuer) throw new PkiError("internal", "the authority has no such CA");
  return issuer;
}

function signStatus(running: Opened, { issuerKeyId, answers, nonce }: StatusToSign): Bytes {
  const { certificate, key } = issuerOf(running, issuerKeyId);
  return encodeOcspResponse({
    // By its hash: a CA from outside may have any subject key identifier.
    responderKeyId: keyIdOf(certificate.spki),
    producedAtMs: Date.now(),
    answers,
    ...(nonce === undefined ? {} : { nonce }),
  }, key);
}

function signList(running: Opened, { issuerKeyId, ...list }: ListToSign): Bytes {
  const issuer = issuerOf(running, issuerKeyId);
  return signCrl(encodeTbsCrl({ issuer: issuer.certificate, ...list }), issuer);
}

async function answer(question: ToAuthority): Promise<FromAuthority> {
  if (question.type === "start") {
    const { folder, passphrase, directory } = question;
    source = { files: serverFiles(folder), passphrase };
    opened = await open(source.files, passphrase);
    answerCalls(directory, answer);
    return {};
  }
  if (!opened || !source) throw new PkiError("internal", "the authority has not started");
  switch (question.type) {
    case "ping":
      return {};
    case "prepare-reload":
      prepared = await open(source.files, source.passphrase);
      return {};
    case "reload":
      opened = prepared ?? opened;
      prepared = undefined;
      return {};
    case "certify":
      if (typeof PKI_FAULTS !== "undefined" && PKI_FAULTS) {
        causeFault("authority", question.id ?? "");
      }
      return packCertified(opened.authority.certify(unpackCertification(question)));
    case "certify-server":
      return {
        certificate: encodeLatin1(opened.authority.certifyServer(parseLatin1(question.spki))),
      };
    case "status":
      return { signed: encodeLatin1(signStatus(opened, question.status)) };
    case "list":
      return { signed: encodeLatin1(signList(opened, question.list)) };
  }
}

answerCalls(parentPort as MessagePort, answer);
