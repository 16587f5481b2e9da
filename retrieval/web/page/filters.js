// The panel of filters: what there is under the present filters, counted, and what is chosen of it.

import { facetList, section } from "./facetlist.js";
import { folders } from "./folders.js";
import { histogram } from "./histogram.js";
import { count, h, plural } from "./parts.js";
import { amount } from "./wording.js";

const LISTS = [
  { field: "camera", facet: "cameras", title: "Camera", name: "cameras" },
  { field: "lens", facet: "lenses", title: "Lens", name: "lenses", open: false },
  { field: "tag", facet: "tags", title: "Tags", name: "tags", people: true },
  { field: "tag", facet: "tags", title: "Predicted tags", name: "predicted tags", people: false, open: false },
  { field: "orientation", facet: "orientations", title: "Shape", name: "shapes" },
  { field: "format", facet: "formats", title: "Format", name: "formats", open: false },
];
const WIDTHS = [["", "Any"], ["1280", "1280"], ["1920", "1920"], ["2560", "2560"], ["3840", "3840"]];
const RANGES = [["iso", "ISO", "100-400"], ["aperture", "Aperture", "f/1.4-f/4"], ["exposure", "Exposure", "1/500-1/60"], ["focal_length", "Focal length", "35-85 mm"]];
const DAYS = [[1, "A day"], [7, "A week"], [30, "A month"], [365, "A year"]];
const ORDER = ["sort", "reverse", "group_minutes"];
const DELAY = 150; // facets may come later than pictures, and should not take the server from them

/**
 * @param {HTMLElement} element
 * @param {{state: any, api: any, results: any}} page
 */
export function mount(element, { state, api, results }) {
  const chosen = h("span", { class: "filters-count" });
  const clearAll = h("button", { type: "button", class: "facet-clear", hidden: true, onclick: clear }, "Clear all");
  const close = h("button", { type: "button", class: "button primary filters-done", onclick: shut });
  const trouble = h("p", { class: "filters-trouble", role: "alert", hidden: true });
  const heading = h("div", { class: "filters-head" }, h("h2", null, "Filters", chosen), clearAll);
  const parts = [dates(state), inFolders(state), ...LISTS.map((one) => list(state, one)), more(state), map(state, (box) => api.get("/facets", { params: new URLSearchParams([...params(), ["box", box]]) }))];
  element.append(heading, trouble, h("div", { class: "facets" }, parts.map((part) => part.element)), close);
  let [asked, facets, roots, asking, waiting] = [null, null, [], null, 0];

  function clear() {
    state.update(state.withoutFilters());
    heading.querySelector("h2").focus();
  }

  function shut() {
    document.querySelector("#filters-button[aria-expanded=true]")?.dispatchEvent(new MouseEvent("click", { bubbles: true }));
  }

  function show() {
    const now = state.get();
    const set = state.FILTERS.reduce((sum, name) => sum + (Array.isArray(now[name]) ? now[name].length : now[name] ? 1 : 0), 0);
    chosen.textContent = set ? String(set) : "";
    chosen.setAttribute("aria-label", set ? `, ${plural(set, "condition")}` : "");
    clearAll.hidden = !set;
    if (!facets) return;
    for (const part of parts) part.update(facets, now, roots);
  }

  function params() {
    const now = state.get();
    // Words alone only rank; where they leave pictures out, the others are counted.
    const narrows = now.relevant || now.min_score || now.less.length || now.like.length;
    const query = new URLSearchParams();
    for (const [name, value] of state.toQuery()) if (state.FILTERS.includes(name) || (narrows && !ORDER.includes(name))) query.append(name, value);
    return query;
  }

  async function load({ always = false } = {}) {
    const query = params();
    if (!always && query.toString() === asked) return;
    asked = query.toString();
    asking?.abort();
    asking = new AbortController();
    const { signal } = asking;
    element.setAttribute("aria-busy", "true");
    try {
      const answer = await api.get("/facets", { params: query, signal });
      if (!query.has("under")) roots = answer.parents.map((folder) => folder.path);
      else if (!roots.length) roots = (await api.get("/stats", { signal })).folders;
      if (signal.aborted) return;
      facets = answer;
      trouble.hidden = true;
      show();
    } catch (error) {
      if (api.isAbort(error)) return;
      asked = null;
      trouble.textContent = error.title ?? String(error);
      // 404 and 503 are told where the pictures would be; the panel need not repeat it.
      trouble.hidden = error.status === 0 || error.status === 503;
    }
    if (!signal.aborted) element.removeAttribute("aria-busy");
  }

  const soon = (how) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => load(how), DELAY);
  };
  state.subscribe((_now, changed) => {
    if ([...changed].some((name) => state.FILTERS.includes(name))) show();
    if (params().toString() !== asked) soon();
  });
  results.subscribe(() => {
    const list = results.list();
    if (list) close.textContent = `Show ${lower(amount(list, state.isRanked()))}`;
  });
  addEventListener("gallery-changed", () => soon({ always: true }));
  api.watch?.((reachable) => reachable && soon({ always: !facets }));
  load();
  return { refresh: () => load({ always: true }) };
}

const lower = (text) => text[0].toLowerCase() + text.slice(1);

function toggled(values, value, on) {
  const others = values.filter((one) => one.toLowerCase() !== value.toLowerCase());
  return on ? [...others, value] : others;
}

function list(state, { field, facet, title, name, people, open = true }) {
  const values = facetList({ name, onToggle: (value, on) => state.update({ [field]: toggled(state.get()[field], value, on) }) });
  const own = section({ title, open, onClear: () => state.update({ [field]: [] }) }, values.element);
  return {
    element: own.element,
    update(facets, now) {
      let entries = facets[facet] ?? [];
      let picked = now[field];
      if (people !== undefined) {
        const names = new Set(entries.filter((entry) => isPeople(entry) === people).map((entry) => entry.tag.toLowerCase()));
        // A tag that nobody knows of stands with people's: they wrote it.
        const all = new Set(entries.map((entry) => entry.tag.toLowerCase()));
        picked = picked.filter((tag) => names.has(tag.toLowerCase()) || (people && !all.has(tag.toLowerCase())));
        entries = entries.filter((entry) => isPeople(entry) === people).map((entry) => ({ value: entry.tag, count: entry.count }));
      }
      values.update(entries.map((entry) => ({ ...entry, label: label(field, entry.value) })), picked);
      own.update(entries.length > (field === "tag" ? 0 : 1), picked.length);
    },
  };
}

const isPeople = (entry) => entry.source !== "predicted";
const label = (field, value) => (field === "orientation" ? value[0].toUpperCase() + value.slice(1) : value);

function dates(state) {
  const slider = histogram((range) => state.update({ after: range.after ?? "", before: range.before ?? "" }));
  const undated = h("p", { class: "facet-note" });
  const own = section({ title: "Date", onClear: () => state.update({ after: "", before: "" }) }, slider.element, undated);
  return {
    element: own.element,
    update(facets, { after, before }) {
      const some = facets.months.length > 0;
      if (some) slider.update(facets.months, after || null, before || null);
      slider.element.hidden = !some;
      undated.textContent = facets.undated ? `${plural(facets.undated, "picture")} without a date` : "";
      own.update(some, Number(Boolean(after)) + Number(Boolean(before)));
    },
  };
}

function inFolders(state) {
  const way = folders((under) => state.update({ under }));
  const own = section({ title: "Folder", onClear: () => state.update({ under: [] }) }, way.element);
  return {
    element: own.element,
    update(facets, { under }, roots) {
      way.update(facets.folders, under, roots);
      own.update(facets.folders.length > 0, under.length);
    },
  };
}

/** Conditions without counts: a least width, when a picture came into the gallery, what a camera was set to, and no tag. */
function more(state) {
  const width = h("select", { "aria-label": "Least width in pixels", onchange: () => state.update({ min_width: width.value }) });
  const added = h("select", { "aria-label": "Added to the gallery", onchange: () => state.update({ added_after: added.value }) });
  const untagged = h("input", { type: "checkbox", onchange: () => state.update({ untagged: untagged.checked }) });
  const ranges = RANGES.map(([name, text, example]) => {
    const field = h("input", { type: "text", placeholder: example, maxlength: 100, "aria-label": `${text}, a value or a range`, onchange: () => state.update({ [name]: field.value.split(",").map((value) => value.trim()) }) });
    return { name, field, row: h("label", { class: "facet-row" }, text, field) };
  });
  const nothing = { min_width: "", min_height: "", added_after: "", untagged: false, ...Object.fromEntries(RANGES.map(([name]) => [name, []])) };
  const own = section(
    { title: "More", open: false, onClear: () => state.update(nothing) },
    h("div", { class: "facet-body facet-rows" },
      h("label", { class: "facet-row" }, "At least wide", width),
      h("label", { class: "facet-row" }, "Added within", added),
      ranges.map(({ row }) => row),
      h("label", { class: "facet-value" }, untagged, h("span", { class: "facet-name" }, "Without tags"))),
  );
  const day = (back) => new Date(Date.now() - back * 86_400_000).toISOString().slice(0, 10);
  return {
    element: own.element,
    update(_facets, now) {
      options(width, WIDTHS.map(([value, text]) => [value, value ? `${count(Number(value))} px` : text]), now.min_width, `${now.min_width} px`);
      options(added, [["", "Any time"], ...DAYS.map(([back, text]) => [day(back), text])], now.added_after, `since ${now.added_after}`);
      untagged.checked = now.untagged;
      for (const { name, field } of ranges) field.value = now[name].join(", ");
      const set = Object.keys(nothing).reduce((sum, name) => sum + (Array.isArray(now[name]) ? now[name].length : Number(Boolean(now[name]))), 0);
      own.update(true, set);
    },
  };
}

function options(select, choices, value, other) {
  const known = choices.some(([choice]) => choice === value);
  const all = known ? choices : [...choices, [value, other]];
  select.replaceChildren(...all.map(([choice, text]) => h("option", { value: choice }, text)));
  select.value = value;
}

/** The map comes with outlines of continents, so it is fetched only for galleries that have places. */
function map(state, ask) {
  const own = section({ title: "Place", onClear: () => state.update({ near: [] }) });
  let [box, last] = [null, null];
  return {
    element: own.element,
    update(facets, { near }) {
      const { places } = facets;
      own.update(places.count > 0, near.length);
      if (!places.count && !near.length) return;
      last = [places, near];
      if (box) box.then((made) => made.update(...last));
      else {
        box = import("./mapbox.js").then(({ mapbox }) => {
          const made = mapbox((circle) => state.update({ near: [circle] }), async (box) => (await ask(box)).places);
          own.element.append(made.element);
          made.update(...last);
          return made;
        });
      }
    },
  };
}
