/** The words, with results while they are typed, and what is offered below them; the order; one picture of each scene. */

import { PREFIXES } from "./conditions.js"; // made by the server, of its query language
import { styled } from "./lazily.js";
import * as thumbs from "./thumbs.js";

const PAUSE = 40; // ms without a key; less would ask for nothing but words that nobody meant, more is felt
const SCENE_MINUTES = "5";
const SORTS = { "": ["", false], date: ["date", false], "date-": ["date", true], name: ["name", false] };

// A condition among words, or a text in quotes, in which none is meant.
const CONDITION = new RegExp(`(^|\\s)(-?)(${PREFIXES.join("|")}):(?:"([^"]+)"|([^\\s"]+))(?=\\s|$)|(?:^|\\s)"[^"]*"`, "gi");

/**
 * Conditions that are written among the words, as fields of the state.
 * @param {string} text @param {any} now the state
 * @returns {Record<string, any>|null} with what is left as `q`; null: there are none
 */
function conditionsOf(text, now) {
  const found = {};
  const q = text.replace(CONDITION, (whole, _before, minus, prefix, quoted, word) => {
    if (!prefix) return whole;
    const field = (minus ? "no_" : "") + prefix.toLowerCase();
    found[field] = [...(found[field] ?? now[field]), quoted && prefix.toLowerCase() === "text" ? `"${quoted}"` : quoted ?? word];
    return " ";
  });
  return Object.keys(found).length ? { ...found, q: q.replace(/\s+/g, " ").trim() } : null;
}

/** @param {{state: typeof import("./state.js"), api: any, results: any, grid: any, toastError: any}} shared */
export function mount({ state, api, results, grid, toastError }) {
  const form = document.getElementById("search");
  const box = /** @type {HTMLInputElement} */ (document.getElementById("q"));
  let timer = 0;
  let begun = false; // an entry of the history holds what is being typed; going back leads before it

  function apply() {
    clearTimeout(timer);
    document.body.classList.remove("typing");
    if (box.value.trim() !== state.get().q.trim()) {
      const push = !begun;
      begun = true;
      // Other words are another question: the best come first again, and weaker matches stay out of the way.
      state.update({ q: box.value.trim(), sort: "", reverse: false, weaker: false, view: "grid", open: "" }, { push });
    }
    thumbs.hold(results.busy());
  }

  /** Other words together with other conditions. */
  function commit(patch) {
    clearTimeout(timer);
    document.body.classList.remove("typing");
    box.value = patch.q ?? box.value;
    begun = false;
    state.update({ sort: "", reverse: false, weaker: false, view: "grid", open: "", ...patch });
    thumbs.hold(results.busy());
  }

  function leave() {
    suggestions?.close();
    apply();
    grid.focus(1);
  }

  // What is offered comes when somebody goes into the box.
  let suggestions = null, coming = null;
  let wanted = false; // not any more once Enter was pressed, however late what is offered comes
  function offer() {
    wanted = true;
    coming ??= Promise.all([import("./suggest.js"), import("./recent.js"), styled("suggest.css")]).then(([made, recent]) => {
      suggestions = made.createSuggestions(box, { state, api, commit, leave });
      if (wanted && document.activeElement === box) suggestions.ask();
      return recent;
    }).catch(error => {
      coming = null;
      toastError(error);
    });
  }

  /** What is searched for now, however late the module that keeps it comes. */
  function remember() {
    const now = state.get();
    coming?.then(recent => recent?.remember({ get: () => now, toQuery: () => state.toQuery(now) }));
  }
  for (const type of ["click", "input"]) box.addEventListener(type, offer);
  box.addEventListener("change", remember);

  box.addEventListener("input", () => {
    clearTimeout(timer);
    document.body.classList.add("typing"); // until what is typed is searched for
    thumbs.hold(true);
    timer = setTimeout(apply, PAUSE);
  });
  form.addEventListener("submit", event => {
    event.preventDefault();
    const conditions = conditionsOf(box.value, state.get());
    if (conditions) commit(conditions);
    else apply();
    begun = false;
    wanted = false;
    suggestions?.close();
    remember();
    if (results.problem()?.status === 0) results.search({ how: "replace" });
    // On a phone the keyboard covers half of what was found.
    if (matchMedia("(pointer: coarse)").matches) box.blur();
  });
  box.addEventListener("keydown", event => {
    if (event.altKey && event.key === "ArrowDown") offer();
    if (suggestions?.key(event)) return;
    if (event.key === "ArrowDown" && !event.altKey && results.total()) {
      event.preventDefault();
      leave();
    } else if (event.key === "Escape" && !box.value) box.blur();
  });
  state.subscribe((now, changed, how) => {
    if (how === "pop" || (changed.size && !(changed.has("q") && document.activeElement === box))) begun = false;
    if (changed.has("q") && box.value.trim() !== now.q.trim()) box.value = now.q;
  });
  box.value = state.get().q;

  mountOrder(state);
  mountBursts(state);
}

function mountOrder(state) {
  const select = /** @type {HTMLSelectElement} */ (document.getElementById("sort"));
  const show = () => {
    const { sort, reverse } = state.get();
    const value = sort === "score" ? "" : sort + (reverse && sort === "date" ? "-" : "");
    const ranked = state.isRanked();
    // Without a question nothing matches better than anything else: the order is by date, as the server has it.
    select.options[0].hidden = select.options[0].disabled = !ranked;
    select.value = !ranked && value === "" ? (reverse ? "date-" : "date") : value;
  };
  select.addEventListener("change", () => {
    const [sort, reverse] = SORTS[select.value];
    state.update({ sort, reverse });
  });
  state.subscribe(show);
  show();
}

function mountBursts(state) {
  const box = /** @type {HTMLInputElement} */ (document.getElementById("bursts"));
  const show = () => (box.checked = state.get().group_minutes !== "");
  box.addEventListener("change", () => state.update({ group_minutes: box.checked ? SCENE_MINUTES : "" }));
  state.subscribe(show);
  show();
}
