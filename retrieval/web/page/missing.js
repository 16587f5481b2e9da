/** Pictures whose files are missing or have changed: their tiles say so, and a selection leaves them out. */

import { styled } from "./lazily.js";
import { h } from "./parts.js";
import { icon } from "./tiles.js";
import { t } from "./words.js";

/**
 * Say on its tile why a picture cannot be shown.
 * @param {HTMLElement} img whose small picture cannot be had
 * @param {{api: any, results: any}} shared
 */
export async function explain(img, { api, results }) {
  const cell = img.closest(".cell[data-id]");
  const hit = cell && results.hit(cell.dataset.id);
  if (!hit) return;
  try {
    hit.on_disk = (await api.get(`/images/${hit.id}`)).on_disk;
  } catch {
    return; // the server does not answer, which is told elsewhere; or it is in no gallery any more
  }
  styled("edits.css");
  const reason = hit.on_disk;
  if (!cell.isConnected || cell.querySelector(".absent")) return;
  cell.classList.add("is-absent");
  cell.querySelector("a.tile").append(h("span", { class: "absent", title: t(`missing.${reason}_help`) }, icon("warning"), t(`missing.${reason}`)));
}
