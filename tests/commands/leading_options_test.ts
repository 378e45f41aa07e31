import assert from "node:assert/strict";
import { test } from "node:test";
import { type CommandGroup, moveLeadingOptions } from "../../commands/leading_options.ts";

const COMMAND = {};

function group(routes: Readonly<Record<string, object>>): CommandGroup {
  return { getRoutingTargetForInput: (word) => routes[word] };
}

const ROOT = group({
  csr: COMMAND,
  id: group({ ls: COMMAND, use: COMMAND }),
  log: group({ verify: COMMAND }),
});

/** Command lines, word by word, and what becomes of them. */
const ROWS: readonly (readonly [typed: string, want: string])[] = [
  ["", "session"],
  ["csr", "csr"],
  ["--json csr", "csr --json"],
  ["--id alice --json csr --register", "csr --id alice --json --register"],
  ["--id=alice csr", "csr --id=alice"],
  ["--id csr", "session --id csr"],
  ["--id", "session --id"],
  ["--quiet", "session --quiet"],
  ["--unknown csr", "session --unknown csr"],
  ["-x csr", "session -x csr"],
  ["--json --help", "--help --json"],
  ["-v", "-v"],
  ["--json typo ls", "typo --json ls"],
  ["--home h log verify data", "log verify --home h data"],
  ["log --home h verify data", "log verify --home h data"],
  ["--json log --home h verify --quiet", "log verify --json --home h --quiet"],
  ["--json id", "id --json"],
  ["id --json", "id --json"],
  ["--json id use alice", "id use --json alice"],
  ["id --json use alice", "id use --json alice"],
  ["--json id alice use", "id --json alice use"],
  ["--json id --help", "id --json --help"],
  ["id --unknown use", "id --unknown use"],
  ["csr csr --json", "csr csr --json"],
  ["--json csr --id alice -- --yes", "csr --json --id alice -- --yes"],
];

for (const [typed, want] of ROWS) {
  test(`moveLeadingOptions() makes "${want}" of "${typed}"`, () => {
    const args = typed === "" ? [] : typed.split(" ");
    assert.deepEqual(moveLeadingOptions(args, ROOT), want.split(" "));
  });
}
