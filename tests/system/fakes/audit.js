// What an accessibility checker would say of this page first: {findings: […], texts: how many texts had their contrast computed}.
const findings = [];
const need = (ok, text) => ok || findings.push(text);
const name = (e) =>
  e.getAttribute("aria-label") ||
  [...(e.labels || [])].map((label) => label.textContent).join("") ||
  (e.getAttribute("aria-labelledby") || "").split(" ").map((id) => document.getElementById(id)?.textContent || "").join("") ||
  e.textContent;

need(document.documentElement.lang, "no language");
need(document.title, "no title");
need(document.querySelectorAll("main").length === 1, "landmark main: not exactly one");
let level = 0;
for (const heading of document.querySelectorAll("h1, h2, h3, h4")) {
  const next = Number(heading.tagName[1]);
  need(next <= level + 1 && (next > 1 || level === 0), `heading: h${next} after h${level}: ${heading.textContent.trim()}`);
  level = next;
}
for (const e of document.querySelectorAll("a, button, input, select, summary, [tabindex], section, nav, fieldset, table, article")) {
  need(name(e).trim(), `control without a name: ${e.outerHTML.slice(0, 80)}`);
}
for (const e of document.querySelectorAll("svg, img")) {
  const silent = e.closest("[aria-hidden=true]");
  need(silent || (e.getAttribute("role") === "img" && e.getAttribute("aria-label")), `picture without a name: ${e.outerHTML.slice(0, 80)}`);
}
const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
for (const id of new Set(ids.filter((id, at) => ids.indexOf(id) !== at))) findings.push(`id twice: ${id}`);
for (const attribute of ["aria-labelledby", "for"]) {
  for (const e of document.querySelectorAll(`[${attribute}]`)) {
    for (const id of e.getAttribute(attribute).split(" ")) need(ids.includes(id), `${attribute}: no such id ${id}`);
  }
}

const rgb = (text) => text.match(/[\d.]+/g).map(Number);
const ground = (e) => {
  for (let at = e; at; at = at.parentElement) {
    const [r, g, b, a = 1] = rgb(getComputedStyle(at).backgroundColor);
    if (a === 1) return [r, g, b];
  }
  return [255, 255, 255];
};
const light = (color) => {
  const [r, g, b] = color.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
let texts = 0;
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let node = walker.nextNode(); node; node = walker.nextNode()) {
  const e = node.parentElement;
  if (!node.data.trim() || !e.checkVisibility() || e.closest("script, style, title, option")) continue;
  const style = getComputedStyle(e);
  const front = light(rgb(e.closest("svg") ? style.fill : style.color));
  const back = light(ground(e));
  const ratio = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
  need(ratio >= 4.5, `contrast: ${ratio.toFixed(2)} of "${node.data.trim().slice(0, 40)}"`);
  texts += 1;
}
return { findings, texts };
