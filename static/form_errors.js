// Removes what is said about a field as soon as its text changes: attributes would need a request for this.
const clearVerdict = (id) => {
  const place = htmx.find(id);
  if (!place.querySelector("small")) place.textContent = ""; // the hint stays
};
htmx.on("input", ({ target }) => {
  if (target.matches("#username, #password")) clearVerdict("#password-check"); // the rule knows the user name
  if (target.id === "username") clearVerdict("#availability");
  if (!target.ariaInvalid) return;
  target.ariaInvalid = null;
  document.getElementById(target.getAttribute("aria-describedby")).textContent = "";
  if (target.dataset.hint) target.setAttribute("aria-describedby", target.dataset.hint);
});
