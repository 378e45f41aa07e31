/** The files of the server's data folder, by name. See "State" in `docs/architecture.md`. */

import { join } from "node:path";

export interface ServerFiles {
  readonly folder: string;
  readonly rootCertificate: string;
  readonly rootKey: string;
  readonly issuingCertificate: string;
  readonly issuingKey: string;
  readonly serverCertificate: string;
  readonly serverKey: string;
  readonly opaqueKey: string;
  readonly certificates: string;
  readonly log: string;
  readonly snapshot: string;
}

export function serverFiles(folder: string): ServerFiles {
  return {
    folder,
    rootCertificate: join(folder, "root.crt"),
    rootKey: join(folder, "root.key"),
    issuingCertificate: join(folder, "issuing.crt"),
    issuingKey: join(folder, "issuing.key"),
    serverCertificate: join(folder, "server.crt"),
    serverKey: join(folder, "server.key"),
    opaqueKey: join(folder, "opaque.key"),
    certificates: join(folder, "certs"),
    log: join(folder, "log"),
    snapshot: join(folder, "state.db"),
  };
}

/** The copy of a user's newest certificate; an id cannot leave the folder (see `names.ts`). */
export function certificateCopy(files: ServerFiles, id: string): string {
  return join(files.certificates, `${id}.pem`);
}
