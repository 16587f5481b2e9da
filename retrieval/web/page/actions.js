/** What one can ask for with a picture: others like it, more or less of what it shows, its file. */

import { saveFrom } from "./parts.js";
import { toast } from "./toast.js";
import { t } from "./words.js";

/** @param {{state: typeof import("./state.js"), api: any}} shared */
export function createActions({ state, api }) {
  /** Towards a picture, or away from it; the second time takes that back. @param {"more"|"less"} side */
  function lean(side, hit) {
    const id = String(hit.id);
    const other = side === "more" ? "less" : "more";
    const before = state.get();
    const on = !before[side].includes(id);
    if (on && side === "less" && !state.isRanked()) {
      toast(t("lean.ask_first"), { detail: t("lean.ask_first_help") });
      return;
    }
    const without = list => list.filter(one => one !== id);
    state.update({ [side]: on ? [...before[side], id] : without(before[side]), [other]: without(before[other]) });
    if (!document.querySelector("dialog[open]")) return;
    toast(t(`lean.${side}${on ? "" : "_no_longer"}`, { name: hit.name }));
  }

  /** Pictures like this one, of those that pass the present filters. */
  function similar(hit) {
    state.update({
      q: "", not: [], more: [], less: [], like: [String(hit.id)], sort: "", reverse: false, weaker: false, min_score: "",
      view: "grid", open: "",
    });
  }

  const leanOf = id => ["more", "less"].find(side => state.get()[side].includes(String(id))) ?? "";

  const acts = { more: hit => lean("more", hit), less: hit => lean("less", hit), similar, download: hit => saveFrom(api.file(hit.id), hit.name) };
  return { ...acts, leanOf, run: (act, hit) => acts[act]?.(hit) };
}
