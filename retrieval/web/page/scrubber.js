/** The years beside the timeline: a slider that leads to any month, by pointer, finger and keys, and says which it is. */

import { monthName } from "./headings.js";
import { h } from "./parts.js";
import { t } from "./words.js";

const ROOM = 22; // pixels between two years
const STEPS = { ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1, PageUp: -12, PageDown: 12 };
const LINGER = 1200; // ms that a finger's scrubber stays after the last scrolling

/** @param {HTMLElement} element @param {{grid: any, state: any, keys: any}} shared */
export function mount(element, { grid, state, keys }) {
  const years = h("div", { class: "years", "aria-hidden": "true" });
  const label = h("output", { class: "scrub-label", "aria-hidden": "true" });
  const thumb = h("div", { class: "scrub-thumb", role: "slider", tabIndex: 0, "aria-label": t("scrubber.label"), "aria-orientation": "vertical", "aria-valuemin": "0" }, label);
  element.append(years, thumb);
  let frame = 0, dragged = null, lingering = 0;
  const { places } = grid;

  // How far the page scrolls from the first picture at the upper edge to the last one at the lower edge.
  const reach = () => Math.max(1, places.height - innerHeight + head());
  const head = () => document.getElementById("top").offsetHeight;
  const at = () => Math.min(1, Math.max(0, (grid.above() + head()) / reach()));
  // The month that is said is that of the upper edge. On the last screen it runs ahead of it to the lower one: months there
  // never come to the upper edge.
  const bend = () => Math.max(0, reach() - innerHeight);
  const slope = () => (places.height - bend()) / Math.max(1, reach() - bend());
  const placeOf = top => (top <= bend() ? top : bend() + (top - bend()) * slope());
  const topOf = place => (place <= bend() ? place : bend() + (place - bend()) / slope());
  const monthAt = top => {
    const place = placeOf(top) + 2; // places are whole pixels
    let found = 0;
    places.months.forEach((month, n) => places.tops[month.first] <= place && (found = n));
    return found;
  };
  const go = share => grid.scrollToHeight(share * reach() - head());

  function draw() {
    frame = 0;
    const isOn = places.months.length > 1 && places.height > 1.5 * innerHeight && state.get().view === "grid";
    element.hidden = !isOn;
    document.body.classList.toggle("scrubbed", isOn);
    if (!isOn) return;
    const height = element.clientHeight;
    let last = -ROOM, year = "";
    const marks = [];
    for (const { month, first } of places.months) {
      const now = month.slice(0, 4);
      const top = Math.min(1, topOf(places.tops[first]) / reach()) * height;
      if (now === year) continue;
      year = now;
      const isText = top - last >= ROOM && top <= height - 8;
      if (isText) last = top;
      marks.push(h("span", { class: isText ? "" : "dot", style: null }, isText ? now || "–" : ""));
      marks[marks.length - 1].style.top = `${top}px`;
    }
    years.replaceChildren(...marks);
    follow();
  }

  function follow() {
    const share = dragged ?? at(), n = monthAt(share * reach());
    const name = monthName(places.months[n].month);
    thumb.style.transform = `translateY(${share * element.clientHeight}px)`;
    label.textContent = name;
    for (const [key, value] of [["valuemax", places.months.length - 1], ["valuenow", n], ["valuetext", name]]) thumb.setAttribute(`aria-${key}`, String(value));
  }

  const shareOf = event => {
    const box = element.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientY - box.top) / box.height));
  };
  element.addEventListener("pointerdown", event => {
    if (event.button !== 0) return;
    event.preventDefault();
    element.setPointerCapture(event.pointerId);
    element.classList.add("dragged");
    thumb.focus({ preventScroll: true });
    drag(event);
  });
  element.addEventListener("pointermove", event => {
    if (dragged !== null) return drag(event);
    // Under a mouse that only passes, the month there is said.
    label.textContent = monthName(places.months[monthAt(shareOf(event) * reach())]?.month ?? "");
    label.style.translate = `0 ${event.clientY - thumb.getBoundingClientRect().top}px`;
  });
  for (const name of ["pointerup", "pointercancel", "pointerleave"]) element.addEventListener(name, () => {
    if (name !== "pointerleave") {
      dragged = null;
      element.classList.remove("dragged");
    }
    if (dragged === null) label.style.translate = "";
    if (!element.hidden) follow();
  });
  function drag(event) {
    dragged = shareOf(event);
    label.style.translate = "";
    go(dragged);
    follow();
  }

  thumb.addEventListener("keydown", event => {
    const now = monthAt(at() * reach());
    const last = places.months.length - 1;
    const next = event.key === "Home" ? 0 : event.key === "End" ? last : now + (STEPS[event.key] ?? NaN);
    if (Number.isNaN(next) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    goToMonth(Math.min(last, Math.max(0, next)));
  });

  function goToMonth(n) {
    grid.scrollToHeight(topOf(places.tops[places.months[n].first]) - head());
    follow();
  }

  /** To the first month of the next year in the list; upwards, of the one before. @param {1|-1} step */
  function goToYear(step) {
    const yearOf = n => places.months[n]?.month.slice(0, 4), now = monthAt(at() * reach());
    let n = now;
    while (yearOf(n) === yearOf(now)) n += step;
    if (yearOf(n) === undefined) return;
    while (yearOf(n - 1) === yearOf(n)) n -= 1;
    goToMonth(n);
  }
  const onTimeline = { group: t("views.pictures"), when: () => !element.hidden && !document.querySelector("dialog[open]") };
  keys.add(["y"], t("keys.year"), () => goToYear(1), onTimeline);
  keys.add(["Y"], t("keys.year_back"), () => goToYear(-1), onTimeline);

  const soon = () => (frame ||= requestAnimationFrame(draw));
  grid.onPlaces(soon);
  soon();
  addEventListener("resize", soon);
  state.subscribe(soon);
  addEventListener("scroll", () => {
    if (element.hidden) return;
    element.classList.add("seen");
    clearTimeout(lingering);
    lingering = setTimeout(() => element.classList.remove("seen"), LINGER);
    follow();
  }, { passive: true });
}
