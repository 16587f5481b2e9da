// Which pictures are selected, wherever they have scrolled to. The bar for what can be done with them comes with the
// first of them.

import { h } from "./parts.js";
import { copyAddress } from "./share.js";
import { icon } from "./tiles.js";
import { toastError } from "./toast.js";
import { t } from "./words.js";

/** id -> its hit, or null for what was never loaded. @type {Map<string, any>} */
const picked = new Map();

/** @param {string|number} id */
export const isPicked = (id) => picked.has(String(id));

/** Ids of what is selected. @returns {string[]} */
export const selected = () => [...picked.keys()];

/** Select exactly these. @type {(ids: string[]) => void} */
export let select = () => {};

/** Select all from one rank to another. @type {(from: number, to: number) => Promise<void>} */
export let extend = async () => {};

/**
 * @param {HTMLElement} element
 * @param {{state: any, api: any, results: any, keys: any}} page
 */
export function mount(element, { state, api, results, keys }) {
  const pictures = document.getElementById("results");
  const whole = h("a", { class: "plain", download: "photoseek.csv", href: "#", title: t("selection.export_list"), "aria-label": t("selection.export_list") }, icon("download"));
  whole.addEventListener("click", () => (whole.href = api.address("/export", state.toQuery())));
  const address = h("button", { type: "button", class: "plain", title: t("copy.address"), "aria-label": t("copy.address"), onclick: () => copyAddress() }, icon("external"));
  document.getElementById("bar").append(address, whole);
  let [anchor, bar] = [/** @type {number|null} */ (null), /** @type {Promise<any>|null} */ (null)];

  pictures.addEventListener("click", (event) => {
    const box = /** @type {Element} */ (event.target).closest(".pick");
    const cell = box?.closest("[data-rank]");
    if (cell) toggle(cell, box.checked, event.shiftKey);
  });
  // On the picture itself Shift extends the selection, too; a link would open a window.
  pictures.addEventListener("click", (event) => {
    const tile = /** @type {Element} */ (event.target).closest("a.tile");
    if (!tile || !event.shiftKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const cell = tile.closest(".cell[data-rank]");
    if (cell) toggle(cell, anchor === null ? !isPicked(cell.dataset.id) : true, true);
  });
  // A shift-click would mark text between the two pictures.
  pictures.addEventListener("mousedown", (event) => event.shiftKey && event.target.closest(".cell") && event.preventDefault());

  select = (ids) => {
    const wanted = new Set(ids);
    for (const id of picked.keys()) if (!wanted.has(id)) picked.delete(id);
    for (const id of ids) put(id, true);
    show();
  };

  function put(id, on) {
    if (on && (results.hit(id)?.on_disk ?? "same") !== "same") return;
    if (!on) picked.delete(String(id));
    else if (!picked.has(String(id))) picked.set(String(id), results.hit(id) ?? null);
  }

  async function toggle(cell, on, range) {
    const rank = Number(cell.dataset.rank);
    put(cell.dataset.id, on);
    show();
    if (range && anchor !== null && anchor !== rank) await between(anchor, rank, on);
    anchor = rank;
  }

  async function between(from, to, on) {
    try {
      for (const id of await results.range(from, to)) put(id, on);
    } catch (error) {
      toastError(error);
    }
    show();
  }

  extend = async (from, to) => {
    await between(from, to, true);
    anchor = to;
  };

  /** Everything that is loaded, or these ids as well. @param {number[]} [ids] */
  function selectAll(ids = []) {
    for (const hit of [...(results.list()?.blocks.values() ?? [])].flat()) if (hit) put(hit.id, true);
    for (const id of ids) put(id, true);
    show();
  }

  function clear() {
    const inside = element.contains(document.activeElement);
    picked.clear();
    anchor = null;
    show();
    if (inside) pictures.focus();
  }

  function show() {
    document.body.classList.toggle("picking", picked.size > 0);
    for (const cell of pictures.querySelectorAll(".cell[data-id]")) {
      const on = picked.has(cell.dataset.id);
      cell.classList.toggle("picked", on);
      cell.querySelector(".pick").checked = on;
    }
    if (picked.size) bar ??= import("./selectionbar.js").then(({ createBar }) => createBar(element, { picked, state, api, results, selectAll, clear }));
    bar?.then((made) => made.show(), (error) => ((bar = null), toastError(error)));
  }

  const noDialog = () => !document.querySelector("dialog[open]");
  keys.add(["x"], t("keys.select"), ({ target }) => {
    const cell = target.closest(".cell");
    toggle(cell, !isPicked(cell.dataset.id), false);
  }, { group: t("views.pictures"), when: ({ target }) => Boolean(target.closest?.(".cell[data-id]")) && noDialog() });
  keys.add(["Escape"], "", clear, { when: () => picked.size > 0 && noDialog() && state.get().view === "grid" });
  keys.describe([["Shift + click", t("keys.select_range")], ["Shift + ArrowLeft ArrowRight", t("keys.select_on")], ["Ctrl + a", t("keys.select_all")]]);
  document.addEventListener("keydown", (event) => {
    const writing = event.target.closest?.("input:not([type=checkbox]), textarea, select");
    if (event.key !== "a" || !(event.ctrlKey || event.metaKey) || writing || state.get().view !== "grid" || !noDialog()) return;
    event.preventDefault();
    selectAll();
    bar?.then((made) => made.all());
  });
}
