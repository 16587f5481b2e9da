/** Puts the page together: each module gets its element and what all share. */

import * as api from "./api.js";
import * as state from "./state.js";
import * as keys from "./keys.js";
import * as chips from "./chips.js";
import * as follow from "./follow.js";
import * as duplicates from "./duplicates.js";
import * as fold from "./fold.js";
import * as indexing from "./indexing.js";
import * as people from "./people.js";
import * as roving from "./roving.js";
import * as searchbox from "./searchbox.js";
import * as selection from "./selection.js";
import * as tilesize from "./tilesize.js";
import * as uploads from "./uploads.js";
import * as wording from "./wording.js";
import { createActions } from "./actions.js";
import { mountMenu, mountTheme } from "./appearance.js";
import { createGrid } from "./grid.js";
import { createLayer } from "./layers.js";
import { once, styled, whenSeen } from "./lazily.js";
import { createResults } from "./results.js";
import { toast, toastError } from "./toast.js";
import { t } from "./words.js";

const element = id => document.getElementById(id);
const SECTIONS = { grid: "results", albums: "albums", people: "people", duplicates: "duplicates", index: "indexing" };

const results = createResults({ state, api });
const actions = createActions({ state, api });
const href = hit => state.link({ open: String(hit.id) });
const grid = createGrid(element("grid"), { results, api, isPicked: selection.isPicked, href, leanOf: actions.leanOf, hideWeaker: () => state.update({ weaker: false }) });
state.subscribe(grid.showLeaning);
const shared = { state, api, results, grid, actions, keys, toast, toastError };

keys.mount(element("help"));
mountTheme(element("theme"));
mountMenu(element("menu-button"), element("menu"));
searchbox.mount(shared);
chips.mount(element("chips"), shared);
roving.mount(element("grid"), shared);
fold.mount(element("fold"), shared);
tilesize.mount(element("size"), shared);
mountTimeline();
mountViewer();
wording.mount(shared);
uploads.mount(shared);
selection.mount(element("selection-bar"), shared);
follow.mount(shared);
const toFilters = mountDrawer(mountFilters());
mountEditing();
whenSeen(state, "albums", "edits.css", async () => (await import("./albumspanel.js")).createAlbums(element("albums"), shared));
people.mount(element("people"), shared);
duplicates.mount(element("duplicates"), shared);
indexing.mount(element("indexing"), shared);
mountViews();
keys.add(["/"], t("keys.search"), () => element("q").select(), { when: () => !document.querySelector("dialog[open]") });
results.search();
keepPage();

/** The page is kept for when the server is away; after everything that somebody waits for. */
function keepPage() {
  if (!navigator.serviceWorker || !isSecureContext) return;
  const register = () => navigator.serviceWorker.register("/worker.js", { updateViaCache: "none" }).catch(() => {}); // not allowed here
  const end = results.subscribe(event => {
    if (event !== "list") return;
    end();
    setTimeout(register, 2000);
  });
}

function mountViews() {
  const tops = new Map(); // where each view was left
  const show = () => {
    const { view } = state.get();
    const now = view in SECTIONS ? view : "grid";
    if (document.body.dataset.view) tops.set(document.body.dataset.view, scrollY);
    document.body.dataset.view = now;
    for (const [name, id] of Object.entries(SECTIONS)) element(id).hidden = name !== now;
    for (const link of document.querySelectorAll("#views a")) {
      if (link.dataset.view === now) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    scrollTo({ top: tops.get(now) ?? 0, behavior: "instant" });
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

/** What stands beside a list by days comes with the first one, after its pictures. */
function mountTimeline() {
  const end = results.subscribe(async event => {
    if (event !== "list" || !results.list().days) return;
    end();
    try {
      const [memories, scrubber] = await Promise.all([import("./memories.js"), import("./scrubber.js")]);
      scrubber.mount(element("scrubber"), shared);
      memories.mount(element("memories"), shared);
    } catch (error) {
      toastError(error);
    }
  });
}

/** What changes something, and keys that lead elsewhere, come with the first movement, touch or key; keys that were pressed till then are given again. */
function mountEditing() {
  const types = ["pointermove", "pointerdown", "keydown"], waiting = [];
  let begun = false;
  const begin = async event => {
    if (event.type === "keydown") waiting.push(event);
    if (begun) return;
    begun = true;
    try {
      const [editing, gokeys] = await Promise.all([import("./editing.js"), import("./gokeys.js")]);
      editing.mount(shared, selection);
      gokeys.mount({ ...shared, toFilters });
    } catch (error) {
      begun = false; // the server may be back at the next one
      waiting.length = 0;
      toastError(error);
      return;
    }
    for (const type of types) removeEventListener(type, begin);
    for (const key of waiting) if (!key.defaultPrevented) key.target.dispatchEvent(new KeyboardEvent(key.type, key));
  };
  for (const type of types) addEventListener(type, begin);
  element("grid").addEventListener("thumbnail-broken", async ({ target }) => {
    try {
      await (await import("./missing.js")).explain(target, shared);
    } catch (error) {
      toastError(error);
    }
  });
}

/** The filters come after the first pictures, or with the button that opens them. @returns {() => Promise<void>} */
function mountFilters() {
  const begin = once(async () => {
    const [filters] = await Promise.all([import("./filters.js"), styled("filters.css")]);
    filters.mount(element("filters"), shared);
  });
  // Without a server there is nothing to choose from.
  results.subscribe(event => (event === "list" || (event === "problem" && results.problem()?.status)) && begin());
  return begin;
}

/** The viewer comes with the first picture that is opened. */
function mountViewer() {
  const begin = once(async how => {
    const [viewer] = await Promise.all([import("./viewer.js"), styled("viewer.css")]);
    viewer.mount(element("viewer"), shared, how === "push");
  });
  const look = (now, _changed, how) => now.open && begin(how);
  keys.describe([
    ["ArrowLeft ArrowRight", t("keys.turn")], ["i", t("details.title")], ["v", t("fact.motion")], ["+ -", t("keys.zoom")],
    ["z", t("viewer.fit")], ["w", t("faces.title")], ["f p", t("keys.full_play")], ["c", t("keys.copy")], ["d", t("keys.download")], ["ArrowUp ArrowDown", t("keys.pan")], ["m l s", t("keys.lean")], ["Escape", t("keys.back")],
  ], t("keys.viewer"));
  state.subscribe(look);
  look(state.get(), null, "pop");
}

/** The filters are beside the pictures where there is room, and a drawer over them where there is not. @returns {() => Promise<void>} leads to them */
function mountDrawer(fill) {
  const drawer = element("filters"), button = element("filters-button");
  const layer = createLayer(() => set(false));
  const set = open => {
    if (open) layer.opened();
    else layer.closed();
    drawer.classList.toggle("open", open);
    document.body.classList.toggle("drawer", open);
    button.setAttribute("aria-expanded", String(open));
  };
  const isOpen = () => drawer.classList.contains("open");
  const toFilters = async () => {
    if (button.offsetParent) set(true);
    await fill();
    if (isOpen() || !button.offsetParent) drawer.querySelector("h2")?.focus();
  };
  button.addEventListener("click", () => (isOpen() ? set(false) : toFilters()));
  document.addEventListener("pointerdown", event => {
    if (isOpen() && !drawer.contains(event.target) && !button.contains(event.target)) set(false);
  });
  keys.add(["Escape"], "", () => {
    set(false);
    button.focus();
  }, { when: () => isOpen() });
  return toFilters;
}
