// Requests to the listener that has served this page.

import { reason } from "./live.js";

let token = "";
let allowed = null; // what the operator may do; null: not known yet

async function answer(response) {
  const text = await response.text();
  let body = null;
  try { body = JSON.parse(text); } catch { /* an error in words */ }
  if (response.ok) return body;
  const e = new Error(reason(response, text));
  e.code = body?.error?.code;
  e.status = response.status;
  e.body = body;
  throw e;
}

export async function get(path) {
  return answer(await fetch(location.origin + path, { headers: { Accept: "application/json" }, cache: "no-store" }));
}

// rights asks what the operator may do.
export async function rights() {
  const answer = await get("/csrf");
  token = answer.token;
  allowed = answer.rights ?? null;
}

// may reports whether the operator may do something; the server decides in any case.
export const may = (what) => allowed === null || allowed.includes(what);

// post sends an order; the token shows that this page sends it.
export async function post(path, body, again = true) {
  if (!token) await rights();
  try {
    return await answer(await fetch(location.origin + path, {
      method: "POST", headers: { "Content-Type": "application/json", "Peal-CSRF": token }, body: JSON.stringify(body ?? {}),
    }));
  } catch (e) {
    if (e.code !== "csrf" || !again) throw e;
    token = ""; // the server was restarted
    return post(path, body, false);
  }
}

// query writes the parameters that have a value.
export function query(values) {
  const q = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) if (value) q.set(key, value === true ? "1" : value);
  const text = q.toString();
  return text ? "?" + text : "";
}
