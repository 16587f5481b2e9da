// A facet whose values contain each other: folders, places, cameras by make. Any level can be chosen, and opened.

import { count, h } from "./parts.js";
import { has, t } from "./words.js";

const SHOWN = 8; // of one level, before the rest has to be asked for
const SEARCHABLE = 12; // more values have a search of their own

/**
 * @param {object} what
 * @param {string} what.name of the condition
 * @param {string} what.label of the whole tree
 * @param {(value: string, on: boolean) => void} what.onToggle
 * @param {(name: string) => string} what.inside what the button says that opens a value
 * @param {((value: string) => Promise<Node[]>)} [what.below] fetches what is in a value; without it all is known
 * @param {((text: string) => Promise<Node[]>)} [what.search] finds values by name; without it all is known
 * @typedef {{value: string, name: string, parent: string | null, count: number | null, holds?: boolean, around?: string}} Node
 */
export function tree({ name, label, onToggle, inside, below, search }) {
  const asks = t(has(`filters.search_${name}`) ? `filters.search_${name}` : "filters.search");
  const field = h("input", { type: "search", class: "facet-search", placeholder: asks, "aria-label": asks, hidden: true, oninput: look, onkeydown: leave });
  const list = h("ul", { class: "facet-list tree", "aria-label": label });
  const none = h("p", { class: "facet-none", hidden: true }, t("filters.none"));
  const element = h("div", { class: "facet-body" }, field, list, none);
  const open = new Set(), whole = new Set(), known = new Map(); // value -> what is in it, where that is fetched
  let [nodes, chosen, found, turn] = [/** @type {Node[]} */ ([]), /** @type {string[]} */ ([]), /** @type {Node[]|null} */ (null), 0];

  const inOf = (value) => (below ? (value === null ? nodes : known.get(value) ?? []) : nodes.filter((node) => node.parent === value));
  const holds = (node) => (below ? Boolean(node.holds) : nodes.some((other) => other.parent === node.value));
  const isChosen = (value) => chosen.some((one) => one.toLowerCase() === value.toLowerCase());

  function level(parent) {
    const all = inOf(parent);
    const shown = whole.has(parent) || all.length <= SHOWN + 1 ? all : all.filter((node, at) => at < SHOWN || isChosen(node.value));
    const items = shown.map((node) => item(node));
    if (shown.length < all.length) {
      const more = h("button", { type: "button", class: "facet-more" }, t("show_more", { n: all.length - shown.length }));
      more.addEventListener("click", () => {
        whole.add(parent);
        draw();
        element.querySelectorAll("li input")[shown.length]?.focus();
      });
      items.push(h("li", null, more));
    }
    return items;
  }

  function item(node, flat = false) {
    const box = h("input", { type: "checkbox", "data-value": node.value, onchange: () => onToggle(node.value, box.checked) });
    box.checked = isChosen(node.value);
    const text = h("label", { class: "facet-value", title: node.value }, box,
      h("span", { class: "facet-name", dir: "auto" }, node.name, flat && node.around && h("span", { class: "soft" }, ` ${node.around}`)),
      h("span", { class: "facet-count" }, node.count === null ? "" : count(node.count)));
    if (flat || !holds(node)) return h("li", null, h("div", { class: "tree-row" }, !flat && h("span", { class: "tree-closed" }), text));
    const isOpen = open.has(node.value);
    const button = h("button", { type: "button", class: "tree-turn", "aria-expanded": String(isOpen), "aria-label": inside(node.name), "data-value": node.value, onclick: () => turned(node.value) });
    return h("li", null, h("div", { class: "tree-row" }, button, text), isOpen && h("ul", { class: "facet-list" }, level(node.value)));
  }

  async function turned(value) {
    if (!open.delete(value)) {
      open.add(value);
      await fetched(value);
    }
    draw();
    [...element.querySelectorAll(".tree-turn")].find((one) => /** @type {HTMLElement} */ (one).dataset.value === value)?.focus();
  }

  /** What is in a value, if nobody knows yet. Where that cannot be asked, it stays empty: the panel says what is wrong. */
  async function fetched(value, again = false) {
    if (!below || (known.has(value) && !again)) return;
    const mine = turn;
    const now = await below(value).catch(() => null);
    if (now && mine === turn) known.set(value, now);
  }

  async function look() {
    const text = field.value.trim();
    const mine = ++turn;
    const all = !text ? null : search ? await search(text).catch(() => []) : nodes.filter((node) => node.name.toLowerCase().includes(text.toLowerCase()) || node.value.toLowerCase().includes(text.toLowerCase()));
    if (mine !== turn) return;
    found = all;
    draw();
  }

  function leave(event) {
    if (event.key !== "Escape" || !field.value) return;
    event.stopPropagation();
    field.value = "";
    look();
  }

  function draw() {
    const at = /** @type {HTMLElement} */ (document.activeElement);
    const [kind, value] = list.contains(at) ? [at.localName, at.dataset.value] : [];
    list.replaceChildren(...(found ? found.map((node) => item(node, true)) : [...absent().map((node) => item(node, true)), ...level(null)]));
    if (kind) [...list.querySelectorAll(kind)].find((one) => one.dataset.value === value)?.focus();
    none.hidden = !found || found.length > 0;
    list.hidden = !list.children.length;
  }

  /** What is chosen and has no pictures any more stays, so that it can be taken back. */
  function absent() {
    const drawn = [...nodes, ...[...known.values()].flat()];
    return chosen.filter((value) => !drawn.some((node) => node.value.toLowerCase() === value.toLowerCase())).map((value) => ({ value, name: value.split("/").pop() || value, parent: null, count: null, around: "" }));
  }

  return {
    element,
    /** Open a value, as if somebody had. @param {string} value */
    open: (value) => open.add(value),
    /** @param {Node[]} now @param {string[]} picked @param {boolean} [isLong] whether there is a search, where not all is known */
    async update(now, picked, isLong = false) {
      // One outermost value says nothing: what is in it does.
      const outermost = now.filter((node) => node.parent === null);
      if (!nodes.length && outermost.length === 1) open.add(outermost[0].value);
      [nodes, chosen] = [now, picked];
      field.hidden = !isLong && nodes.length <= SEARCHABLE && !field.value;
      turn += 1;
      draw();
      await Promise.all([...open].map((value) => fetched(value, true)));
      if (field.value) look();
      else draw();
    },
  };
}

/**
 * Cameras below their makes: the first word of their names, where several have it.
 * @param {{value: string, count: number}[]} cameras the most frequent first
 * @returns {Node[]}
 */
export function byMake(cameras) {
  const makes = new Map();
  for (const camera of cameras) {
    const make = camera.value.split(" ")[0];
    makes.set(make.toLowerCase(), [...(makes.get(make.toLowerCase()) ?? []), camera]);
  }
  const sumOf = (models) => models.reduce((all, one) => all + one.count, 0);
  return [...makes.values()].sort((a, b) => sumOf(b) - sumOf(a)).flatMap((models) => {
    const [{ value }] = models;
    const make = value.split(" ")[0];
    if (models.length === 1 || models.some((one) => one.value === make)) return models.map((one) => ({ ...one, name: one.value, parent: null }));
    return [{ value: make, name: make, parent: null, count: sumOf(models) }, ...models.map((one) => ({ ...one, name: one.value.slice(make.length + 1), parent: make, around: make }))];
  });
}
