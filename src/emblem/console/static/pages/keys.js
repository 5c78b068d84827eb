// API keys: who has one, making one, changing, rotating and revoking it.

import { h, copyButton, dialog, field, select, tell, when } from "../dom.js";
import { baseUrl, every, json } from "../api.js";
import { actions, listed, searchBox } from "../list.js";
import { allowance, allowed, differing, input, lines, read } from "../terms.js";

export const title = "Keys";

const NEW = {
  name: "", owner: "", team: null, role: "inference", expires: null, sources: [], priority: null, models: [],
  requests_per_minute: null, tokens_per_minute: null, tokens_per_day: null, budget_per_month: null,
};
const ROLES = [
  ["inference", "inference: the models"],
  ["read", "read: metrics and what runs, too"],
  ["admin", "admin: everything"],
];
const COLUMNS = ["Name", "State", "Ends in", "Owner", "Team", "Role", "Allowed", "Last used", "Expires", "Change"];

export async function show(element, signal) {
  const state = select([["live", "live"], ["expired", "expired"], ["revoked", "revoked"], ["", "all"]], "live");
  const shown = ["Keys, the newest first", COLUMNS, row, "No key fits. Make one with New key, or look for others."];
  const { element: list, refresh } = listed("admin/keys", shown, {
    filters: [["search", "Search", searchBox()], ["state", "State", state]],
    add: h("button", { type: "button", onclick: create }, "New key"),
    signal,
  });
  element.append(list);
  await refresh();

  function row(key) {
    const live = key.state !== "revoked";
    return [
      h("span", {}, key.name, h("small", { class: "mono" }, key.id)),
      h("span", { class: `badge ${key.state === "live" ? "good" : "bad"}` }, key.state),
      h("span", { class: "mono" }, `…${key.last_four}`),
      key.owner,
      key.team_name ?? "",
      key.role,
      allowance(key),
      when(key.last_used),
      when(key.expires),
      live
        ? actions(key.name, ["Change", () => change(key)], ["Rotate", () => rotate(key)], ["Revoke", () => revoke(key), "danger"])
        : "",
    ];
  }

  async function create() {
    const form = await terms(NEW, signal);
    const once = { "idempotency-key": unique() };
    const made = await dialog("New key", form.element, {
      yes: "Make the key",
      action: () => json("admin/keys", { method: "POST", body: { name: form.name(), ...form.changes() }, headers: once, signal }),
    });
    if (made) await secret(made, "The key is made", signal);
    if (made) await refresh();
  }

  async function change(key) {
    const form = await terms(key, signal);
    const path = `admin/keys/${encodeURIComponent(key.id)}`;
    const done = await dialog(`Change ${key.name}`, form.element, {
      yes: "Change the key",
      action: () => json(path, { method: "PATCH", body: { ...form.changes(), ...differing(key, { name: form.name() }) }, signal }),
    });
    if (done) tell(`${done.name} is changed.`);
    if (done) await refresh();
  }

  async function rotate(key) {
    const overlap = input("overlap", "text", "24h", { required: true });
    const made = await dialog(
      `Rotate ${key.name}`,
      h("div", {}, h("p", {}, "It gets a new secret. The old one goes on working for a while, so that nobody is cut off."),
        field("The old secret works for", overlap, "Such as 24h, 7d, or 0 for no time.")),
      {
        yes: "Rotate the key",
        action: () => json(`admin/keys/${encodeURIComponent(key.id)}/rotate`, { method: "POST", body: { overlap: overlap.value.trim() }, signal }),
      },
    );
    if (made) await secret(made, "The new secret", signal);
    if (made) await refresh();
  }

  async function revoke(key) {
    const words = `Whoever uses ${key.name} (…${key.last_four}) is refused within a second. This cannot be undone.`;
    const done = await dialog(`Revoke ${key.name}?`, h("p", {}, words), {
      yes: "Revoke the key",
      danger: true,
      action: () => json(`admin/keys/${encodeURIComponent(key.id)}`, { method: "DELETE", signal }),
    });
    if (done) tell(`${key.name} is revoked.`);
    if (done) await refresh();
  }
}

/** The form of a key's terms. */
async function terms(key, signal) {
  const teams = await every("admin/teams", { signal });
  const name = input("name", "text", key.name, { required: true, maxlength: "64" });
  const owner = input("owner", "text", key.owner);
  const team = select([["", "no team"], ...teams.map((one) => [one.id, one.name])], key.team ?? "", { name: "team" });
  const role = select(ROLES, key.role, { name: "role" });
  const ends = key.expires === null ? "" : new Date(key.expires * 1000).toISOString().replace(".000", "");
  const expires = input("expires", "text", ends);
  const priority = select([["", "by size"], ["interactive", "interactive"], ["bulk", "bulk"]], key.priority ?? "", { name: "priority" });
  const sources = lines("sources", key.sources);
  const limits = allowed(key);
  const element = h(
    "div",
    {},
    h(
      "div",
      { class: "grid" },
      field("Name", name),
      field("Owner", owner, "Whom to ask about it."),
      field("Team", team),
      field("Role", role),
      field("Expires", expires, "A span such as 30d, or a date such as 2030-01-31. Empty is never."),
      field("Priority", priority, "For requests that name none."),
    ),
    field("May be used from", sources, "Addresses or networks such as 10.1.0.0/16, one a line. Empty is anywhere."),
    limits.element,
  );
  return {
    element,
    name: () => name.value.trim(),
    changes() {
      const given = {
        owner: owner.value.trim(),
        team: team.value || null,
        role: role.value,
        priority: priority.value || null,
        sources: read(sources),
      };
      const moved = expires.value.trim() === ends ? {} : { expires: expires.value.trim() || null };
      return { ...differing(key, given), ...moved, ...limits.changes() };
    },
  };
}

/** Shows a secret, which is shown this once. */
async function secret(made, heading, signal) {
  if (made.key === null) {
    return dialog(heading, h("p", {}, "An earlier try had made it already, and its secret cannot be shown again. Rotate the key for a new one."), { no: "Close" });
  }
  const shown = input("secret", "text", made.key, { readonly: true, class: "mono", onfocus: () => shown.select() });
  const { data } = await json("v1/models", { signal });
  const body = JSON.stringify({ model: data.find((one) => one.task === "embedding")?.id ?? "MODEL", input: "Hello" }).replaceAll("'", "'\\''");
  const call = `curl ${baseUrl}/embeddings -H "Authorization: Bearer ${made.key}" -H "Content-Type: application/json" -d '${body}'`;
  return dialog(
    heading,
    h(
      "div",
      {},
      h("p", {}, `Copy the secret of ${made.name} now: it is kept nowhere and cannot be shown again.`),
      field("Secret", shown),
      h("p", { class: "actions" }, copyButton(made.key, "Copy the secret"), copyButton(call, "Copy a curl command")),
    ),
    { no: "I have it" },
  );
}

function unique() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (one) => one.toString(16).padStart(2, "0")).join("");
}
