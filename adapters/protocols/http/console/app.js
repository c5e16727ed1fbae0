// The console: what is shown, and what its buttons and keys do.

import { Refused, keyPath, read, request, result, whenRefused, write } from "./api.js";
import * as figures from "./figures.js";
import { SHOWN, bytes, compact, counted, fault, kindOf, laidOut, show, visible } from "./json.js";
import * as shell from "./shell.js";
import { Tree } from "./tree.js";

const PAGE = 1000; // keys of a page
const SEARCHED_PAGE = 4000; // of one that is searched
const AT_ONCE = 5000; // keys that are shown until more are asked for
const SEARCHED_AT_ONCE = 250_000; // and keys that are searched
const FEW = 100; // found keys, whose groups are all open
const UNDO_SECONDS = 30;

const element = (id) => document.getElementById(id);
const on = (id, event, act, how) => element(id).addEventListener(event, act, how);

let shown = null; // the key that is shown, as `read` returns it; null while another one is read
let displayed = 0; // the number of the last `display`; what an older one reads is not shown
let edited = null; // what the editor began with; null for a new key
let deleted = null;
let cursor = null;
let seen = 0; // keys that were read
let loaded = 0; // those that are in the tree
let total = 0;
let searched = ""; // the text that the keys in the tree contain
let isReading = false;
let reading = 0; // the number of the last reading of keys; an older one stops

const tree = new Tree(element("keys"), (key) => attempt(() => display(key, true)));

function tell(message, canUndo = false) {
  element("message").textContent = message;
  element("undo").hidden = !canUndo;
  element("toast").hidden = false;
  clearTimeout(tell.timer);
  tell.timer = setTimeout(() => (element("toast").hidden = true), (canUndo ? UNDO_SECONDS : 6) * 1000);
}

async function attempt(act) {
  try {
    await act();
  } catch (error) {
    tell(error instanceof TypeError ? "The server cannot be reached." : error.message);
  }
}

// Signing in.

let ending = null;
whenRefused(async (why) => {
  element("login-error").textContent = why;
  if (!element("login").open) {
    element("login").showModal();
  }
  ending ??= new Promise((resolve) => {
    on("login-form", "submit", () => {
      ending = null;
      resolve(element("password").value);
      element("password").value = "";
    }, { once: true });
  });
  return ending;
});
on("login", "cancel", (event) => event.preventDefault());

// Keys.

/** Reads pages of keys, and shows those that contain the text that is searched, in any case. */
async function load(isNew) {
  const mine = ++reading;
  if (isNew) {
    const text = element("search").value.toLowerCase();
    if (text !== searched) {
      tree.opened.clear();
    }
    tree.clear();
    cursor = null;
    seen = loaded = 0;
    searched = text;
  }
  const [enough, far] = [loaded + AT_ONCE, seen + SEARCHED_AT_ONCE];
  const limit = searched ? SEARCHED_PAGE : PAGE;
  isReading = true;
  try {
    do {
      const query = new URLSearchParams({ limit, ...(cursor === null ? {} : { cursor }) });
      const found = await (await request("GET", `v1/keys?${query}`)).json();
      if (mine !== reading) {
        return;
      }
      const keys = found.keys.filter((key) => key.toLowerCase().includes(searched));
      cursor = found.cursor;
      seen += found.keys.length;
      loaded += keys.length;
      tree.opensGroups = searched !== "" && loaded <= FEW;
      tree.add(keys);
      count();
    } while (cursor !== null && loaded < enough && seen < far);
  } finally {
    if (mine === reading) {
      stop();
    }
  }
}

function stop() {
  reading++;
  isReading = false;
  count();
}

function count() {
  const told = (number) => number.toLocaleString();
  const all = Math.max(total, seen);
  const isPart = isReading || cursor !== null;
  element("count").textContent = isPart && !searched ? `${told(loaded)} of ${told(all)}` : told(loaded);
  element("searched").hidden = !searched;
  element("found").textContent = `${told(loaded)} found in ${isPart ? `${told(seen)} of ` : ""}${counted(isPart ? all : seen, "key")}`;
  element("progress").max = all;
  element("progress").value = seen;
  element("progress").hidden = element("stop").hidden = !isReading;
  element("more").hidden = !isPart || isReading;
  element("more").textContent = searched ? "Search on" : `Read ${told(AT_ONCE)} more keys`;
}

// A value.

const panel = (id) => {
  for (const each of ["detail", "editor", "welcome"]) {
    element(each).hidden = each !== id;
  }
};

/** Shows a key. Until it is read, and when it cannot be, nothing can be done with the one before. */
async function display(key, isChosen = false) {
  const mine = ++displayed;
  let found;
  tree.select(key);
  if (shown?.key !== key) {
    shown = null;
    element("detail").inert = true;
  }
  try {
    found = await read(key);
  } catch (error) {
    if (mine === displayed) {
      shown = null;
      panel("welcome");
    }
    throw error.status === 404 ? new Refused(404, { detail: `${visible(key)} is not there any more.` }) : error;
  }
  if (mine !== displayed) {
    return;
  }
  shown = found;
  element("detail").inert = false;
  element("key").textContent = visible(key);
  const size = new Blob([shown.text]).size;
  const ttl = shown.ttl === null ? "lives for ever" : `${shown.ttl.toLocaleString(undefined, { maximumFractionDigits: shown.ttl < 10 ? 1 : 0 })} s to live`;
  element("facts").textContent = `${kindOf(shown.text)} · ${bytes(size)} · ${ttl}`;
  element("ttl").value = shown.ttl ?? "";
  element("edit").disabled = shown.text.length > SHOWN;
  element("edit").title = element("edit").disabled ? "The value is too long to be edited here." : "";
  show(element("value"), shown.text);
  panel("detail");
  if (isChosen && matchMedia("(max-width: 759px)").matches) {
    element("detail").scrollIntoView();
  }
}

function edit(key, text) {
  displayed++;
  edited = key === null ? null : shown;
  element("editor-title").textContent = key === null ? "A new key" : visible(key);
  element("new-fields").hidden = key !== null;
  element("text").value = text;
  element("new-key").value = "";
  element("new-ttl").value = "";
  panel("editor");
  check();
  element(key === null ? "new-key" : "text").focus();
}

function check() {
  const why = fault(element("text").value);
  element("check").textContent = why || "It is JSON.";
  element("check").className = why ? "bad" : "";
  element("save").disabled = Boolean(why);
  element("layout").disabled = Boolean(why);
}

async function save() {
  const text = compact(element("text").value);
  const key = edited ? edited.key : element("new-key").value;
  const ttl = element("new-ttl").value;
  try {
    if (edited) {
      await write(key, text, { query: "?keep_ttl=true", "If-Match": edited.tag });
    } else {
      await write(key, text, { query: ttl && `?ttl=${ttl}`, "If-None-Match": "*" });
    }
  } catch (error) {
    if (error.status !== 412) {
      throw error;
    }
    element("toast").hidden = true;
    element("check").className = "bad";
    element("check").textContent = edited
      ? "Another client changed this key meanwhile, so nothing was saved. Cancel to see its value."
      : "There is a key of this name, so nothing was saved.";
    return;
  }
  await display(key);
  if (!edited) {
    tree.add([key]);
    loaded++;
    count();
    tree.select(key);
  }
  tell("Saved.");
  element("value").focus();
}

async function remove() {
  const before = shown;
  const { key, text, tag, ttl } = await read(before.key);
  if (tag !== before.tag) {
    await display(key);
    tell("Another client changed this key meanwhile, so it was not deleted. This is its value now.");
    return;
  }
  await request("DELETE", keyPath(key), { headers: { "If-Match": tag } });
  deleted = { key, text, ttl };
  shown = null;
  panel("welcome");
  tell(`Deleted ${visible(key)}.`, true);
  await load(true);
}

async function undo() {
  const { key, text, ttl } = deleted;
  await write(key, text, { query: ttl === null ? "" : `?ttl=${ttl}`, "If-None-Match": "*" });
  deleted = null;
  tell(`${visible(key)} is back.`);
  await load(true);
  await display(key);
}

async function live(command) {
  const { key } = shown;
  if (!(await result({ ...command, key })) && command.type === "EXPIRE") {
    throw new Refused(404, { detail: `${visible(key)} is not there any more.` });
  }
  await display(key);
}

// Buttons, forms and keys.

const acting = (act) => (event) => {
  event.preventDefault();
  attempt(act);
};

on("new", "click", () => edit(null, ""));
on("reload", "click", acting(() => load(true)));
on("more", "click", acting(() => load(false)));
on("stop", "click", stop);
on("search-form", "submit", acting(() => load(true)));
on("search", "input", () => {
  clearTimeout(load.timer);
  load.timer = setTimeout(() => attempt(() => load(true)), 250);
});
on("edit", "click", () => edit(shown.key, laidOut(shown.text)));
on("delete", "click", acting(remove));
on("undo", "click", acting(undo));
on("ttl-form", "submit", acting(() => live({ type: "EXPIRE", ttl: Number(element("ttl").value) })));
on("ttl-clear", "click", acting(() => live({ type: "PERSIST" })));
on("text", "input", () => {
  clearTimeout(check.timer);
  check.timer = setTimeout(check, element("text").value.length > 20_000 ? 300 : 0);
});
on("layout", "click", () => {
  element("text").value = laidOut(element("text").value);
});
on("editor", "submit", acting(save));
on("cancel", "click", () => (edited ? attempt(() => display(edited.key)) : panel(shown ? "detail" : "welcome")));
on("help-open", "click", () => element("help").showModal());

const SHORTCUTS = {
  "/": () => element("search").focus(),
  ":": () => element("command").focus(),
  "?": () => element("help").showModal(),
  n: () => element("new").click(),
  r: () => element("reload").click(),
  e: () => shown && !element("detail").hidden && element("edit").click(),
  d: () => shown && !element("detail").hidden && element("delete").click(),
  u: () => element("undo").hidden || element("toast").hidden || element("undo").click(),
};

document.addEventListener("keydown", (event) => {
  const isWriting = event.target.closest("input, textarea");
  if (document.querySelector("dialog[open]")) {
    return;
  }
  if (event.key === "Escape") {
    if (isWriting && element("editor").contains(isWriting)) {
      element("cancel").click();
    }
    if (searched && isReading) {
      event.preventDefault(); // which would empty the field
      stop();
    } else {
      element("keys").querySelector('[tabindex="0"]')?.focus();
    }
  } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !element("editor").hidden) {
    element("save").click();
  } else if (!isWriting && !event.ctrlKey && !event.metaKey && !event.altKey && event.key in SHORTCUTS) {
    event.preventDefault();
    SHORTCUTS[event.key]();
  }
});

/** Shows the keys, and the value that is shown, as a command left them. */
function refresh() {
  attempt(() => load(true));
  if (shown && !element("detail").hidden) {
    attempt(() => display(shown.key));
  }
}

await attempt(() => shell.start(refresh));
await attempt(() => load(true));
figures.run((report, error) => {
  if (report) {
    total = report.keyspace.keys;
    count();
    element("server").textContent = `version ${report.server.version} · ${counted(total, "key")}`;
  } else {
    element("server").textContent = error instanceof TypeError ? "The server cannot be reached." : error.message;
  }
});
