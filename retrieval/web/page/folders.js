// Folders as a way down: where one is as a trail, what lies below with counts.

import { count, h } from "./parts.js";
import { t } from "./words.js";

const SHOWN = 8;
const parent = (path) => path.slice(0, path.lastIndexOf("/")) || "/";
const last = (path) => path.slice(path.lastIndexOf("/") + 1) || path;

/** The folders from a root down to a path, the root first. @param {string} path @param {string[]} roots */
export function trail(path, roots) {
  const root = roots.filter((one) => path === one || path.startsWith(one.endsWith("/") ? one : `${one}/`)).sort((a, b) => b.length - a.length)[0];
  const steps = [path];
  if (root === undefined) return steps;
  while (steps[0] !== root && steps[0] !== "/") steps.unshift(parent(steps[0]));
  return steps;
}

/** @param {(under: string[]) => void} onUnder */
export function folders(onUnder) {
  const here = h("nav", { class: "trail", "aria-label": t("fact.folder") });
  const list = h("ul", { class: "facet-list" });
  const more = h("button", { type: "button", class: "facet-more", hidden: true, onclick: () => ((all = true), draw()) });
  const element = h("div", { class: "facet-body" }, here, list, more);
  let [entries, under, roots, all] = [[], [], [], false];

  function go(path) {
    all = false;
    onUnder(path === null ? [] : [path]);
    here.querySelector("button")?.focus();
  }

  function draw() {
    const steps = under.length === 1 ? trail(under[0], roots) : under;
    const above = [
      h("button", { type: "button", onclick: () => go(null) }, t("filters.all_folders")),
      ...steps.map((path, at) =>
        at === steps.length - 1 && under.length === 1
          ? h("span", { "aria-current": "location", title: path }, last(path))
          : h("button", { type: "button", title: path, onclick: () => go(path) }, last(path)),
      ),
    ];
    here.hidden = under.length === 0;
    here.replaceChildren(...above);
    const sorted = [...entries].sort((a, b) => b.count - a.count);
    const shown = all || sorted.length <= SHOWN + 1 ? sorted : sorted.slice(0, SHOWN);
    list.replaceChildren(
      ...shown.map((entry) =>
        h("li", null, h("button", { type: "button", class: "facet-value", title: entry.path, onclick: () => go(entry.path) },
          h("span", { class: "facet-name folder", dir: "auto" }, entry.name), h("span", { class: "facet-count" }, count(entry.count)))),
      ),
    );
    more.hidden = shown.length === sorted.length;
    more.textContent = t("show_more", { n: sorted.length - shown.length });
  }

  return {
    element,
    /** @param {{path: string, name: string, count: number}[]} now @param {string[]} chosen @param {string[]} known the gallery's roots */
    update(now, chosen, known) {
      if (String(chosen) !== String(under)) all = false;
      [entries, under, roots] = [now, chosen, known];
      draw();
    },
  };
}
