import assert from "node:assert/strict";
import { test } from "node:test";
import { describeAmounts } from "../../commands/piping.ts";

test("describeAmounts() says what is known, and what is not", () => {
  const rows = [
    [[0, false, 0], "0 bytes arrived here, none were sent"],
    [[0, false, 1], "1 byte arrived here, none were sent"],
    [[0, true, 7], "7 bytes arrived here, none were sent"],
    [[5, false, 7], "7 bytes arrived here, and how many of 5 arrived there is not known"],
    [[5, true, 0], "0 bytes arrived here, and all 5 that were sent arrived there"],
  ] as const;
  for (const [[sentBytes, isConfirmed, receivedBytes], says] of rows) {
    assert.equal(describeAmounts({ sentBytes, isConfirmed, receivedBytes }), says);
  }
});
