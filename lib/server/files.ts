/** The files of the server's data folder, by name. See "State" in `docs/architecture.md`. */

import { join, resolve } from "node:path";

export interface ServerFiles {
  readonly folder: string;
  readonly rootCertificate: string;
  readonly rootKey: string;
  readonly issuingCertificate: string;
  readonly issuingKey: string;
  readonly serverCertificate: string;
  readonly serverKey: string;
  readonly opaqueKey: string;
  readonly logKey: string;
  readonly logPublic: string;
  /** List of what the current issuing CA has revoked, and of what the root has. */
  readonly issuingList: string;
  readonly rootList: string;
  /** Folder of the CAs that are not the current issuing CA. */
  readonly issuers: string;
  /** What certificates say and for how long; may be missing. */
  readonly profiles: string;
  readonly certificates: string;
  readonly log: string;
  readonly snapshot: string;
  readonly adminSocket: string;
}

/** What whoever runs the server has set; may be missing, and may be there before all else. */
export const CONFIGURATION_FILE = "pki.json";

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
    logKey: join(folder, "log.key"),
    logPublic: join(folder, "log.pub"),
    issuingList: join(folder, "issuing.crl"),
    rootList: join(folder, "root.crl"),
    issuers: join(folder, "issuers"),
    profiles: join(folder, "profiles.json"),
    certificates: join(folder, "certs"),
    log: join(folder, "log"),
    snapshot: join(folder, "state.db"),
    adminSocket: join(folder, "admin.sock"),
  };
}

/**
 * Where the newest checkpoint is remembered outside of the data folder, so that a folder that was put
 * back from a backup is known to be behind.
 */
export function defaultWitness(folder: string): string {
  return `${resolve(folder)}.witness`;
}

/** The copy of a user's newest certificate; an id cannot leave the folder (see `names.ts`). */
export function certificateCopy(files: ServerFiles, id: string): string {
  return join(files.certificates, `${id}.pem`);
}
