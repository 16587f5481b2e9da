"use strict";
// Not a module, and before the page is drawn: a page that someone wants dark must not flash white first.
(() => {
  const KEY = "photoseek.theme", NEXT = { auto: "light", light: "dark", dark: "auto" };
  const SAY = { auto: "as this device", light: "light", dark: "dark" };
  const root = document.documentElement;
  let theme = "auto";
  try {
    theme = localStorage.getItem(KEY) ?? "auto";
  } catch {
    // A browser that keeps nothing still shows the page.
  }
  if (!(theme in NEXT)) theme = "auto";
  root.dataset.theme = theme;

  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const say = () => {
      button.title = `Theme: ${SAY[theme]}`;
      button.setAttribute("aria-label", `Theme: ${SAY[theme]}. Change to ${SAY[NEXT[theme]]}`);
    };
    say();
    button.addEventListener("click", () => {
      theme = root.dataset.theme = NEXT[theme];
      say();
      try {
        localStorage.setItem(KEY, theme);
      } catch {
        // As above: it lasts as long as the page does.
      }
    });
  });
})();
