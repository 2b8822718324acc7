// What pages can do with script: they follow changes, and take keys. Without it everything else works.

const main = () => document.querySelector("main");

// The zone of this browser, in which pages also show moments.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone && !document.cookie.includes(`tidegate_zone=${zone}`)) {
  const base = new URL("..", document.querySelector("link[rel=stylesheet]").href).pathname;
  document.cookie = `tidegate_zone=${zone}; path=${base.replace(/ui\/$/, "")}; max-age=31536000; samesite=strict`;
}

// A part that somebody works in stays as it is.
function isInUse(part) {
  const selection = document.getSelection();
  if (selection && !selection.isCollapsed && part.contains(selection.anchorNode)) return true;
  const active = document.activeElement;
  if (active && part.contains(active) && active.matches("input, select, textarea")) return true;
  return [...part.querySelectorAll("input:not([type=hidden]), textarea, select")].some((field) => {
    if (field.type === "checkbox") return field.checked !== field.defaultChecked;
    if (field.tagName === "SELECT") return [...field.options].some((option) => option.selected !== option.defaultSelected) && field.selectedIndex > 0;
    return field.value !== field.defaultValue;
  });
}

// What tells an element that had the focus from others.
const mark = (element) =>
  element && [element.tagName, element.getAttribute("href"), element.getAttribute("aria-label"), element.textContent].join("|");

function update(part, next) {
  if (part.innerHTML === next.innerHTML || isInUse(part)) return;
  const had = part.contains(document.activeElement) ? mark(document.activeElement) : null;
  const open = [...part.querySelectorAll("details")].map((details) => details.open);
  const scrolled = [...part.querySelectorAll(".scroll, pre")].map((box) => [box.scrollLeft, box.scrollTop]);
  part.replaceChildren(...next.childNodes);
  part.querySelectorAll("details").forEach((details, n) => { details.open = open[n] ?? details.open; });
  part.querySelectorAll(".scroll, pre").forEach((box, n) => { [box.scrollLeft, box.scrollTop] = scrolled[n] ?? [0, 0]; });
  if (had) {
    const all = [...part.querySelectorAll("a, button, summary, [tabindex]")];
    all.find((element) => mark(element) === had)?.focus({ preventScroll: true });
  }
}

function take(text) {
  const next = new DOMParser().parseFromString(text, "text/html").querySelector("main");
  // After a restart of the daemon the forms of this page belong to the new one.
  const token = next?.querySelector("input[name=form_token]")?.value;
  if (token) document.querySelectorAll("input[name=form_token]").forEach((field) => { field.value = token; });
  for (const part of main().querySelectorAll("[data-part]")) {
    const found = next?.querySelector(`[data-part="${part.dataset.part}"]`);
    if (found) update(part, found);
  }
}

// A page is followed while it is looked at.
let source = null;
const state = document.getElementById("live-state");

function say(word) {
  if (state) { state.textContent = word; state.className = word; }
}

function follow() {
  if (source || document.hidden || !document.body.dataset.live) return;
  source = new EventSource(document.body.dataset.live);
  source.addEventListener("open", () => say("live"));
  source.addEventListener("main", (event) => { say("live"); take(event.data); });
  source.addEventListener("away", () => say("away"));
  source.addEventListener("gone", () => { stop(); location.reload(); });
  source.addEventListener("error", () => say("away"));
}

function stop() {
  source?.close();
  source = null;
  say("");
}

document.addEventListener("visibilitychange", () => (document.hidden ? stop() : follow()));
addEventListener("pagehide", stop);
addEventListener("pageshow", follow);
follow();

// Who signs out lands on the page to sign in: then no other tab of this browser goes on.
const session = "BroadcastChannel" in window ? new BroadcastChannel("tidegate-session") : null;
const isSignedOut = Boolean(document.querySelector('main form[action$="/ui/login"]'));
if (isSignedOut) session?.postMessage("ended");
else session?.addEventListener("message", () => location.reload());

// Keys: g and a letter lead to a page, / leads to the search.
let before = "";
document.addEventListener("keydown", (event) => {
  const isTyping = event.target.matches("input, textarea, select");
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") {
    const find = document.querySelector("[data-find]");
    if (find) { event.preventDefault(); find.focus(); }
  }
  if (before === "g") document.querySelector(`nav [data-key="${CSS.escape(event.key)}"]`)?.click();
  before = event.key;
});

// A link into a folded part opens it.
function unfold() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target?.tagName === "DETAILS") target.open = true;
}
addEventListener("hashchange", unfold);
unfold();

// A step is sent once.
document.addEventListener("submit", (event) => {
  if (event.defaultPrevented || event.target.method !== "post") return;
  if (event.target.dataset.sent) event.preventDefault();
  event.target.dataset.sent = "yes";
});
