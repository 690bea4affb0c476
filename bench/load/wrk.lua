-- With the argument "varied", no two requests are alike: path, query, cookie and ids are of each its own.
function init(args)
  if args[1] ~= "varied" then return end
  local path, headers = wrk.path, wrk.headers
  local function id(digits)
    local text = ""
    for _ = 1, digits / 8 do text = text .. string.format("%08x", math.random(0, 2 ^ 31 - 1)) end
    return text
  end
  headers["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
  headers["Accept"] = "application/json"
  headers["Accept-Encoding"] = "gzip, deflate"
  request = function()
    headers["Cookie"] = "session=" .. id(32) .. "; theme=dark"
    headers["X-Request-Id"] = id(32)
    headers["Traceparent"] = "00-" .. id(32) .. "-" .. id(16) .. "-01"
    return wrk.format("GET", path .. "/orders/" .. math.random(1, 100000) .. "?page=" .. math.random(1, 50), headers)
  end
end

-- Prints what a run of wrk found as one line of JSON. Latencies are in microseconds.
done = function(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"durationUs":%d,"p50Us":%d,"p99Us":%d,"failed":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
