// The dashboard: which view is shown, and when it is drawn again.

import { el, plain } from "./show.js";
import { Live } from "./live.js";
import { overview } from "./overview.js";
import { ended, search, session } from "./connections.js";
import { channel, send } from "./channel.js";
import { trace } from "./trace.js";
import { say } from "./dialog.js";
import { rights } from "./ask.js";

const main = document.getElementById("main");
const state = document.getElementById("state");
let view = [];

function badge(text, kind) {
  state.textContent = plain(text, 80);
  state.className = "badge " + kind;
}

function heard() {
  const v = live.now;
  document.getElementById("node").textContent = plain(`${v.node.name} ${v.node.version}`.trim(), 120);
  badge(v.log.failing ? "the log cannot be written" : v.state, v.log.failing || v.state !== "serving" ? "bad" : "good");
  main.classList.remove("stale");
  if (view[0] === "") draw();
}

function failed(why) {
  badge(why, "bad");
  main.classList.toggle("stale", view[0] === "" && live.now !== null);
}

// Another process serves: it was upgraded, and has the connections of the one before, or restarted.
function replaced(before, now) {
  const version = before.node.version === now.node.version ? "" : `, version ${now.node.version} in place of ${before.node.version}`;
  say(`Process ${now.process} serves in place of process ${before.process}${version}: the server was upgraded or restarted. Its counters begin anew.`, true, 60);
}

// draw shows the overview anew; the other views stay as they are.
function draw() {
  if (view[0] !== "" || main.contains(document.activeElement) && document.activeElement !== document.body && document.activeElement.matches("input, textarea")) return;
  const chosen = getSelection();
  if (!chosen.isCollapsed && main.contains(chosen.anchorNode)) return; // somebody copies a name
  const focused = document.activeElement?.getAttribute?.("href");
  const next = overview(live, draw);
  main.replaceChildren(next);
  if (focused) main.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

function part(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

function route() {
  view = location.hash.replace(/^#\/?/, "").split("/").map(part);
  for (const a of document.querySelectorAll("nav a")) {
    if (a.getAttribute("href") === "#/" + view[0]) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
  const rest = view.slice(1).join("/");
  const title = document.querySelector("nav a[aria-current]")?.textContent ?? { session: "Connection", channel: "Channel" }[view[0]] ?? "Peal";
  document.title = plain(`${title}${rest ? " " + rest : ""} – Peal`, 80);
  switch (view[0]) {
    case "": live.now ? draw() : main.replaceChildren(el("p", { class: "quiet" }, "waiting for the first numbers")); break;
    case "connections": main.replaceChildren(search(rest ? { user: rest } : {})); break;
    case "session": main.replaceChildren(session(rest)); break;
    case "channel": main.replaceChildren(channel(rest)); break;
    case "send": main.replaceChildren(send()); break;
    case "trace": main.replaceChildren(trace(view[1] ?? "", view.slice(2).join("/"))); break;
    case "ended": main.replaceChildren(ended()); break;
    default: main.replaceChildren(el("p", { class: "quiet" }, "There is no such view. ", el("a", { href: "#/" }, "Overview")));
  }
}

const live = new Live(heard, failed, replaced);
const pause = document.getElementById("pause");
pause.addEventListener("click", () => {
  live.pause(!live.paused);
  pause.setAttribute("aria-pressed", String(live.paused));
  pause.textContent = live.paused ? "Go on" : "Pause";
  if (live.paused) badge("paused", "");
});
window.addEventListener("hashchange", () => {
  route();
  main.focus({ preventScroll: true }); // where a reader goes on
  window.scrollTo(0, 0);
});
window.addEventListener("unhandledrejection", (e) => say(String(e.reason?.message ?? e.reason)));
rights().catch(() => {}).then(route); // what the operator may not do is not offered
