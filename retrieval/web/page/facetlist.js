// One facet of the filters: a section that opens, and a list of values with counts, the chosen ones first.

import { count, h } from "./parts.js";
import { has, t } from "./words.js";

const SHOWN = 6;
const SEARCHABLE = 12; // longer lists have a search of their own

/**
 * A section of the panel.
 * @param {{title: string, open?: boolean, onClear: () => void}} what
 * @param {...any} body
 */
export function section({ title, open = true, onClear }, ...body) {
  const clear = h("button", { type: "button", class: "facet-clear", hidden: true, "aria-label": t("filters.clear_one", { title }) }, t("clear"));
  clear.addEventListener("click", () => {
    element.querySelector("summary").focus(); // the button goes away with what it clears
    onClear();
  });
  const element = h("details", { class: "facet", "data-facet": title }, h("summary", null, h("h3", null, title)), clear, body);
  element.open = open;
  return {
    element,
    /** @param {boolean} shown whether there is anything to choose @param {number} chosen how much is chosen */
    update(shown, chosen) {
      element.hidden = !shown && !chosen;
      if (chosen && clear.hidden) element.open = true;
      clear.hidden = !chosen;
    },
  };
}

/**
 * The values of a facet.
 * @param {{name: string, onToggle: (value: string, on: boolean) => void}} what name: of the condition
 * @typedef {{value: string, count: number, label?: string}} Value
 */
export function facetList({ name, onToggle }) {
  const searchName = t(has(`filters.search_${name}`) ? `filters.search_${name}` : "filters.search");
  const list = h("ul", { class: "facet-list" });
  const search = h("input", { type: "search", class: "facet-search", placeholder: searchName, "aria-label": searchName, hidden: true });
  const more = h("button", { type: "button", class: "facet-more", hidden: true });
  const none = h("p", { class: "facet-none", hidden: true }, t("filters.none"));
  const element = h("div", { class: "facet-body" }, search, list, none, more);
  const rows = new Map();
  let values = [];
  let chosen = [];
  let all = false;
  search.addEventListener("input", draw);
  search.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !search.value) return;
    event.stopPropagation();
    search.value = "";
    draw();
  });
  more.addEventListener("click", () => {
    all = !all;
    draw();
    if (all) list.children[SHOWN]?.querySelector("input").focus();
  });

  function row(entry, on) {
    let made = rows.get(entry.value);
    if (!made) {
      const box = h("input", { type: "checkbox", onchange: () => onToggle(entry.value, box.checked) });
      const told = h("span", { class: "facet-count" });
      const text = entry.label ?? entry.value;
      made = { told, box, element: h("li", null, h("label", { class: "facet-value", title: text }, box, h("span", { class: "facet-name", dir: "auto" }, text), told)) };
      rows.set(entry.value, made);
    }
    made.told.textContent = entry.count === null ? "" : count(entry.count);
    made.box.checked = on;
    return made.element;
  }

  function draw() {
    const is = new Set(chosen.map((value) => value.toLowerCase()));
    const on = (entry) => is.has(entry.value.toLowerCase());
    const known = new Set(values.map((entry) => entry.value.toLowerCase()));
    const absent = chosen.filter((value) => !known.has(value.toLowerCase())).map((value) => ({ value, count: null }));
    const first = [...absent, ...values.filter(on)];
    const text = search.value.trim().toLowerCase();
    const rest = values.filter((entry) => !on(entry) && (entry.label ?? entry.value).toLowerCase().includes(text));
    const room = all || text ? Infinity : Math.max(SHOWN - first.length, 3);
    const fits = rest.length <= room + 1; // "1 more" takes the place of what it hides
    const shown = fits ? rest : rest.slice(0, room);
    const focus = /** @type {HTMLElement} */ (document.activeElement);
    list.replaceChildren(...first.map((entry) => row(entry, true)), ...shown.map((entry) => row(entry, false)));
    if (focus !== document.activeElement && list.contains(focus)) focus.focus();
    search.hidden = values.length <= SEARCHABLE && !search.value;
    none.hidden = !text || rest.length > 0;
    more.hidden = (fits && !all) || Boolean(text) || values.length <= SHOWN + 1;
    more.textContent = all ? t("show_fewer") : t("show_more", { n: rest.length - shown.length });
  }

  return {
    element,
    /** @param {Value[]} now @param {string[]} picked */
    update(now, picked) {
      values = now;
      chosen = picked;
      draw();
    },
  };
}
