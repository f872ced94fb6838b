// What HTMX's attributes cannot say.
const find = (selector) => document.querySelector(selector);
const on = (name, react) => document.addEventListener(name, react);
const searched = () => new URLSearchParams(location.search).get("q") ?? "";
const isFollow = ({ target }) => target.id === "follow";

// What got no answer of ours (none at all, or a proxy's page) is told in the page's own words, and
// nothing that was typed is replaced.
const messageOf = (element) => find(`#${element.closest("#register, #account")?.id}-message`);
const tellNoAnswer = (event) => {
  if (isFollow(event) || event.target.id === "username") return;
  (messageOf(event.target) ?? find("#notice")).textContent = document.body.dataset.offline;
};
on("htmx:error", tellNoAnswer);
on("htmx:before:response", (event) => {
  const { status, headers } = event.detail.ctx.response;
  const unasked = isFollow(event) || (event.target.id === "username" && status >= 500);
  if (status < 400 || (!unasked && headers.get("Vary")?.includes("HX-Request"))) return;
  event.preventDefault();
  tellNoAnswer(event);
});
on("htmx:before:request", (event) => {
  if (!isFollow(event)) find("#notice").textContent = "";
});

// What an input method still composes is not typed yet, except on Android, where each word is composed.
let composed; // the text as it was before
if (!navigator.userAgent.includes("Android")) {
  const wait = (event) => event.isComposing && event.stopImmediatePropagation();
  document.addEventListener("input", wait, true);
  on("compositionstart", ({ target }) => (composed = target.value));
  on("compositionend", ({ target }) => {
    if (target.value !== composed) target.dispatchEvent(new Event("input", { bubbles: true }));
    composed = undefined;
  });
}

// While a form is under way its fields wait; typing again takes back what was said of the old text.
const keep = (readOnly) => ({ target }) => {
  if (target.method !== "post") return;
  for (const input of target.querySelectorAll("input:not([hidden])")) input.readOnly = readOnly;
};
on("htmx:before:request", keep(true));
on("htmx:finally:request", keep(false));
on("input", ({ target }) => {
  if (target.id === "username") find("#availability").textContent = "";
  if (!target.ariaInvalid) return;
  target.ariaInvalid = null;
  document.getElementById(target.getAttribute("aria-describedby")).textContent = "";
  if (target.dataset.hint) target.setAttribute("aria-describedby", target.dataset.hint);
  else target.removeAttribute("aria-describedby");
});

on("click", ({ target }) => {
  if (target.matches("#register-message a")) find("#account details").open = true;
  if (!target.matches(".reveal")) return;
  const input = document.getElementById(target.getAttribute("aria-controls"));
  target.ariaPressed = String(input.type === "password");
  input.type = input.type === "password" ? "text" : "password";
});

// Everybody is sent the same list; one's own row is marked here, as the first page had it.
const markOwn = () => {
  const row = document.getElementById(`user-${find("#account-panel")?.dataset.user}`);
  for (const mark of document.querySelectorAll(".people em")) if (!row?.contains(mark)) mark.remove();
  if (row && !row.querySelector("em")) row.querySelector("bdi").after(" ", find("#you").content.cloneNode(true));
};

// Whether changes reach this page. The server says something every 15 seconds; who hears nothing for
// longer is cut off, though the connection may not know. Hidden pages do without one: browsers open six.
const SILENCE = 35000;
let connection;
let silence;
const showConnected = (connected) => {
  find("#live").hidden = !connected;
  find("#connecting").hidden = connected;
};
const connectAgain = () => {
  if (!find("#follow")) return;
  showConnected(false);
  connection?.reader?.cancel();
};
const hear = (event) => {
  connection = event.detail.connection;
  clearTimeout(silence);
  silence = setTimeout(connectAgain, SILENCE);
};
on("htmx:before:request", (event) => {
  if (isFollow(event) && document.hidden) event.preventDefault();
});
on("htmx:sse:before:connection", () => showConnected(false));
on("htmx:sse:after:connection", (event) => {
  hear(event);
  showConnected(true);
  if (find("#notice").textContent === document.body.dataset.offline) find("#notice").textContent = "";
  if (composed === undefined && find("#q").value !== searched()) find("#search").requestSubmit();
});
on("htmx:sse:after:message", hear);
on("htmx:sse:close", () => {
  clearTimeout(silence);
  showConnected(false);
});
window.addEventListener("offline", connectAgain);

// A new person and a new count arrive with a short movement, for those who like that.
const still = matchMedia("(prefers-reduced-motion: reduce)");
const arrive = (element) => {
  if (still.matches) return;
  element.animate({ opacity: [0, 1], translate: ["0 -0.5rem", "0 0"] }, { duration: 400, easing: "ease-out" });
};
const nameOf = (element) => (element.id === "count" ? element.textContent : element.id);
const shown = () => new Set([...document.querySelectorAll("#newest li, #count")].map(nameOf));
let before = new Set();
on("htmx:before:swap", () => (before = shown()));

// A screen reader hears a new count, at most every five seconds, and what a search found; never the list.
const announce = (text) => {
  const region = find("#announcement");
  region.textContent = region.textContent === text ? `${text}\u00a0` : text; // or the same is not said again
};
const tally = () => find("#tally")?.textContent.trim();
let told = tally();
let waiting;
on("htmx:sse:after:message", ({ detail }) => {
  if (detail.message.event) return;
  waiting ??= setTimeout(() => {
    waiting = undefined;
    if (told !== tally()) announce((told = tally()));
  }, 5000);
});
on("htmx:after:swap", ({ target, detail }) => {
  markOwn();
  const element = target.closest ? target : document.body;
  if (isFollow({ target: element }) || element.closest("#register")) {
    for (const name of shown()) if (!before.has(name)) arrive(document.getElementById(name) ?? find("#count"));
  }
  const { response, request } = detail.ctx;
  const back = request?.headers["HX-History-Restore-Request"];
  if (!(response?.status >= 400) && (back || element.closest("#search, #users"))) {
    announce(find("#users-title").textContent);
  }
  // A link or button that was used with the keyboard may be gone.
  if (document.activeElement === document.body) {
    if (element.closest("#users")) find("#users-title").focus();
    if (element.closest("#account")) find("#account-message").focus();
  }
  // Paging out of a search, or going back into one, leaves the field as the address says.
  if (back || document.activeElement !== find("#q")) find("#q").value = searched();
});

// Going back takes the search along at once, however late the list.
window.addEventListener("popstate", () => {
  if (find("#q")) find("#q").value = searched();
});

// A search that is sent twice is one step back.
on("htmx:before:history:update", (event) => {
  if (event.detail.history.path === location.pathname + location.search) event.preventDefault();
});
