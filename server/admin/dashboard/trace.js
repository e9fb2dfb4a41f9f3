// What became of a message: the question of peal trace, and its answer.

import { card, el, link, list, name, table } from "./show.js";
import { get, query } from "./ask.js";

const moment = (text) => (text ? new Date(text).toLocaleString() : "–");

function connection(c) {
  const label = name(c.name || "anonymous", 40);
  return c.session ? el("a", { href: "#/session/" + encodeURIComponent(c.session) }, label) : label;
}

function confirmed(c) {
  if (c.confirmed) return `by ${c.confirmed.by}, ${moment(c.confirmed.at)}`;
  return c.verdict === "sent" ? "unconfirmed" : "–";
}

function report(r) {
  return el("div", { class: "stack" }, list([
    ["Message", r.cursor], ["Verdict", el("strong", {}, name(r.verdict))], ["Why", r.reason ? name(r.reason, 300) : null],
    ["Channels", r.channels ? el("span", {}, r.channels.map((n, i) => [i ? ", " : null, link("channel", n, 60)]).flat()) : null],
    ["Published", r.published ? moment(r.published) : null], ["Note", r.note ? name(r.note, 300) : null],
  ]), table([
    ["Client", connection, "names"],
    ["Verdict", (c) => el("span", {}, name(c.verdict), c.detail ? el("span", { class: "quiet" }, ": ", name(c.detail, 200)) : null), "names"],
    ["Confirmed", confirmed],
    ["Transport", (c) => c.transport || "–"],
    ["Address", (c) => name(c.address)],
    ["Since", (c) => moment(c.began)],
    ["Until", (c) => (c.ended ? el("span", {}, moment(c.ended), c.how ? [": ", name(c.how, 120)] : null) : "open"), "names"],
  ], r.connections, "no connection in the record is one that you ask about"), r.omitted ? el("p", { class: "quiet" }, `${r.omitted} further connections are not shown.`) : null);
}

// trace shows the form; kind is session, user or channel, and value what it begins with.
export function trace(kind = "", value = "") {
  const found = el("div", { "aria-live": "polite" });
  const newest = el("div", { "aria-live": "polite" });
  const field = (label, key, hint) => el("label", {}, label, el("input", { name: key, value: key === kind ? value : "", placeholder: hint, autocomplete: "off", spellcheck: "false" }));
  const button = el("button", { type: "button", "aria-pressed": "false" }, "Follow new messages");
  const cursor = el("input", { name: "cursor", placeholder: "1z141z4-1042", autocomplete: "off", spellcheck: "false" });
  const form = el("form", {}, field("User", "user", "42"), field("Session", "session", "T1G1pHdNw-3cNRM5kUthag"), field("Channel", "channel", "news"),
    el("label", {}, "Cursor of the message", cursor), el("button", {}, "Trace"), button);
  const asked = () => Object.fromEntries(["user", "session", "channel"].map((k) => [k, String(new FormData(form).get(k) ?? "").trim()]));
  const wrong = (e) => found.replaceChildren(el("p", { class: "problem" }, e.message));
  const ask = async () => {
    try {
      found.replaceChildren(report(await get("/trace" + query({ ...asked(), cursor: cursor.value.trim() }))));
    } catch (e) {
      wrong(e);
    }
  };
  // New messages, while the page is seen: the server lists those behind the cursor that it has given before.
  let next = null, cursors = [];
  const follow = async () => {
    if (next === null || !newest.isConnected) return;
    if (!document.hidden) {
      try {
        const news = await get("/trace/new" + query({ ...asked(), cursor: next }));
        if (next === null) return;
        next = news.next;
        cursors = [...(news.cursors ?? []).reverse(), ...cursors].slice(0, 20);
        newest.replaceChildren(cursors.length === 0 ? el("p", { class: "quiet" }, "waiting for a message") :
          el("div", { class: "actions" }, cursors.map((c) => el("button", { type: "button", onclick: () => { cursor.value = c; ask(); } }, c))));
      } catch (e) {
        stop();
        wrong(e);
        return;
      }
    }
    setTimeout(follow, 2000);
  };
  const stop = () => { next = null; button.setAttribute("aria-pressed", "false"); newest.replaceChildren(); };
  button.addEventListener("click", () => {
    if (next !== null) return stop();
    next = "";
    cursors = [];
    button.setAttribute("aria-pressed", "true");
    follow();
  });
  form.addEventListener("submit", (e) => { e.preventDefault(); ask(); });
  const c = card("What became of a message", el("p", { class: "quiet" }, "Name a user, a session or a channel, and the cursor that the publisher received. The server needs trace-lives."), form, newest, found);
  c.classList.add("stack");
  return c;
}
