/** How the page looks in this browser: light or dark, and in which language. */

import { h } from "./parts.js";
import { language, t } from "./words.js";

const NEXT = { auto: "light", light: "dark", dark: "auto" };
const A_YEAR = 365 * 24 * 3600; // s
const root = document.documentElement;

/** The button for the theme, which `theme.js` has read before anything was drawn. @param {HTMLElement} button */
export function mountTheme(button) {
  const say = () => {
    const theme = root.dataset.theme;
    button.title = button.lastElementChild.textContent = t("theme.is", { theme: t(`theme.${theme}`) });
    button.setAttribute("aria-label", t("theme.change", { theme: t(`theme.${theme}`), next: t(`theme.${NEXT[theme]}`) }));
  };
  say();
  button.addEventListener("click", () => {
    root.dataset.theme = NEXT[root.dataset.theme];
    say();
    try {
      localStorage.setItem("photoseek.theme", root.dataset.theme);
    } catch {
      // A browser that keeps nothing: it lasts as long as the page does.
    }
  });
}

/** On small screens the views and these buttons are in a menu. @param {HTMLElement} button @param {HTMLElement} menu */
export function mountMenu(button, menu) {
  const set = open => {
    menu.classList.toggle("open", open);
    button.setAttribute("aria-expanded", String(open));
  };
  const isOpen = () => menu.classList.contains("open");
  button.addEventListener("click", () => {
    set(!isOpen());
    if (isOpen()) menu.querySelector("a, button").focus();
  });
  menu.addEventListener("click", event => event.target.closest("a, #help-button") && set(false));
  menu.addEventListener("keydown", event => {
    if (event.key !== "Escape" || !isOpen()) return;
    event.stopPropagation();
    set(false);
    button.focus();
  });
  document.addEventListener("pointerdown", event => !menu.contains(event.target) && !button.contains(event.target) && set(false));
}

/** A choice of the language, which the server reads from a cookie when it writes the page. @returns {HTMLElement} */
export function languageChoice() {
  const select = h("select", { onchange: () => {
    document.cookie = `photoseek-language=${select.value}; path=/; max-age=${A_YEAR}; samesite=lax`;
    location.reload();
  } }, t("languages").split(" ").map(name => h("option", { value: name, lang: name }, nameOf(name))));
  select.value = language;
  return h("label", { class: "language" }, h("span", null, t("language")), select);
}

/** A language's name in itself, so that people find their own. */
const nameOf = name => new Intl.DisplayNames(name, { type: "language" }).of(name);
