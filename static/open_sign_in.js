// Opens the sign-in form when its link is clicked: not every browser opens <details> for a link into it.
htmx.on("click", ({ target }) => {
  if (target.matches("#register-message a")) htmx.find("#account details").open = true;
});
