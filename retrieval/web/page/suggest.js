/**
 * What the search box offers below it: recent searches of this browser, values that the gallery really has, the words
 * of the query language, and keeping the search as an album. A combobox with a list, as ARIA has it: the focus stays in
 * the box, and the keys lead through the options.
 */

import { once, mayEdit } from "./edits.js";
import { count, h } from "./parts.js";
import * as recent from "./recent.js";
import { icon } from "./tiles.js";
import { inside, t } from "./words.js";

const PAUSE = 60; // ms without a key
const OPERATORS = { tag: "tag:", place: "place:", person: "person:", name: "name:", not: "-", weight: "2:" };
const ICONS = { person: "picture", place: "pin", album: "folder", search: "search", tag: "tag", camera: "camera", name: "picture" };
const RECENT = 5; // shown at once
const FEW = 2; // recent ones beside what is typed

/**
 * @param {HTMLInputElement} box
 * @param {{state: typeof import("./state.js"), api: any, commit: (patch: any) => void, leave: () => void}} shared
 *   commit: searches for other words and conditions; leave: goes on to the pictures
 */
export function createSuggestions(box, { state, api, commit, leave }) {
  const list = h("div", { id: "suggestions", role: "listbox", "aria-label": t("suggest.label") });
  const panel = h("div", { class: "suggest", hidden: true }, list);
  box.parentElement.append(panel);
  for (const [name, value] of Object.entries({ role: "combobox", "aria-controls": "suggestions", "aria-expanded": "false", "aria-autocomplete": "list", "aria-haspopup": "listbox" })) box.setAttribute(name, value);
  let options = []; // {element, run}
  let [active, timer, asking, found, asked] = [-1, 0, null, [], ""]; // found: for the text that was asked

  const isOpen = () => !panel.hidden;
  const typed = () => box.value.slice(0, box.selectionStart ?? box.value.length);

  function close() {
    clearTimeout(timer);
    asking?.abort();
    panel.hidden = true;
    box.setAttribute("aria-expanded", "false");
    point(-1);
  }

  function point(at) {
    options[active]?.element.setAttribute("aria-selected", "false");
    active = at;
    const now = options[active]?.element;
    now?.setAttribute("aria-selected", "true");
    now?.scrollIntoView({ block: "nearest" });
    if (now) box.setAttribute("aria-activedescendant", now.id);
    else box.removeAttribute("aria-activedescendant");
  }

  function option(run, name, ...content) {
    const element = h("div", { role: "option", id: `suggestion-${options.length}`, class: `suggestion ${name}`, "aria-selected": "false", onclick: run, onpointermove: () => point(options.findIndex((one) => one.element === element)) }, content);
    options.push({ element, run });
    return element;
  }

  const row = (run, symbol, text, more = "", number = null) =>
    option(run, "", icon(symbol), h("span", { class: "suggest-text", dir: "auto" }, text), more && h("span", { class: "suggest-more", dir: "auto" }, more), number !== null && h("span", { class: "suggest-count" }, count(number)));

  function suggestion({ kind, field, value, text, around, count: number }, from) {
    const what = kind === "search" ? t("album.search") : t(`condition.${kind}`);
    const told = field.startsWith("no_") ? t("chip.without", { label: inside(what) }) : what;
    return row(() => take(from, { [field]: [...state.get()[field], value] }), ICONS[kind], text, [told, around].filter(Boolean).join(" · "), number);
  }

  /** Chosen for what is typed from there on, however much has been typed since; it goes away for the choice. */
  function take(from, patch) {
    const before = typed();
    const words = before.slice(0, from) + box.value.slice(before.length);
    commit({ q: words.trim(), ...patch });
    close();
  }

  function again(query) {
    const { sort: _sort, view: _view, open: _open, ...asked } = state.parse(query);
    commit(asked);
    close();
  }

  function write(operator) {
    const before = typed();
    const begin = before && !/\s$/.test(before) ? `${before} ` : before;
    box.value = begin + operator + box.value.slice(before.length);
    box.setSelectionRange(begin.length + operator.length, begin.length + operator.length);
    ask();
  }

  /** Where the last characters of what was asked begin; the server counts them as Unicode does, unlike strings here. */
  const beginOf = (characters) => [...asked].slice(0, [...asked].length - characters).join("").length;

  function draw() {
    const text = typed();
    const away = /(?:^|\s)-(\S+)$/.exec(text);
    const chosen = options[active]?.element.textContent; // stays chosen if the answer to the last key comes after the arrow
    options = [];
    const past = recent.matching(text.trim()).slice(0, text.trim() ? FEW : RECENT);
    const content = [];
    const values = found.map((one) => suggestion(one, beginOf(one.replaces)));
    const earlier = past.map(({ q, query, more }) => row(() => again(query), "again", q, more ? t("filters.conditions", { n: more }) : t("suggest.recent")));
    content.push(...(text.trim() ? [values, earlier] : [earlier, values]));
    if (away && !away[1].includes(":")) content.push(row(() => take(text.length - away[0].trimStart().length, { not: [...state.get().not, away[1]] }), "minus", t("suggest.not", { text: away[1] })));
    if (!text.trim() || text.endsWith(" ")) content.push(h("div", { class: "suggest-operators", role: "presentation" }, Object.entries(OPERATORS).map(([name, operator]) => option(() => write(operator), "operator", h("code", null, operator), h("span", null, t(`suggest.operator_${name}`))))));
    if (canBeKept()) content.push(row(keep, "plus", t("suggest.save")));
    if (past.length && !text.trim()) content.push(row(forget, "trash", t("suggest.clear_recent")));
    list.replaceChildren(...content.flat());
    panel.replaceChildren(list);
    panel.hidden = !options.length;
    box.setAttribute("aria-expanded", String(isOpen()));
    point(chosen ? options.findIndex((one) => one.element.textContent === chosen) : -1);
  }

  async function ask() {
    asking?.abort();
    asking = new AbortController();
    const { signal } = asking;
    const text = typed();
    try {
      [found, asked] = [(await api.get("/suggest", { params: { q: text, most: text.trim() ? 8 : 6 }, signal })).suggestions, text];
    } catch {
      if (signal.aborted) return;
      found = []; // the search itself says what is wrong
    }
    if (!signal.aborted && document.activeElement === box) draw();
  }

  function soon() {
    point(-1);
    clearTimeout(timer);
    timer = setTimeout(ask, PAUSE);
  }

  function forget() {
    recent.clear();
    draw();
  }

  function canBeKept() {
    const now = state.get();
    return mayEdit() && (now.q || now.like.length || state.isFiltered()) && !now.more.length && !now.less.length && !now.like.some((id) => id.startsWith("u"));
  }

  /** The options give way to a field for the album's name. */
  function keep() {
    const name = h("input", { type: "text", maxlength: 200, "aria-label": t("suggest.save_name"), placeholder: t("suggest.save_name"), dir: "auto", value: state.get().q });
    const save = async () => {
      if (!name.value.trim()) return name.focus();
      const search = state.toBody();
      const made = await once(() => api.post("/albums", { name: name.value, search }), (answer) => t("album.made", { name: answer.name }));
      if (!made) return;
      close();
      box.focus();
    };
    const group = h("div", { class: "suggest-save", role: "group", "aria-label": t("suggest.save") }, name, h("button", { type: "button", class: "button primary", onclick: save }, t("label.save")));
    group.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target === name) {
        event.preventDefault(); // the box around it would search
        save();
      } else if (event.key === "Escape") {
        event.stopPropagation();
        close();
        box.focus();
      }
    });
    panel.replaceChildren(group);
    point(-1);
    name.select();
  }

  panel.addEventListener("pointerdown", (event) => event.target.closest(".suggest-save") || event.preventDefault()); // the focus stays in the box
  box.parentElement.addEventListener("focusout", (event) => box.parentElement.contains(event.relatedTarget) || close());
  box.addEventListener("input", soon);
  box.addEventListener("click", () => isOpen() || ask());

  return {
    close,
    ask,
    /** What a key means to the options. @param {KeyboardEvent} event @returns {boolean} whether it meant anything */
    key(event) {
      if (event.isComposing) return false;
      if (event.key === "ArrowDown" && event.altKey) ask();
      else if (!isOpen()) return false;
      else if (event.key === "ArrowDown") {
        if (active < options.length - 1) point(active + 1);
        else leave();
      } else if (event.key === "ArrowUp") point(active > -1 ? active - 1 : options.length - 1);
      else if (event.key === "Escape") close();
      else if (event.key === "Enter" && active >= 0) options[active].run();
      else return false;
      event.preventDefault();
      event.stopPropagation();
      return true;
    },
  };
}
