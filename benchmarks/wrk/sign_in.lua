-- Signs the same person in again and again, each time as a browser without cookies.
-- Arguments: the user name, the password.
function init(arguments)
  wrk.method = "POST"
  wrk.path = "/sign-in"
  wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
  wrk.body = "username=" .. arguments[1] .. "&password=" .. arguments[2]
  signing_in = wrk.format()
end

function request()
  return signing_in
end
