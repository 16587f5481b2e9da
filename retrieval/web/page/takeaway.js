/** What one can take away of the picture in the viewer: its file, smaller ones, the picture itself, its place on the disk. */

import { h } from "./parts.js";
import { copyAddress } from "./share.js";
import { icon } from "./tiles.js";
import { toast, toastError } from "./toast.js";
import { t } from "./words.js";

const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;
const LARGE = 2048, SMALL = 1024;

/** @param {{api: any, picture: () => any}} shared picture: that of the viewer */
export function createTakeaway({ api, picture }) {
  const summary = h("summary", { class: "plain", "aria-label": t("take.label"), title: t("take.label") }, icon("download"));
  const items = h("div", { class: "menu", role: "group", "aria-label": t("take.label") });
  const element = h("details", { class: "takeaway" }, summary, items);

  const link = (href, name, text, size) => h("a", { class: "menu-item", href, download: name, onclick: close }, h("span", null, text), h("small", null, size));
  const button = (text, run) => h("button", { type: "button", class: "menu-item", onclick: () => (close(), run()) }, h("span", null, text));
  const sides = ({ width, height }, most) => {
    const share = Math.min(1, most / Math.max(width, height));
    return `${Math.round(width * share)} × ${Math.round(height * share)}`;
  };

  function close() {
    element.open = false;
  }

  function fill() {
    const now = picture();
    if (!now) return;
    const stem = now.name.replace(/\.[^.]+$/, "");
    items.replaceChildren(
      link(api.file(now.id), now.name, t("take.original"), sides(now, Infinity)),
      link(api.view(now), `${stem}-${LARGE}.webp`, t("take.large"), sides(now, LARGE)),
      link(api.thumbnail(now, SMALL), `${stem}-${SMALL}.webp`, t("take.small"), sides(now, SMALL)),
    );
    items.append(button(t("copy.address"), copyAddress));
    if (canCopy()) items.append(button(t("take.copy"), () => copyPicture(now)));
    if (LOOPBACK.test(location.hostname)) offerFolder(now);
  }

  /** Whether the server is on this machine, and has a file manager, it says itself. */
  async function offerFolder(now) {
    try {
      const { showable } = await api.get(`/images/${now.id}/shown`);
      if (showable && picture() === now) items.append(button(t("take.show"), () => api.post(`/images/${now.id}/shown`).catch(toastError)));
    } catch {
      // There is the path in the details.
    }
  }

  async function copyPicture(now) {
    try {
      // As a promise: a browser allows it only during the click itself.
      await navigator.clipboard.write([new ClipboardItem({ "image/png": png(api.view(now)) })]);
      toast(t("take.copied"));
    } catch (error) {
      toast(t("take.not_copied"), { kind: "error", detail: error?.name === "NotAllowedError" ? t("take.not_allowed") : "" });
    }
  }

  element.addEventListener("toggle", () => element.open && fill());
  element.addEventListener("keydown", event => {
    if (event.key !== "Escape" || !element.open) return;
    event.preventDefault();
    event.stopPropagation();
    close();
    summary.focus();
  });
  document.addEventListener("pointerdown", event => element.open && !element.contains(event.target) && close());

  return { element, close, copy: () => picture() && canCopy() && copyPicture(picture()) };
}

const canCopy = () => Boolean(navigator.clipboard?.write && window.ClipboardItem);

/** A picture of this server as PNG, the one kind that every clipboard takes. @param {string} address @returns {Promise<Blob>} */
async function png(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  const canvas = h("canvas");
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  canvas.getContext("2d").drawImage(image, 0, 0);
  return new Promise(done => canvas.toBlob(done, "image/png"));
}
