// JSON as it is laid out and coloured. The text is never decoded, so that numbers stay as they are.

export const SHOWN = 100_000; // characters of a value that are laid out; of a longer one its beginning is shown

const TOKENS = /"(?:[^"\\]|\\.)*"?|[-+.\w]+|[{}[\],:]/g;
const KINDS = { '"': "s", t: "w", f: "w", n: "w" };

/** Pairs of a text and a class, which together are the value in lines. */
function* pieces(text) {
  let depth = 0;
  const tokens = text.match(TOKENS) || [];
  const line = () => "\n" + "  ".repeat(depth);
  for (const [at, token] of tokens.entries()) {
    const next = tokens[at + 1];
    if (token === "{" || token === "[") {
      depth++;
      yield [token + (next === "}" || next === "]" ? "" : line()), ""];
    } else if (token === "}" || token === "]") {
      depth = Math.max(0, depth - 1);
      yield [(/[{[]/.test(tokens[at - 1]) && tokens[at - 1].length === 1 ? "" : line()) + token, ""];
    } else if (token === ",") {
      yield ["," + line(), ""];
    } else if (token === ":") {
      yield [": ", ""];
    } else {
      yield [token, next === ":" ? "k" : KINDS[token[0]] || "n"];
    }
  }
}

export const laidOut = (text) => Array.from(pieces(text), ([piece]) => piece).join("");

/** The JSON without the space between its tokens. */
export const compact = (text) => text.replace(/("[^"\\]*(?:\\.[^"\\]*)*")|[ \t\r\n]+/g, "$1");

/** Shows a value in an element. */
export function show(element, text) {
  const shown = document.createDocumentFragment();
  for (const [piece, kind] of pieces(text.slice(0, SHOWN))) {
    if (kind) {
      const span = document.createElement("span");
      span.className = kind;
      span.textContent = piece;
      shown.append(span);
    } else {
      shown.append(piece);
    }
  }
  if (text.length > SHOWN) {
    shown.append(`\n\n... ${counted(text.length - SHOWN, "more character")}`);
  }
  element.replaceChildren(shown);
}

const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]|^ | $|^$/u;

/** A text as it is, or as a JSON string where a reader would not see all of it. */
export function visible(text) {
  if (!INVISIBLE.test(text)) {
    return text;
  }
  const unit = (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(text).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (each) => each.split("").map(unit).join(""));
}

/** What is wrong with a text, or "" when it is one JSON value. */
export function fault(text) {
  try {
    JSON.parse(text);
    return "";
  } catch (error) {
    return text.trim() ? error.message : "The value is missing; null is one.";
  }
}

const KINDS_IN_WORDS = { "{": "object", "[": "array", '"': "string", t: "boolean", f: "boolean", n: "null" };
export const kindOf = (text) => KINDS_IN_WORDS[text[0]] || "number";

export const counted = (count, noun) => `${count.toLocaleString()} ${noun}${count === 1 ? "" : "s"}`;

export function bytes(count) {
  const units = [count === 1 ? "byte" : "bytes", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; count >= 1024 && unit < units.length - 1; unit++) {
    count /= 1024;
  }
  return `${unit ? count.toFixed(count < 10 ? 1 : 0) : count} ${units[unit]}`;
}
