// What is in the gallery twice: groups in three kinds, the one to keep marked. Looks only; the command line moves.

import { createCompare } from "./compare.js";
import { copy, count, h, plural, quoted, size } from "./parts.js";
import { icon } from "./tiles.js";
import { toast, toastError } from "./toast.js";

const PAGE = 40; // groups at a time
const SHOWN = 12; // pictures of a group before "more"
const POLL = 700; // ms between questions while they are being found
const KINDS = [
  ["same bytes", "Same bytes", "The same file, more than once."],
  ["same picture", "Same picture", "Stored again in another size, format or quality."],
  ["look-alike", "Look-alikes", "Bursts, crops and edits. Never moved by the command: look at each."],
];

const nameOf = (picture) => picture.name;

/**
 * @param {HTMLElement} element
 * @param {{state: any, api: any}} page
 */
export function createGroups(element, { state, api }) {
  const summary = h("p", { class: "panel-lead", "aria-live": "polite" });
  const alike = h("input", { type: "checkbox", onchange: () => load() });
  const tabs = h("div", { class: "tabs", role: "group", "aria-label": "Kind" });
  const bar = h("progress", { "aria-label": "Looking for duplicates" });
  const told = h("p", { class: "panel-note" });
  const working = h("div", { class: "panel-working", hidden: true }, bar, told);
  const trouble = h("div", { class: "panel-trouble", role: "alert", hidden: true });
  const groups = h("div", { class: "groups" });
  const end = h("button", { type: "button", class: "button groups-more", hidden: true, onclick: () => next() }, "Show more groups");
  const command = h("code", { tabIndex: 0 });
  const advice = h("div", { class: "advice", hidden: true },
    h("p", null, h("b", null, "Nothing is deleted here."), " This page only looks. To move all but the keepers to the gallery's trash, run this command; it first says what it would do, and ",
      h("code", null, "--undo"), " puts everything back."),
    h("div", { class: "shell" }, command,
      h("button", { type: "button", class: "button", onclick: copyCommand }, icon("copy"), h("span", null, "Copy command"))));
  element.append(
    h("div", { class: "panel" },
      h("header", { class: "panel-head" }, h("h1", null, "Duplicates"), h("label", { class: "check" }, alike, h("span", null, "Also look-alikes"))),
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
    told.textContent = answer.total ? `${stageName(answer.stage)}: ${count(answer.done)} of ${count(answer.total)}` : `${stageName(answer.stage)}…`;
    polling = setTimeout(() => state.get().view === "duplicates" ? load() : (loaded = false), POLL);
    return null;
  }

  function fail(error) {
    if (api.isAbort(error)) return;
    loaded = false;
    working.hidden = true;
    trouble.hidden = false;
    trouble.replaceChildren(h("p", null, h("b", null, error.title ?? String(error))), error.detail && h("p", null, error.detail),
      h("button", { type: "button", class: "button", onclick: load }, "Try again"));
  }

  function show() {
    const { kinds } = found;
    const sum = (field) => KINDS.reduce((all, [name]) => all + kinds[name][field], 0);
    const [many, others, bytes] = [sum("groups"), sum("others"), sum("bytes") - kinds["look-alike"].bytes];
    summary.textContent = many
      ? `${plural(others, "picture")} in ${plural(many, "group")} beside the ones to keep${bytes ? `. Without the copies there would be ${size(bytes)} more room` : ""}.`
      : `No duplicates among ${plural(found.images, "picture")}.`;
    if (found.unseen) summary.append(` ${plural(found.unseen, "picture")} could not be looked at: missing, or changed since the last run.`);
    tabs.hidden = !many;
    tabs.replaceChildren(...[["", "All", ""], ...KINDS].filter(([name]) => !name || kinds[name].groups).map(([name, text, help]) => {
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
      members.replaceChildren(member(group.keeper, "Keep", group.keeper, () => open(first)), ...some.map((other, at) => member(other, "", group.keeper, () => open(first + at))));
      const hidden = group.others_total - some.length;
      // Of very large groups the server tells only the first ones.
      if (hidden && some.length < group.others.length) members.append(h("button", { type: "button", class: "button", onclick: () => fill(Infinity) }, `${count(hidden)} more`));
      else if (hidden) members.append(h("p", { class: "panel-note" }, `and ${count(hidden)} more`));
    };
    fill(SHOWN);
    const title = KINDS.find(([name]) => name === group.kind)?.[1] ?? group.kind;
    return h("article", { class: "group" },
      h("h2", null, h("span", { class: `kind ${group.kind.replaceAll(" ", "-")}` }, title), plural(group.others_total + 1, "picture"),
        group.kept_because.length ? h("span", { class: "group-bytes" }, `kept: ${group.kept_because.join("; ")}`) : "",
        h("span", { class: "group-bytes" }, group.kind === "look-alike" ? "" : `${size(group.bytes_of_others)} in copies`)),
      members);
  }

  function member(picture, mark, keeper, run) {
    const img = h("img", { src: api.thumbnail(picture, 240), alt: "", loading: "lazy", decoding: "async" });
    const dims = h("span", { class: picture.width * picture.height < keeper.width * keeper.height ? "less" : "" }, `${picture.width} × ${picture.height}`);
    return h("button", { type: "button", class: `member ${mark ? "keep" : ""}`, title: picture.path, "aria-label": `Compare ${nameOf(picture)}${mark ? ", the one to keep" : ""}`, onclick: run },
      h("span", { class: "member-picture" }, img, mark && h("span", { class: "keep-mark" }, icon("check"), mark)),
      h("span", { class: "member-name" }, nameOf(picture)),
      h("span", { class: "member-facts" }, dims, ` · ${picture.format} · ${size(picture.bytes)}`));
  }

  function open(at) {
    compare.open(all, at);
  }

  async function copyCommand() {
    if (await copy(command.textContent)) toast("Command copied", { detail: "Add --yes to it when its answer is what you want." });
    else toast("The browser does not let this page copy", { kind: "error" });
  }

  async function say() {
    try {
      const { gallery } = await api.get("/stats");
      command.textContent = `photoseek duplicates --trash${gallery ? ` --gallery ${quoted(gallery)}` : ""}`;
    } catch {
      command.textContent = "photoseek duplicates --trash";
    }
  }

  function visit({ view }) {
    if (view !== "duplicates") {
      compare.close();
      return;
    }
    if (!command.textContent) say();
    if (!loaded) load();
  }
  state.subscribe((now, changed) => changed.has("view") && visit(now));
  addEventListener("gallery-changed", () => {
    loaded = false;
    visit(state.get());
  });
  visit(state.get());
}

function stageName(stage) {
  return stage ? stage[0].toUpperCase() + stage.slice(1) : "Looking for duplicates";
}
