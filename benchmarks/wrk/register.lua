-- Registers people under names that nobody has yet. Arguments: the start of each name, the password.
local count = 0

function init(arguments)
  prefix, password = arguments[1], arguments[2]
  wrk.method = "POST"
  wrk.path = "/register"
  wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
end

function request()
  count = count + 1
  return wrk.format(nil, nil, nil, "username=" .. prefix .. count .. "&password=" .. password)
end
