// Asks the server, as whoever is signed in. Every request of the console goes through here.

/** Where the server is: it may stand behind a proxy's prefix. Ends in "/". */
export const root = new URL("../../", import.meta.url);

/** The address that OpenAI's clients call base_url. */
export const baseUrl = new URL("v1", root).href;

let token = "";
let plotly = "";

/** The version of plotly that the server has. */
export const plotlyVersion = () => plotly;

/** An answer that is no success. `message` is a sentence to be shown. */
export class Refused extends Error {
  constructor(message, status = 0, code = null, param = null) {
    super(message);
    this.status = status;
    this.code = code;
    this.param = param;
  }
}

/**
 * Sends a request and gives its Response. A path has no "/" in front. Raises Refused, or what an
 * aborted `signal` raises. `body` is sent as JSON.
 */
export async function ask(path, { method = "GET", body, signal, headers = {} } = {}) {
  const own = { "x-emblem-csrf": token, ...headers };
  if (body !== undefined) own["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(new URL(path, root), {
      method,
      headers: own,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      credentials: "same-origin",
      // Only where it counts: with it a browser asks the server to look into no cache, either.
      cache: method === "GET" ? "no-store" : "default",
      redirect: "error",
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refused("The server does not answer. Is it running, and can this browser reach it?");
  }
  if (answer.ok) return answer;
  const refused = await refusal(answer);
  if (refused.status === 401 && !path.startsWith("console/")) {
    document.dispatchEvent(new CustomEvent("emblem:signed-out"));
  }
  throw refused;
}

/** Sends a request and gives what its answer says in JSON. */
export async function json(path, options) {
  return (await ask(path, options)).json();
}

/** Gives every item of a list that comes in pages; at most `most`. */
export async function every(path, { signal, most = 2000 } = {}) {
  const found = [];
  let cursor = null;
  do {
    const address = new URL(path, root);
    address.searchParams.set("limit", "200");
    if (cursor) address.searchParams.set("cursor", cursor);
    const page = await json(address.href.slice(root.href.length), { signal });
    found.push(...page.data);
    cursor = page.has_more ? page.next_cursor : null;
  } while (cursor && found.length < most);
  return found;
}

/** Has the browser save an answer's body as a file. */
export async function download(path, name, options) {
  const content = await (await ask(path, options)).blob();
  const address = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** Gives who is signed in: `{signed_in, name, role, ways, version}`. */
export async function session() {
  return remembered(await json("console/session"));
}

/** Signs in with a key, which is kept nowhere in the page. */
export async function signIn(key) {
  return remembered(await json("console/session", { method: "POST", body: { key } }));
}

/** Signs out. */
export async function signOut() {
  return remembered(await json("console/session", { method: "DELETE" }));
}

function remembered(state) {
  token = state.csrf;
  plotly = state.plotly;
  return state;
}

async function refusal(answer) {
  try {
    const { error } = await answer.json();
    return new Refused(error.message, answer.status, error.code, error.param);
  } catch {
    return new Refused(`The server answered with ${answer.status} and no explanation.`, answer.status);
  }
}
