// Two pictures side by side, one over the other by turns, or what differs between them; with their facts below.

import { copy, count, h, size } from "./parts.js";
import { createLayer } from "./layers.js";
import { icon } from "./tiles.js";
import { toast } from "./toast.js";
import { decimal, list as joined, t } from "./words.js";
import { createZoomPan } from "./zoompan.js";

const MODES = [["side", t("compare.side"), "1"], ["flicker", t("compare.flicker"), "2"], ["difference", t("compare.difference"), "3"]];
const SHARP = 1.5; // from this zoom on the original is worth loading
const PAN = { ArrowLeft: [0.15, 0], ArrowRight: [-0.15, 0], ArrowUp: [0, 0.15], ArrowDown: [0, -0.15] };

/** @param {{api: any, nameOf: (picture: any) => string}} page */
export function createCompare({ api, nameOf }) {
  const panes = [h("figure", { class: "half" }), h("figure", { class: "half" })];
  const stage = h("div", { class: "pair" }, panes);
  const place = h("p", { class: "compare-place", "aria-live": "polite" });
  const facts = h("table", { class: "pair-facts" });
  const modes = h("div", { class: "tabs", role: "group", "aria-label": t("compare.how") },
    MODES.map(([name, text, key]) => h("button", { type: "button", "data-mode": name, title: `${text} (${key})`, onclick: () => setMode(name) }, text)));
  const plain = (name, text, run, kind = "") => h("button", { type: "button", class: `plain ${kind}`, "aria-label": text, title: text, onclick: run }, icon(name));
  const dialog = h("dialog", { class: "compare", "aria-label": t("compare.label") },
    h("header", { class: "compare-head" }, plain("left", `${t("compare.previous")} (←)`, () => go(-1)), plain("right", `${t("compare.next")} (→)`, () => go(1)), place, modes,
      plain("plus", `${t("zoom.in")} (+)`, () => zoom.zoom(1.6), "zoom"), plain("minus", `${t("zoom.out")} (−)`, () => zoom.zoom(1 / 1.6), "zoom"), plain("close", `${t("close")} (${t("key.escape")})`, () => dialog.close())),
    stage,
    h("div", { class: "compare-facts" }, facts,
      h("p", { class: "keys" }, ...[["←", "→"], ["2", t("key.space")], ["3"], ["+", "−"], ["0"]].map((keys, at) => h("span", null, keys.map((key) => h("kbd", null, key)), [t("compare.key_next"), t("compare.key_turns"), t("compare.key_difference"), t("compare.key_zoom"), t("compare.key_fit")][at])))));
  const zoom = createZoomPan(stage, () => panes);
  let [pairs, at, mode, back] = [[], 0, "side", false];
  document.body.append(dialog);
  dialog.addEventListener("keydown", onKey);
  const layer = createLayer(() => dialog.close());
  dialog.addEventListener("close", () => {
    layer.closed();
    panes.forEach((pane) => pane.replaceChildren());
  });
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
    const words = [h("b", null, t("duplicates.keep")), t(pairs[at][0].kind === "look-alike" ? "duplicates.look_alike" : "duplicates.copy")];
    if (mode === "side") panes.forEach((pane, side) => pane.replaceChildren(picture(two[side]), h("figcaption", null, words[side], ` ${nameOf(two[side])}`)));
    else {
      panes[0].replaceChildren(...two.map(picture), h("figcaption", null));
      panes[1].replaceChildren();
    }
    label();
    if (keep) zoom.apply();
    else zoom.reset();
    const [group, index] = pairs[at];
    place.textContent = [t("viewer.place", { rank: at + 1, total: pairs.length }), t(`duplicates.${group.kind.replace(/\W/g, "_")}`),
      group.others.length > 1 && t("viewer.place", { rank: index + 2, total: group.others.length + 1 })].filter(Boolean).join(" · ");
    table(two, group);
  }

  function label() {
    if (mode === "side") return;
    const two = pair();
    const text = mode === "difference" ? t("compare.difference_help") : t("compare.flicker_help", { which: t(back ? "duplicates.copy" : "duplicates.keep"), name: nameOf(two[back ? 1 : 0]) });
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
      [t("fact.name"), nameOf],
      [t("fact.folder"), folder],
      [t("fact.dimensions"), (one) => `${one.width} × ${one.height}`],
      [t("fact.file_size"), (one) => t("fact.bytes", { size: size(one.bytes), n: one.bytes })],
      [t("condition.format"), (one) => one.format],
      [t("fact.taken"), (one) => (one.taken_at ? one.taken_at.replace("T", " ").slice(0, 19) : t("fact.not_known"))],
    ];
    const body = rows.map(([name, read]) => {
      const [a, b] = [read(keeper), read(other)];
      return h("tr", { class: a === b ? "" : "differs" }, h("th", { scope: "row" }, name), h("td", null, a), h("td", null, b, a === b && h("span", { class: "sr" }, ` (${t("compare.same")})`)));
    });
    const near = joined([typeof other.cosine === "number" && t("compare.cosine", { value: decimal(other.cosine, 3) }), typeof other.bits === "number" && t("compare.bits", { n: other.bits })].filter(Boolean));
    const how = near || (group.kind === "same bytes" ? t("compare.same_bytes") : "");
    const head = (text, one) => h("th", { scope: "col" }, text, h("button", { type: "button", "aria-label": t("compare.copy_path_of", { name: nameOf(one) }), onclick: () => copyPath(one) }, t("copy.path")));
    facts.replaceChildren(
      h("thead", null, h("tr", null, h("td"), head(t("duplicates.keep"), keeper), head(t(group.kind === "look-alike" ? "duplicates.look_alike" : "duplicates.copy"), other))),
      h("tbody", null, body, h("tr", null, h("th", { scope: "row" }, t("compare.likeness")), h("td", { colspan: 2 }, how))));
  }

  async function copyPath(one) {
    if (await copy(one.path)) toast(t("copy.path_done"), { detail: one.path });
  }

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const onButton = event.target.closest("button");
    const chosen = MODES.find(([, , key]) => key === event.key);
    if (chosen) setMode(chosen[0]);
    else if (event.key === " " && !onButton) flick();
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
      layer.opened();
      stage.tabIndex = -1;
      stage.focus();
    },
    close: () => dialog.open && dialog.close(),
  };
}
