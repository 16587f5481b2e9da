/** What is known of a picture, beside it. */

import { fieldsOf } from "./editfields.js";
import { mayEdit } from "./edits.js";
import { styled } from "./lazily.js";
import { clock, copy, count, h, size } from "./parts.js";
import { icon } from "./tiles.js";
import { date, decimal, t } from "./words.js";

const LIKELY = 12; // tags that the model believes in, as many as are read

/** @param {{state: any, api: any, toastError: any, words: () => string[], places: any}} shared words whose places are marked */
export function createDetails({ state, api, toastError, words: asked, places }) {
  const element = h("aside", { class: "details", "aria-label": t("details.label"), tabIndex: -1 });
  let turn = 0, shown = null;

  // What was said here or elsewhere since is shown, unless somebody is writing.
  for (const name of ["labels-changed", "gallery-changed"]) {
    addEventListener(name, () => shown && element.checkVisibility() && !element.querySelector("textarea:focus, input:focus") && show(shown));
  }

  async function show(hit) {
    const mine = ++turn;
    shown = hit;
    styled("edits.css");
    if (element.dataset.id !== String(hit.id)) element.replaceChildren(...contents(hit));
    element.dataset.id = String(hit.id);
    try {
      const all = await api.get(`/images/${hit.id}`, { params: new URLSearchParams(asked().map(word => ["words", word])) });
      if (mine !== turn) return;
      places.show(all);
      if (element.querySelector(":is(textarea, input[type=text]):focus")?.value) return; // what is being written stays
      const at = element.scrollTop, focused = element.contains(document.activeElement) && nameOf(document.activeElement);
      element.replaceChildren(...contents({ ...hit, ...all }));
      element.scrollTop = at;
      if (focused) [...element.querySelectorAll("button, input, textarea, a")].find(one => nameOf(one) === focused)?.focus({ preventScroll: true });
    } catch (error) {
      if (mine === turn) toastError(error);
    }
  }

  function contents(picture) {
    const rows = facts(picture).filter(([, value]) => value).map(([label, value]) => h("div", null, h("dt", null, label), h("dd", { dir: "auto" }, value)));
    return [h("dl", { class: "facts" }, rows), ...words(picture), ...readable(picture), h("p", { class: "details-links" },
      h("a", { class: "button", href: api.file(picture.id), target: "_blank", rel: "noopener" }, icon("external"), t("details.open")),
      h("button", { type: "button", class: "button", onclick: event => copied(event.currentTarget, picture.path) }, icon("copy"), h("span", null, t("copy.path"))))];
  }

  async function copied(button, text) {
    const label = button.lastChild, before = label.textContent;
    label.textContent = (await copy(text)) ? t("copy.done") : t("copy.not_here");
    setTimeout(() => (label.textContent = before), 1500);
  }

  /** The words in the picture: to read, to copy, and to be shown where they stand. */
  function readable({ text }) {
    if (!text?.lines.length) return [];
    const all = text.lines.map(line => line.text).join("\n");
    const where = h("input", { type: "checkbox", checked: places.isOn(), onchange: () => places.turn(where.checked) });
    return [
      h("h3", null, t("details.words")),
      h("div", { class: "words-in" }, text.lines.map(line => h("p", { class: line.marks.length && "marked", dir: "auto" }, line.text))),
      h("p", { class: "details-links" },
        h("label", null, where, ` ${t("details.show_where")}`),
        h("button", { type: "button", class: "button", onclick: event => copied(event.currentTarget, all) }, icon("copy"), h("span", null, t("details.copy_words")))),
    ];
  }

  const filter = (patch, text, title) =>
    h("button", { type: "button", class: "link", title, onclick: () => state.update({ ...patch, open: "", view: "grid" }) }, text);

  function facts(picture) {
    const folder = picture.folder ?? (picture.path.slice(0, -picture.name.length - 1) || "/");
    const { latitude, longitude, width, height } = picture;
    return [
      [t("fact.name"), picture.name],
      [t("fact.folder"), filter({ under: [folder] }, folder, t("details.only_folder"))],
      [t("fact.taken"), picture.taken_at && moment(picture.taken_at)],
      [t("condition.camera"), picture.camera && filter({ camera: [picture.camera] }, picture.camera, t("details.only_camera"))],
      [t("condition.lens"), picture.lens && filter({ lens: [picture.lens] }, picture.lens, t("details.only_lens"))],
      ...settings(picture),
      [t("fact.dimensions"), [`${count(width)} × ${count(height)}`, width * height > 5e5 && t("fact.megapixels", { n: decimal((width * height) / 1e6, 1) })].filter(Boolean).join(" · ")],
      [t("fact.length"), typeof picture.duration_s === "number" && clock(picture.duration_s)],
      [t("fact.motion"), { inside: t("fact.motion_inside"), beside: t("fact.motion_beside") }[picture.motion]],
      [t("fact.file"), [picture.format, size(picture.bytes)].filter(Boolean).join(" · ")],
      [t("fact.path"), picture.path],
      [t("fact.modified"), picture.modified_at && moment(picture.modified_at)],
      [t("fact.same_shot"), picture.mates?.length && picture.mates.map(mate => h("a", { href: api.file(mate.id), download: mate.name }, mate.name))],
      [t("fact.on_disk"), { missing: t("fact.missing"), changed: t("fact.changed") }[picture.on_disk]],
      [t("condition.place"), picture.place && filter({ place: [picture.place] }, picture.place, t("details.only_place"))],
      [t("fact.coordinates"), typeof latitude === "number" && typeof longitude === "number" && `${degrees(latitude, "north", "south")} ${degrees(longitude, "east", "west")}`],
      [t("fact.score"), typeof picture.score === "number" && decimal(picture.score, 3)],
    ];
  }

  const find = (text) => state.update({ tag: [text], open: "", view: "grid" });

  function words(picture) {
    const { tags = [], predicted = [], captions = [] } = picture;
    const isEdited = mayEdit() && Boolean(picture.albums); // not before all of it is known
    const tag = (text, cls = "") => h("li", null, h("button", { type: "button", class: `tag ${cls}`, dir: "auto", onclick: () => find(text) }, text));
    const list = (title, items, cls) => items.length ? [h("h3", null, title), h("ul", { class: "tags" }, items.map(item => tag(item.tag, cls)))] : [];
    if (isEdited) return [fieldsOf(api, picture, find), ...list(t("details.predicted"), predicted.slice(0, LIKELY), "guess")];
    return [
      ...captions.map(one => h("p", { class: "caption", dir: "auto" }, one.text)),
      ...list(t("details.tags"), tags, ""),
      ...list(t("details.predicted"), predicted.slice(0, LIKELY), "guess"),
    ];
  }

  return { element, show };
}

/** By what a control is found again after it was made anew. @param {Element} control */
const nameOf = control => control.getAttribute("aria-label") ?? control.textContent;

/** What the camera was set to, as photographers write it; one row each. */
function settings({ exposure: time, aperture, iso, focal_length: length }) {
  return [
    [t("fact.aperture"), aperture && `f/${Number(aperture.toFixed(1))}`],
    [t("fact.exposure"), time && (time < 0.3 ? `1/${Math.round(1 / time)} s` : `${Number(time.toFixed(1))} s`)],
    [t("fact.iso"), iso && String(iso)],
    [t("fact.focal_length"), length && `${Number(length.toFixed(1))} mm`],
  ];
}

function moment(text) {
  const [, day, time] = text.match(/^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)/) ?? [];
  if (!day) return text;
  // As the camera wrote it: where the picture was taken it was that o'clock, wherever it is looked at.
  const at = new Date(`${day}T00:00:00Z`);
  return `${date(at, { dateStyle: "long", timeZone: "UTC" })}, ${time}`;
}

function degrees(value, positive, negative) {
  return `${decimal(Math.abs(value), 4)}° ${t(`direction.${value < 0 ? negative : positive}`)}`;
}
