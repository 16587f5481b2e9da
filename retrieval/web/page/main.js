/** Puts the page together: each module gets its element and what all share. */

import * as api from "./api.js";
import * as state from "./state.js";
import * as keys from "./keys.js";
import * as chips from "./chips.js";
import * as duplicates from "./duplicates.js";
import * as filters from "./filters.js";
import * as indexing from "./indexing.js";
import * as roving from "./roving.js";
import * as searchbox from "./searchbox.js";
import * as selection from "./selection.js";
import * as uploads from "./uploads.js";
import * as wording from "./wording.js";
import { createActions } from "./actions.js";
import { createGrid } from "./grid.js";
import { styled } from "./lazily.js";
import { createResults } from "./results.js";
import { toast, toastError } from "./toast.js";

const element = id => document.getElementById(id);
const SECTIONS = { grid: "results", duplicates: "duplicates", index: "indexing" };

const results = createResults({ state, api });
const actions = createActions({ state });
const href = hit => state.link({ open: String(hit.id) });
const grid = createGrid(element("grid"), { results, api, isPicked: selection.isPicked, href });
const shared = { state, api, results, grid, actions, keys, toast, toastError };

keys.mount(element("help"));
searchbox.mount(shared);
chips.mount(element("chips"), shared);
roving.mount(element("grid"), shared);
mountViewer();
wording.mount(shared);
uploads.mount(shared);
filters.mount(element("filters"), shared);
selection.mount(element("selection-bar"), shared);
duplicates.mount(element("duplicates"), shared);
indexing.mount(element("indexing"), shared);
mountViews();
mountDrawer();
keys.add(["/"], "Search", () => element("q").select(), { when: () => !document.querySelector("dialog[open]") });
results.search();

function mountViews() {
  const show = () => {
    const { view } = state.get();
    const now = view in SECTIONS ? view : "grid";
    document.body.dataset.view = now;
    for (const [name, id] of Object.entries(SECTIONS)) element(id).hidden = name !== now;
    for (const link of document.querySelectorAll("#views a")) {
      if (link.dataset.view === now) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    if (now === "grid") grid.redraw();
  };
  element("views").addEventListener("click", event => {
    const link = event.target.closest("a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    state.update({ view: link.dataset.view, open: "" });
  });
  state.subscribe((_now, changed) => changed.has("view") && show());
  show();
}

/** The viewer comes with the first picture that is opened. */
function mountViewer() {
  let asked = false;
  const look = async (now, _changed, how) => {
    if (!now.open || asked) return;
    asked = true;
    try {
      const [viewer] = await Promise.all([import("./viewer.js"), styled("viewer.css")]);
      viewer.mount(element("viewer"), shared, how === "push");
    } catch (error) {
      asked = false;
      toastError(error);
    }
  };
  keys.describe([
    ["ArrowLeft ArrowRight", "The picture before, the next one"], ["i", "Details"], ["+ -", "Larger, smaller"],
    ["z", "Whole picture, or every pixel"], ["m l s", "More, less like this; similar pictures"], ["Escape", "Back to the pictures"],
  ], "Viewer");
  state.subscribe(look);
  look(state.get(), null, "pop");
}

/** The filters are beside the pictures where there is room, and a drawer over them where there is not. */
function mountDrawer() {
  const drawer = element("filters"), button = element("filters-button");
  const set = open => {
    drawer.classList.toggle("open", open);
    document.body.classList.toggle("drawer", open);
    button.setAttribute("aria-expanded", String(open));
  };
  const isOpen = () => drawer.classList.contains("open");
  button.addEventListener("click", () => {
    set(!isOpen());
    if (isOpen()) drawer.querySelector("button, input, summary, a")?.focus();
  });
  document.addEventListener("pointerdown", event => {
    if (isOpen() && !drawer.contains(event.target) && !button.contains(event.target)) set(false);
  });
  keys.add(["Escape"], "", () => {
    set(false);
    button.focus();
  }, { when: () => isOpen() });
}
