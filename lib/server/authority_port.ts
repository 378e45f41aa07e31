/**
 * The authority as the directory sees it, and what both say to each other: which of several authority
 * workers is asked, and how what is certified crosses between the threads.
 */

import type { MessagePort } from "node:worker_threads";
import { type Bytes, encodeLatin1, parseLatin1 } from "../base/bytes.ts";
import { Caller } from "../base/call.ts";
import { PkiError } from "../base/errors.ts";
import type { Certification, Certified } from "../ca/authority.ts";
import type { DirectoryAuthority } from "./directory.ts";
import type { FromAuthority, PackedCertification, ToAuthority } from "./ports.ts";

export function packCertification(certification: Certification): PackedCertification {
  const { csr, spki, ...rest } = certification;
  return {
    ...rest,
    ...(csr === undefined ? {} : { csr: encodeLatin1(csr) }),
    ...(spki === undefined ? {} : { spki: encodeLatin1(spki) }),
  };
}

export function unpackCertification(packed: PackedCertification): Certification {
  const { csr, spki, ...rest } = packed;
  return {
    ...rest,
    ...(csr === undefined ? {} : { csr: parseLatin1(csr) }),
    ...(spki === undefined ? {} : { spki: parseLatin1(spki) }),
  };
}

export function packCertified({ certificate, issuer, ignored }: Certified): FromAuthority {
  return {
    certificate: encodeLatin1(certificate),
    issuer: encodeLatin1(issuer),
    ...(ignored.length === 0 ? {} : { ignored }),
  };
}

/** What was answered, unless something else was answered. @throws {PkiError} `internal` */
function demand<T>(answer: T | undefined): T {
  if (answer === undefined) {
    throw new PkiError("internal", "the authority answered what was not asked");
  }
  return answer;
}

/** One authority of several workers: each question goes to the one that has the fewest to answer. */
export function callAuthority(ports: readonly MessagePort[]): DirectoryAuthority {
  const callers = ports.map((port) => new Caller<ToAuthority, FromAuthority>(port));
  const leastBusy = () => {
    const [first, ...others] = callers;
    if (!first) throw new PkiError("internal", "there is no authority");
    return others.reduce((best, caller) => caller.waiting < best.waiting ? caller : best, first);
  };
  // The CA comes with each certificate, and is mostly the one of the certificate before.
  let issuer: { readonly text: string; readonly der: Bytes } = { text: "", der: parseLatin1("") };
  const parseIssuer = (text: string): Bytes => {
    if (text !== issuer.text) issuer = { text, der: parseLatin1(text) };
    return issuer.der;
  };
  return {
    get waiting() {
      return callers.reduce((sum, { waiting }) => sum + waiting, 0);
    },
    async certify(certification) {
      const { certificate, issuer: signer, ignored = [] } = await leastBusy().ask({
        type: "certify",
        ...packCertification(certification),
      });
      return {
        certificate: parseLatin1(demand(certificate)),
        issuer: parseIssuer(demand(signer)),
        ignored,
      };
    },
    async certifyServer(spki) {
      const question = { type: "certify-server", spki: encodeLatin1(spki) } as const;
      return parseLatin1(demand((await leastBusy().ask(question)).certificate));
    },
    async signStatus(status) {
      return parseLatin1(demand((await leastBusy().ask({ type: "status", status })).signed));
    },
    async signList(list) {
      const parts = list.entries.map(({ buffer }) => buffer);
      return parseLatin1(demand((await leastBusy().ask({ type: "list", list }, parts)).signed));
    },
    async prepareReload() {
      await Promise.all(callers.map((caller) => caller.ask({ type: "prepare-reload" })));
    },
    async reload() {
      await Promise.all(callers.map((caller) => caller.ask({ type: "reload" })));
    },
  };
}
