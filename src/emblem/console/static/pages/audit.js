// The audit: who changed what, when and from where.

import { h, field, paged, problem, select, settled, when } from "../dom.js";
import { json } from "../api.js";

export const title = "Audit";

const SINCE = [["", "ever"], ["1h", "the last hour"], ["24h", "the last day"], ["7d", "the last week"], ["30d", "the last 30 days"]];

export async function show(element, signal) {
  const what = select([["", "everything"], ["key", "keys"], ["team", "teams"]], "", { onchange: refresh });
  const since = select(SINCE, "", { onchange: refresh });
  const subject = h("input", { type: "search", autocomplete: "off", spellcheck: "false", oninput: settled(refresh) });
  const said = h("div");
  const list = paged("Changes, the newest first", ["When", "Who", "What", "Of which", "From", "Details"], row, "Nothing was changed in this time.");
  element.append(
    h(
      "form",
      { class: "row", role: "search", onsubmit: (event) => event.preventDefault() },
      field("Of", what),
      field("Within", since),
      field("Id of a key or team", subject),
    ),
    said,
    list.element,
  );
  await refresh();

  async function refresh() {
    said.replaceChildren();
    const query = new URLSearchParams();
    const given = { what: what.value, since: since.value, subject: subject.value.trim() };
    for (const [name, value] of Object.entries(given)) if (value) query.set(name, value);
    try {
      await list.show((cursor) => {
        if (cursor) query.set("cursor", cursor);
        else query.delete("cursor");
        return json(`admin/audit?${query}`, { signal });
      });
    } catch (error) {
      if (!signal.aborted) said.append(problem(error));
    }
  }

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
