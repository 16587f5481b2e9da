// Fields in which stars, tags, captions and albums are changed in place: of one picture, or of all that are selected.

import { rate, set } from "./editkeys.js";
import { fill, label, once } from "./edits.js";
import { h } from "./parts.js";
import { icon } from "./tiles.js";
import { t } from "./words.js";

const SUGGESTED = 200; // tags and albums that are offered while one is typed
const lists = new Map(); // "tags" | "albums" | "people" -> datalist, shared by all fields

/** Whether two names are one to the gallery. @param {string} a @param {string} b */
export const sameName = (a, b) => a.normalize("NFC").toLowerCase() === b.normalize("NFC").toLowerCase();

/** The tags, albums or persons there are, to complete what is typed. @param {any} api @param {"tags"|"albums"|"people"} what */
export function known(api, what) {
  let list = lists.get(what);
  if (!list) {
    lists.set(what, (list = h("datalist", { id: `known-${what}` })));
    document.body.append(list);
  }
  const names = { tags: answer => answer.tags.map(({ tag }) => tag), albums: answer => answer.albums.filter(({ kind }) => kind === "pictures").map(({ name }) => name),
    people: answer => answer.people.map(({ name }) => name).filter(Boolean) };
  api.get(`/${what}`).then(answer => list.replaceChildren(...names[what](answer).slice(0, SUGGESTED).map(value => h("option", { value }))), () => {});
  return list.id;
}

/** Escape leaves a field, not the picture or the selection around it. @param {KeyboardEvent} event */
function leave(event) {
  if (event.key !== "Escape") return;
  const field = /** @type {HTMLInputElement} */ (event.currentTarget);
  event.preventDefault();
  event.stopPropagation();
  field.value = "";
  field.closest("[tabindex='-1']")?.focus();
}

/** A field that is sent by Enter. */
function line(api, what, text, run) {
  const field = h("input", { type: "text", maxlength: 200, class: "edit-line", placeholder: text, "aria-label": text, list: `known-${what}`, autocomplete: "off", autocapitalize: "off", dir: "auto", onfocus: () => known(api, what), onkeydown: leave });
  return h("form", { class: "edit-form", onsubmit: event => {
    event.preventDefault();
    const value = field.value.trim();
    if (value) run(value).then(ok => ok && (field.value = ""));
  } }, field, h("button", { type: "submit", class: "plain", "aria-label": text, title: text }, icon("plus")));
}

/** @param {(string|number)[]} ids */
const tag = (ids, name) => label(ids, { tags: [name] }, n => t("edit.tagged", { n, name }));
const untag = (ids, name) => label(ids, { without_tags: [name] }, n => t("edit.untagged", { n, name }));

/** Put pictures into the album of this name, which is made if there is none. */
async function collect(api, ids, name) {
  const { albums } = await api.get("/albums");
  const album = albums.find(each => each.name.toLowerCase() === name.toLowerCase());
  if (album) return fill(album, "add", ids);
  const made = await once(() => api.post("/albums", { name, ids: ids.map(Number) }), answer => t("album.made", { name: answer.name }));
  return Boolean(made);
}

/** Five stars and "reject" as buttons. @param {(string|number)[]} ids @param {number|null} now */
function stars(ids, now) {
  const star = value => h("button", { type: "button", class: `star ${now !== null && value <= now ? "on" : ""}`, "aria-pressed": String(now === value), "aria-label": t("label.stars", { n: value }),
    title: `${t("label.stars", { n: value })} (${value})`, onclick: () => rate(ids, now === value ? 0 : value) }, "★");
  return h("div", { class: "stars", role: "group", "aria-label": t("label.rating") }, [1, 2, 3, 4, 5].map(star),
    h("button", { type: "button", class: "button reject", "aria-pressed": String(now === -1), title: `${t("label.reject")} (X)`, onclick: () => rate(ids, now === -1 ? 0 : -1) }, t("label.reject")));
}

const KEYS = { favourite: "b", hidden: "h" }; // as in editkeys.js

const switches = (ids, picture) => h("div", { class: "edit-switches" },
  Object.keys(KEYS).map(field => {
    const on = Boolean(picture?.[field]);
    const text = t(field === "favourite" ? "label.favourite" : on ? "label.unhide" : "label.hide");
    return h("button", { type: "button", class: "button", "aria-pressed": String(on), title: `${text} (${KEYS[field]})`, onclick: () => set(ids, field, !on) }, text);
  }));

/**
 * The fields of one picture, with what is said about it now.
 * @param {any} api @param {any} picture as GET /images/{id} tells it @param {(tag: string) => void} find pictures with a tag
 */
export function fieldsOf(api, picture, find) {
  const ids = [picture.id];
  const own = picture.captions.find(({ source }) => source !== "xmp")?.text ?? "";
  const caption = h("textarea", { class: "edit-caption", rows: 2, maxlength: 5000, placeholder: t("label.caption_hint"), "aria-label": t("label.caption"), dir: "auto", value: own });
  const save = () => {
    const text = caption.value.trim();
    if (text === own) return;
    label(ids, text ? { caption: text } : { without_caption: true }, () => t(text ? "edit.captioned" : "edit.uncaptioned"));
  };
  caption.addEventListener("change", save);
  caption.addEventListener("keydown", event => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) save();
    if (event.key === "Escape") {
      caption.value = own;
      caption.blur();
      event.preventDefault();
      event.stopPropagation();
    }
  });
  const names = new Map();
  for (const { tag: name, source } of picture.tags) names.set(name, names.get(name) === "user" ? "user" : source);
  const chips = [...names].map(([name, source]) => h("li", { class: "edit-tag" },
    h("button", { type: "button", class: "tag", dir: "auto", onclick: () => find(name) }, name),
    source === "xmp" ? h("span", { class: "soft" }, t("label.from_other"))
      : h("button", { type: "button", class: "edit-off", "aria-label": t("label.remove_tag", { name }), onclick: () => untag(ids, name) }, icon("close"))));
  return h("section", { class: "edit-fields" },
    stars(ids, picture.rating), switches(ids, picture),
    h("h3", null, t("label.caption")), caption,
    ...picture.captions.filter(({ source }) => source === "xmp").map(({ text }) => h("p", { class: "caption", dir: "auto" }, text)),
    h("h3", null, t("label.tags")), chips.length ? h("ul", { class: "tags" }, chips) : "", line(api, "tags", t("label.add_tag"), name => tag(ids, name)),
    h("h3", null, t("label.albums")), picture.albums.length ? h("p", { class: "soft", dir: "auto" }, picture.albums.join(", ")) : "",
    line(api, "albums", t("label.add_album"), name => collect(api, ids, name)));
}

/** The fields of a selection. @param {any} api @param {() => string[]} selected @param {any} state */
export function fieldsOfMany(api, selected, state) {
  const body = h("div", { class: "edit-fields" });
  const draw = () => {
    const ids = selected();
    const inAlbum = state.get().album;
    body.replaceChildren(stars(ids, null), switches(ids, null),
      line(api, "tags", t("label.add_tag"), name => tag(selected(), name)),
      line(api, "albums", t("label.add_album"), name => collect(api, selected(), name)),
      ...inAlbum.map(name => h("button", { type: "button", class: "button", onclick: () => takeOut(api, selected(), name) }, t("album.take_out", { name }))));
  };
  draw();
  return { element: body, draw };
}

async function takeOut(api, ids, name) {
  const { albums } = await api.get("/albums");
  const album = albums.find(each => each.name.toLowerCase() === name.toLowerCase());
  if (album) fill(album, "remove", ids);
}
