import assert from "node:assert/strict";
import { test } from "node:test";
import { type KeptResponse, KeptResponses } from "../../lib/server/kept_responses.ts";

const aboutOf = (serial: string, response = ""): KeptResponse => ({
  ...{ serial, response },
  ...{ untilMs: 1, thisUpdateMs: 0, nextUpdateMs: 1 },
});

/** Which of these requests are kept. */
const keptOf = (responses: KeptResponses, requests: string) =>
  requests.split(" ").filter((request) => responses.get(request)).join(" ");

test("KeptResponses.forget() keeps nothing about one certificate, however it was asked for, and all else", () => {
  const responses = new KeptResponses();
  responses.set("a by SHA-1", aboutOf("a"));
  responses.set("b", aboutOf("b", "of b"));
  responses.set("a by SHA-256", aboutOf("a"));
  responses.forget("a");
  assert.deepEqual([responses.get("a by SHA-1"), responses.get("a by SHA-256")], [
    undefined,
    undefined,
  ]);
  assert.equal(responses.get("b")?.response, "of b");
  responses.forget("a");
  responses.forget("nobody's");
  assert.equal(responses.size, 1);
  responses.set("a by SHA-1", aboutOf("a", "revoked"));
  assert.equal(responses.get("a by SHA-1")?.response, "revoked");
});

test("KeptResponses.set() lets the oldest go, and takes the place of what was kept for the request", () => {
  const responses = new KeptResponses(3);
  for (const request of ["a", "b", "c"]) responses.set(request, aboutOf(request));
  responses.set("b", aboutOf("b", "newer"));
  assert.equal(keptOf(responses, "a b c"), "a b c");
  assert.equal(responses.get("b")?.response, "newer");
  responses.set("d", aboutOf("d"));
  assert.equal(keptOf(responses, "a b c d"), "b c d");
  responses.set("e", aboutOf("e"));
  assert.equal(keptOf(responses, "a b c d e"), "b d e", "b was renewed, c is older");
  responses.set("c", aboutOf("another"));
  responses.forget("c"); // of which there is none any more
  assert.equal(keptOf(responses, "b c d e"), "c d e");
  for (const serial of ["another", "d", "e"]) responses.forget(serial);
  assert.equal(responses.size, 0);
});

test("KeptResponses.forget() looks at nothing else, however much is kept", () => {
  const responses = new KeptResponses();
  let looks = 0;
  for (let n = 0; n < 5000; n++) {
    responses.set(`request ${n}`, {
      ...aboutOf(""),
      get serial() {
        looks++;
        return `serial ${n}`;
      },
    });
  }
  assert.equal(responses.size, 4096);
  assert.deepEqual([responses.get("request 903"), responses.get("request 904")?.response], [
    undefined,
    "",
  ]);
  looks = 0;
  responses.forget("serial 4999");
  responses.forget("serial 0"); // gone
  assert.deepEqual([responses.size, looks], [4095, 0]);
});
