/** One picture over the whole screen: the next and the one before, zoom, what is known of it, and what to take away. */

import { h } from "./parts.js";
import { createDetails } from "./details.js";
import { createFaces } from "./faces.js";
import { createFilmstrip } from "./filmstrip.js";
import { askedWords, createPlaces } from "./places-of-words.js";
import { createPlayer } from "./player.js";
import { createSlideshow } from "./slideshow.js";
import { createTakeaway } from "./takeaway.js";
import { isSaving } from "./thumbs.js";
import { icon } from "./tiles.js";
import { t } from "./words.js";
import { createZoomPan } from "./zoompan.js";

const DRAWN = new Set(["JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "ICO"]); // what browsers draw by themselves
const LARGEST = 1024;
const ENLARGED = 3; // times its size, at most, a small picture is shown
const SWIPE = 60; // pixels
const KEY = "photoseek.details";
const PAN = 0.12; // of what is seen, for one press of an arrow
const AHEAD = 2; // pictures that are loaded before they are asked for, and one behind

/**
 * @param {HTMLDialogElement} dialog
 * @param {{state: any, api: any, results: any, grid: any, actions: any, keys: any, toast: any, toastError: any}} shared
 * @param {boolean} opened what is open now is an entry of the history, which going back takes away
 */
export function mount(dialog, { state, api, results, grid, actions, keys, toast, toastError }, opened) {
  let hit = null, turn = 0, wanted = 0, heading = 1;
  const shot = h("img", { class: "shot", alt: "", draggable: "false" });
  const player = createPlayer(api, shot);
  const pane = h("div", { class: "pane" }, shot, player.element, player.problem);
  const stage = h("div", { class: "stage", tabIndex: -1, autofocus: true }, pane);
  const zoom = createZoomPan(stage, () => [pane]);
  const places = createPlaces(pane);
  const frame = h("div", { class: "stage-frame" });
  const faces = createFaces(pane, frame, { state, api, toast, toastError });
  const details = createDetails({ state, api, toastError, words: () => askedWords(state.get()), places });
  const name = h("h2", { class: "viewer-name", id: "viewer-name", dir: "auto" }), place = h("p", { class: "viewer-place" });
  const share = h("p", { class: "viewer-zoom", "aria-live": "polite" });
  const button = (symbol, label, run, cls = "") =>
    h("button", { type: "button", class: `plain ${cls}`, "aria-label": label, title: label, onclick: run }, icon(symbol));
  const more = button("more", `${t("act.more")} (m)`, () => lean("more"));
  const less = button("less", `${t("act.less")} (l)`, () => lean("less"));
  const info = button("info", `${t("details.title")} (i)`, toggleDetails);
  const motion = button("play", `${t("viewer.motion")} (v)`, toggleMotion);
  const who = button("people", `${t("faces.title")} (w)`, toggleFaces, "who for-people");
  const strip = createFilmstrip({ results, api, state });
  const takeaway = createTakeaway({ api, picture: () => hit });
  const slideshow = createSlideshow(dialog, { next: () => step(1), isReady: () => dialog.classList.contains("sharp"), onChange: sayPlaying });
  const play = button("play", t("viewer.play"), slideshow.toggle);
  const before = button("left", `${t("viewer.previous")} (←)`, () => step(-1), "turn before");
  const after = button("right", `${t("viewer.next")} (→)`, () => step(1), "turn after");
  dialog.setAttribute("aria-labelledby", "viewer-name");
  dialog.append(
    h("div", { class: "viewer-bar" },
      button("close", `${t("close")} (${t("key.escape")})`, close),
      h("div", { class: "viewer-title" }, name, place),
      share, motion, who, more, less, button("similar", `${t("act.similar")} (s)`, () => actions.similar(hit)),
      button("fit", `${t("viewer.fit")} (z)`, toggleZoom, "wide"), play,
      button("full", t("viewer.full"), () => slideshow.toggleFull(), "wide"), takeaway.element, info),
    h("div", { class: "viewer-body" }, frame, details.element), strip.element);
  frame.append(stage, before, after);
  who.setAttribute("aria-pressed", String(faces.isOn()));
  setDetails(localStorage.getItem(KEY) === "true" && matchMedia("(min-width: 900px)").matches);

  function toggleMotion() {
    if (hit?.motion) player.toggleMotion(hit);
  }

  function toggleFaces() {
    faces.turn();
    who.setAttribute("aria-pressed", String(faces.isOn()));
  }

  function sayPlaying(on) {
    play.replaceChildren(icon(on ? "stop" : "play"));
    play.setAttribute("aria-pressed", String(on));
  }

  function lean(side) {
    if (hit) actions[side](hit);
  }

  function toggleDetails() {
    setDetails(details.element.hidden);
    localStorage.setItem(KEY, String(!details.element.hidden));
  }

  function setDetails(on) {
    details.element.hidden = !on;
    info.setAttribute("aria-pressed", String(on));
    if (on && hit) details.show(hit);
  }

  async function open(id) {
    const mine = ++turn;
    if (!dialog.open) dialog.showModal();
    try {
      const found = results.hit(id) ?? (await api.get(`/images/${encodeURIComponent(id)}`));
      if (mine === turn) show(found);
    } catch (error) {
      if (mine !== turn) return;
      state.update({ open: "" }, { push: false });
      toastError(error); // after the dialog has gone, which would take it along
    }
  }

  function show(picture) {
    hit = picture;
    name.textContent = hit.name;
    shot.alt = hit.name;
    // The picture fills its pane; how far a small one is blown up is limited by the pane's size.
    pane.style.maxWidth = `${hit.width * ENLARGED}px`;
    pane.style.maxHeight = `${hit.height * ENLARGED}px`;
    zoom.reset();
    takeaway.close();
    sayWhere();
    player.show(hit);
    motion.hidden = !hit.motion;
    load();
    places.clear();
    faces.show(hit);
    if (!details.element.hidden || askedWords(state.get()).length) details.show(hit);
  }

  function sayWhere() {
    const known = results.hit(hit.id);
    const rank = known?.rank ?? null;
    place.textContent = rank ? t("viewer.place", { rank, total: results.total() }) : "";
    strip.show(rank);
    before.disabled = !rank || rank <= 1;
    after.disabled = !rank || rank >= results.total();
    const { more: towards, less: away } = state.get();
    more.setAttribute("aria-pressed", String(towards.includes(String(hit.id))));
    less.setAttribute("aria-pressed", String(away.includes(String(hit.id))));
  }

  const fits = () => {
    const box = stage.getBoundingClientRect();
    return Math.min(box.width / hit.width, box.height / hit.height, ENLARGED);
  };

  const best = picture => (DRAWN.has(picture.format) ? api.file(picture.id) : api.view(picture));

  /** First what is in the cache, then as many pixels as are seen. */
  async function load() {
    const mine = ++wanted;
    const now = hit;
    shot.src = api.thumbnail(now, 480);
    dialog.classList.remove("sharp");
    const pixels = Math.max(now.width, now.height) * fits() * Math.min(devicePixelRatio || 1, 2) * zoom.scale();
    const original = !isSaving() && pixels > LARGEST * 1.15 && now.on_disk !== "missing" && typeof now.duration_s !== "number";
    for (const address of original ? [api.thumbnail(now, LARGEST), best(now)] : [api.thumbnail(now, LARGEST)]) {
      const loaded = await fetched(address);
      if (mine !== wanted) return;
      if (loaded) shot.src = address;
    }
    dialog.classList.add("sharp");
    preload();
  }

  async function fetched(address) {
    const image = new Image();
    image.src = address;
    try {
      await image.decode();
      return true;
    } catch {
      return false; // what is shown already stays
    }
  }

  async function preload() {
    const rank = results.hit(hit.id)?.rank;
    if (!rank || isSaving()) return;
    const others = Array.from({ length: AHEAD }, (_, n) => rank + heading * (n + 1));
    for (const other of [...others, rank - heading]) {
      const next = await results.at(other);
      if (next) new Image().src = api.thumbnail(next, LARGEST);
    }
  }

  /** @returns {Promise<boolean>} whether there is such a picture */
  async function step(by) {
    const rank = hit && results.hit(hit.id)?.rank;
    const next = rank ? await results.at(rank + by) : null;
    if (!next || !hit) return false;
    heading = Math.sign(by);
    state.update({ open: String(next.id) }, { push: false });
    return true;
  }

  /** An arrow leads to the next picture; in an enlarged one to what lies on that side. */
  function arrow(dx, dy) {
    if (zoom.scale() > 1) zoom.pan(-dx * PAN, -dy * PAN);
    else if (dx) step(dx);
  }

  function toggleZoom() {
    if (zoom.scale() > 1) zoom.reset();
    else zoom.zoom(Math.max(1 / (fits() * (devicePixelRatio || 1)), 2));
  }

  zoom.onZoom(scale => {
    share.textContent = hit && scale > 1 ? t("viewer.zoom", { percent: Math.round(scale * fits() * (devicePixelRatio || 1) * 100) }) : "";
    if (hit && scale > 1 && !shot.src.endsWith(best(hit))) sharpen();
  });

  async function sharpen() {
    const mine = wanted;
    if (hit.on_disk === "missing" || typeof hit.duration_s === "number" || !dialog.classList.contains("sharp")) return;
    const address = best(hit);
    if ((await fetched(address)) && mine === wanted) shot.src = address;
  }

  function close() {
    // What was opened here is an entry of the history: it goes by going back, so that "back" never opens it again.
    if (opened) history.back();
    else state.update({ open: "" }, { push: false });
  }

  function shut() {
    if (dialog.open) dialog.close();
    wanted += 1;
    turn += 1;
    player.stop();
    slideshow.stop();
    takeaway.close();
    faces.show(null);
    shot.removeAttribute("src");
    const rank = hit && results.hit(hit.id)?.rank;
    hit = null;
    if (rank) grid.focus(rank);
  }

  state.subscribe((now, changed, how) => {
    if (how === "push") opened = changed.has("open") && changed.size === 1 && now.open !== "";
    else if (how === "pop") opened = false;
    if (changed.has("open")) now.open ? open(now.open) : shut();
    else if (hit) sayWhere();
  });
  results.subscribe(event => {
    if (!hit || (event !== "list" && event !== "block")) return;
    sayWhere();
    if (event !== "list") return;
    // Its score and rank are those of the question before.
    hit = results.hit(hit.id) ?? { ...hit, score: null, rank: null };
    if (!details.element.hidden) details.show(hit);
  });
  dialog.addEventListener("cancel", event => {
    event.preventDefault();
    if (!faces.closeForm()) close();
  });
  addEventListener("resize", () => hit && zoom.apply());
  mountKeys();
  mountSwipe();
  if (state.get().open) open(state.get().open);

  function mountKeys() {
    const onKey = (names, run, when = () => dialog.open) => keys.add(names, "", run, { when });
    onKey(["ArrowLeft"], () => arrow(-1, 0));
    onKey(["ArrowRight"], () => arrow(1, 0));
    onKey(["ArrowUp"], () => arrow(0, -1));
    onKey(["ArrowDown"], () => arrow(0, 1));
    onKey(["PageUp"], () => step(-1));
    onKey(["PageDown"], () => step(1));
    onKey(["f"], () => slideshow.toggleFull());
    onKey(["p"], slideshow.toggle);
    onKey(["c"], takeaway.copy);
    onKey([" "], () => (slideshow.isPlaying() ? slideshow.stop() : step(1)), event => dialog.open && !event.target.closest("button, a"));
    onKey(["i"], toggleDetails);
    onKey(["v"], toggleMotion);
    onKey(["w"], toggleFaces, () => dialog.open && document.body.classList.contains("has-people"));
    onKey(["+", "="], () => zoom.zoom(1.4));
    onKey(["-"], () => zoom.zoom(1 / 1.4));
    onKey(["z"], toggleZoom);
    onKey(["m"], () => lean("more"));
    onKey(["l"], () => lean("less"));
    onKey(["s"], () => hit && actions.similar(hit));
    onKey(["d"], () => hit && actions.download(hit));
  }

  function mountSwipe() {
    let start = null;
    stage.addEventListener("pointerdown", event => {
      start = start === null && event.pointerType !== "mouse" && zoom.scale() === 1 ? event : null;
    });
    stage.addEventListener("pointercancel", () => (start = null));
    stage.addEventListener("pointerup", event => {
      if (!start || event.pointerId !== start.pointerId || zoom.scale() > 1) return (start = null);
      const dx = event.clientX - start.clientX, dy = event.clientY - start.clientY;
      start = null;
      if (Math.abs(dx) > SWIPE && Math.abs(dx) > 2 * Math.abs(dy)) step(dx < 0 ? 1 : -1);
      else if (dy > SWIPE * 1.5 && dy > 2 * Math.abs(dx)) close();
    });
  }
}
