"use strict";
// Not a module, and before the page is drawn: a page that someone wants dark must not flash white first.
(() => {
  let theme = "auto";
  try {
    theme = localStorage.getItem("photoseek.theme") ?? "auto";
  } catch {
    // A browser that keeps nothing still shows the page.
  }
  document.documentElement.dataset.theme = ["light", "dark"].includes(theme) ? theme : "auto";
})();
