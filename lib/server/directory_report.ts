/** What the directory's thread says of its work when it is asked; counting is in `measures.ts`. */

import type { DirectoryMeasured } from "../protocol/measured.ts";
import type { SignedLog } from "../store/signed_log.ts";
import type { Certificate } from "../x509/certificate.ts";
import type { CensusTaker } from "./census.ts";
import type { Directory } from "./directory.ts";
import type { DelayMeasure } from "./measures.ts";
import type { RevocationLists } from "./revocation_lists.ts";
import type { SnapshotKeeper } from "./snapshot_keeper.ts";
import type { Turns } from "./turns.ts";

export interface Reported {
  readonly directory: Directory;
  /** How many connections it serves. */
  readonly sessions: number;
  readonly turns: Pick<Turns, "waiting">;
  readonly log: Pick<SignedLog, "size" | "bytes">;
  readonly snapshots: Pick<SnapshotKeeper, "measure">;
  readonly lists: Pick<RevocationLists, "endsMs">;
  readonly census: Pick<CensusTaker, "read">;
  readonly delay: Pick<DelayMeasure, "read">;
  readonly root: Certificate;
}

export async function reportDirectory(
  { directory, sessions, turns, log, snapshots, lists, census, delay, root }: Reported,
): Promise<DirectoryMeasured> {
  const { syncs, ...measures } = directory.measures.read();
  const { issuers } = directory;
  const { counts, sum } = delay.read();
  return {
    ...measures,
    sessions,
    waiting: turns.waiting,
    authority: directory.options.authority.waiting ?? 0,
    log: { entries: log.size, bytes: log.bytes, ...syncs },
    snapshot: snapshots.measure(),
    census: await census.read() ?? null,
    ends: {
      issuingMs: issuers.current.notAfterMs,
      rootMs: root.notAfterMs,
      revocationListMs: lists.endsMs,
    },
    delay: { counts: [...counts], sum },
  };
}
