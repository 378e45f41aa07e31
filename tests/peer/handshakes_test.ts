import assert from "node:assert/strict";
import { test } from "node:test";
import { Handshakes, HANDSHAKES_MAX } from "../../lib/peer/handshakes.ts";

test("Handshakes has the oldest make room, and nobody who was done in time", () => {
  const handshakes = new Handshakes();
  const ended: string[] = [];
  const begin = (from: string) => handshakes.begin(from, () => void ended.push(from));
  for (let at = 0; at < HANDSHAKES_MAX; at++) begin(`stranger ${at}`);
  assert.deepEqual([handshakes.size, ended], [HANDSHAKES_MAX, []]);
  begin("bob");
  assert.deepEqual([handshakes.size, ended], [HANDSHAKES_MAX, ["stranger 0"]]);
  handshakes.over("bob");
  handshakes.over("stranger 0");
  handshakes.over("stranger 1");
  for (let at = 0; at < 3; at++) begin(`late ${at}`);
  assert.deepEqual([handshakes.size, ended], [HANDSHAKES_MAX, ["stranger 0", "stranger 2"]]);
});
