/**
 * The results as a wall of pictures of any length: only what is near the screen is in the document, and a dragged
 * scrollbar finds every place at once.
 */

import { Arrangement } from "./arrangement.js";
import { createHeadings } from "./headings.js";
import { h } from "./parts.js";
import { BLOCK } from "./results.js";
import { toQuery } from "./state.js";
import { createBlank, createCell, leanCell, placeCell, thumbnailSize } from "./tiles.js";
import * as thumbs from "./thumbs.js";
import { t } from "./words.js";

const GAP = 4;
const CUT_HEIGHT = 64;
const FAST = 4; // pixels per ms; nobody sees a picture that passes faster
const SETTLED = 90; // ms without scrolling after which what is on screen is worth loading
const REMEMBERED = 250; // ms without scrolling after which the history is told the place; browsers limit how often

const NOTHING = { total: 0, cut: null, days: null, blocks: new Map() };
const UNKNOWN = { ...NOTHING, total: 80 }; // what stands there until the first answer

/**
 * @param {HTMLElement} element
 * @param {{results: any, api: any, isPicked: (id: string|number) => boolean, href: (hit: any) => string, leanOf: (id: string|number) => string, hideWeaker: () => void}} shared
 */
export function createGrid(element, { results, api, isPicked, href, leanOf, hideWeaker }) {
  const places = new Arrangement(BLOCK);
  const headings = createHeadings(document.getElementById("headings"));
  const watchers = new Set(); // of the places of all pictures
  const cells = new Map(); // rank -> element; a negative rank stands for a picture that is not loaded
  const cutText = h("span"), cutLine = h("p", { class: "cut" }, cutText, h("button", { type: "button", class: "button", onclick: hideWeaker }, t("cut.hide")));
  let width = 0, current = 1, frame = 0, settle = 0, remember = 0;
  let seenTop = 0, seenAt = 0, speed = 0, pinned = null;
  let scale = 1; // of the height of rows
  let asked = ""; // what the pictures shown are the answer to

  const above = () => -element.getBoundingClientRect().top; // pixels of the grid above the screen
  const target = () => Math.round((width < 600 ? 120 : width > 2600 ? 280 : 220) * scale);

  function arrange(anchor = here()) {
    if (!width) return;
    const list = results.list() ?? (results.problem() ? NOTHING : UNKNOWN);
    places.arrange(list, { width, gap: GAP, target: target(), cutHeight: CUT_HEIGHT });
    element.style.height = `${places.height}px`;
    for (const [key, cell] of cells) removeOrMove(key, cell);
    if (anchor) goTo(anchor);
    draw();
    for (const watcher of watchers) watcher();
  }

  function removeOrMove(key, cell) {
    const found = places.find(Math.abs(key));
    if (found && (key > 0) === Boolean(results.known(Math.abs(key)))) placeCell(cell, places.box(Math.abs(key)));
    else remove(key, cell);
  }

  /** The picture at the upper edge of the screen; null if that edge is above the pictures. */
  function here() {
    // Where nobody scrolled since, it is what was gone to: rows of pictures that were not known yet broke elsewhere.
    if (pinned && Math.abs(scrollY - pinned.y) < 2) return pinned.anchor;
    const y = above();
    if (y <= 0 || !places.total) return null;
    const rank = places.rankAt(y);
    return { rank, offset: Math.round(places.box(rank).top - y) };
  }

  function goTo(anchor) {
    const box = places.box(Math.min(anchor.rank, places.total));
    if (!box) return;
    scrollBy({ top: Math.round(box.top - above() - anchor.offset), behavior: "instant" });
    pinned = { anchor, y: scrollY };
  }

  function draw() {
    frame = 0;
    if (!width || !element.offsetParent) return;
    const y = above(), view = innerHeight;
    noteSpeed(y);
    const ahead = view * (speed > FAST ? 0.3 : 1);
    const from = y - ahead, to = y + view + ahead;
    const blocks = fill(from, to);
    headings.draw(places.headsBetween(from, to));
    drawCut(from, to);
    const middle = y + view / 2;
    const edge = rank => places.box(Math.min(rank, places.total)).top;
    const away = number => Math.max(edge(number * BLOCK + 1) - middle, middle - edge((number + 1) * BLOCK), 0);
    results.want([...blocks].sort((a, b) => away(a) - away(b)));
    clearTimeout(settle);
    if (speed <= FAST) loadThumbnails(y, view);
    else settle = setTimeout(draw, SETTLED);
  }

  function noteSpeed(y) {
    const now = performance.now();
    speed = now - seenAt > SETTLED - 10 ? 0 : Math.abs(y - seenTop) / Math.max(now - seenAt, 1);
    [seenTop, seenAt] = [y, now];
  }

  /** Make the document hold exactly the pictures between two heights. @returns {Set<number>} the blocks they are in */
  function fill(from, to) {
    const needed = new Map();
    const blocks = new Set();
    for (const rank of places.ranksBetween(from, to)) {
      const hit = results.known(rank);
      needed.set(hit ? rank : -rank, hit);
      blocks.add(Math.floor((rank - 1) / BLOCK));
    }
    for (const [key, cell] of cells) if (!needed.has(key) && !isHeld(key, cell)) remove(key, cell);
    let before = null;
    for (const [key, hit] of needed) {
      const cell = cells.get(key) ?? add(key, hit, before);
      before = cell;
    }
    return blocks;
  }

  // The one with the focus stays, or the next key would begin at the top of the page.
  const isHeld = (key, cell) => key > 0 && cell.contains(document.activeElement) && Boolean(results.known(key));

  function add(key, hit, before) {
    const cell = hit ? createCell(hit, { href: href(hit), total: places.total, picked: isPicked(hit.id), lean: leanOf(hit.id) }) : createBlank();
    placeCell(cell, places.box(Math.abs(key)));
    if (hit?.rank === current) setStops(cell, true);
    cells.set(key, cell);
    // Tab and screen readers go by the order in the document, so it is the order of ranks.
    if (before) before.after(cell);
    else element.prepend(cell);
    return cell;
  }

  function remove(key, cell) {
    const img = cell.querySelector("img");
    if (img) thumbs.drop(img);
    cell.remove();
    cells.delete(key);
  }

  function drawCut(from, to) {
    const top = places.cutTop();
    if (top === null || top + CUT_HEIGHT < from || top > to) {
      cutLine.remove();
      return;
    }
    cutText.textContent = places.cut === 0 ? t("cut.nearest") : t("cut.weaker", { n: places.total - places.cut });
    cutLine.lastChild.hidden = places.cut === 0;
    cutLine.style.top = `${top}px`;
    if (!cutLine.isConnected) element.append(cutLine);
  }

  function loadThumbnails(y, view) {
    const wanted = [];
    for (const [rank, cell] of cells) {
      const hit = rank > 0 ? results.known(rank) : null;
      const img = hit && cell.querySelector("img");
      if (!img || img.classList.contains("loaded") || img.classList.contains("broken")) continue;
      const box = places.box(rank);
      const size = thumbnailSize(box.width, box.height, hit.width / hit.height || 1);
      const onScreen = box.top + box.height > y && box.top < y + view;
      wanted.push([onScreen ? rank : rank + 1e9, img, api.thumbnail(hit, size)]);
    }
    wanted.sort((a, b) => a[0] - b[0]);
    thumbs.show(wanted.map(([, img, address]) => [img, address]));
  }

  function setStops(cell, on) {
    for (const one of cell.querySelectorAll("a, input, button")) one.tabIndex = on ? 0 : -1;
  }

  /** Make a picture the one that the tab key comes to. */
  function setCurrent(rank) {
    const before = cells.get(current), now = cells.get(rank);
    if (before && before !== now) setStops(before, false);
    current = rank;
    if (now) setStops(now, true);
  }

  /** Focus the picture at a rank, wherever it is. @param {number} rank */
  async function focus(rank) {
    if (!places.find(rank)) return;
    reveal(rank);
    if (!(await results.at(rank))) return;
    setCurrent(rank);
    reveal(rank);
    draw();
    cells.get(rank)?.querySelector("a.tile").focus({ preventScroll: true });
  }

  /** Scroll no further than needed to show a picture. @param {number} rank */
  function reveal(rank) {
    const box = places.box(rank);
    if (!box) return;
    const head = document.getElementById("top").offsetHeight + headings.stuck() + 8;
    const y = above(), top = box.top - y, bottom = top + box.height;
    if (top < head) scrollBy({ top: top - head, behavior: "instant" });
    else if (bottom > innerHeight - 8) scrollBy({ top: bottom - innerHeight + 8, behavior: "instant" });
  }

  /** The rank of the present picture if it is on the screen, else of the first one that is. */
  function inSight() {
    const head = document.getElementById("top").offsetHeight + headings.stuck();
    const [from, to] = [above() + head, above() + innerHeight];
    const box = places.box(current);
    return box && box.top >= from && box.top + box.height <= to ? current : ([...places.ranksBetween(from, to)].find(rank => places.box(rank).top >= from) ?? current);
  }

  /** Begin anew, but for the pictures that the same list has at the same ranks still. */
  function clear(keep) {
    for (const [key, cell] of cells) if (!keep || String(results.known(key)?.id) !== cell.dataset.id) remove(key, cell);
    places.clear();
    if (!keep) current = 1;
    pinned = null;
  }

  function onList({ keep, how }) {
    const anchor = keep ? here() : how === "pop" ? history.state?.place ?? null : null;
    const hadFocus = element.contains(document.activeElement);
    clear(keep);
    asked = toQuery().toString();
    if (!keep && !anchor) scrollTo({ top: 0, behavior: "instant" });
    arrange(anchor);
    // What still has it is not gone to: somebody may have scrolled away from it.
    if (hadFocus && !element.contains(document.activeElement)) focus(Math.min(current, places.total));
  }

  function onScroll() {
    frame ||= requestAnimationFrame(draw);
    clearTimeout(remember);
    remember = setTimeout(() => {
      // Someone who went back meanwhile is at another entry of the history, whose pictures are not here yet.
      if (asked === toQuery().toString()) history.replaceState({ ...history.state, place: here() }, "");
    }, REMEMBERED);
  }

  results.subscribe((event, detail) => {
    if (event === "busy") thumbs.hold(detail);
    else if (event === "list") onList(detail);
    else if (event === "block" || (event === "problem" && !results.list())) arrange();
  });
  new ResizeObserver(() => {
    const anchor = here(), now = element.clientWidth;
    if (now && now !== width) {
      width = now;
      places.clear();
      arrange(anchor);
    }
  }).observe(element);
  addEventListener("scroll", onScroll, { passive: true });
  addEventListener("resize", () => (frame ||= requestAnimationFrame(draw)));
  history.scrollRestoration = "manual";

  return {
    places,
    /** Scroll to a height of the grid. @param {number} y */
    scrollToHeight: y => scrollBy({ top: Math.round(y - above()), behavior: "instant" }),
    above,
    /** Make the rows of pictures higher or lower. @param {number} factor 1: as usual */
    resize(factor) {
      const anchor = here();
      scale = factor;
      places.clear();
      arrange(anchor);
    },
    /** Show anew which pictures more or less like them is asked for. */
    showLeaning() {
      for (const cell of cells.values()) if (cell.dataset.id && (cell.dataset.lean ?? "") !== leanOf(cell.dataset.id)) leanCell(cell, leanOf(cell.dataset.id));
    },
    /** Call a function whenever the places of pictures have changed. @param {() => void} watcher */
    onPlaces: watcher => watchers.add(watcher),
    focus, reveal, setCurrent, inSight,
    redraw: draw,
    current: () => current,
    cell: rank => cells.get(rank),
  };
}
