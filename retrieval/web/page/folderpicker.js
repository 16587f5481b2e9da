// Folders of the server's machine, a level at a time, so that one can be chosen without its path being written.

import { h } from "./parts.js";
import { icon } from "./tiles.js";
import { t } from "./words.js";

/**
 * @param {{api: any, onChoose: (path: string) => void}} page onChoose: "this one", of the folder that is open
 */
export function folderPicker({ api, onChoose }) {
  const where = h("p", { class: "picker-where", dir: "auto", "aria-live": "polite" });
  const list = h("ul", { class: "picker-list", "aria-label": t("picker.label") });
  const trouble = h("p", { class: "filters-trouble", role: "alert", hidden: true });
  const choose = h("button", { type: "button", class: "button primary", hidden: true, onclick: () => onChoose(here.path) }, t("picker.choose"));
  const element = h("div", { class: "picker" }, where, trouble, list, choose);
  let here = { path: null, parent: null, pictures: 0, folders: [] };

  async function go(path) {
    try {
      here = await api.get("/index/folders", { params: path === null ? {} : { path } });
      trouble.hidden = true;
      draw();
    } catch (error) {
      trouble.textContent = [error.title ?? String(error), error.detail].filter(Boolean).join(". ");
      trouble.hidden = false;
    }
  }

  const entry = (symbol, name, path) => h("li", null, h("button", { type: "button", class: "picker-folder", onclick: () => go(path) }, icon(symbol), h("span", { dir: "auto" }, name)));

  function draw() {
    const inside = list.contains(document.activeElement);
    const isRoot = here.path === null;
    where.textContent = isRoot ? t("picker.begin") : [here.path, here.pictures ? t("picker.pictures", { n: here.pictures }) : ""].filter(Boolean).join(" · ");
    list.replaceChildren(...(isRoot ? [] : [entry("left", t("picker.back"), here.parent)]), ...here.folders.map(({ name, path }) => entry("folder", name, path)));
    if (isRoot && !here.folders.length) where.textContent = t("picker.none");
    choose.hidden = isRoot;
    if (inside) list.querySelector("button")?.focus();
  }

  go(null);
  return { element };
}
