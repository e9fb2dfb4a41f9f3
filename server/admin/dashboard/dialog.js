// Questions and short messages.

import { el, plain } from "./show.js";

// confirm asks, and resolves to whether the answer was yes.
export function confirm(title, text) {
  return new Promise((resolve) => {
    const dialog = el("dialog", { "aria-label": title }, el("h2", {}, title), el("p", {}, plain(text, 400)),
      el("div", { class: "actions" }, el("button", { type: "button", autofocus: true, onclick: () => dialog.close("") }, "No"), el("button", { type: "button", class: "danger", onclick: () => dialog.close("yes") }, "Yes")));
    dialog.addEventListener("close", () => { dialog.remove(); resolve(dialog.returnValue === "yes"); });
    document.body.append(dialog);
    dialog.showModal();
  });
}

let timer = 0;

// say shows a message for some seconds; "" takes it away. Most are about what went wrong.
export function say(text, good = false, seconds = 8) {
  const place = document.getElementById("problem");
  clearTimeout(timer);
  place.hidden = text === "";
  place.classList.toggle("good", good);
  place.textContent = plain(text, 400);
  if (text) timer = setTimeout(() => say(""), seconds * 1000);
}
