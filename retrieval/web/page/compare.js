// Two pictures side by side, one over the other by turns, or what differs between them; with their facts below.

import { copy, count, h, size } from "./parts.js";
import { icon } from "./tiles.js";
import { toast } from "./toast.js";
import { createZoomPan } from "./zoompan.js";

const MODES = [["side", "Side by side", "1"], ["flicker", "By turns", "2"], ["difference", "Difference", "3"]];
const SHARP = 1.5; // from this zoom on the original is worth loading
const PAN = { ArrowLeft: [0.15, 0], ArrowRight: [-0.15, 0], ArrowUp: [0, 0.15], ArrowDown: [0, -0.15] };

/** @param {{api: any, nameOf: (picture: any) => string}} page */
export function createCompare({ api, nameOf }) {
  const panes = [h("figure", { class: "half" }), h("figure", { class: "half" })];
  const stage = h("div", { class: "pair" }, panes);
  const place = h("p", { class: "compare-place", "aria-live": "polite" });
  const facts = h("table", { class: "pair-facts" });
  const modes = h("div", { class: "tabs", role: "group", "aria-label": "How to compare" },
    MODES.map(([name, text, key]) => h("button", { type: "button", "data-mode": name, title: `${text} (${key})`, onclick: () => setMode(name) }, text)));
  const plain = (name, text, run, kind = "") => h("button", { type: "button", class: `plain ${kind}`, "aria-label": text, title: text, onclick: run }, icon(name));
  const dialog = h("dialog", { class: "compare", "aria-label": "Compare pictures" },
    h("header", { class: "compare-head" }, plain("left", "Previous pair (←)", () => go(-1)), plain("right", "Next pair (→)", () => go(1)), place, modes,
      plain("plus", "Zoom in (+)", () => zoom.zoom(1.6), "zoom"), plain("minus", "Zoom out (−)", () => zoom.zoom(1 / 1.6), "zoom"), plain("close", "Close (Esc)", () => dialog.close())),
    stage,
    h("div", { class: "compare-facts" }, facts,
      h("p", { class: "keys" }, ...[["←", "→"], ["2", "Space"], ["3"], ["+", "−"], ["0"]].map((keys, at) => h("span", null, keys.map((key) => h("kbd", null, key)), ["next pair", "by turns", "difference", "zoom", "fit"][at])))));
  const zoom = createZoomPan(stage, () => panes);
  let [pairs, at, mode, back] = [[], 0, "side", false];
  document.body.append(dialog);
  dialog.addEventListener("keydown", onKey);
  dialog.addEventListener("close", () => panes.forEach((pane) => pane.replaceChildren()));
  zoom.onZoom((scale) => scale >= SHARP && sharpen());

  function pair() {
    const [group, index] = pairs[at];
    return [group.keeper, group.others[index]];
  }

  function go(step) {
    const next = at + step;
    if (next < 0 || next >= pairs.length) return;
    at = next;
    show();
  }

  function setMode(name) {
    mode = name;
    back = false;
    show({ keep: true });
  }

  function flick() {
    if (mode !== "flicker") setMode("flicker");
    back = !back;
    stage.classList.toggle("back", back);
    label();
  }

  function picture(one) {
    return h("img", { src: api.thumbnail(one, 1024), alt: nameOf(one), draggable: "false", "data-id": one.id });
  }

  function show({ keep = false } = {}) {
    const two = pair();
    stage.className = `pair ${mode}`;
    for (const button of modes.children) button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
    const words = [h("b", null, "Keep"), pairs[at][0].kind === "look-alike" ? "Look-alike" : "Copy"];
    if (mode === "side") panes.forEach((pane, side) => pane.replaceChildren(picture(two[side]), h("figcaption", null, words[side], ` ${nameOf(two[side])}`)));
    else {
      panes[0].replaceChildren(...two.map(picture), h("figcaption", null));
      panes[1].replaceChildren();
    }
    label();
    if (keep) zoom.apply();
    else zoom.reset();
    const [group, index] = pairs[at];
    place.textContent = `${count(at + 1)} of ${count(pairs.length)} · ${group.kind}${group.others.length > 1 ? `, ${index + 2} of ${group.others.length + 1}` : ""}`;
    table(two, group);
  }

  function label() {
    if (mode === "side") return;
    const two = pair();
    const text = mode === "difference" ? "What differs is bright; black is the same" : `${back ? "Copy" : "Keep"}: ${nameOf(two[back ? 1 : 0])}. Space or a click changes`;
    panes[0].querySelector("figcaption").textContent = text;
  }

  /** The originals in place of the thumbnails; a browser that cannot show one (HEIC) keeps the thumbnail. */
  function sharpen() {
    for (const img of stage.querySelectorAll("img:not([data-sharp])")) {
      img.dataset.sharp = "";
      const original = new Image();
      original.onload = () => img.isConnected && (img.src = original.src);
      original.src = api.file(img.dataset.id);
    }
  }

  function table([keeper, other], group) {
    const folder = (one) => one.path.slice(0, Math.max(1, one.path.lastIndexOf("/")));
    const rows = [
      ["Name", nameOf],
      ["Folder", folder],
      ["Dimensions", (one) => `${one.width} × ${one.height}`],
      ["File size", (one) => `${size(one.bytes)} (${count(one.bytes)} bytes)`],
      ["Format", (one) => one.format],
      ["Taken", (one) => (one.taken_at ? one.taken_at.replace("T", " ").slice(0, 19) : "not known")],
    ];
    const body = rows.map(([name, read]) => {
      const [a, b] = [read(keeper), read(other)];
      return h("tr", { class: a === b ? "" : "differs" }, h("th", { scope: "row" }, name), h("td", null, a), h("td", null, b, a === b && h("span", { class: "sr" }, " (same)")));
    });
    const near = [other.cosine !== null && other.cosine !== undefined && `cosine ${other.cosine.toFixed(3)}`, other.bits !== null && other.bits !== undefined && `${other.bits} of 64 bits differ`].filter(Boolean).join(", ");
    const how = near || (group.kind === "same bytes" ? "byte for byte the same" : "");
    const head = (text, one) => h("th", { scope: "col" }, text, h("button", { type: "button", "aria-label": `Copy the path of ${nameOf(one)}`, onclick: () => copyPath(one) }, "Copy path"));
    facts.replaceChildren(
      h("thead", null, h("tr", null, h("td"), head("Keep", keeper), head(group.kind === "look-alike" ? "Look-alike" : "Copy", other))),
      h("tbody", null, body, h("tr", null, h("th", { scope: "row" }, "Likeness"), h("td", { colspan: 2 }, how))));
  }

  async function copyPath(one) {
    if (await copy(one.path)) toast("Path copied", { detail: one.path });
  }

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const onButton = event.target.closest("button");
    const chosen = MODES.find(([, , key]) => key === event.key);
    if (chosen) setMode(chosen[0]);
    else if (event.key === " " && !onButton) flick();
    else if (event.key === "f") flick();
    else if (event.key === "d") setMode(mode === "difference" ? "side" : "difference");
    else if (event.key === "+" || event.key === "=") zoom.zoom(1.6);
    else if (event.key === "-") zoom.zoom(1 / 1.6);
    else if (event.key === "0") zoom.reset();
    else if (PAN[event.key] && event.shiftKey) zoom.pan(...PAN[event.key]);
    else if (event.key === "ArrowLeft") go(-1);
    else if (event.key === "ArrowRight") go(1);
    else if (PAN[event.key]) zoom.pan(...PAN[event.key]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  let pressed = null;
  stage.addEventListener("pointerdown", (event) => (pressed = [event.clientX, event.clientY]));
  stage.addEventListener("click", (event) => {
    const still = pressed && Math.hypot(event.clientX - pressed[0], event.clientY - pressed[1]) < 5;
    if (still && mode === "flicker") flick();
  });

  return {
    /** @param {[any, number][]} list groups, and which of their others @param {number} index */
    open(list, index) {
      [pairs, at, mode, back] = [list, index, "side", false];
      show();
      if (!dialog.open) dialog.showModal();
      stage.tabIndex = -1;
      stage.focus();
    },
    close: () => dialog.open && dialog.close(),
  };
}
