/** Makes the journal of a log that was read (`segments.ts`): from here on the disk is changed. */

import { dirname } from "node:path";
import { PkiError } from "../base/errors.ts";
import { diskError } from "./disk.ts";
import { Journal, type JournalOptions } from "./journal.ts";
import { createSegment } from "./new_segment.ts";
import { carryOutRedaction, removeRedaction } from "./redaction_file.ts";
import { closeAll, type LogReading } from "./segments.ts";

/**
 * The journal of a log that was read: from here on it may be changed. Cuts a torn tail and finishes
 * a redaction; makes the first segment, and the folder if its parent is there.
 * @throws {PkiError} `storage`
 */
export async function startJournal(
  { handles, tornBytes, reservedBytes, redaction }: LogReading,
  options: JournalOptions,
): Promise<Journal> {
  const { files, folder, index } = options;
  try {
    if (handles.size === 0) {
      await files.makeFolder(folder);
      // Also when it was there: a start that made it may have died before this line.
      await files.syncFolder(dirname(folder));
      handles.set(0, await createSegment(options, 0));
      index.startSegment();
    } else {
      const last = index.segments.at(-1);
      const file = last && handles.get(last.first);
      if (!last || !file) throw new PkiError("internal", "the log was not read to its end");
      if (tornBytes + reservedBytes > 0) await file.truncate(last.bytes);
      // Also without a cut, and also the name: whoever died before us may have written and not
      // synced, and from now on what is there counts as part of the log.
      await file.sync();
      if (redaction.length > 0) {
        await carryOutRedaction(redaction, handles);
        await removeRedaction({ files, folder });
      }
    }
    await files.syncFolder(folder);
    return new Journal(handles, options);
  } catch (error) {
    await closeAll(handles);
    throw diskError(`cannot open log "${folder}"`, error);
  }
}
