// The audit: who changed what, when and from where.

import { h, select, when } from "../dom.js";
import { listed, searchBox } from "../list.js";

export const title = "Audit";

const SINCE = [["", "ever"], ["1h", "the last hour"], ["24h", "the last day"], ["7d", "the last week"], ["30d", "the last 30 days"]];

export async function show(element, signal) {
  const shown = [
    "Changes, the newest first",
    ["When", "Who", "What", "Of which", "From", "Details"],
    row,
    "Nothing was changed in this time.",
  ];
  const { element: list, refresh } = listed("admin/audit", shown, {
    filters: [
      ["what", "Of", select([["", "everything"], ["key", "keys"], ["team", "teams"]])],
      ["since", "Within", select(SINCE)],
      ["subject", "Id of a key or team", searchBox()],
    ],
    signal,
  });
  element.append(list);
  await refresh();

  function row(line) {
    const named = (name, id) => h("span", {}, name ?? id, name ? h("small", { class: "mono" }, id) : null);
    const details = Object.entries(line.details).map(([name, value]) => h("div", {}, h("code", {}, `${name}: ${words(value)}`)));
    return [when(line.at), named(line.who_name, line.who), line.what, named(line.subject_name, line.subject), line.source, h("div", {}, details)];
  }
}

function words(value) {
  if (value && typeof value === "object" && "from" in value && "to" in value) return `${JSON.stringify(value.from)} → ${JSON.stringify(value.to)}`;
  return typeof value === "string" ? value : JSON.stringify(value);
}
