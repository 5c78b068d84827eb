// Teams: whom keys belong to, and what holds for all of a team's keys together.

import { h, dialog, field, paged, problem, settled, tell, when } from "../dom.js";
import { json } from "../api.js";
import { allowance, allowed, differing, input } from "../terms.js";

export const title = "Teams";

const NEW = { name: "", models: [], requests_per_minute: null, tokens_per_minute: null, tokens_per_day: null, budget_per_month: null };

export async function show(element, signal) {
  const search = h("input", { type: "search", autocomplete: "off", spellcheck: "false", oninput: settled(refresh) });
  const said = h("div");
  const list = paged(
    "Teams, by name",
    ["Name", "Allowed to all of its keys together", "Made", "Change"],
    row,
    "No team fits. A team has limits that hold for all of its keys together: make one with New team.",
  );
  element.append(
    h(
      "form",
      { class: "row", role: "search", onsubmit: (event) => event.preventDefault() },
      field("Search", search),
      h("button", { type: "button", onclick: create }, "New team"),
    ),
    said,
    list.element,
  );
  await refresh();

  async function refresh() {
    said.replaceChildren();
    const query = new URLSearchParams();
    if (search.value.trim()) query.set("search", search.value.trim());
    try {
      await list.show((cursor) => {
        if (cursor) query.set("cursor", cursor);
        else query.delete("cursor");
        return json(`admin/teams?${query}`, { signal });
      });
    } catch (error) {
      if (!signal.aborted) said.append(problem(error));
    }
  }

  function row(team) {
    const act = (label, action, style = "quiet") =>
      h("button", { type: "button", class: style, "aria-label": `${label} ${team.name}`, onclick: () => action(team) }, label);
    return [
      h("span", {}, team.name, h("small", { class: "mono" }, team.id)),
      allowance(team),
      when(team.created),
      h("div", { class: "actions tight" }, act("Change", change), act("Delete", remove, "danger")),
    ];
  }

  function form(team) {
    const name = input("name", "text", team.name, { required: true, maxlength: "64" });
    const limits = allowed(team);
    return {
      element: h("div", {}, field("Name", name), limits.element),
      changes: () => ({ ...differing(team, { name: name.value.trim() }), ...limits.changes() }),
    };
  }

  async function create() {
    const made = form(NEW);
    const done = await dialog("New team", made.element, {
      yes: "Make the team",
      action: () => json("admin/teams", { method: "POST", body: made.changes(), signal }),
    });
    if (done) tell(`${done.name} is made.`);
    if (done) await refresh();
  }

  async function change(team) {
    const made = form(team);
    const done = await dialog(`Change ${team.name}`, made.element, {
      yes: "Change the team",
      action: () => json(`admin/teams/${encodeURIComponent(team.id)}`, { method: "PATCH", body: made.changes(), signal }),
    });
    if (done) tell(`${done.name} is changed.`);
    if (done) await refresh();
  }

  async function remove(team) {
    const done = await dialog(`Delete ${team.name}?`, h("p", {}, "Only a team that no live key belongs to can be deleted."), {
      yes: "Delete the team",
      danger: true,
      action: () => json(`admin/teams/${encodeURIComponent(team.id)}`, { method: "DELETE", signal }),
    });
    if (done) tell(`${team.name} is deleted.`);
    if (done) await refresh();
  }
}
