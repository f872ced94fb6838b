// Shows or hides a password: neither an HTMX attribute nor CSS can change the type of a field.
document.documentElement.classList.add("scripted"); // CSS shows the button only if this runs
htmx.on("click", ({ target }) => {
  const button = target.closest(".reveal");
  if (!button) return;
  const input = document.getElementById(button.getAttribute("aria-controls"));
  input.type = input.type === "password" ? "text" : "password";
});
