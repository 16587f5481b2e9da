/** One picture after the other over the whole screen, by themselves; and the whole screen without that. */

const EACH = 5000; // ms

/**
 * @param {HTMLElement} dialog
 * @param {{next: () => Promise<boolean>, isReady: () => boolean, onChange: (plays: boolean) => void}} how next: show the
 *   next picture, false at the end; isReady: whether the present one is drawn
 */
export function createSlideshow(dialog, { next, isReady, onChange }) {
  let timer = 0, playing = false, entered = false;

  const isFull = () => Boolean(document.fullscreenElement);

  /** Fill the screen, or no longer; a browser or a phone may not allow it, and the picture stays as it is. */
  async function toggleFull(on = !isFull()) {
    try {
      // The whole document: a dialog cannot be it, and stays above everything else.
      if (on && !isFull()) await document.documentElement.requestFullscreen();
      else if (!on && isFull()) await document.exitFullscreen();
    } catch {
      // Nothing is lost.
    }
  }

  async function turn() {
    if (!playing) return;
    // A picture that is still on its way is not passed over.
    if (isReady() && !(await next())) return stop();
    timer = setTimeout(turn, EACH);
  }

  async function play() {
    if (playing) return;
    playing = true;
    dialog.classList.add("playing");
    onChange(true);
    timer = setTimeout(turn, EACH);
    if (!isFull()) {
      await toggleFull(true);
      entered = isFull();
    }
  }

  function stop() {
    clearTimeout(timer);
    if (!playing) return;
    playing = false;
    dialog.classList.remove("playing");
    onChange(false);
    if (entered) toggleFull(false);
    entered = false;
  }

  document.addEventListener("fullscreenchange", () => {
    dialog.classList.toggle("full", isFull());
    if (!isFull()) stop();
  });

  return { toggleFull, isFull, stop, play, toggle: () => (playing ? stop() : play()), isPlaying: () => playing };
}
