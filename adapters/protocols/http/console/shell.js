// The command line: the commands as the shell of the terminal takes them, `SET key value --ttl 10`.

import { execute, request, result } from "./api.js";
import { compact, laidOut, visible } from "./json.js";

const MAX_LINES = 200;
const MAX_SHOWN = 5000; // characters of a reply
const PAGE = 1000; // keys of a page

const element = (id) => document.getElementById(id);
const history = [];
let commands = {};
let at = 0;

// The words of the command line itself.
const OWN = {
  KEYS: { usage: "KEYS [PREFIX]", help: "List all keys, or those with PREFIX.", members: [], run: keys },
  HELP: { usage: "HELP [COMMAND]", help: "List the commands, or explain one.", members: [], run: help },
};

/** Words as a shell has them: quotes hold blanks together, and what was quoted is text, never JSON. */
export function words(line) {
  const found = [];
  for (const [whole, single, double] of line.matchAll(/'([^']*)'|"((?:[^"\\]|\\.)*)"(?=\s|$)|(?:[^\s"']|"(?:[^"\\]|\\.)*"|'[^']*')+/g)) {
    found.push({ text: single ?? (double === undefined ? whole : JSON.parse(`"${double}"`)), quoted: double !== undefined });
  }
  return found;
}

/** What is wrong with a text as JSON; nothing when it is JSON. */
const faultOf = (text) => {
  try {
    JSON.parse(text);
    return "";
  } catch (error) {
    return error.message;
  }
};

/** The text of a value: JSON without the space between its tokens, anything else as a string, but not what only begins like JSON. */
function valueOf({ text, quoted }) {
  const fault = quoted || faultOf(text);
  if (!quoted && fault && /^\s*[{[]/.test(text)) {
    throw new Error(`it looks like JSON and is not: ${fault}; double quotes store it as text`);
  }
  return fault ? JSON.stringify(text) : compact(text);
}

// How a word is told in a request, by the kind of its member.
const TOLD = {
  text: ({ text }) => JSON.stringify(text),
  number: ({ text }) => (faultOf(text) ? JSON.stringify(text) : text),
  json: valueOf,
};

/** The request that a line is, in JSON. Throws an Error that says what is wrong. */
export function requestOf(line) {
  if (line.startsWith("{")) {
    return line;
  }
  const [first, ...rest] = words(line);
  const name = first.text.toUpperCase();
  const command = commands[name];
  if (!command) {
    throw new Error(`There is no command ${name}. HELP lists them.`);
  }
  const members = [`"type":${JSON.stringify(name)}`];
  const tell = (member, value) => members.push(`${JSON.stringify(member)}:${value}`);
  const positional = [];
  for (let word = rest.shift(); word; word = rest.shift()) {
    const option = !word.quoted && word.text.startsWith("--") && word.text.slice(2).replaceAll("-", "_");
    const member = option && command.members.find((each) => each.name === option);
    if (option && !member) {
      throw new Error(`${name} has no ${word.text}.`);
    }
    if (!member) {
      positional.push(word);
    } else if (member.kind === "flag") {
      tell(member.name, "true");
    } else if (rest.length) {
      tell(member.name, (TOLD[member.kind] || TOLD.json)(rest.shift()));
    } else {
      throw new Error(`${word.text} needs a value.`);
    }
  }
  for (const { name: member, kind } of command.members.filter((each) => each.needed || !TOLD[each.kind])) {
    if (kind === "keys" && positional.length) {
      tell(member, `[${positional.splice(0).map(TOLD.text).join(",")}]`);
    } else if (kind === "items" && positional.length > 1) {
      const pairs = [];
      while (positional.length > 1) {
        pairs.push(`${TOLD.text(positional.shift())}:${TOLD.json(positional.shift())}`);
      }
      tell(member, `{${pairs.join(",")}}`);
    } else if (TOLD[kind] && positional.length) {
      tell(member, TOLD[kind](positional.shift()));
    }
  }
  if (positional.length) {
    throw surplus(name, positional[0]);
  }
  return `{${members.join(",")}}`;
}

const surplus = (name, { text }) => new Error(`${name} takes no ${JSON.stringify(text)}. ${usage(name)}`);

function usage(name) {
  if (OWN[name]) {
    return OWN[name].usage;
  }
  const told = commands[name].members.map(({ name: member, kind, needed }) => {
    const shown = { keys: "KEY...", items: "KEY VALUE..." }[kind] || member.toUpperCase();
    const option = `--${member.replaceAll("_", "-")}`;
    return needed ? shown : kind === "flag" ? `[${option}]` : `[${option} ${kind.toUpperCase()}]`;
  });
  return [name, ...told].join(" ");
}

function print(text, kind) {
  const line = document.createElement("div");
  line.className = kind;
  line.textContent = text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)} ...` : text;
  const output = element("output");
  output.append(line);
  while (output.childElementCount > MAX_LINES) {
    output.firstChild.remove();
  }
  output.scrollTop = output.scrollHeight;
}

function help(name) {
  const names = name && commands[name.toUpperCase()] ? [name.toUpperCase()] : Object.keys(commands);
  print(names.map((each) => `${usage(each)}\n    ${commands[each].help}`).join("\n"), "");
}

/** Reads pages until there are no more keys, or more than are shown of a reply. */
async function keys(prefix = "") {
  let lines = "";
  let cursor = null;
  do {
    const page = await result({ type: "SCAN", prefix, cursor, limit: PAGE });
    lines += page.keys.map((key) => `\n${visible(key)}`).join("");
    cursor = page.cursor;
  } while (cursor !== null && lines.length <= MAX_SHOWN);
  print(lines.slice(1) || "(nothing)", "");
}

async function run(line, changed) {
  print(`kv> ${line}`, "asked");
  try {
    const [name, ...rest] = words(line);
    const own = OWN[name.text.toUpperCase()];
    if (own) {
      if (rest.length > 1) {
        throw surplus(name.text.toUpperCase(), rest[1]);
      }
      await own.run(rest[0]?.text);
      return;
    }
    const asked = requestOf(line);
    const text = await execute(asked);
    const reply = JSON.parse(text);
    if (!reply.ok) {
      print(`${reply.error.code}: ${reply.error.message}`, "refused");
    } else {
      const shown = text.replace(/^\{(?:"id":.*?,)?"ok":true(?:,"result":)?/, "").slice(0, -1);
      print(shown ? laidOut(shown.slice(0, MAX_SHOWN)) : "(nothing)", "");
      if (!commands[JSON.parse(asked).type]?.readonly) {
        changed();
      }
    }
  } catch (error) {
    print(error.message, "refused");
  }
}

function complete(input) {
  const [first, ...rest] = input.value.split(/\s+/);
  const last = rest.length ? rest[rest.length - 1] : first;
  const command = commands[first.toUpperCase()];
  const options = command?.members.filter((each) => !each.needed).map((each) => `--${each.name.replaceAll("_", "-")}`);
  const among = rest.length ? options || [] : Object.keys(commands);
  const found = among.filter((each) => each.toLowerCase().startsWith(last.toLowerCase()));
  const common = found.reduce((a, b) => {
    let size = 0;
    while (size < a.length && a[size] === b[size]) {
      size++;
    }
    return a.slice(0, size);
  }, found[0] || last);
  if (found.length && common.length >= last.length) {
    input.value = input.value.slice(0, input.value.length - last.length) + common + (found.length === 1 ? " " : "");
  }
  element("hint").textContent = found.length > 1 ? found.join("  ") : hintFor(input.value);
}

function hintFor(line) {
  const name = line.split(/\s/)[0].toUpperCase();
  return commands[name] ? `${usage(name)} — ${commands[name].help}` : "";
}

/** Starts the command line; `changed` is called after a command that may have changed keys. */
export async function start(changed) {
  commands = { ...(await (await request("GET", "console/commands.json")).json()), ...OWN };
  const input = element("command");
  const output = element("output");
  // The last reply stays in sight when the output gives way to a panel.
  new ResizeObserver(() => (output.scrollTop = output.scrollHeight)).observe(output);
  input.addEventListener("input", () => {
    element("hint").textContent = hintFor(input.value);
  });
  input.addEventListener("keydown", (event) => {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (event.key === "Tab" && !event.shiftKey && input.value.trim()) {
      complete(input);
    } else if (step && history.length) {
      at = Math.max(0, Math.min(history.length, at + step));
      input.value = history[at] ?? "";
    } else {
      return;
    }
    event.preventDefault();
  });
  element("command-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const line = input.value.trim();
    if (line) {
      history.push(line);
      at = history.length;
      input.value = element("hint").textContent = "";
      run(line, changed);
    }
  });
}
