// A certified provider of OpenID Connect, for tests: node provider.mjs PORT REDIRECT_URI SECRET
//
// Whoever types a name of PEOPLE is them. It says what it knows of somebody only where it is asked
// with an access token, as many providers do, and takes no code without a verifier (PKCE).
import { createServer } from "node:http";
import { Provider } from "oidc-provider";

const [port, redirect, secret] = process.argv.slice(2);
const PEOPLE = { ann: ["staff", "platform"], eve: ["research"], bob: ["staff"] };

const provider = new Provider(`http://localhost:${port}`, {
  clients: [{ client_id: "emblem", client_secret: secret, redirect_uris: [redirect] }],
  claims: { openid: ["sub"], profile: ["preferred_username"], groups: ["groups"] },
  scopes: ["openid", "profile", "groups"],
  pkce: { required: () => true },
  cookies: { keys: [secret] },
  features: { devInteractions: { enabled: false } },
  ttl: { AccessToken: 60, AuthorizationCode: 60, Grant: 60, IdToken: 60, Interaction: 60, Session: 60 },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (_, id) =>
    PEOPLE[id] && { accountId: id, claims: () => ({ sub: id, preferred_username: id, groups: PEOPLE[id] }) },
  async loadExistingGrant({ oidc }) {
    // Everybody agrees to everything: to be asked is no part of what is tested.
    const grant = new oidc.provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
    grant.addOIDCScope("openid profile groups");
    await grant.save();
    return grant;
  },
});

const FORM = `<!doctype html><html lang="en"><title>Provider</title><form method="post">
<label>Login <input name="login" autofocus></label><button>Continue</button></form></html>`;

async function interact(request, response) {
  if (request.method === "GET") {
    response.writeHead(200, { "content-type": "text/html" }).end(FORM);
    return;
  }
  let body = "";
  for await (const part of request) body += part;
  const login = new URLSearchParams(body).get("login");
  const result = login ? { login: { accountId: login, remember: false } } : { error: "access_denied" };
  await provider.interactionFinished(request, response, result);
}

const answer = provider.callback();
createServer((request, response) => {
  if (request.url === "/favicon.ico") return response.writeHead(204).end();
  if (!request.url.startsWith("/interaction/")) return answer(request, response);
  return interact(request, response).catch((error) => response.writeHead(500).end(String(error)));
}).listen(port, "localhost", () => console.log("listening"));
