/** Who has to leave where metrics are served: who does least with its place, by a clock of the test's own. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { MetricsPlaces, PLACES_MAX } from "../../lib/server/metrics_places.ts";

/** All places taken, by `0` and so on: one each millisecond. */
function full() {
  const places = new MetricsPlaces<string>();
  for (let at = 0; at < PLACES_MAX; at++) assert.equal(places.arrive(`${at}`, at), undefined);
  return places;
}

test("MetricsPlaces.arrive() gives the place of who has been silent for longest", () => {
  const places = full();
  assert.equal(places.arrive("new", 100), "0");
  assert.equal(places.taken, PLACES_MAX);
  places.ask("1", 100); // it was about to
  assert.equal(places.arrive("newer", 101), "2");
  places.leave("5");
  assert.equal(places.arrive("newest", 102), undefined);
  for (let count = 0; count < 3 * PLACES_MAX; count++) {
    const leaving = places.arrive(`silent ${count}`, 103 + count);
    assert.ok(leaving !== undefined && leaving !== "1", `${leaving}`);
  }
  places.answered("1", 200);
  assert.equal(places.taken, PLACES_MAX);
});

test("MetricsPlaces.arrive() spares who asks, then who has asked, before who never did", () => {
  const places = full();
  for (let at = 0; at < PLACES_MAX; at++) places.ask(`${at}`, 100 + at);
  assert.equal(places.arrive("new", 150), "new", "all are being answered");
  places.answered("7", 160);
  places.answered("3", 170);
  assert.equal(places.arrive("second", 180), "7", "it has been idle for longest");
  assert.equal(places.arrive("third", 180), "second", "and had asked at least");
  assert.equal(places.arrive("fourth", 180), "third");
  places.ask("fourth", 180);
  assert.equal(places.arrive("fifth", 180), "3");
});

test("MetricsPlaces.arrive() spares nobody who does not read its answer", () => {
  const places = full();
  for (let at = 0; at < PLACES_MAX; at++) {
    places.ask(`${at}`, 100);
    places.ask(`${at}`, 101 + at);
    places.answered(`${at}`, 200 + at); // of two
  }
  assert.equal(places.arrive("new", 1099), "new");
  assert.equal(places.arrive("new", 1100), "0");
});

test("MetricsPlaces.overdue() names who takes too long, for whatever it is", () => {
  const places = new MetricsPlaces<string>();
  for (const name of ["silent", "idle", "asking", "busy"]) places.arrive(name, 0);
  for (const name of ["idle", "asking", "busy"]) places.ask(name, 5000);
  for (const name of ["idle", "busy"]) places.answered(name, 6000);
  assert.deepEqual(places.overdue(9999), []);
  assert.deepEqual(places.overdue(10_000), ["silent"]);
  places.leave("silent");
  assert.deepEqual(places.overdue(24_999), []);
  assert.deepEqual(places.overdue(25_000), ["asking"]);
  places.leave("asking");
  for (let atMs = 60_000; atMs < 300_000; atMs += 60_000) {
    places.ask("busy", atMs);
    places.answered("busy", atMs);
  }
  assert.deepEqual(places.overdue(95_999), []);
  assert.deepEqual(places.overdue(96_000), ["idle"]);
  places.leave("idle");
  assert.deepEqual(places.overdue(299_999), []);
  assert.deepEqual(places.overdue(300_000), ["busy"], "five minutes are enough");
  places.leave("busy");
  assert.equal(places.taken, 0);
  // One that is gone is no matter any more.
  places.ask("busy", 300_001);
  places.answered("busy", 300_002);
  assert.deepEqual([places.taken, places.overdue(1e9)], [0, []]);
});
