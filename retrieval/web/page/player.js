/**
 * A video in the viewer: plays from the frame that was found; where a browser cannot play it, that frame is shown.
 * The short video of a motion photo or a live photo plays in place of its picture, when it is asked for.
 */

import { clock, h } from "./parts.js";
import { t } from "./words.js";

/**
 * @param {any} api
 * @param {HTMLImageElement} shot the picture in whose place the video stands
 */
export function createPlayer(api, shot) {
  let start = 0;
  const element = h("video", { class: "shot clip", controls: true, preload: "metadata", playsinline: true, hidden: true });
  const text = h("span"), link = h("a", { class: "button", target: "_blank", rel: "noopener" }, t("player.open"));
  const problem = h("p", { class: "unplayed", role: "status", hidden: true }, text, link);

  element.addEventListener("loadedmetadata", () => {
    if (start !== null && start > 0 && start < element.duration) element.currentTime = start;
  });
  element.addEventListener("ended", () => start === null && stop());
  element.addEventListener("error", () => {
    if (!element.getAttribute("src")) return;
    text.textContent = start === null ? `${t("player.cannot_motion")} ` : `${t("player.cannot", { time: clock(start) })} `;
    swap(false, true);
  });
  // The arrows seek and Space plays while it has the focus: no key of the viewer.
  element.addEventListener("keydown", event => [" ", "ArrowLeft", "ArrowRight"].includes(event.key) && event.stopPropagation());
  for (const name of ["pointerdown", "dblclick", "wheel"]) element.addEventListener(name, event => event.stopPropagation());

  function swap(plays, fails = false) {
    element.hidden = !plays;
    shot.hidden = plays;
    problem.hidden = !fails;
  }

  /** Show a picture: as a video if it is one. @returns {boolean} whether it is */
  function show(picture) {
    stop();
    if (typeof picture.duration_s !== "number") return false;
    start = picture.time_s ?? 0;
    load(picture, api.file(picture.id));
    return true;
  }

  function load(picture, address) {
    link.href = address;
    element.setAttribute("aria-label", picture.name);
    element.poster = api.thumbnail(picture, 1024);
    element.src = address;
    swap(true);
  }

  /** Play the short video of a picture, or show the picture again. @returns {boolean} whether it plays */
  function toggleMotion(picture) {
    const plays = element.hidden;
    stop();
    if (!plays) return false;
    start = null;
    load(picture, api.motion(picture.id));
    element.play().catch(() => {}); // it failed to load, which is told, or was stopped at once
    return true;
  }

  function stop() {
    element.pause();
    element.removeAttribute("src");
    element.removeAttribute("poster");
    element.load();
    swap(false);
  }

  return { element, problem, show, stop, toggleMotion };
}
