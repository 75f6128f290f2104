/** The state of an embedded store in a folder of its own, without a journal: for tests of single verbs. */
import { join } from "node:path";
import { LmdbFile } from "../../server/store/embedded/database.js";
import { State } from "../../server/store/embedded/verbs.js";
import { removeFolder, temporaryFolder } from "./guardian.js";

export function openEmbeddedState() {
  const folder = temporaryFolder();
  const file = new LmdbFile(join(folder, "data.mdb"));
  file.begin();
  return {
    state: new State(file.tables),
    async [Symbol.asyncDispose]() {
      await file.abort();
      await file.close();
      removeFolder(folder);
    },
  };
}
