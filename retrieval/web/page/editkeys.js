/** Keys that rate, reject, favour and hide: the open picture, else what is selected, else the picture with the focus. */

import { label, mayEdit } from "./edits.js";
import { t } from "./words.js";

/**
 * @param {{state: any, results: any, grid: any, keys: any, api: any, toastError: any}} shared
 * @param {() => string[]} selected ids of what is selected
 */
export function mount({ state, results, grid, keys, api, toastError }, selected) {
  if (!mayEdit()) return;
  const dialog = () => document.querySelector("dialog[open]");
  const isViewer = () => dialog()?.id === "viewer";
  const here = ({ target }) => isViewer() || (!dialog() && state.get().view === "grid" && (selected().length > 0 || Boolean(target.closest?.(".cell[data-id]"))));

  function targets(event) {
    if (isViewer()) return [state.get().open];
    const picked = selected();
    return picked.length ? picked : [event.target.closest(".cell").dataset.id];
  }

  const add = (names, text, run, when = here) => keys.add(names, text, event => run(targets(event)), { group: t("keys.changes"), when });
  add(["1", "2", "3", "4", "5"], t("keys.rate"), () => {}, () => false);
  for (const stars of [0, 1, 2, 3, 4, 5]) add([String(stars)], "", ids => rate(ids, stars));
  add(["X"], t("keys.reject"), ids => rate(ids, -1));
  add(["b"], t("keys.favourite"), ids => turn(ids, "favourite"));
  add(["h"], t("keys.hide"), ids => turn(ids, "hidden"));
  keys.describe([["Ctrl + z", t("keys.undo")]], t("keys.changes"));

  /** The other way round than the first of them is now. */
  async function turn(ids, field) {
    try {
      const now = await api.get(`/images/${ids[0]}`);
      await set(ids, field, !now[field]);
    } catch (error) {
      toastError(error);
    }
  }
}

/** @param {(string|number)[]} ids @param {number} stars 0 takes the stars away, -1 rejects */
export const rate = (ids, stars) =>
  label(ids, stars ? { rating: stars } : { without_rating: true }, n =>
    stars > 0 ? t("edit.rated", { n, stars: "★".repeat(stars) }) : t(stars ? "edit.rejected" : "edit.unrated", { n }));

const SAID = { favourite: ["edit.no_favourite", "edit.favourite"], hidden: ["edit.shown", "edit.hidden"] };

/** @param {(string|number)[]} ids @param {"favourite"|"hidden"} field @param {boolean} on */
export const set = (ids, field, on) =>
  label(ids, { [field]: on }, n => t(SAID[field][Number(on)], { n }), field === "hidden" && on ? t("edit.hidden_help") : "");
