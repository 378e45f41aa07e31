/** Makes a file of the log, to be appended to (`journal.ts`). */

import { join } from "node:path";
import { encodeFileHeader } from "../log/records.ts";
import { type LogFile, writeBytes } from "./disk.ts";
import { type LogLocation, segmentName } from "./segments.ts";

/**
 * Makes an empty segment. It gets its name, which the caller makes durable, only once it is whole: a
 * segment without a header is therefore damaged and not new.
 * @param first index of its first entry
 * @throws {Error} of the system
 */
export async function createSegment(
  { files, folder }: LogLocation,
  first: number,
): Promise<LogFile> {
  const path = join(folder, segmentName(first));
  const file = await files.open(`${path}.new`, "create");
  try {
    await writeBytes(file, encodeFileHeader(first), 0);
    await file.sync();
    await files.rename(`${path}.new`, path);
    return file;
  } catch (error) {
    await file.close().catch(() => {}); // The first failure is the one to tell.
    throw error;
  }
}
