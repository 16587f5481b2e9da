/** What is known of a picture, beside it. */

import { copy, count, h, size } from "./parts.js";
import { icon } from "./tiles.js";

const LIKELY = 12; // tags that the model believes in, as many as are read

/** @param {{state: any, api: any, toastError: any}} shared */
export function createDetails({ state, api, toastError }) {
  const element = h("aside", { class: "details", "aria-label": "Details of the picture", tabIndex: -1 });
  let turn = 0;

  async function show(hit) {
    const mine = ++turn;
    element.replaceChildren(...contents(hit));
    try {
      const all = await api.get(`/images/${hit.id}`);
      if (mine === turn) element.replaceChildren(...contents({ ...hit, ...all }));
    } catch (error) {
      if (mine === turn) toastError(error);
    }
  }

  function contents(picture) {
    const rows = facts(picture).filter(([, value]) => value).map(([label, value]) => h("div", null, h("dt", null, label), h("dd", null, value)));
    return [h("dl", { class: "facts" }, rows), ...words(picture), h("p", { class: "details-links" },
      h("a", { class: "button", href: api.file(picture.id), target: "_blank", rel: "noopener" }, icon("external"), "Open the original"),
      h("button", { type: "button", class: "button", onclick: event => copied(event.currentTarget, picture.path) }, icon("copy"), h("span", null, "Copy path")))];
  }

  async function copied(button, path) {
    const label = button.lastChild;
    label.textContent = (await copy(path)) ? "Copied" : "Not allowed here";
    setTimeout(() => (label.textContent = "Copy path"), 1500);
  }

  const filter = (patch, text, title) =>
    h("button", { type: "button", class: "link", title, onclick: () => state.update({ ...patch, open: "", view: "grid" }) }, text);

  function facts(picture) {
    const folder = picture.folder ?? (picture.path.slice(0, -picture.name.length - 1) || "/");
    const { latitude, longitude, width, height } = picture;
    return [
      ["Name", picture.name],
      ["Folder", filter({ under: [folder] }, folder, "Only pictures of this folder")],
      ["Taken", picture.taken_at && moment(picture.taken_at)],
      ["Camera", picture.camera && filter({ camera: [picture.camera] }, picture.camera, "Only pictures of this camera")],
      ["Lens", picture.lens && filter({ lens: [picture.lens] }, picture.lens, "Only pictures with this lens")],
      ["Exposure", exposure(picture)],
      ["Size", `${count(width)} × ${count(height)}${width * height > 5e5 ? ` · ${((width * height) / 1e6).toFixed(1)} megapixels` : ""}`],
      ["File", [picture.format, size(picture.bytes)].filter(Boolean).join(" · ")],
      ["On disk", { missing: "The file is missing", changed: "The file has changed since it was indexed" }[picture.on_disk]],
      ["Place", typeof latitude === "number" && typeof longitude === "number" && `${degrees(latitude, "N", "S")} ${degrees(longitude, "E", "W")}`],
      ["Score", typeof picture.score === "number" && picture.score.toFixed(3)],
    ];
  }

  function words(picture) {
    const { tags = [], predicted = [], captions = [] } = picture;
    const tag = (text, cls = "") => h("li", null, h("button", { type: "button", class: `tag ${cls}`, onclick: () => state.update({ tag: [text], open: "", view: "grid" }) }, text));
    const list = (title, items, cls) => items.length ? [h("h3", null, title), h("ul", { class: "tags" }, items.map(item => tag(item.tag, cls)))] : [];
    return [
      ...captions.map(one => h("p", { class: "caption" }, one.text)),
      ...list("Tags", tags, ""),
      ...list("The model sees", predicted.slice(0, LIKELY), "guess"),
    ];
  }

  return { element, show };
}

/** What the camera was set to, as photographers write it. */
function exposure({ exposure: time, aperture, iso, focal_length: length }) {
  const parts = [time && (time < 0.3 ? `1/${Math.round(1 / time)} s` : `${time} s`), aperture && `f/${aperture}`, iso && `ISO ${iso}`, length && `${length} mm`];
  return parts.filter(Boolean).join(" · ");
}

function moment(text) {
  const [, day, time] = text.match(/^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)/) ?? [];
  if (!day) return text;
  // As the camera wrote it: where the picture was taken it was that o'clock, wherever it is looked at.
  const date = new Date(`${day}T00:00:00Z`).toLocaleDateString(undefined, { dateStyle: "long", timeZone: "UTC" });
  return `${date}, ${time}`;
}

function degrees(value, positive, negative) {
  return `${Math.abs(value).toFixed(4)}° ${value < 0 ? negative : positive}`;
}
