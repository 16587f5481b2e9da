// Folders as a tree with the folders that were indexed as its roots; each level is fetched when it is opened.

import { tree } from "./tree.js";
import { t } from "./words.js";

const FOUND = 30; // folders that a search shows
const SEARCHABLE = 8; // folders in the first levels before there is a search

const parent = (path) => path.slice(0, Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\"))) || "/";

/**
 * @param {(path: string, on: boolean) => void} onToggle
 * @param {(params: Record<string, string|number>) => Promise<{folders: any[]}>} ask
 */
export function folders(onToggle, ask) {
  const node = (above) => ({ path, name, count, has_folders: holds }) => ({ value: path, name, count, parent: above, holds, around: parent(path) });
  const all = tree({
    name: "under",
    label: t("fact.folder"),
    onToggle,
    inside: (name) => t("folders.in", { name }),
    below: async (within) => (await ask({ within })).folders.map(node(within)),
    search: async (text) => (await ask({ folder_name: text, most: FOUND })).folders.map(node(null)),
  });
  let [isLong, turn] = [false, 0];
  return {
    element: all.element,
    /** @param {string[]} under what is chosen @param {number} known folders below the first ones */
    async update(under, known) {
      const mine = ++turn;
      const roots = (await ask({})).folders.map(node(null));
      if (mine !== turn) return;
      isLong ||= known > SEARCHABLE || roots.length > SEARCHABLE;
      // The way to what is chosen is open.
      for (const path of under) for (const { value } of roots) if (path.startsWith(value) && path !== value) for (let at = parent(path); at.length >= value.length && at !== "/"; at = parent(at)) all.open(at);
      await all.update(roots, under, isLong);
    },
  };
}
