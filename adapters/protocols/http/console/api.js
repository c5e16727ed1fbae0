// Requests to the server. The password is in this module's memory alone: it is gone with the page.

let password = null;
let signIn = async () => null;

export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.message || problem.title || `the server answered ${status}`);
    this.status = status;
  }
}

/** `ask` returns a promise of a password to try; it is told why the last one was refused. */
export function whenRefused(ask) {
  signIn = ask;
}

export async function request(method, path, { body, headers = {} } = {}) {
  for (let why = ""; ; why = "The password is wrong.") {
    const authorized = password === null ? headers : { ...headers, Authorization: `Bearer ${utf8(password)}` };
    // No credentials of the browser's own: it would ask for them in a dialog of its own.
    const answer = await fetch(path, { method, body, headers: authorized, credentials: "omit", cache: "no-store" });
    if (answer.status === 401) {
      password = await signIn(password === null ? "" : why || "The password is wrong.");
    } else if (answer.ok) {
      return answer;
    } else {
      throw new Refused(answer.status, await answer.json().catch(() => ({})));
    }
  }
}

/** Executes a command; `line` is the request in JSON, so that numbers stay as they were typed. */
export async function execute(line) {
  const headers = { "Content-Type": "application/json" };
  const answer = await request("POST", "v1/commands", { body: line, headers });
  return (await answer.text()).trimEnd();
}

export async function result(command) {
  const reply = JSON.parse(await execute(JSON.stringify(command)));
  if (!reply.ok) {
    throw new Refused(200, reply.error);
  }
  return reply.result;
}

/** Browsers take a dot, however it is written, out of a path: it would name another key. */
const NOT_IN_A_PATH = ["", ".", ".."];

export function keyPath(key) {
  if (NOT_IN_A_PATH.includes(key)) {
    throw new Refused(400, { code: "BAD_REQUEST", message: "no URL names this key; use the command line" });
  }
  return `v1/keys/${encodeURIComponent(key)}`;
}

export async function read(key) {
  const answer = await request("GET", keyPath(key));
  const ttl = answer.headers.get("X-Kv-Ttl");
  return { key, text: await answer.text(), tag: answer.headers.get("ETag"), ttl: ttl === null ? null : Number(ttl) };
}

export const write = async (key, text, { query = "", ...conditions }) =>
  request("PUT", keyPath(key) + query, { body: text, headers: { "Content-Type": "application/json", ...conditions } });

/** A header holds bytes, and `fetch` takes them as characters up to 255. */
const utf8 = (text) => String.fromCharCode(...new TextEncoder().encode(text));
