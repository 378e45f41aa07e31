import assert from "node:assert/strict";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { checkFolderOwner } from "../../commands/orders.ts";

test("checkFolderOwner() leaves a folder alone that is another user's, root's or not", () => {
  const folder = tmpdir();
  const { uid } = fs.statSync(folder);
  assert.throws(() => checkFolderOwner(folder, { what: "cannot invite", uid: uid + 1 }), {
    kind: "conflict",
    message: `cannot invite: no server runs on "${folder}", which belongs to another user (${uid})`,
    hint: "start the server, or do it as that user",
  });
  checkFolderOwner(folder, { what: "cannot invite", uid });
  checkFolderOwner(folder, { what: "cannot invite", uid: undefined });
});
