-- wrk's requests of one route: those of which routes.py has the calls and the bare statements. The environment has the
-- route, the first number of this measurement, and the sizes of the data (world.py).
local thinkers, holders = tonumber(os.getenv("thinkers")), tonumber(os.getenv("holders"))
local begins = tonumber(os.getenv("begins"))
local n = tonumber(os.getenv("first"))

local JSON = { ["Content-Type"] = "application/json" }

local function post(path, body, ...)
  return wrk.format("POST", path, JSON, string.format(body, ...))
end

local function get(path, ...)
  return wrk.format("GET", string.format(path, ...))
end

local function hour(number)
  return os.date("!%Y-%m-%dT%H:00:00.000Z", begins + number * 3600)
end

local routes = {
  heartbeat = function()
    return post(
      "/api/presence/heartbeat", '{"thinker_id":"thinker-%012x","pair_code":"pair-%d","status":"online"}',
      n % thinkers, math.floor(n % thinkers / 2)
    )
  end,
  match = function()
    return post(
      "/api/presence/match", '{"thinker_id":"paired-%d","pair_code":"paired-%d"}',
      n % 1000, math.floor(n % 1000 / 2)
    )
  end,
  issue = function()
    return post(
      "/api/voucher/issue",
      '{"issuerUid":"thinker-%012x","title":"Beratung","validFrom":"%s","validUntil":"%s","price":{"amount":12000}}',
      n % thinkers, hour(0), hour(8)
    )
  end,
  slots = function()
    return get("/api/slots/available?voucherId=open-%d", n % 100)
  end,
  book = function()
    return post(
      "/api/voucher/book", '{"voucherId":"book-%d","slotId":"slot-%s","holderUid":"thinker-%012x"}',
      n % 1000, hour(math.floor(n / 1000)), n % thinkers
    )
  end,
  transfer = function()
    return post(
      "/api/telbank/transfers",
      '{"direction":"in","cryptoAmount":1.5,"cryptoSymbol":"ETH","fiatAmount":2500,"fiatCurrency":"EUR",'
        .. '"walletAddress":"wallet-%d"}',
      n % thinkers
    )
  end,
  bookings = function()
    return get("/api/voucher/bookings?holderUid=t%d", 1 + n % holders)
  end,
  events = function()
    return get("/api/admin/events")
  end,
}

local ask = routes[os.getenv("route")]

function request()
  local asked = ask()
  n = n + 1
  return asked
end

function done(summary, latency)
  local failed = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%f,"p50_ms":%f,"p99_ms":%f,"refused":%d,"broken":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    failed.status, failed.connect + failed.read + failed.write + failed.timeout
  ))
end
