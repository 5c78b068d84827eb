// Teams: whom keys belong to, and what holds for all of a team's keys together.

import { h, dialog, field, tell, when } from "../dom.js";
import { json } from "../api.js";
import { actions, listed, searchBox } from "../list.js";
import { allowance, allowed, differing, input } from "../terms.js";

export const title = "Teams";

const NEW = { name: "", models: [], requests_per_minute: null, tokens_per_minute: null, tokens_per_day: null, budget_per_month: null };

export async function show(element, signal) {
  const shown = [
    "Teams, by name",
    ["Name", "Allowed to all of its keys together", "Made", "Change"],
    row,
    "No team fits. A team has limits that hold for all of its keys together: make one with New team.",
  ];
  const { element: list, refresh } = listed("admin/teams", shown, {
    filters: [["search", "Search", searchBox()]],
    add: h("button", { type: "button", onclick: create }, "New team"),
    signal,
  });
  element.append(list);
  await refresh();

  function row(team) {
    return [
      h("span", {}, team.name, h("small", { class: "mono" }, team.id)),
      allowance(team),
      when(team.created),
      actions(team.name, ["Change", () => change(team)], ["Delete", () => remove(team), "danger"]),
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
