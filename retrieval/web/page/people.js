// Whether there are faces at all: only then is there a view of people, and a button for faces in the viewer.

import { styled, whenSeen } from "./lazily.js";

/**
 * @param {HTMLElement} element
 * @param {{state: any, api: any, results: any}} page
 */
export function mount(element, page) {
  const { state, api, results } = page;
  let known = false, asking = false;

  async function ask() {
    if (known || asking) return;
    asking = true;
    try {
      const { total, looks_for_faces: looks } = await api.get("/people", { params: { most: 1, hidden: true } });
      known = total > 0 || looks;
      document.body.classList.toggle("has-people", known);
    } catch {
      // Nothing is indexed yet, or the server is busy: asked again when the gallery changes.
    }
    asking = false;
  }

  const end = results.subscribe(event => {
    if (event !== "list") return;
    end();
    ask();
  });
  addEventListener("gallery-changed", ask);
  whenSeen(state, "people", "people.css", async () => {
    await styled("edits.css");
    (await import("./peoplepanel.js")).createPeople(element, page);
  });
}
