/** The address holds what is shown: whoever is sent it sees the same. An installed page and a full screen show no address. */

import { copy } from "./parts.js";
import { toast } from "./toast.js";
import { t } from "./words.js";

export async function copyAddress() {
  if (await copy(location.href)) toast(t("copy.address_done"), { detail: location.href });
  else toast(t("copy.refused"), { kind: "error" });
}
