// The people in the pictures: those with a name, then groups of faces without one. Named in place, merged and hidden.

import { known, sameName } from "./editfields.js";
import { mayEdit, once } from "./edits.js";
import { h } from "./parts.js";
import { icon } from "./tiles.js";
import { t } from "./words.js";

const MOST = 1000;

/**
 * @param {HTMLElement} element
 * @param {{state: any, api: any}} page
 */
export function createPeople(element, { state, api }) {
  const lead = h("p", { class: "panel-lead", "aria-live": "polite" });
  const alsoHidden = h("input", { type: "checkbox", onchange: () => load() });
  const named = h("ul", { class: "people" }), unnamed = h("ul", { class: "people" });
  const heading = h("h2", { class: "people-heading" }, t("people.unnamed"));
  const told = h("span", { "aria-live": "polite" });
  const merge = h("button", { type: "button", class: "button", onclick: mergePicked }, t("people.merge"));
  const hide = h("button", { type: "button", class: "button", onclick: () => setHidden(picked(), true) }, t("people.hide"));
  const bar = h("div", { class: "people-bar", role: "toolbar", "aria-label": t("selection.label"), hidden: true }, told, merge, hide,
    h("button", { type: "button", class: "button", onclick: () => pick([]) }, t("selection.clear")));
  element.append(h("div", { class: "panel" },
    h("header", { class: "panel-head" }, h("h1", null, t("views.people")), h("label", { class: "check" }, alsoHidden, h("span", null, t("people.also_hidden")))),
    lead, bar, named, heading, unnamed));
  let [people, loaded, turn] = [[], false, 0];
  const chosen = new Set();

  async function load() {
    loaded = true;
    const mine = ++turn;
    try {
      const answer = await api.get("/people", { params: { hidden: alsoHidden.checked, most: MOST } });
      if (mine !== turn) return;
      people = answer.people;
      lead.textContent = people.length ? t("people.lead") : t(answer.looks_for_faces ? "people.none_yet" : "people.none");
      if (answer.total > people.length) lead.append(` (${t("and_more", { n: answer.total - people.length })})`);
      draw();
    } catch (error) {
      loaded = false;
      lead.textContent = error.title ?? String(error);
    }
  }

  /** What has the focus, or is being typed, stays where it is. */
  function draw() {
    const active = document.activeElement?.closest?.(".person"), part = document.activeElement?.dataset?.part;
    const writing = active && element.contains(active) && part === "name" ? active : null;
    const item = person => (writing?.dataset.id === String(person.id) ? writing : card(person));
    const some = people.filter(({ name }) => name), others = people.filter(({ name }) => !name);
    named.replaceChildren(...some.map(item));
    unnamed.replaceChildren(...others.map(item));
    named.hidden = !some.length;
    heading.hidden = !others.length;
    if (writing) writing.querySelector("[data-part=name]")?.focus();
    else if (active && part) element.querySelector(`.person[data-id="${active.dataset.id}"] [data-part="${part}"]`)?.focus();
    pick([...chosen]);
  }

  const called = person => person.name ?? t("people.group", { n: person.id });
  const open = person => ({ ...state.withoutFilters(), person: [person.name ?? String(person.id)], q: "", not: [], more: [], less: [], like: [], weaker: false, view: "grid", open: "" });

  function card(person) {
    const link = h("a", { class: "person-link", href: state.link(open(person)), "data-part": "link", onclick: event => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      state.update(open(person));
    } },
      h("span", { class: "person-face" }, person.portrait ? h("img", { src: person.portrait, alt: "", loading: "lazy" }) : icon("picture")),
      h("span", { class: person.name ? "person-name" : "sr", dir: "auto" }, called(person)),
      h("span", { class: "soft" }, t("count.pictures", { n: person.pictures })));
    const item = h("li", { class: `person ${person.hidden ? "is-hidden" : ""}`, "data-id": person.id }, link);
    if (!mayEdit()) return item;
    item.append(h("input", { type: "checkbox", class: "person-pick", checked: chosen.has(person.id), "data-part": "pick", "aria-label": t("people.select", { name: called(person) }), onchange: event => {
      if (event.target.checked) chosen.add(person.id);
      else chosen.delete(person.id);
      pick([...chosen]);
    } }));
    if (person.name) item.append(h("button", { type: "button", class: "link person-rename", "data-part": "rename", onclick: event => rename(event.currentTarget, person) }, t("album.rename")));
    else item.append(nameForm(person));
    if (person.hidden) item.append(h("button", { type: "button", class: "button", "data-part": "show", onclick: () => setHidden([person], false) }, t("people.show")));
    return item;
  }

  function nameForm(person, done = () => {}) {
    const label = person.name ? t("album.rename_to", { name: person.name }) : t("people.who");
    const field = h("input", { type: "text", maxlength: 200, class: "edit-line", "data-part": "name", value: person.name ?? "", placeholder: t("people.name"), "aria-label": label, list: "known-people", autocomplete: "off", dir: "auto",
      onfocus: () => known(api, "people"), onkeydown: event => event.key === "Escape" && done() });
    return h("form", { class: "edit-form", onsubmit: async event => {
      event.preventDefault();
      const name = field.value.trim();
      if (!name) return field.focus();
      field.blur(); // what it says is sent: the list is drawn anew
      if (await call(person, name)) load();
      else field.focus();
    } }, field, h("button", { type: "submit", class: "plain", "aria-label": t("label.save"), title: t("label.save") }, icon("check")));
  }

  /** A name that somebody has by now says that both are one person. */
  function call(person, name) {
    const other = people.find(each => each.id !== person.id && each.name && sameName(each.name, name));
    if (other) return once(() => api.post(`/people/${other.id}/merge`, { others: [person.id] }), () => t("people.merged", { name: other.name }));
    return once(() => api.patch(`/people/${person.id}`, { name }), answer => t("people.named", { name: answer.name }));
  }

  function rename(button, person) {
    const form = nameForm(person, () => {
      form.replaceWith(button);
      button.focus();
    });
    button.replaceWith(form);
    form.querySelector("input").select();
  }

  const picked = () => people.filter(({ id }) => chosen.has(id));

  function pick(ids) {
    const there = new Set(people.map(({ id }) => id));
    chosen.clear();
    for (const id of ids) if (there.has(id)) chosen.add(id);
    for (const item of element.querySelectorAll(".person")) item.classList.toggle("picked", chosen.has(Number(item.dataset.id)));
    for (const box of element.querySelectorAll(".person-pick")) box.checked = chosen.has(Number(box.parentElement.dataset.id));
    bar.hidden = !chosen.size;
    merge.disabled = chosen.size < 2;
    told.textContent = t("selection.count", { n: chosen.size, count: chosen.size });
  }

  /** All become the first of them, which is one with a name if there is one. */
  async function mergePicked() {
    const [first, ...others] = picked();
    if (!(await once(() => api.post(`/people/${first.id}/merge`, { others: others.map(({ id }) => id) }), () => t("people.merged", { name: called(first) })))) return;
    pick([]);
    load();
  }

  async function setHidden(persons, hidden) {
    const ask = async () => {
      const undo = [];
      for (const { id } of persons) undo.push((await api.patch(`/people/${id}`, { hidden })).undo);
      return { undo: undo.filter(Boolean) };
    };
    if (!(await once(ask, () => t(hidden ? "people.hid" : "people.shown", { n: persons.length })))) return;
    pick([]);
    load();
  }

  const visit = () => state.get().view === "people" && !loaded && load();
  state.subscribe((_now, changed) => changed.has("view") && visit());
  for (const name of ["gallery-changed", "labels-changed"]) addEventListener(name, () => ((loaded = false), visit()));
  visit();
}
