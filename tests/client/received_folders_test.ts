import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { FolderMemory } from "../../lib/client/received_folders.ts";
import { inHome } from "./temporary_home.ts";

const folder = (n: number) => ({
  owner: "a",
  name: "t",
  location: `/in/${n}`,
  inode: n,
  bornMs: n,
});

test("FolderMemory remembers the newest folders, each place once, for whoever reads it next", () =>
  inHome((home) => {
    fs.mkdirSync(home.folder, { recursive: true });
    const memory = new FolderMemory(home);
    assert.deepEqual(memory.list(), []);
    for (let n = 0; n < 1003; n++) memory.add(folder(n));
    const list = new FolderMemory(home).list();
    assert.equal(list.length, 1000);
    assert.deepEqual(list[0], folder(3));
    memory.add({ ...folder(500), inode: 7 });
    assert.deepEqual(
      memory.list().filter(({ location }) => location === "/in/500"),
      [{ ...folder(500), inode: 7 }],
      "another folder has taken its place",
    );
    assert.equal(fs.statSync(join(home.folder, "received.json")).mode & 0o777, 0o600);
  }));

test("FolderMemory takes a file that it cannot read for none", () =>
  inHome((home) => {
    fs.mkdirSync(home.folder, { recursive: true });
    for (const text of ["", "{", "{}", '[{"owner":"a"}]', "\u0000"]) {
      fs.writeFileSync(join(home.folder, "received.json"), text);
      assert.deepEqual(new FolderMemory(home).list(), [], text);
    }
  }));
