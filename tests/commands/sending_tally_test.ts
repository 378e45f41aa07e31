import assert from "node:assert/strict";
import { test } from "node:test";
import { SendingTally } from "../../commands/sending_tally.ts";
import type { SentFile } from "../../lib/peer/file_walk.ts";

const folder: SentFile = {
  path: ["photos"],
  location: "/home/alice/photos",
  kind: "folder",
  size: 0,
  permissions: 0o755,
  modifiedMs: 0,
};

function tallyOf(leftOut: { why: string; isUnreadable?: boolean }) {
  const location = "/home/alice/photos/private";
  const tally = new SendingTally({
    files: [folder],
    leftOut: [{ location, ...leftOut }],
    bytes: 0,
  });
  tally.take({ type: "stored", file: folder, sha256: undefined });
  return tally;
}

test("what could not be read makes sending fail, though everything else is stored", () => {
  const why = "it cannot be read: permission denied";
  const tally = tallyOf({ why, isUnreadable: true });
  assert.throws(() => tally.check(), {
    kind: "storage",
    message: `cannot send "/home/alice/photos/private": ${why}`,
  });
});

test("what is no file and no folder does not", () => {
  tallyOf({ why: "a symbolic link" }).check();
});
