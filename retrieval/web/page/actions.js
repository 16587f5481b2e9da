/** What one can ask for with a picture: others like it, more or less of what it shows. */

import { toast } from "./toast.js";

/** @param {{state: typeof import("./state.js")}} shared */
export function createActions({ state }) {
  /** Towards a picture, or away from it; the second time takes that back. @param {"more"|"less"} side */
  function lean(side, hit) {
    const id = String(hit.id);
    const other = side === "more" ? "less" : "more";
    const before = state.get();
    const on = !before[side].includes(id);
    if (on && side === "less" && !state.isRanked()) {
      toast("Say first what to look for", { detail: "Then pictures can be left out that are not it." });
      return;
    }
    const without = list => list.filter(one => one !== id);
    state.update({ [side]: on ? [...before[side], id] : without(before[side]), [other]: without(before[other]) });
    if (!document.querySelector("dialog[open]")) return;
    toast(on ? `${side === "more" ? "More" : "Less"} like ${hit.name}` : `No longer ${side} like ${hit.name}`);
  }

  /** Pictures like this one, of those that pass the present filters. */
  function similar(hit) {
    state.update({
      q: "", not: [], more: [], less: [], like: [String(hit.id)], sort: "", reverse: false, relevant: false, min_score: "",
      view: "grid", open: "",
    });
  }

  const acts = { more: hit => lean("more", hit), less: hit => lean("less", hit), similar };
  return { ...acts, run: (act, hit) => acts[act]?.(hit) };
}
