// The duplicates view, fetched when somebody first looks at it.

import { whenSeen } from "./lazily.js";

/**
 * @param {HTMLElement} element
 * @param {any} page
 */
export function mount(element, page) {
  whenSeen(page.state, "duplicates", "duplicates.css", async () => {
    const { createGroups } = await import("./groups.js");
    createGroups(element, page);
  });
}
