/** How large the pictures of the wall are; kept for the next visit. */

const KEY = "photoseek.size", STEP = 1.3;

/** @param {HTMLInputElement} range steps from small to large, 0 as usual @param {{grid: any}} shared */
export function mount(range, { grid }) {
  let wanted = 0;
  const apply = () => grid.resize(STEP ** Number(range.value));
  try {
    range.value = localStorage.getItem(KEY) ?? "0";
  } catch {
    // A browser that keeps nothing still shows the pictures.
  }
  if (Number(range.value)) apply();
  range.addEventListener("input", () => {
    cancelAnimationFrame(wanted);
    wanted = requestAnimationFrame(apply);
    try {
      localStorage.setItem(KEY, range.value);
    } catch {
      // As above: it lasts as long as the page does.
    }
  });
}
