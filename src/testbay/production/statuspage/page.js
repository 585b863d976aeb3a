"use strict";
// Nothing renews a page whose schedule stopped: from the time that each part names on, what was passing then is grey.
const parts = [...document.querySelectorAll("[data-until]")];
function look() {
  for (const part of parts) {
    const old = Date.now() > Date.parse(part.dataset.until);
    if (!old || part.classList.contains("old")) continue;
    part.classList.add("old");
    for (const note of part.querySelectorAll(".outlived")) note.hidden = false;
    for (const word of part.querySelectorAll(".state.pass")) word.textContent = "was passing";
    if (part.dataset.then) {
      part.querySelector("span").textContent = part.dataset.then;
      document.title = `– ${document.querySelector(".eyebrow").textContent}: ${part.dataset.then}`;
      document.querySelector("link[rel=icon]").href = "data:,";
    }
  }
}
look();
setInterval(look, 1000);
