-- wrk's figures as one line of JSON, with the statuses and the answers of each second.
local ffi = require("ffi")
ffi.cdef("typedef struct { long s; long us; } moment; int gettimeofday(moment *now, void *zone);")

local now = ffi.new("moment")
local worker
local began
statuses, each_second = {}, {}

local function seconds()
  ffi.C.gettimeofday(now, nil)
  return tonumber(now.s) + tonumber(now.us) / 1e6
end

function setup(thread)
  worker = thread
end

function init()
  began = seconds()
end

function response(status)
  status = tostring(status)
  statuses[status] = (statuses[status] or 0) + 1
  if status == "200" then
    local second = tostring(math.floor(seconds() - began))
    each_second[second] = (each_second[second] or 0) + 1
  end
end

local function object(counts)
  local members = {}
  for key, count in pairs(counts) do
    members[#members + 1] = string.format('"%s": %d', key, count)
  end
  return "{" .. table.concat(members, ", ") .. "}"
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '{"p50": %d, "p95": %d, "p99": %d, "statuses": %s, "each_second": %s, ' ..
    '"errors": {"connect": %d, "read": %d, "write": %d, "timeout": %d}}\n',
    latency:percentile(50), latency:percentile(95), latency:percentile(99),
    object(worker:get("statuses")), object(worker:get("each_second")),
    e.connect, e.read, e.write, e.timeout))
end
