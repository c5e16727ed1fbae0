// The live figures: what INFO returns each second, with a chart of the last minute each.

import { result } from "./api.js";
import { bytes } from "./json.js";

const SECONDS = 60;
const sum = (counts) => Object.values(counts || {}).reduce((total, count) => total + count, 0);
const short = (number) => (number >= 10_000 ? `${+(number / 1000).toFixed(number < 1e5 ? 1 : 0)}k` : number.toFixed(0));

// Each figure: its name, its value from this report, the one before and the seconds between, and how it is told.
const FIGURES = [
  ["Requests per second", (now, was, s) => (sum(now.commands) - sum(was.commands)) / s, short],
  ["Reads that found a key", (now, was) => {
    const hits = now.keyspace.hits - was.keyspace.hits;
    const reads = hits + now.keyspace.misses - was.keyspace.misses;
    return reads ? (100 * hits) / reads : null;
  }, (ratio) => (ratio === null ? "–" : `${ratio.toFixed(0)} %`)],
  ["Memory", (now) => now.keyspace.memory ?? now.server.resident_memory, bytes,
    (now) => (now.keyspace.max_memory ? `of ${bytes(now.keyspace.max_memory)}` : "of the process")],
  ["Clients", (now) => now.server.connected_clients, short, (now) => `of ${short(now.limits.max_clients)}`],
  ["Errors per second", (now, was, s) => (sum(now.errors) - sum(was.errors)) / s, short],
];

function newFigure([name, read, tell, beside = () => ""]) {
  const box = document.createElement("div");
  box.className = "figure";
  box.innerHTML = '<h3></h3><p><span></span> <small></small></p>'
    + '<svg viewBox="0 0 59 20" preserveAspectRatio="none" aria-hidden="true"><path class="area"/><path class="line"/></svg>';
  box.querySelector("h3").textContent = name;
  document.getElementById("figures").append(box);
  const [value, small] = box.querySelectorAll("span, small");
  const [area, line] = box.querySelectorAll("path");
  const history = [];
  return (now, was, seconds) => {
    const current = read(now, was, seconds);
    value.textContent = tell(current);
    small.textContent = beside(now);
    history.push(current ?? 0);
    history.splice(0, history.length - SECONDS);
    const top = Math.max(...history, 1e-9) * 1.1;
    const start = SECONDS - history.length;
    const points = history.map((each, at) => `${start + at},${(19 - (18 * each) / top).toFixed(2)}`).join(" L");
    line.setAttribute("d", `M${points}`);
    area.setAttribute("d", `M${start},20 L${points} L${SECONDS - 1},20 Z`);
  };
}

/** Shows the figures from now on; `told` is called with each report. */
export async function run(told) {
  const figures = FIGURES.map(newFigure);
  let was = null;
  for (;;) {
    try {
      const now = await result({ type: "INFO" });
      const seconds = was ? Math.max(0.1, now.server.uptime - was.server.uptime) : 1;
      for (const figure of figures) {
        figure(now, was || now, seconds);
      }
      told(now);
      was = now;
    } catch (error) {
      told(null, error);
    }
    await new Promise((resume) => setTimeout(resume, document.hidden ? 5000 : 1000));
  }
}
