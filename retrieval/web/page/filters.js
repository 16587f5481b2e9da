// The panel of filters: what there is under the present filters, counted, and what is chosen of it.

import { COUNTED, RANGES } from "./conditions.js"; // made by the server, of its table of conditions
import { facetList, section } from "./facetlist.js";
import { folders } from "./folders.js";
import { histogram } from "./histogram.js";
import { h } from "./parts.js";
import { byMake, tree } from "./tree.js";
import { has, t } from "./words.js";

const CLOSED = ["lens", "iso", "format"]; // until somebody opens them
const LISTS = [
  ...Object.entries(COUNTED).map(([field, facet]) => ({ field, facet, title: t(`condition.${field}`), name: field, open: !CLOSED.includes(field) })),
  { field: "tag", facet: "tags", title: t("details.tags"), name: "tag", people: true },
  { field: "tag", facet: "tags", title: t("filters.predicted"), name: "predicted", people: false, open: false },
];
const WIDTHS = ["1280", "1920", "2560", "3840"];
const DAYS = [[1, "day"], [7, "week"], [30, "month"], [365, "year"]];
const ORDER = ["sort", "reverse", "group_minutes"];
const DELAY = 150; // facets may come later than pictures, and should not take the server from them

/**
 * @param {HTMLElement} element
 * @param {{state: any, api: any, results: any}} page
 */
export function mount(element, { state, api, results }) {
  const chosen = h("span", { class: "filters-count" });
  const clearAll = h("button", { type: "button", class: "facet-clear", hidden: true, onclick: clear }, t("clear_all"));
  const close = h("button", { type: "button", class: "button primary filters-done", onclick: shut });
  const trouble = h("p", { class: "filters-trouble", role: "alert", hidden: true });
  const heading = h("div", { class: "filters-head" }, h("h2", { tabIndex: -1 }, t("filters.title"), chosen), clearAll);
  const parts = [dates(state, api), inFolders(state, (more) => api.get("/folders", { params: new URLSearchParams([...params(), ...Object.entries(more)]) })), ...LISTS.map((one) => (one.field === "camera" ? cameras(state, one) : list(state, one))), more(state), map(state, api, (box) => api.get("/facets", { params: new URLSearchParams([...params(), ["box", box]]) }))];
  element.append(heading, trouble, h("div", { class: "facets" }, parts.map((part) => part.element)), close);
  let [asked, facets, asking, waiting] = [null, null, null, 0];

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
    chosen.setAttribute("aria-label", set ? `, ${t("filters.conditions", { n: set })}` : "");
    clearAll.hidden = !set;
    if (!facets) return;
    for (const part of parts) part.update(facets, now);
  }

  function params() {
    const now = state.get();
    // Words alone only rank; where they leave pictures out, the others are counted.
    const narrows = (now.q.trim() && !now.weaker) || now.min_score || now.less.length || now.like.length;
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

  // Counts come after the pictures: asked for beside them, they would only make them late.
  let later = null;
  const begin = (how) => {
    if (results.busy()) later = { ...later, ...how };
    else load(how);
  };
  const soon = (how) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => begin(how), DELAY);
  };
  state.subscribe((_now, changed) => {
    if ([...changed].some((name) => state.FILTERS.includes(name))) show();
    if (params().toString() !== asked) soon();
  });
  const offer = () => (close.textContent = results.list() ? t("filters.show", { n: results.total() }) : "");
  let isJudged = (results.list()?.relevant ?? null) !== null;
  results.subscribe((event, detail) => {
    if (event === "busy" && !detail && later) {
      soon(later);
      later = null;
    }
    if (event !== "list") return;
    const { relevant } = results.list();
    // Which pictures are good matches may become known a little later than the pictures, and is counted then.
    if (relevant !== null && !isJudged) soon({ always: true });
    isJudged = relevant !== null;
    offer();
  });
  offer(); // the panel comes after the first pictures
  addEventListener("gallery-changed", () => soon({ always: true }));
  api.watch?.((reachable) => reachable && soon({ always: !facets }));
  load();
  return { refresh: () => load({ always: true }) };
}

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
const label = (field, value) => (has(`value.${field}.${value}`) ? t(`value.${field}.${value}`) : value);

function dates(state, api) {
  const slider = histogram((range) => state.update({ after: range.after ?? "", before: range.before ?? "" }));
  const undated = h("button", { type: "button", class: "link facet-note", onclick: () => state.update({ undated: !state.get().undated, after: "", before: "" }) });
  const wrong = h("p", { class: "filters-trouble", role: "alert", hidden: true });
  const typed = h("input", { type: "text", maxlength: 100, enterkeyhint: "done", class: "facet-search", placeholder: t("filters.time_example"), "aria-label": t("filters.time"), title: t("filters.time_help"), autocapitalize: "off", spellcheck: "false", onchange: read });
  const own = section({ title: t("filters.date"), onClear: () => state.update({ after: "", before: "", undated: false, day: [] }) }, h("div", { class: "facet-typed" }, typed), wrong, slider.element, undated);

  async function read() {
    wrong.hidden = true;
    if (!typed.value.trim()) return;
    try {
      const { after, before } = await api.get("/period", { params: { text: typed.value } });
      typed.value = "";
      state.update({ after: after ?? "", before: before ?? "", undated: false });
    } catch (error) {
      wrong.textContent = error.status === 400 ? t("filters.time_wrong") : (error.title ?? String(error));
      wrong.hidden = false;
    }
  }

  return {
    element: own.element,
    update(facets, { after, before, undated: only, day }) {
      const some = facets.months.length > 0;
      if (some) slider.update(facets.months, after || null, before || null);
      slider.element.hidden = !some;
      undated.textContent = facets.undated ? t("filters.undated", { n: facets.undated }) : "";
      undated.hidden = !facets.undated;
      undated.setAttribute("aria-pressed", String(only));
      own.update(some || only, Number(Boolean(after)) + Number(Boolean(before)) + Number(only) + day.length);
    },
  };
}

function inFolders(state, ask) {
  const all = folders((path, on) => state.update({ under: toggled(state.get().under, path, on) }), ask);
  const own = section({ title: t("fact.folder"), onClear: () => state.update({ under: [] }) }, all.element);
  return {
    element: own.element,
    update(facets, { under }) {
      all.update(under, facets.folders.length).catch(() => {}); // the panel itself says what is wrong
      own.update(facets.folders.length > 0 || facets.parents.length > 1, under.length);
    },
  };
}

/** Cameras by their makes: a make finds all of its cameras. */
function cameras(state, { field, facet, title, name }) {
  const all = tree({ name, label: title, onToggle: (value, on) => state.update({ [field]: toggled(state.get()[field], value, on) }), inside: (make) => t("cameras.of", { make }) });
  const own = section({ title, onClear: () => state.update({ [field]: [] }) }, all.element);
  return {
    element: own.element,
    update(facets, now) {
      const values = facets[facet] ?? [];
      all.update(byMake(values), now[field]);
      own.update(values.length > 1, now[field].length);
    },
  };
}

/** Conditions without counts: a least width, when a picture came into the gallery, what a camera was set to, favourites, hidden ones, and no tag. */
function more(state) {
  const width = h("select", { "aria-label": t("filters.least_width"), onchange: () => state.update({ min_width: width.value }) });
  const added = h("select", { "aria-label": t("filters.added"), onchange: () => state.update({ added_after: added.value }) });
  const untagged = h("input", { type: "checkbox", onchange: () => state.update({ untagged: untagged.checked }) });
  const unplaced = h("input", { type: "checkbox", onchange: () => state.update({ unplaced: unplaced.checked }) });
  const marks = ["favourite", "hidden"].map((name) => ({ name, box: h("input", { type: "checkbox", name, onchange: (event) => state.update({ [name]: event.target.checked }) }) }));
  const words = h("input", { type: "text", maxlength: 200, placeholder: t("filters.words_example"), "aria-label": t("details.words"), onchange: () => state.update({ text: words.value.trim() ? [words.value.trim()] : [] }) });
  const ranges = Object.entries(RANGES).map(([name, examples]) => {
    const text = t(`condition.${name}`);
    const field = h("input", { type: "text", placeholder: examples, maxlength: 100, "aria-label": t("filters.range", { name: text }), onchange: () => state.update({ [name]: field.value.split(",").map((value) => value.trim()) }) });
    return { name, field, row: h("label", { class: "facet-row" }, text, field) };
  });
  const nothing = { min_width: "", min_height: "", added_after: "", untagged: false, unplaced: false, favourite: false, hidden: false, text: [], ...Object.fromEntries(Object.keys(RANGES).map((name) => [name, []])) };
  const own = section(
    { title: t("filters.more"), open: false, onClear: () => state.update(nothing) },
    h("div", { class: "facet-body facet-rows" },
      marks.map(({ name, box }) => h("label", { class: "facet-value" }, box, h("span", { class: "facet-name" }, t(`filters.${name}`)))),
      h("label", { class: "facet-row" }, t("filters.at_least_wide"), width),
      h("label", { class: "facet-row" }, t("filters.added_within"), added),
      h("label", { class: "facet-row" }, t("filters.words"), words),
      ranges.map(({ row }) => row),
      h("label", { class: "facet-value" }, untagged, h("span", { class: "facet-name" }, t("filters.untagged"))),
      h("label", { class: "facet-value" }, unplaced, h("span", { class: "facet-name" }, t("chip.unplaced")))),
  );
  const day = (back) => new Date(Date.now() - back * 86_400_000).toISOString().slice(0, 10);
  return {
    element: own.element,
    update(_facets, now) {
      options(width, [["", t("filters.any")], ...WIDTHS.map((value) => [value, t("pixels", { n: Number(value) })])], now.min_width, t("pixels", { n: now.min_width }));
      options(added, [["", t("filters.any_time")], ...DAYS.map(([back, name]) => [day(back), t(`filters.within_${name}`)])], now.added_after, t("filters.since", { date: now.added_after }));
      untagged.checked = now.untagged;
      unplaced.checked = now.unplaced;
      for (const { name, box } of marks) box.checked = now[name];
      words.value = now.text.join(" ");
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
function map(state, api, ask) {
  const all = tree({ name: "place", label: t("places.tree"), onToggle: (value, on) => state.update({ place: toggled(state.get().place, value, on) }), inside: (name) => t("places.in", { name }) });
  const own = section({ title: t("condition.place"), onClear: () => state.update({ near: [], place: [], country: [] }) }, all.element);
  let [box, last] = [null, null];
  return {
    element: own.element,
    update(facets, { near, place, country }) {
      const { places } = facets;
      own.update(places.count > 0, near.length + place.length + country.length);
      all.update(facets.named_places.map((one) => ({ ...one, value: one.place, around: one.parent ?? "" })), place);
      all.element.hidden = !facets.named_places.length;
      if (!places.count && !near.length) return;
      last = [places, near];
      if (box) box.then((made) => made.update(...last));
      else {
        box = import("./mapbox.js").then(({ mapbox }) => {
          const made = mapbox((circle) => state.update({ near: [circle] }), async (box) => (await ask(box)).places, {
            townsIn: (box) => api.get("/map/towns", { params: { box } }),
            thumbnail: (id) => api.thumbnail({ id }, 240),
            onEnlarge: async () => (await import("./largemap.js")).largeMap(made, () => document.querySelector(".filters-done").textContent),
          });
          own.element.append(made.element);
          made.update(...last);
          return made;
        });
      }
    },
  };
}
