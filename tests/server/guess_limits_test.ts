import assert from "node:assert/strict";
import { test } from "node:test";
import { PkiError } from "../../lib/base/errors.ts";
import { LIMITS } from "../../lib/base/limits.ts";
import { GuessLimits, type LoginFrom } from "../../lib/server/guess_limits.ts";

const HOME = "192.0.2.1";
const ELSEWHERE = "198.51.100.7";

const FOR_ACCOUNT = "cannot log in: too many attempts for this account from here, try again in";
const FROM_ADDRESS = "cannot log in: too many attempts from this address, try again in";

function makeLimits() {
  const clock = { nowMs: 1_000_000 };
  const limits = new GuessLimits({ key: new Uint8Array(32).fill(1), now: () => clock.nowMs });
  return { clock, limits };
}

/** The refusal of a guess, if it is refused. */
function guess(limits: GuessLimits, from: LoginFrom): string | undefined {
  try {
    limits.startLogin(from);
    return undefined;
  } catch (error) {
    assert.ok(error instanceof PkiError && error.kind === "busy", String(error));
    return error.message;
  }
}

/** Guesses until one is refused; returns how many were not, and the refusal. */
function guessAll(limits: GuessLimits, from: (i: number) => LoginFrom): [number, string] {
  for (let i = 0; i < 100_000; i++) {
    const refusal = guess(limits, from(i));
    if (refusal !== undefined) return [i, refusal];
  }
  assert.fail("no guess is refused");
}

const { guessesAtOnce, guessIntervalMs, addressGuessesAtOnce, networkGuessesAtOnce } = LIMITS;

test("guesses are limited for each account and for each address, with the time to wait", () => {
  const hex = (i: number) => i.toString(16);
  const rows: readonly (readonly [string, (i: number) => LoginFrom, number, string])[] = [
    [
      "one account from one address",
      () => ({ id: "alice", address: ELSEWHERE }),
      guessesAtOnce,
      `${FOR_ACCOUNT} 300 s`,
    ],
    [
      "one account from everywhere",
      (i) => ({ id: "alice", address: `198.51.100.${i}` }),
      guessesAtOnce,
      `${FOR_ACCOUNT} 300 s`,
    ],
    [
      "the owner's own address",
      () => ({ id: "alice", address: HOME, registeredFrom: HOME }),
      guessesAtOnce,
      `${FOR_ACCOUNT} 300 s`,
    ],
    [
      "many accounts from one address",
      (i) => ({ id: `user${i}`, address: ELSEWHERE }),
      addressGuessesAtOnce,
      `${FROM_ADDRESS} 30 s`,
    ],
    [
      "the same from a /64 of IPv6",
      (i) => ({ id: `user${i}`, address: `2001:db8::${hex(i)}:1` }),
      addressGuessesAtOnce,
      `${FROM_ADDRESS} 30 s`,
    ],
    [
      "the same from a /48 of IPv6",
      (i) => ({ id: `user${i}`, address: `2001:db8:1:${hex(i)}::1` }),
      networkGuessesAtOnce,
      `${FROM_ADDRESS} 8 s`,
    ],
  ];
  for (const [name, from, count, refusal] of rows) {
    assert.deepEqual(guessAll(makeLimits().limits, from), [count, refusal], name);
  }
});

test("after the time that was named one more attempt is admitted", () => {
  const { clock, limits } = makeLimits();
  const from = { id: "alice", address: ELSEWHERE };
  guessAll(limits, () => from);
  clock.nowMs += guessIntervalMs - 1000;
  assert.equal(guess(limits, from), `${FOR_ACCOUNT} 1 s`);
  clock.nowMs += 1000;
  assert.deepEqual(guessAll(limits, () => from), [1, `${FOR_ACCOUNT} 300 s`]);
});

test("a day brings an attacker so many guesses of one account, wherever they come from", () => {
  const { clock, limits } = makeLimits();
  const dayMs = 24 * 60 * 60 * 1000;
  const counts = [1, 2].map((day) => {
    let count = 0;
    for (const endMs = 1_000_000 + day * dayMs; clock.nowMs < endMs; clock.nowMs += 7000) {
      const address = `198.51.100.${clock.nowMs % 250}`;
      if (guess(limits, { id: "alice", address }) === undefined) count++;
    }
    return count;
  });
  assert.deepEqual(counts, [307, 288]); // the first twenty come at once
});

test("no stranger keeps the owner out, who logs in from where that was done before", () => {
  const { clock, limits } = makeLimits();
  const registeredFrom = HOME;
  const logIn = (address: string) =>
    limits.finishLogin(limits.startLogin({ id: "alice", address, registeredFrom }));
  logIn("203.0.113.9"); // so that she is known there, too
  // Strangers take all that there is, everywhere, and somebody beside her all that her address has.
  guessAll(limits, () => ({ id: "alice", address: ELSEWHERE, registeredFrom }));
  guessAll(limits, (i) => ({ id: `made-up-${i}`, address: HOME }));
  guessAll(limits, (i) => ({ id: `made-up-${i}`, address: "203.0.113.9" }));
  for (let i = 0; i < 100; i++) {
    logIn(HOME);
    logIn("203.0.113.9");
  }
  assert.match(
    guess(limits, { id: "alice", address: ELSEWHERE, registeredFrom }) ?? "",
    /busy|too/,
  );
  // Another address of hers of IPv6 is in the same network.
  const other = makeLimits().limits;
  other.finishLogin(other.startLogin({ id: "alice", address: "2001:db8::1" }));
  guessAll(other, () => ({ id: "alice", address: ELSEWHERE }));
  assert.equal(guess(other, { id: "alice", address: "2001:db8::abcd" }), undefined);
  assert.notEqual(guess(other, { id: "alice", address: "2001:db8:0:1::1" }), undefined);
  assert.equal(clock.nowMs, 1_000_000, "no time has passed");
});

test("logins that end well are not counted, however many and from wherever", () => {
  const { limits } = makeLimits();
  for (let i = 0; i < 1000; i++) {
    limits.finishLogin(limits.startLogin({ id: `user${i % 7}`, address: ELSEWHERE }));
  }
  assert.deepEqual(guessAll(limits, () => ({ id: "user1", address: ELSEWHERE }))[0], guessesAtOnce);
});

test("an owner's good login gives a stranger at another address nothing back", () => {
  const { limits } = makeLimits();
  guessAll(limits, () => ({ id: "alice", address: ELSEWHERE }));
  limits.finishLogin(limits.startLogin({ id: "alice", address: HOME, registeredFrom: HOME }));
  assert.notEqual(guess(limits, { id: "alice", address: ELSEWHERE }), undefined);
});

test("an id that nobody has is treated as one that somebody has", () => {
  const { clock, limits } = makeLimits();
  limits.finishLogin(limits.startLogin({ id: "alice", address: HOME, registeredFrom: HOME }));
  const said = [
    { id: "alice", registeredFrom: HOME }, // from a stranger's address
    { id: "nobody" },
  ].map((who, at) => {
    const refusals = [];
    for (let i = 0; i < 40; i++) {
      refusals.push(guess(limits, { ...who, address: `198.51.100.${at}` }));
      clock.nowMs += 500;
    }
    return refusals;
  });
  assert.deepEqual(said[0], said[1]);
  assert.equal(said[0]?.filter((refusal) => refusal === undefined).length, guessesAtOnce);
  // And where the account logs in from, as far as its own attempts go.
  const [own, made] = [{ id: "alice", registeredFrom: HOME }, { id: "nobody-else" }].map((who) =>
    guessAll(limits, () => ({ ...who, address: HOME }))
  );
  assert.deepEqual(own, made);
});

test("what is refused is charged to nobody", () => {
  const { limits } = makeLimits();
  guessAll(limits, () => ({ id: "alice", address: ELSEWHERE }));
  for (let i = 0; i < 1000; i++) guess(limits, { id: "alice", address: ELSEWHERE });
  const [count] = guessAll(limits, (i) => ({ id: `user${i}`, address: ELSEWHERE }));
  assert.equal(count, addressGuessesAtOnce - guessesAtOnce);
});

test("a flood of made-up names takes no memory, and neither frees nor fills anybody's bucket", () => {
  const { limits } = makeLimits();
  const bytes = limits.tableBytes;
  assert.equal(bytes, 9 * 1024 * 1024 + 6 * 8192 * 24);
  guessAll(limits, () => ({ id: "attacked", address: ELSEWHERE }));
  limits.finishLogin(limits.startLogin({ id: "alice", address: HOME, registeredFrom: HOME }));
  for (let i = 0; i < 20_000; i++) {
    guess(limits, { id: `made-up-${i}`, address: `10.${i >> 8 & 255}.${i & 255}.1` });
  }
  assert.equal(limits.tableBytes, bytes);
  assert.equal(limits.knownAccounts, 1, "only who has logged in");
  assert.notEqual(guess(limits, { id: "attacked", address: ELSEWHERE }), undefined);
  assert.equal(guess(limits, { id: "bob", address: "203.0.113.5" }), undefined);
  assert.equal(guess(limits, { id: "alice", address: HOME }), undefined);
});

test("a clock that is set back lengthens no wait", () => {
  const { clock, limits } = makeLimits();
  guessAll(limits, () => ({ id: "alice", address: ELSEWHERE }));
  clock.nowMs = 0;
  assert.equal(guess(limits, { id: "alice", address: ELSEWHERE }), `${FOR_ACCOUNT} 300 s`);
  clock.nowMs = guessIntervalMs;
  assert.equal(guess(limits, { id: "alice", address: ELSEWHERE }), undefined);
});

test("registrations are limited for each address", () => {
  const { clock, limits } = makeLimits();
  for (let i = 0; i < LIMITS.registrationsAtOnce; i++) limits.startRegistration(HOME);
  const refusal = {
    kind: "busy",
    message: "cannot register: too many registrations from this address, try again in 10 s",
  };
  assert.throws(() => limits.startRegistration(HOME), refusal);
  limits.startRegistration(ELSEWHERE);
  assert.equal(
    guess(limits, { id: "alice", address: HOME }),
    undefined,
    "logins are another matter",
  );
  clock.nowMs += LIMITS.registrationIntervalMs;
  limits.startRegistration(HOME);
  assert.throws(() => limits.startRegistration(HOME), refusal);
});

test("registrations are limited for each site of IPv6, however many networks it has", () => {
  const { clock, limits } = makeLimits();
  const at = (home: number) => `2001:db8:1:${home.toString(16)}::1`;
  for (let i = 0; i < LIMITS.networkRegistrationsAtOnce; i++) limits.startRegistration(at(i));
  const refusal = {
    kind: "busy",
    message: "cannot register: too many registrations from this address, try again in 3 s",
  };
  assert.throws(() => limits.startRegistration(at(0xffff)), refusal);
  limits.startRegistration("2001:db8:2::1");
  clock.nowMs += LIMITS.networkRegistrationIntervalMs;
  limits.startRegistration(at(0xffff));
  assert.throws(() => limits.startRegistration(at(0xfffe)), refusal);
});
