// Removes the error of a field as soon as its text changes: attributes would need a request for this.
htmx.on("input", ({ target }) => {
  if (target.id === "username") htmx.find("#availability").textContent = "";
  if (!target.ariaInvalid) return;
  target.ariaInvalid = null;
  document.getElementById(target.getAttribute("aria-describedby")).textContent = "";
  if (target.dataset.hint) target.setAttribute("aria-describedby", target.dataset.hint);
});
