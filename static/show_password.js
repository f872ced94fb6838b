// Shows or hides a password: neither an HTMX attribute nor CSS can change the type of a field.
htmx.on("click", ({ target }) => {
  if (!target.matches(".reveal")) return;
  const input = document.getElementById(target.getAttribute("aria-controls"));
  const show = input.type === "password";
  input.type = show ? "text" : "password";
  target.ariaPressed = String(show);
});
