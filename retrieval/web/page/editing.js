/** Everything by which the page changes something, but the fields and panels, which come when they are opened. */

import { styled } from "./lazily.js";
import * as editkeys from "./editkeys.js";
import * as edits from "./edits.js";
import * as rubberband from "./rubberband.js";

/** @param {any} shared @param {typeof import("./selection.js")} selection */
export function mount(shared, selection) {
  styled("edits.css");
  edits.mount();
  editkeys.mount(shared, selection.selected);
  rubberband.mount(document.getElementById("grid"), { ...shared, places: shared.grid.places, select: selection.select, selected: selection.selected });
}
