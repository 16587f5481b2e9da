/** Keys that lead elsewhere: "g" and a letter to a view, to the filters or to hidden pictures. And the address, by a key. */

import { isWriting } from "./keys.js";
import { copyAddress } from "./share.js";
import { t } from "./words.js";

const NOTHING_ASKED = { q: "", not: [], more: [], less: [], like: [], sort: "", reverse: false, weaker: false, min_score: "" };

/** @param {{state: any, keys: any, toFilters: () => Promise<void>}} shared */
export function mount({ state, keys, toFilters }) {
  const noDialog = () => !document.querySelector("dialog[open]");
  const to = view => () => state.update({ view, open: "" });
  const places = {
    g: [to("grid"), t("views.pictures")],
    a: [to("albums"), t("views.albums")],
    e: [() => document.body.classList.contains("has-people") && to("people")(), t("views.people")],
    d: [to("duplicates"), t("views.duplicates")],
    i: [to("index"), t("views.indexing")],
    f: [() => (to("grid")(), toFilters()), t("filters.title")],
    h: [() => state.update({ ...state.withoutFilters(), ...NOTHING_ASKED, hidden: true, view: "grid", open: "" }), t("filters.hidden")],
  };
  let isGoing = false; // after "g", until the next key, however late

  keys.add(["g"], "", () => (isGoing = true), { when: noDialog });
  document.addEventListener("keydown", event => {
    if (!isGoing || ["Shift", "Control", "Alt", "Meta"].includes(event.key)) return;
    isGoing = false;
    const place = places[event.key];
    if (!place || isWriting(event.target) || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    event.preventDefault(); // by itself the letter may mean something else
    place[0]();
  }, { capture: true });
  for (const name of ["pointerdown", "focusin"]) addEventListener(name, () => (isGoing = false));
  keys.describe(Object.entries(places).map(([letter, [, text]]) => [`g ${letter}`, text]), t("keys.go"));
  keys.add(["C"], t("copy.address"), () => copyAddress());
}
