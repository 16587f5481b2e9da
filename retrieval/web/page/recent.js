/** Searches that were made in this browser: kept here, and nowhere else, until they are cleared. */

const KEY = "photoseek.recent";
const MOST = 30;

/** @returns {string[]} what stood in the address, the latest first */
function all() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    if (Array.isArray(found) && found.every((one) => typeof one === "string")) return found;
  } catch {
    // Not allowed, or of another version of the page.
  }
  return [];
}

function store(list) {
  try {
    if (list.length) localStorage.setItem(KEY, JSON.stringify(list.slice(0, MOST)));
    else localStorage.removeItem(KEY);
  } catch {
    // No room, or not allowed: then nothing is remembered.
  }
}

/** Remember a search with words. Pictures that were uploaded are forgotten by the server, and here, too. @param {any} state */
export function remember(state) {
  const { q, like } = state.get();
  if (!q.trim() || like.some((id) => id.startsWith("u"))) return;
  const params = state.toQuery();
  for (const name of ["weaker", "sort", "reverse", "min_score", "group_minutes"]) params.delete(name);
  const text = params.toString();
  store([text, ...all().filter((one) => one !== text)]);
}

/** Those with words that begin like a text, the latest first. @param {string} text */
export function matching(text) {
  const words = text.toLowerCase();
  return all()
    .map((query) => {
      const params = new URLSearchParams(query);
      return { query, q: params.get("q") ?? "", more: [...params].length - 1 };
    })
    .filter(({ q }) => q.toLowerCase() !== words && ` ${q.toLowerCase()}`.includes(` ${words}`));
}

export const clear = () => store([]);
