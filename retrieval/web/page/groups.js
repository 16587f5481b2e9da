// What is in the gallery twice: groups in three kinds, the one to keep marked; copies are moved to the trash, and back.

import { mayEdit, once } from "./edits.js";
import { createCompare } from "./compare.js";
import { count, h, size } from "./parts.js";
import { icon } from "./tiles.js";
import { toast, toastError } from "./toast.js";
import { has, t } from "./words.js";

const PAGE = 40; // groups at a time
const SHOWN = 12; // pictures of a group before "more"
const POLL = 700; // ms between questions while they are being found
const KINDS = [
  ["same bytes", t("duplicates.same_bytes"), t("duplicates.same_bytes_help")],
  ["same picture", t("duplicates.same_picture"), t("duplicates.same_picture_help")],
  ["look-alike", t("duplicates.look_alikes"), t("duplicates.look_alikes_help")],
];

const nameOf = (picture) => picture.name;

/**
 * @param {HTMLElement} element
 * @param {{state: any, api: any}} page
 */
export function createGroups(element, { state, api }) {
  const summary = h("p", { class: "panel-lead", "aria-live": "polite" });
  const alike = h("input", { type: "checkbox", onchange: () => load() });
  const tabs = h("div", { class: "tabs", role: "group", "aria-label": t("condition.kind") });
  const bar = h("progress", { "aria-label": t("duplicates.looking") });
  const told = h("p", { class: "panel-note" });
  const working = h("div", { class: "panel-working", hidden: true }, bar, told);
  const trouble = h("div", { class: "panel-trouble", role: "alert", hidden: true });
  const groups = h("div", { class: "groups" });
  const end = h("button", { type: "button", class: "button groups-more", hidden: true, onclick: () => next() }, t("duplicates.more_groups"));
  const advice = h("div", { class: "advice", hidden: true },
    h("p", null, h("b", null, t("duplicates.nothing_deleted")), " ", t("duplicates.advice")));
  element.append(
    h("div", { class: "panel" },
      h("header", { class: "panel-head" }, h("h1", null, t("views.duplicates")), h("label", { class: "check" }, alike, h("span", null, t("duplicates.also_look_alikes")))),
      summary, working, trouble, advice, tabs, groups, end));
  const compare = createCompare({ api, nameOf });
  const all = []; // [group, index of other] of what is listed, for going through with the arrow keys
  let [kind, found, offset, asking, polling, loaded] = ["", null, 0, null, 0, false];

  const params = () => ({ look_alikes: alike.checked, kind, offset, k: PAGE });

  async function load() {
    clearTimeout(polling);
    loaded = true;
    offset = 0;
    try {
      const answer = await ask();
      if (!answer) return;
      all.length = 0;
      groups.replaceChildren();
      found = answer;
      show();
      add(answer.groups);
    } catch (error) {
      fail(error);
    }
  }

  /** One page of groups; null while they are still being found, then `load` is called again by itself. */
  async function ask() {
    asking?.abort();
    asking = new AbortController();
    const answer = await api.get("/duplicates", { params: params(), signal: asking.signal });
    trouble.hidden = true;
    if (answer.groups) {
      working.hidden = true;
      groups.classList.remove("stale");
      return answer;
    }
    working.hidden = false;
    groups.classList.add("stale");
    if (answer.total) [bar.max, bar.value] = [answer.total, answer.done];
    else bar.removeAttribute("value");
    told.textContent = answer.total ? t("progress.of", { stage: stageName(answer.stage), done: answer.done, total: answer.total }) : `${stageName(answer.stage)}…`;
    polling = setTimeout(() => state.get().view === "duplicates" ? load() : (loaded = false), POLL);
    return null;
  }

  function fail(error) {
    if (api.isAbort(error)) return;
    loaded = false;
    working.hidden = true;
    trouble.hidden = false;
    trouble.replaceChildren(h("p", null, h("b", null, error.title ?? String(error))), error.detail && h("p", null, error.detail),
      h("button", { type: "button", class: "button", onclick: load }, t("try_again")));
  }

  function show() {
    const { kinds } = found;
    const sum = (field) => KINDS.reduce((all, [name]) => all + kinds[name][field], 0);
    const [many, others, bytes] = [sum("groups"), sum("others"), sum("bytes") - kinds["look-alike"].bytes];
    summary.textContent = many
      ? t("duplicates.summary", { pictures: t("count.pictures", { n: others }), groups: t("duplicates.groups", { n: many }) }) + (bytes ? ` ${t("duplicates.room", { size: size(bytes) })}` : "")
      : t("duplicates.none", { n: found.images });
    if (found.unseen) summary.append(` ${t("duplicates.unseen", { n: found.unseen })}`);
    tabs.hidden = !many;
    tabs.replaceChildren(...[["", t("duplicates.all"), ""], ...KINDS].filter(([name]) => !name || kinds[name].groups).map(([name, text, help]) => {
      const number = name ? kinds[name].groups : many;
      return h("button", { type: "button", "aria-pressed": String(kind === name), title: help, onclick: () => choose(name) }, `${text} `, h("span", { class: "tab-count" }, count(number)));
    }));
    advice.hidden = !(kinds["same bytes"].groups || kinds["same picture"].groups);
  }

  function choose(name) {
    kind = name;
    load().then(() => tabs.querySelector("[aria-pressed=true]")?.focus());
  }

  function add(list) {
    for (const group of list) {
      const first = all.length;
      group.others.forEach((_, index) => all.push([group, index]));
      groups.append(card(group, first));
    }
    offset += list.length;
    end.hidden = offset >= found.total;
  }

  async function next() {
    end.disabled = true;
    try {
      const answer = await ask();
      if (answer) add(answer.groups);
    } catch (error) {
      toastError(error);
    }
    end.disabled = false;
  }

  function card(group, first) {
    const members = h("div", { class: "members" });
    const fill = (most) => {
      const some = group.others.slice(0, most);
      members.replaceChildren(member(group.keeper, t("duplicates.keep"), group.keeper, () => open(first), group), ...some.map((other, at) => member(other, "", group.keeper, () => open(first + at), group)));
      const hidden = group.others_total - some.length;
      // Of very large groups the server tells only the first ones.
      if (hidden && some.length < group.others.length) members.append(h("button", { type: "button", class: "button", onclick: () => fill(Infinity) }, t("more", { n: hidden })));
      else if (hidden) members.append(h("p", { class: "panel-note" }, t("and_more", { n: hidden })));
    };
    fill(SHOWN);
    const acts = h("p", { class: "group-acts" });
    const drawActs = () => acts.replaceChildren(h("button", { type: "button", class: "button", onclick: () => resolve([group]) }, icon("trash"), t("duplicates.trash", { n: group.others.length })));
    if (mayEdit() && group.kind !== "look-alike") drawActs();
    const title = KINDS.find(([name]) => name === group.kind)?.[1] ?? group.kind;
    return h("article", { class: "group" },
      h("h2", null, h("span", { class: `kind ${group.kind.replaceAll(" ", "-")}` }, title), t("count.pictures", { n: group.others_total + 1 }),
        group.kept_because.length ? h("span", { class: "group-bytes" }, t("duplicates.kept_because", { why: group.kept_because.join("; ") })) : "",
        h("span", { class: "group-bytes" }, group.kind === "look-alike" ? "" : t("duplicates.in_copies", { size: size(group.bytes_of_others) }))),
      members, acts);
  }

  /** Make another picture the one to keep: the two change places. */
  function keepInstead(group, other) {
    const at = group.others.indexOf(other);
    group.others[at] = group.keeper;
    group.keeper = other;
    group.kept_because = [];
    redraw();
  }

  function redraw() {
    const shown = [...new Set(all.map(([group]) => group))];
    all.length = 0;
    groups.replaceChildren();
    const before = offset;
    add(shown);
    offset = before;
  }

  /** All but the keepers go to the trash in the gallery's folder; "Undo" puts them back. */
  async function resolve(chosen) {
    const body = { groups: chosen.map(({ keeper, others }) => ({ keeper: keeper.id, others: others.map(({ id }) => id) })) };
    const answer = await once(() => api.post("/duplicates/trash", body), ({ ids }) => t("duplicates.moved", { n: ids.length }));
    if (!answer) return;
    if (answer.left.length) toast(t("duplicates.left", { n: answer.left.length, reason: `${answer.left[0].name}: ${answer.left[0].reason}` }), { kind: "error" });
    load();
  }

  function member(picture, mark, keeper, run, group) {
    const img = h("img", { src: api.thumbnail(picture, 240), alt: "", loading: "lazy", decoding: "async" });
    const dims = h("span", { class: picture.width * picture.height < keeper.width * keeper.height ? "less" : "" }, `${picture.width} × ${picture.height}`);
    const tile = h("button", { type: "button", class: `member ${mark ? "keep" : ""}`, title: picture.path, "aria-label": t(mark ? "duplicates.compare_keeper" : "duplicates.compare", { name: nameOf(picture) }), onclick: run },
      h("span", { class: "member-picture" }, img, mark && h("span", { class: "keep-mark" }, icon("check"), mark)),
      h("span", { class: "member-name", dir: "auto" }, nameOf(picture)),
      h("span", { class: "member-facts" }, dims, ` · ${picture.format} · ${size(picture.bytes)}`));
    if (mark || !mayEdit() || group.kind === "look-alike") return tile;
    return h("div", { class: "member-choice" }, tile, h("button", { type: "button", class: "button", "aria-label": t("duplicates.keep_named", { name: nameOf(picture) }), onclick: () => keepInstead(group, picture) }, t("duplicates.keep_this")));
  }

  function open(at) {
    compare.open(all, at);
  }

  function visit({ view }) {
    if (view !== "duplicates") {
      compare.close();
      return;
    }
    if (!loaded) load();
  }
  state.subscribe((now, changed) => changed.has("view") && visit(now));
  api.watch((reachable) => reachable && !loaded && visit(state.get()));
  for (const name of ["gallery-changed", "labels-changed"]) addEventListener(name, () => {
    loaded = false;
    visit(state.get());
  });
  visit(state.get());
}

function stageName(stage) {
  const key = `duplicates.stage_${stage.replace(/\W/g, "_")}`;
  return t(has(key) ? key : "duplicates.looking");
}
