"use strict";
// Asks for the page anew, and turns it grey when no answer came for too long: old news is never green.
const every = 1000 * Number(document.documentElement.dataset.refresh);
let heard = Date.now();
async function refresh() {
  try {
    const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(every) });
    if (!answer.ok) throw new Error(String(answer.status));
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const open = [...document.querySelectorAll("details[open]")].map((one) => one.id);
    document.title = fresh.title;
    document.querySelector("main").replaceWith(fresh.querySelector("main"));
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    heard = Date.now();
  } catch { /* said below, when it lasts */ }
  const silent = Date.now() - heard > 2.5 * every;
  document.body.classList.toggle("silent", silent);
  document.getElementById("silence").hidden = !silent;
}
setInterval(refresh, every);
