/**
 * One picture of the grid. Its structure is a promise to the modules that listen on the grid:
 *
 *   <div class="cell" role="listitem" data-id data-rank>
 *     <a class="tile" data-id href><img></a>
 *     <input type="checkbox" class="pick" data-id>
 *     <div class="acts"><button class="act" data-act="similar|more|less"> ...
 *   </div>
 */

import { clock, h, s } from "./parts.js";
import { isSaving } from "./thumbs.js";
import { has, t } from "./words.js";

const ACTS = [
  ["more", "more", t("act.more")],
  ["less", "less", t("act.less")],
  ["similar", "similar", t("act.similar")],
];

/** An icon of the page. @param {string} name */
export function icon(name) {
  const use = s("use", { href: `/static/icons.svg#${name}` });
  return s("svg", { class: "icon", "aria-hidden": "true" }, use);
}

const pattern = h(
  "div", { class: "cell", role: "listitem" },
  h("a", { class: "tile", tabIndex: -1 }, h("img", { alt: "", draggable: "false", decoding: "async" })),
  h("input", { type: "checkbox", class: "pick", tabIndex: -1 }),
  h("div", { class: "acts" }, ACTS.map(([act, name, title]) =>
    h("button", { type: "button", class: "act", "data-act": act, title, tabIndex: -1 }, icon(name)))),
);

const blank = h("div", { class: "cell waiting", "aria-hidden": "true" });

/**
 * @param {import("./api.js").Hit} hit
 * @param {{href: string, total: number, picked: boolean, lean: string}} how lean: "more" or "less" like it is asked for, or ""
 */
export function createCell(hit, { href, total, picked, lean }) {
  const cell = /** @type {HTMLElement} */ (pattern.cloneNode(true));
  const [tile, pick, acts] = cell.children;
  cell.dataset.id = tile.dataset.id = pick.dataset.id = String(hit.id);
  cell.dataset.rank = String(hit.rank);
  cell.setAttribute("aria-posinset", String(hit.rank));
  cell.setAttribute("aria-setsize", String(total));
  cell.classList.toggle("picked", picked);
  tile.href = href;
  tile.title = hit.name;
  tile.firstChild.alt = hit.name;
  if (hit.colour) tile.style.backgroundColor = hit.colour;
  pick.checked = picked;
  pick.setAttribute("aria-label", t("tile.select", { name: hit.name }));
  for (const button of acts.children) button.setAttribute("aria-label", t("tile.act", { act: button.title, name: hit.name }));
  mark(cell, tile, hit);
  if (lean) leanCell(cell, lean);
  return cell;
}

/** Show whether more or less like a picture is asked for. @param {HTMLElement} cell @param {string} lean "more", "less" or "" */
export function leanCell(cell, lean) {
  cell.dataset.lean = lean;
  for (const act of cell.querySelectorAll(".act:not([data-act=similar])")) act.setAttribute("aria-pressed", String(act.dataset.act === lean));
}

function mark(cell, tile, hit) {
  if (typeof hit.duration_s === "number") {
    const length = clock(hit.duration_s);
    tile.append(h("span", { class: "badge length", title: t("tile.video", { length }) }, icon("play"), length, h("span", { class: "sr" }, ` ${t("tile.is_video")}`)));
    tile.title = t("tile.at", { name: hit.name, time: clock(hit.time_s ?? 0) });
  }
  if (hit.motion)
    tile.append(h("span", { class: "badge length", title: t("tile.motion") }, icon("play"), h("span", { class: "sr" }, ` ${t("tile.motion")}`)));
  const words = Object.entries(hit.matched ?? {});
  if (words.length) {
    const why = words.map(([source, found]) => `${named(source)}: ${found.join(", ")}`).join("; ");
    tile.append(h("span", { class: "badge why", title: t("tile.found_by", { why }) }, words.map(([source]) => named(source)).join(", ")));
  }
  if (hit.burst > 0) {
    const more = t("tile.burst", { n: hit.burst });
    tile.append(h("span", { class: "badge", title: more }, `+${hit.burst}`, h("span", { class: "sr" }, ` ${more}`)));
  }
}

/** What of a picture has a word of the query. */
const named = source => (has(`source.${source}`) ? t(`source.${source}`) : source);

/** The place of a picture that is not known yet. */
export const createBlank = () => /** @type {HTMLElement} */ (blank.cloneNode(false));

/** Put a cell where the layout has it. @param {HTMLElement} cell @param {{left: number, top: number, width: number, height: number}} box */
export function placeCell(cell, box) {
  for (const side of ["left", "top", "width", "height"]) cell.style[side] = `${box[side]}px`;
  cell.classList.toggle("small", box.width < 130);
}

/**
 * Which thumbnail a tile of this size needs on this screen. Up to 15 % of enlargement is not seen, and saves a file of
 * four times the size.
 * @param {number} width @param {number} height CSS pixels @param {number} ratio of the picture, width by height
 */
export function thumbnailSize(width, height, ratio) {
  const shown = Math.max(width, height * ratio, height, width / ratio);
  const pixels = shown * (isSaving() ? 1 : Math.min(devicePixelRatio || 1, 2));
  return pixels <= 240 * 1.15 ? 240 : pixels <= 480 * 1.6 ? 480 : 1024;
}
