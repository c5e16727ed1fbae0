// The keys as a tree by their prefixes. Pages of keys are read as they are asked for; of a group as many
// rows are shown as a screen or two takes, and more on demand.

import { visible } from "./json.js";

const ROWS = 200;
const SEPARATOR = /[:/]/g;
const { compare } = new Intl.Collator(undefined, { numeric: true });

class Group {
  constructor(label) {
    this.label = label;
    this.groups = new Map();
    this.keys = [];
    this.count = 0;
    this.isSorted = true;
    this.rows = ROWS;
  }

  /** What the group shows: groups, and then keys, as many as there are rows. */
  nodes(path) {
    if (!this.isSorted) {
      this.groups = new Map([...this.groups].sort(([a], [b]) => compare(a, b)));
      this.keys.sort(([a], [b]) => compare(a, b));
      this.isSorted = true;
    }
    const groups = [...this.groups.values()].slice(0, this.rows);
    return [
      ...groups.map((group) => ({ path: path + group.label, group, label: visible(group.label) })),
      ...this.keys.slice(0, this.rows - groups.length).map(([key, label]) => ({ key, label })),
    ];
  }

  add(key) {
    let group = this;
    let from = 0;
    group.count++;
    for (const { index } of key.matchAll(SEPARATOR)) {
      const label = key.slice(from, index + 1);
      let inner = group.groups.get(label);
      if (!inner) {
        group.groups.set(label, (inner = new Group(label)));
        group.isSorted = false;
      }
      inner.count++;
      group = inner;
      from = index + 1;
    }
    group.keys.push([key, visible(key.slice(from))]);
    group.isSorted = false;
  }
}

export class Tree {
  constructor(element, choose) {
    this.element = element;
    this.choose = choose;
    this.chosen = null;
    this.opened = new Map(); // by the path of a group, whether someone opened it or closed it last
    this.opensGroups = false; // whether those are open that no one has opened or closed
    this.clear();
    element.addEventListener("click", (event) => this.activate(event.target.closest(".row")));
    element.addEventListener("keydown", (event) => this.press(event));
  }

  /** Removes the keys. Of those that are added then, a group is open if it was. */
  clear() {
    this.root = new Group("");
  }

  add(keys) {
    for (const key of keys) {
      this.root.add(key);
    }
    this.render();
  }

  select(key) {
    this.chosen = key;
    for (const row of this.rows()) {
      row.setAttribute("aria-selected", String(row.node?.key === key));
    }
  }

  render() {
    const at = this.rows().indexOf(document.activeElement);
    this.element.replaceChildren(this.level(this.root, "", 1));
    const rows = this.rows();
    (rows.find((row) => row.node.key === this.chosen) || rows[0])?.setAttribute("tabindex", "0");
    if (at >= 0) {
      rows[Math.min(at, rows.length - 1)]?.focus();
    }
  }

  level(group, path, depth) {
    const fragment = document.createDocumentFragment();
    for (const node of group.nodes(path)) {
      fragment.append(this.row(node, depth));
      if (node.group && this.isOpen(node)) {
        const inside = document.createElement("div");
        inside.setAttribute("role", "group");
        inside.append(this.level(node.group, node.path, depth + 1));
        fragment.append(inside);
      }
    }
    const hidden = group.groups.size + group.keys.length - group.rows;
    if (hidden > 0) {
      const label = `${hidden.toLocaleString()} more here`;
      fragment.append(this.row({ more: group, label }, depth));
    }
    return fragment;
  }

  isOpen({ path }) {
    return this.opened.get(path) ?? this.opensGroups;
  }

  row(node, depth) {
    const row = document.createElement("div");
    row.className = "row";
    row.node = node;
    row.tabIndex = -1;
    row.setAttribute("role", "treeitem");
    row.setAttribute("aria-level", depth);
    row.setAttribute("aria-selected", String(node.key !== undefined && node.key === this.chosen));
    if (node.group) {
      row.setAttribute("aria-expanded", String(this.isOpen(node)));
    }
    const part = (name, text) => {
      const span = document.createElement("span");
      span.className = name;
      span.textContent = text;
      row.append(span);
    };
    part("mark", node.group ? (this.isOpen(node) ? "▾" : "▸") : node.more ? "+" : "");
    part("label", node.label);
    if (node.group) {
      part("number", node.group.count.toLocaleString());
    }
    return row;
  }

  rows() {
    return [...this.element.querySelectorAll(".row")];
  }

  activate(row) {
    if (!row) {
      return;
    }
    const { path, more, key } = row.node;
    if (key !== undefined) {
      this.focus(row);
      this.select(key);
      this.choose(key);
      return;
    }
    if (more) {
      more.rows += ROWS;
    } else {
      this.opened.set(path, !this.isOpen(row.node));
    }
    this.focus(row);
    this.render();
  }

  focus(row) {
    this.element.querySelector('[tabindex="0"]')?.setAttribute("tabindex", "-1");
    row.setAttribute("tabindex", "0");
    row.focus();
  }

  press(event) {
    const rows = this.rows();
    const at = rows.indexOf(document.activeElement);
    const row = rows[at];
    const isOpen = row?.getAttribute("aria-expanded");
    const moves = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 };
    if (event.key in moves) {
      const next = rows[Math.max(0, Math.min(rows.length - 1, moves[event.key]))];
      if (next) {
        this.focus(next);
      }
    } else if (event.key === "Enter" || event.key === " ") {
      this.activate(row);
    } else if ((event.key === "ArrowRight" && isOpen === "false") || (event.key === "ArrowLeft" && isOpen === "true")) {
      this.activate(row);
    } else if (event.key === "ArrowLeft") {
      const outer = row?.parentElement.closest('[role="group"]')?.previousElementSibling;
      if (outer) {
        this.focus(outer);
      }
    } else {
      return;
    }
    event.preventDefault();
  }
}
