import assert from "node:assert/strict";
import { test } from "node:test";
import { suggestName } from "../../lib/base/suggestion.ts";

const KNOWN = ["host", "port", "maxConnections", "logLevel"];

test("suggestName() finds the name that was meant, and none where none is near", () => {
  const rows: readonly (readonly [string, string | undefined])[] = [
    ["prot", undefined], // two of four letters: as near to "host"
    ["por", "port"],
    ["Port", "port"],
    ["max_connections", "maxConnections"],
    ["maxConnection", "maxConnections"],
    ["loglevl", "logLevel"],
    ["colour", undefined],
    ["", undefined],
    ["maxConnections".repeat(1000), undefined],
  ];
  for (const [typed, meant] of rows) assert.equal(suggestName(typed, KNOWN), meant, typed);
});
