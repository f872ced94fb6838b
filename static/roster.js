// What HTMX's attributes cannot say.
const find = (selector) => document.querySelector(selector);
const on = (name, react) => document.addEventListener(name, react);

// Where the answer to a form of the register or account region is said.
const messageOf = (element) => find(`#${element.closest("#register, #account")?.id}-message`);

// What got no answer of ours (none at all, or a proxy's page) is told in the page's own words, and
// nothing that was typed is replaced.
const tellNoAnswer = ({ target }) => {
  if (target.id === "follow" || target.id === "username") return;
  (messageOf(target) ?? find("#notice")).textContent = document.body.dataset.offline;
};
on("htmx:error", tellNoAnswer);
on("htmx:before:response", (event) => {
  const { status, headers } = event.detail.ctx.response;
  if (status < 400 || headers.get("Vary")?.includes("HX-Request")) return;
  event.preventDefault();
  tellNoAnswer(event);
});
on("htmx:before:request", ({ target }) => {
  if (target.id !== "follow") find("#notice").textContent = "";
});

// While a form is under way its fields wait; typing again takes back what was said of the old text.
const keep = (readOnly) => ({ target }) => {
  if (target.method !== "post") return;
  for (const input of target.querySelectorAll("input")) input.readOnly = readOnly;
};
on("htmx:before:request", keep(true));
on("htmx:finally:request", keep(false));
on("input", ({ target }) => {
  if (target.id === "username") find("#availability").textContent = "";
  if (!target.ariaInvalid) return;
  target.ariaInvalid = null;
  target.setAttribute("aria-describedby", target.dataset.hint ?? "");
  messageOf(target).textContent = "";
});

// Everybody is sent the same list; one's own row is marked here, as the first page had it.
const markOwn = () => {
  const row = document.getElementById(`user-${find("#account-panel")?.dataset.user}`);
  for (const mark of document.querySelectorAll(".people em")) if (!row?.contains(mark)) mark.remove();
  if (row && !row.querySelector("em")) row.querySelector("bdi").after(" ", find("#you").content.cloneNode(true));
};
on("htmx:after:swap", markOwn);

// Whether changes reach this page.
const showConnected = (connected) => {
  find("#live").hidden = !connected;
  find("#connecting").hidden = connected;
};
on("htmx:sse:before:connection", () => showConnected(false));
on("htmx:sse:after:connection", () => showConnected(true));
on("htmx:sse:close", () => showConnected(false));

// A screen reader hears the count, at most every five seconds, and what a search found; never the list.
const announce = (selector) => {
  const text = find(selector).textContent.trim();
  if (find("#announcement").textContent !== text) find("#announcement").textContent = text;
};
let waiting;
on("htmx:sse:after:message", () => {
  waiting ??= setTimeout(() => {
    waiting = undefined;
    announce("header p");
  }, 5000);
});
on("htmx:after:swap", (event) => {
  if (event.target.closest("#search, #users")) announce("#users-title");
  // A link that was followed with the keyboard may be gone.
  if (event.target.closest("#users") && document.activeElement === document.body) find("#users-title").focus();
  // Paging out of a search, or back into one, leaves the field as the address says.
  if (document.activeElement !== find("#q")) find("#q").value = new URLSearchParams(location.search).get("q") ?? "";
});

// A search that is sent twice is one step back.
on("htmx:before:history:update", (event) => {
  if (event.detail.history.path === location.pathname + location.search) event.preventDefault();
});
