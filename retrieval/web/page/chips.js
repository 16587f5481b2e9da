/** What is searched for beside the words, and the conditions, as chips that can be taken away one by one. */

import { h, size } from "./parts.js";
import { icon } from "./tiles.js";
import * as uploads from "./uploads.js";
import { inside, t } from "./words.js";

const PICTURES = ["like", "more", "less"];
const nameOf = path => path.replace(/[/\\]+$/, "").split(/[/\\]/).pop() || path;
const placeName = text => {
  const [lat, lon, far] = text.split(",");
  if (!Number.isFinite(Number(lat))) return t("chip.within", { place: text.replace(/,[^,]*$/, ""), far: text.replace(/^.*,/, "") });
  const place = `${Number(lat).toFixed(1)}°, ${Number(lon).toFixed(1)}°`;
  return far ? t("chip.within", { place, far }) : place;
};
const FILTER_WORDS = {
  under: value => [t("chip.in"), nameOf(value)],
  after: value => [t("chip.from"), value],
  before: value => [t("condition.before"), value],
  added_after: value => [t("chip.added_since"), value.slice(0, 10)],
  min_width: value => [t("chip.width_from"), t("pixels", { n: value })],
  min_height: value => [t("chip.height_from"), t("pixels", { n: value })],
  max_width: value => [t("chip.width_to"), t("pixels", { n: value })],
  max_height: value => [t("chip.height_to"), t("pixels", { n: value })],
  min_bytes: value => [t("chip.file_from"), /^\d+$/.test(value) ? size(Number(value)) : value],
  max_bytes: value => [t("chip.file_to"), /^\d+$/.test(value) ? size(Number(value)) : value],
  near: value => [t("condition.near"), placeName(value)],
  place: value => [t("chip.in"), value],
  country: value => [t("chip.in"), value],
  glob: value => [t("chip.path"), value],
  text: value => [t("chip.reads"), value],
  person: value => [t("condition.person"), /^\d+$/.test(value) ? t("people.group", { n: value }) : value],
  favourite: () => ["", t("filters.favourite")],
  hidden: () => ["", t("filters.hidden")],
  untagged: () => ["", t("filters.untagged")],
  undated: () => ["", t("days.undated")],
  unplaced: () => ["", t("chip.unplaced")],
};
const say = (name, value) => {
  const plain = name.replace(/^no_/, "");
  const [label, text] = FILTER_WORDS[plain]?.(value) ?? [t(`condition.${plain}`), value];
  return [name === plain ? label : t("chip.without", { label: inside(label) }), text];
};

/**
 * @param {HTMLElement} element
 * @param {{state: typeof import("./state.js"), api: any, results: any}} shared
 */
export function mount(element, { state, api, results }) {
  const names = new Map(); // id -> name, of pictures that are in no list any more
  const list = h("ul", { class: "chips", "aria-label": t("chips.label") });
  const clear = h("button", { type: "button", class: "chip-clear", onclick: reset }, t("clear_all"));
  element.append(list, clear);

  function reset() {
    state.update({ ...state.withoutFilters(), not: [], more: [], less: [], like: [], weaker: false, min_score: "", group_minutes: "" });
    document.getElementById("q").focus();
  }

  function chip(kind, label, text, off, picture) {
    const what = [label, text].filter(Boolean).join(" ");
    return h(
      "li", { class: `chip ${kind}` },
      picture,
      label && h("span", { class: "chip-label" }, label),
      h("span", { class: "chip-text", title: text, dir: "auto" }, text),
      h("button", { type: "button", class: "chip-off", "aria-label": t("chip.remove", { what }), onclick: off }, icon("close")),
    );
  }

  function pictureChip(field, label, id) {
    const known = results.hit(id);
    const isUpload = id.startsWith("u");
    if (known) names.set(id, known.name);
    else if (!isUpload && !names.has(id)) lookUp(id);
    const source = isUpload ? uploads.preview(id) : api.thumbnail(known ?? { id }, 240);
    const picture = source ? h("img", { src: source, alt: "" }) : h("span", { class: "chip-blank" }, icon("picture"));
    const text = isUpload ? uploads.nameOf(id) : names.get(id) || t("chip.picture", { id });
    return chip(field, label, text, () => without(field, id), picture);
  }

  async function lookUp(id) {
    names.set(id, "");
    try {
      names.set(id, (await api.get(`/images/${encodeURIComponent(id)}`)).name);
      draw();
    } catch {
      // The search says what is wrong with it; here it keeps its number.
    }
  }

  function without(field, value) {
    const before = state.get()[field];
    const button = document.activeElement;
    const place = [...element.querySelectorAll(".chip-off")].indexOf(button);
    const empty = Array.isArray(before) ? before.filter(one => one !== value) : typeof before === "boolean" ? false : "";
    state.update({ [field]: empty });
    // The next chip gets the focus of the one that went, so that several can be removed without the mouse.
    const left = element.querySelectorAll(".chip-off");
    if (place >= 0) (left[Math.min(place, left.length - 1)] ?? document.getElementById("q")).focus();
  }

  function draw() {
    const now = state.get();
    const chips = [];
    for (const field of PICTURES) for (const id of now[field]) chips.push(pictureChip(field, t(`chip.${field}`), id));
    for (const word of now.not) chips.push(chip("less", t("chip.not"), word, () => without("not", word)));
    for (const name of state.FILTERS) {
      const values = Array.isArray(now[name]) ? now[name] : now[name] ? [now[name]] : [];
      for (const value of values) chips.push(chip("filter", ...say(name, String(value)), () => without(name, value)));
    }
    if (now.min_score) chips.push(chip("filter", t("chip.score_from"), now.min_score, () => without("min_score")));
    list.replaceChildren(...chips);
    clear.hidden = chips.length < 2;
    element.hidden = !chips.length || now.view !== "grid";
  }

  state.subscribe(draw);
  uploads.watch(draw);
  draw();
}
