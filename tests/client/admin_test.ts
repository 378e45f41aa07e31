import assert from "node:assert/strict";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { utf8 } from "../../lib/base/bytes.ts";
import { type ErrorKind, PkiError } from "../../lib/base/errors.ts";
import { listenUnix } from "../../lib/base/unix_socket.ts";
import { type AskOptions, askServer } from "../../lib/client/admin.ts";
import { encodeFrame } from "../../lib/protocol/frame.ts";
import { type AdminHandler, listenAdmin } from "../../lib/server/admin.ts";

async function inFolder(work: (folder: string) => Promise<void>, name = "d"): Promise<void> {
  const above = fs.mkdtempSync(join(tmpdir(), "pki-ask-"));
  const folder = join(above, name);
  fs.mkdirSync(folder, { recursive: true });
  try {
    await work(folder);
  } finally {
    fs.rmSync(above, { recursive: true, force: true });
  }
}

async function withServer(
  handle: AdminHandler,
  work: (folder: string) => Promise<void>,
  name?: string,
): Promise<void> {
  await inFolder(async (folder) => {
    const listener = await listenAdmin(join(folder, "admin.sock"), handle);
    try {
      await work(folder);
    } finally {
      await listener.close();
    }
  }, name);
}

async function assertFails(
  work: Promise<unknown>,
  { kind, message }: { readonly kind: ErrorKind; readonly message: string },
): Promise<PkiError> {
  const error: unknown = await work.then(() => undefined, (thrown) => thrown);
  assert.ok(error instanceof PkiError, `failed with ${error}`);
  assert.equal(error.message, message);
  assert.equal(error.kind, kind);
  return error;
}

for (const [what, name] of [["a folder", "d"], ["a long path", "a-long-name/".repeat(12)]]) {
  test(`askServer() has the server of ${what} answer`, async () => {
    await withServer(({ type }) => Promise.resolve({ did: type }), async (folder) => {
      assert.deepEqual(await askServer(folder, "STATUS", {}), { did: "STATUS" });
      assert.deepEqual(await askServer(folder, "BACKUP", {}), { did: "BACKUP" });
    }, name);
  });
}

test("askServer() returns nothing where no server listens", async () => {
  await inFolder(async (folder) => {
    assert.equal(await askServer(join(folder, "missing"), "STATUS", {}), undefined);
    assert.equal(await askServer(folder, "STATUS", {}), undefined);
    fs.writeFileSync(join(folder, "admin.sock"), "");
    assert.equal(await askServer(folder, "STATUS", {}), undefined);
  });
});

test("askServer() throws what the server says, with its hint", async () => {
  const said = new PkiError("storage", 'cannot write "/x": ENOSPC', { hint: "free some space" });
  await withServer(() => Promise.reject(said), async (folder) => {
    const error = await assertFails(askServer(folder, "BACKUP", {}), said);
    assert.equal(error.hint, "free some space");
  });
});

test("askServer() passes progress on", async () => {
  const seen: unknown[] = [];
  let isSeen = () => {};
  const handle: AdminHandler = async (_request, { progress }) => {
    for (const done of [1, 2, 3]) {
      const next = new Promise<void>((resolve) => isSeen = resolve);
      progress({ done, total: 3 });
      await next;
    }
    return { size: 3 };
  };
  await withServer(handle, async (folder) => {
    const onProgress: AskOptions["onProgress"] = ({ done, total }) => {
      seen.push([done, total]);
      isSeen();
    };
    assert.deepEqual(await askServer(folder, "BACKUP", {}, { onProgress }), { size: 3 });
    assert.deepEqual(seen, [[1, 3], [2, 3], [3, 3]]);
  });
});

test("askServer() gives up when it is interrupted or the server keeps silent, and tells it", async () => {
  let aborted = Promise.withResolvers<void>();
  const handle: AdminHandler = (_request, { signal }) => {
    signal.addEventListener("abort", () => aborted.resolve());
    return new Promise(() => {});
  };
  await withServer(handle, async (folder) => {
    await assertFails(askServer(folder, "STATUS", {}, { silenceMs: 20 }), {
      kind: "timeout",
      message: "the server does not answer STATUS",
    });
    await aborted.promise;
    aborted = Promise.withResolvers();
    const interruption = new AbortController();
    const asked = askServer(folder, "STATUS", {}, { signal: interruption.signal });
    setImmediate(() => interruption.abort());
    await assertFails(asked, { kind: "interrupted", message: "interrupted" });
    await assertFails(askServer(folder, "STATUS", {}, { signal: AbortSignal.abort() }), {
      kind: "interrupted",
      message: "interrupted",
    });
  });
});

const BAD_ANSWERS: readonly [string, string, { kind: ErrorKind; message: string }][] = [
  ["nothing at all", "", {
    kind: "truncated",
    message: "the server closed the connection before it answered",
  }],
  ["what is no answer", "{}", {
    kind: "protocol",
    message: "cannot read answer: it is not an answer",
  }],
  ["another question", '{"seq":2,"type":"OK"}', {
    kind: "protocol",
    message: "cannot read answer: it answers what was not asked",
  }],
  ["that it is busy", '{"seq":0,"type":"ERROR","code":"BUSY","message":"try later"}', {
    kind: "busy",
    message: "try later",
  }],
];

for (const [what, answer, expected] of BAD_ANSWERS) {
  test(`askServer() fails when the server answers ${what}`, async () => {
    await inFolder(async (folder) => {
      const listener = await listenUnix({ folder, name: "admin.sock" }, (socket) => {
        socket.resume();
        if (answer === "") socket.end();
        else socket.end(encodeFrame(utf8(answer)));
      });
      await assertFails(askServer(folder, "STATUS", {}), expected);
      await listener.close();
    });
  });
}
