/**
 * Loads thumbnails in the order in which they matter, few at a time. A browser opens six connections to a server; four
 * for pictures leave two for searches, and whoever scrolls past a thousand pictures does not wait for them afterwards.
 */

const AT_ONCE = 4;
const INSTANT = 60; // ms; what comes sooner was in the cache, and fading it in would only flicker

/** Whether this browser asks for less to be sent: pictures of fewer pixels, and none that nobody looks at yet. */
export const isSaving = () => Boolean(/** @type {any} */ (navigator).connection?.saveData) || matchMedia("(prefers-reduced-data: reduce)").matches;

const running = new Map(); // img -> address
let waiting = new Map();
let isHeld = false;

/**
 * Begin no further picture, or go on: while a question is typed and asked, the pictures of the list before it would only keep the
 * server busy and be called off by the answer.
 * @param {boolean} yes
 */
export function hold(yes) {
  isHeld = yes;
  pump();
}

/**
 * What is on screen now, most important first. Everything else that waits is forgotten, and what is on its way for a
 * picture that has left the page is called off.
 * @param {Iterable<[HTMLImageElement, string]>} wanted
 */
export function show(wanted) {
  waiting = new Map(wanted);
  for (const [img, address] of running) {
    waiting.delete(img);
    if (!img.isConnected) stop(img, address);
  }
  pump();
}

/** Forget an image that leaves the page; its request ends. @param {HTMLImageElement} img */
export function drop(img) {
  waiting.delete(img);
  if (running.has(img)) stop(img);
}

/** @returns {number} requests on their way */
export const active = () => running.size;

function stop(img) {
  running.delete(img);
  img.onload = img.onerror = null;
  img.removeAttribute("src");
}

function pump() {
  if (isHeld) return;
  for (const [img, address] of waiting) {
    if (running.size >= AT_ONCE) return;
    waiting.delete(img);
    if (img.getAttribute("src") !== address) start(img, address);
  }
}

function start(img, address) {
  const began = performance.now();
  const done = state => () => {
    running.delete(img);
    img.onload = img.onerror = null;
    if (performance.now() - began < INSTANT) img.classList.add("instant");
    img.classList.add(state);
    if (state === "broken") img.dispatchEvent(new Event("thumbnail-broken", { bubbles: true }));
    pump();
  };
  running.set(img, address);
  img.onload = done("loaded");
  img.onerror = done("broken");
  img.src = address;
}
