// The faces in the picture of the viewer: framed, with their names, and a form that says whose a face is.

import { known } from "./editfields.js";
import { mayEdit, once } from "./edits.js";
import { h, s } from "./parts.js";
import { icon } from "./tiles.js";
import { t } from "./words.js";

const KEY = "photoseek.faces";
const LETTERS = 15; // pixels of a name's height
const LONGEST = 20; // letters of a name on a picture

const short = name => ([...name].length > LONGEST ? `${[...name].slice(0, LONGEST).join("")}…` : name);

/**
 * @param {HTMLElement} pane what the picture fills
 * @param {HTMLElement} frame where the form is
 * @param {{state: any, api: any, toastError: any, toast: any}} shared
 */
export function createFaces(pane, frame, { state, api, toastError, toast }) {
  // Fits into its box as the picture does: the whole of it, in the middle.
  const drawing = s("svg", { class: "faces", role: "group", "aria-label": t("faces.title") });
  let [on, picture, faces, form, turn] = [sessionStorage.getItem(KEY) === "true", null, [], null, 0];
  pane.append(drawing);
  new ResizeObserver(() => faces.length && draw()).observe(pane);

  async function load(tells = false) {
    const mine = ++turn, { id } = picture;
    try {
      const answer = await api.get(`/images/${id}/faces`);
      if (mine !== turn) return;
      faces = answer.faces;
      draw();
      if (tells && !faces.length) toast(t(answer.looked && !answer.failed ? "faces.none" : "faces.not_looked"));
    } catch (error) {
      if (mine === turn) toastError(error);
    }
  }

  const called = face => face.name ?? (face.person ? t("people.group", { n: face.person }) : t("faces.nobody"));

  function draw() {
    const { width, height } = picture;
    const focused = document.activeElement?.closest?.(".face")?.dataset.id;
    const letters = LETTERS / Math.min(pane.clientWidth / width || 1, pane.clientHeight / height || 1);
    drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    drawing.replaceChildren(...faces.map(face => {
      const [x, y, w, h_] = face.box.map((share, n) => share * (n % 2 ? height : width));
      const side = x + w / 2 < width / 4 ? 0 : x + w / 2 > (width * 3) / 4 ? 1 : 0.5;
      const below = y + h_ + letters * 1.3 < height;
      const run = event => {
        event.preventDefault();
        ask(face);
      };
      return s("g", { class: `face ${face.confirmed ? "sure" : ""} ${face.name ? "" : "unnamed"}`, tabindex: 0, role: "button", "aria-label": called(face), "data-id": face.id,
        onclick: run, onpointerdown: event => event.stopPropagation(), onkeydown: event => ["Enter", " "].includes(event.key) && run(event) },
        s("rect", { x, y, width: w, height: h_, rx: letters / 3 }),
        // A name begins or ends with its face where it would reach beyond the picture.
        s("text", { x: x + w * side, y: below ? y + h_ + letters * 1.1 : y - letters * 0.4, "font-size": letters, "text-anchor": ["start", "middle", "end"][side * 2] }, short(face.name ?? t("faces.unknown"))));
    }));
    if (focused) drawing.querySelector(`[data-id="${focused}"]`)?.focus();
  }

  function close() {
    if (!form) return;
    const had = form.contains(document.activeElement), { id } = form.dataset;
    form.remove();
    form = null;
    if (had) (drawing.querySelector(`[data-id="${id}"]`) ?? frame.querySelector(".stage"))?.focus();
  }

  /** Whose it is: to read, and to say. */
  function ask(face) {
    close();
    const button = (text, run) => h("button", { type: "button", class: "button", onclick: run }, text);
    const all = face.person && button(t("faces.all", { name: called(face) }), () =>
      state.update({ ...state.withoutFilters(), person: [face.name ?? String(face.person)], q: "", not: [], more: [], less: [], like: [], view: "grid", open: "" }));
    const field = h("input", { type: "text", maxlength: 200, class: "edit-line", placeholder: t("people.who"), "aria-label": t("people.who"), list: "known-people", autocomplete: "off", dir: "auto", onfocus: () => known(api, "people") });
    const edits = mayEdit() ? [
      h("div", { class: "edit-form" }, field, h("button", { type: "submit", class: "button" }, t("label.save"))),
      h("div", { class: "face-acts" },
        face.person && !face.confirmed && button(t("faces.confirm", { name: called(face) }), () => say(`/people/${face.person}/confirm`, { faces: [face.id] }, () => t("faces.confirmed", { name: called(face) }))),
        face.person && button(t("faces.reject", { name: called(face) }), () => say(`/people/${face.person}/reject`, { faces: [face.id] }, () => t("faces.rejected", { name: called(face) }))), all),
    ] : [h("div", { class: "face-acts" }, all)];
    form = h("form", { class: "face-form", "data-id": face.id, "aria-label": called(face), onsubmit: event => {
      event.preventDefault();
      const name = field.value.trim();
      if (!name) return field.focus();
      say(`/faces/${face.id}/name`, { name }, answer => t("people.named", { name: answer.name }));
    }, onkeydown: event => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      event.stopPropagation();
      close();
    } },
      h("div", { class: "face-head" }, h("img", { src: face.portrait, alt: "" }), h("strong", { dir: "auto" }, called(face)), face.confirmed && h("span", { class: "soft" }, t("faces.sure")),
        h("button", { type: "button", class: "plain", "aria-label": t("close"), title: t("close"), onclick: close }, icon("close"))),
      ...edits);
    frame.append(form);
    (form.querySelector("input") ?? form.querySelector("button")).focus();
  }

  async function say(path, body, told) {
    if (!(await once(() => api.post(path, body), told))) return;
    close();
    load();
  }

  for (const name of ["gallery-changed", "labels-changed"]) addEventListener(name, () => on && picture && !form && load());

  return {
    /** @param {any} now the picture that is shown, or null */
    show(now) {
      turn += 1;
      [picture, faces] = [now, []];
      form?.remove();
      form = null;
      drawing.replaceChildren();
      if (on && picture) load();
    },
    isOn: () => on,
    turn() {
      on = !on;
      sessionStorage.setItem(KEY, String(on));
      close();
      [faces] = [[]];
      drawing.replaceChildren();
      if (on && picture) load(true);
    },
    /** Whether there was a form, which is closed now. */
    closeForm() {
      const was = Boolean(form);
      close();
      return was;
    },
  };
}
