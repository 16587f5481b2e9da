// The albums: what is in each, opened by a click; made, renamed and deleted here, filled from a selection.

import { mayEdit, once } from "./edits.js";
import { h } from "./parts.js";
import { icon } from "./tiles.js";
import { t } from "./words.js";

/**
 * @param {HTMLElement} element
 * @param {{state: any, api: any}} page
 */
export function createAlbums(element, { state, api }) {
  const lead = h("p", { class: "panel-lead", "aria-live": "polite" });
  const cards = h("ul", { class: "albums" });
  const name = h("input", { type: "text", maxlength: 200, class: "edit-line", placeholder: t("album.name"), "aria-label": t("album.name"), dir: "auto" });
  const make = h("form", { class: "edit-form", hidden: !mayEdit(), onsubmit: create }, name, h("button", { type: "submit", class: "button" }, icon("plus"), t("album.new")));
  element.append(h("div", { class: "panel" }, h("header", { class: "panel-head" }, h("h1", null, t("views.albums")), make), lead, cards));
  let loaded = false;

  async function load() {
    loaded = true;
    try {
      const { albums } = await api.get("/albums");
      lead.textContent = albums.length ? t("album.lead", { n: albums.length }) : t("album.none");
      cards.replaceChildren(...albums.map(card));
    } catch (error) {
      loaded = false;
      lead.textContent = error.title ?? String(error);
    }
  }

  async function create(event) {
    event.preventDefault();
    if (!name.value.trim()) return name.focus();
    const made = await once(() => api.post("/albums", { name: name.value }), answer => t("album.made", { name: answer.name }));
    if (!made) return;
    name.value = "";
    load();
  }

  const open = album => ({ ...state.withoutFilters(), album: [album.name], q: "", not: [], more: [], less: [], like: [], relevant: false, view: "grid", open: "" });

  function card(album) {
    const cover = album.cover_id ? h("img", { src: api.thumbnail({ id: album.cover_id }, 480), alt: "", loading: "lazy" }) : icon(album.kind === "search" ? "search" : "picture");
    const link = h("a", { class: "album-link", href: state.link(open(album)), onclick: event => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      state.update(open(album));
    } }, h("span", { class: "album-cover" }, cover), h("span", { class: "album-name", dir: "auto" }, album.name),
      h("span", { class: "soft" }, album.kind === "search" ? t("album.search") : t("count.pictures", { n: album.pictures })));
    const item = h("li", { class: "album" }, link);
    if (mayEdit()) item.append(h("div", { class: "album-acts" },
      h("button", { type: "button", class: "button", onclick: () => rename(item, album) }, t("album.rename")),
      h("button", { type: "button", class: "button", onclick: () => remove(album) }, icon("trash"), t("album.delete"))));
    return item;
  }

  function rename(item, album) {
    const field = h("input", { type: "text", maxlength: 200, class: "edit-line", value: album.name, "aria-label": t("album.rename_to", { name: album.name }), dir: "auto", onkeydown: event => event.key === "Escape" && load() });
    const form = h("form", { class: "edit-form", onsubmit: async event => {
      event.preventDefault();
      if (await once(() => api.patch(`/albums/${album.id}`, { name: field.value }), answer => t("album.renamed", { name: answer.name }))) load();
    } }, field, h("button", { type: "submit", class: "button" }, t("label.save")));
    item.lastElementChild.replaceWith(form);
    field.select();
  }

  async function remove(album) {
    if (await once(() => api.remove(`/albums/${album.id}`), answer => t("album.deleted", { name: answer.name }))) load();
  }

  const visit = () => state.get().view === "albums" && !loaded && load();
  state.subscribe((_now, changed) => changed.has("view") && visit());
  for (const name of ["gallery-changed", "labels-changed"]) addEventListener(name, () => ((loaded = false), visit()));
  visit();
}
