-- 90 visits of the page, 9 searches, 1 registration, and so on.
-- Arguments: the start of each new name, the password, the path of a search.
local count = 0

function init(arguments)
  prefix, password = arguments[1], arguments[2]
  visit = wrk.format("GET", "/")
  search = wrk.format("GET", arguments[3])
end

function request()
  count = count + 1
  if count % 100 == 50 then
    local form = { ["Content-Type"] = "application/x-www-form-urlencoded" }
    local body = "username=" .. prefix .. count .. "&password=" .. password
    return wrk.format("POST", "/register", form, body)
  elseif count % 11 == 5 then
    return search
  end
  return visit
end
