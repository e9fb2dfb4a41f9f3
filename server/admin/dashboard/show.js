// Elements and numbers. Whatever comes from the server becomes text, never markup.

const SVG = "http://www.w3.org/2000/svg";

// el makes an element. Children are elements or text; null is left out.
export function el(name, attributes = {}, ...children) {
  const e = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) e.addEventListener(key.slice(2), value);
    else if (value === true) e.setAttribute(key, "");
    else if (value !== false && value != null) e.setAttribute(key, value);
  }
  for (const child of children.flat(Infinity)) if (child != null) e.append(child);
  return e;
}

// Characters that are not seen, or turn the direction of what follows; those that join letters stay.
const unseen = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}]/gu;

// More than three marks in a row, as accents, would cover the lines above and below.
const piled = /(?<=\p{M}{3})\p{M}+/gu;

const number = (c) => "⟨U+" + c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0") + "⟩";

// plain makes every character of a name visible, and cuts it.
export function plain(text, most = 120) {
  const all = Array.from(String(text).slice(0, 4 * most));
  const cut = all.slice(0, most).join("").replace(unseen, number).replace(piled, (marks) => Array.from(marks, number).join(""));
  return all.length > most || String(text).length > 4 * most ? cut + "…" : cut;
}

// name shows a text of a client, apart from the text around it.
export const name = (text, most) => el("bdi", {}, text === "" || text == null ? "–" : plain(text, most));

const units = ["", "k", "M", "G", "T"];

// count is a number for a person.
export function count(n) {
  if (n == null || !isFinite(n)) return "–";
  let i = 0;
  while (Math.abs(n) >= 10000 && i < units.length - 1) { n /= 1000; i++; }
  const digits = i === 0 && (Number.isInteger(n) || Math.abs(n) >= 100) ? 0 : Math.abs(n) < 10 ? 2 : Math.abs(n) < 100 ? 1 : 0;
  return n.toFixed(digits) + units[i];
}

export function bytes(n) {
  if (n == null || !isFinite(n)) return "–";
  for (const unit of ["B", "KiB", "MiB", "GiB", "TiB"]) {
    if (Math.abs(n) < 1024 || unit === "TiB") return (unit === "B" ? Math.round(n) : n.toFixed(n < 10 ? 2 : n < 100 ? 1 : 0)) + " " + unit;
    n /= 1024;
  }
}

// time is a duration of microseconds.
export function time(us) {
  if (us == null || !isFinite(us)) return "–";
  if (us < 1000) return Math.round(us) + " µs";
  if (us < 1e6) return (us / 1000).toFixed(us < 1e4 ? 1 : 0) + " ms";
  return age(us / 1e6);
}

// age is a duration of seconds.
export function age(s) {
  if (s == null) return "unknown";
  if (s < 120) return (s < 10 && !Number.isInteger(s) ? s.toFixed(1) : Math.round(s)) + " s";
  if (s < 7200) return Math.round(s / 60) + " min";
  if (s < 172800) return (s / 3600).toFixed(1) + " h";
  return (s / 86400).toFixed(1) + " days";
}

// line is a sparkline of numbers, from 0 on; what it shows is said by label.
export function line(values, label) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "line");
  svg.setAttribute("viewBox", "0 0 100 30");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  const most = Math.max(...values, 1e-9);
  const points = values.map((v, i) => `${((i + 60 - values.length) * 100 / 59).toFixed(1)},${(28.5 - 26 * v / most).toFixed(1)}`);
  if (points.length > 1) {
    const area = document.createElementNS(SVG, "polygon");
    const first = points[0].split(",")[0];
    area.setAttribute("points", `${first},30 ${points.join(" ")} 100,30`);
    const curve = document.createElementNS(SVG, "polyline");
    curve.setAttribute("points", points.join(" "));
    svg.append(area, curve);
  }
  return svg;
}

// table shows rows; columns are [title, cell of a row, "n" for numbers].
// On a phone, a row of many columns is a block of lines.
export function table(columns, rows, empty) {
  if (rows.length === 0) return el("p", { class: "empty" }, empty);
  const many = columns.length > 4;
  return el("div", { class: "scroll", tabindex: many ? "0" : null, role: many ? "group" : null, "aria-label": many ? "table" : null }, el("table", { class: many ? "many" : null },
    el("thead", {}, el("tr", {}, columns.map(([title, , kind]) => el("th", { scope: "col", class: kind }, title)))),
    el("tbody", {}, rows.map((row) => el("tr", {}, columns.map(([title, cell, kind]) => el("td", { class: kind, "data-label": title }, cell(row)))))),
  ));
}

export const card = (title, ...children) => el("section", { class: "card" }, el("h2", {}, title), ...children);

// link leads to a view about a name.
export const link = (view, text, most) => el("a", { href: `#/${view}/${encodeURIComponent(text)}` }, name(text, most));

// list shows pairs of a term and what it is; null is left out.
export const list = (pairs) => el("dl", {}, pairs.filter(([, v]) => v != null && v !== "").map(([term, value]) => [el("dt", {}, term), el("dd", {}, value)]));
